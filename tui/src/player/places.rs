//! Where in the played bytes a decoder can start: the scanner's marks, led
//! from stream offsets to ring positions across lost chunks (PROTOCOL.md 6.3).

use std::collections::VecDeque;

/// At most so many gaps are remembered. The scanner's marks are at most 64 KiB
/// old, so that this is enough when every second chunk of 1 KiB is lost.
const MAX_SEGMENTS: usize = 128;

/// The places of the current stream where a decoder can start.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Ascending, at least the spacing apart, none older than half the ring.
    pub(super) kept: VecDeque<u64>,
    /// The first one that the stream had.
    pub(super) first: Option<u64>,
    /// Places before this one don't count.
    pub(super) floor: u64,
    /// The newest position that the scanner has marked.
    pub(super) marked: u64,
}

impl Starts {
    pub(super) fn push(&mut self, position: u64, spacing: u64) {
        if position < self.floor {
            return;
        }
        self.first.get_or_insert(position);
        let far_enough = self.kept.back().is_none_or(|&last| position >= last + spacing);
        if far_enough {
            self.kept.push_back(position);
        }
    }

    pub(super) fn forget_before(&mut self, oldest: u64) {
        while self.kept.front().is_some_and(|&start| start < oldest) {
            self.kept.pop_front();
        }
    }
}

/// Leads from stream offsets to positions, across the gaps.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    segments: VecDeque<Segment>,
}

/// Bytes without a gap between them: the first one's offset and position.
#[derive(Debug, Clone, Copy)]
struct Segment {
    offset: u64,
    position: u64,
}

impl Timeline {
    pub(super) fn new(offset: u64, position: u64) -> Timeline {
        Timeline { segments: VecDeque::from([Segment { offset, position }]) }
    }

    pub(super) fn gap(&mut self, head: u64, lost: u64) {
        let Some(last) = self.segments.back_mut() else {
            return;
        };
        let next = Segment {
            offset: last.offset.saturating_add(head - last.position).saturating_add(lost),
            position: head,
        };
        if last.position == head {
            *last = next;
            return;
        }
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(next);
    }

    /// `None` when the byte at `offset` was lost or is too old.
    pub(super) fn position(&self, offset: u64) -> Option<u64> {
        let after = self.segments.partition_point(|segment| segment.offset <= offset);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let position = segment.position.checked_add(offset - segment.offset)?;
        let lost = self.segments.get(after).is_some_and(|next| position >= next.position);
        (!lost).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_across_gaps() {
        let mut timeline = Timeline::new(1000, 50);
        assert_eq!(timeline.position(999), None, "before the beginning");
        assert_eq!(timeline.position(1000), Some(50));
        // 10 bytes, 5 lost, then 3 more lost, 20 bytes, 7 lost.
        timeline.gap(60, 5);
        timeline.gap(60, 3);
        timeline.gap(80, 7);
        let table = [
            (1009, Some(59)),
            (1010, None),
            (1017, None),
            (1018, Some(60)),
            (1037, Some(79)),
            (1038, None),
            (1044, None),
            (1045, Some(80)),
        ];
        for (offset, position) in table {
            assert_eq!(timeline.position(offset), position, "{offset}");
        }
    }

    #[test]
    fn a_full_timeline_forgets_the_oldest() {
        let mut timeline = Timeline::new(0, 0);
        for gap in 1..=MAX_SEGMENTS as u64 {
            timeline.gap(gap, 1);
        }
        assert_eq!(timeline.segments.len(), MAX_SEGMENTS);
        assert_eq!(timeline.position(0), None);
        assert_eq!(timeline.position(2), Some(1));
        timeline.gap(1000, u64::MAX);
        assert_eq!(timeline.position(u64::MAX), Some(1000), "saturates");
    }

    #[test]
    fn starts_are_spread() {
        let mut starts = Starts { floor: 10, ..Starts::default() };
        for position in 0..40 {
            starts.push(position, 8);
        }
        assert_eq!(starts.kept, [10, 18, 26, 34]);
        starts.forget_before(19);
        assert_eq!(starts.kept, [26, 34]);
        assert_eq!(starts.first, Some(10));
    }
}

//! When the next piece is due. Pure arithmetic: it is told the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Later than this the schedule moves instead of catching up in a burst.
const MAX_LATE: Duration = Duration::from_secs(1);

/// A pause between pieces that no source wants to exceed; keeps sums of
/// instants from overflowing when a clock is nonsense.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How long the pieces of a paced source last.
const PIECE_US: f64 = 20_000.0;

/// The longest piece of a fast source: less than 1 ms at 800 Mbit/s.
const MAX_PIECE_BYTES: usize = 64 * 1024;

/// The bucket of a live source: seconds of its rate, and the least bytes.
const BUCKET_SECONDS: f64 = 0.25;
const BUCKET_MIN_BYTES: f64 = 4096.0;

/// A live source catches up at so many times its rate.
const CATCH_UP: f64 = 3.0;

/// What Icecast sends at once when a listener connects.
const BURST_BYTES: f64 = 65_536.0;

/// A bucket slows a source down for at least this long before it takes it
/// that the rate is wrong.
const MIN_PATIENCE: Duration = Duration::from_secs(10);

/// Media time to absolute deadlines: no error adds up, a late timer costs
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    anchor: Option<(Instant, u64)>,
}

impl Schedule {
    /// Media time `micros` is due then.
    pub(super) fn anchored(at: Instant, micros: u64) -> Schedule {
        Schedule { anchor: Some((at, micros)) }
    }

    /// When media time `micros` is due. The first one asked for is due now;
    /// one that is late by more than a second is due now as well, and all
    /// that follow move with it.
    pub(super) fn due(&mut self, now: Instant, micros: u64) -> Instant {
        let (start, start_us) = *self.anchor.get_or_insert((now, micros));
        let after = Duration::from_micros(micros.saturating_sub(start_us));
        let due = start.checked_add(after).unwrap_or(now + MAX_WAIT);
        if now.saturating_duration_since(due) > MAX_LATE {
            self.anchor = Some((now, micros));
            return now;
        }
        due.min(now + MAX_WAIT)
    }
}

/// Byte offsets to media time: straight lines between the marks of the
/// scanner, and the mean rate beyond the last.
#[derive(Debug)]
pub(super) struct Timeline {
    /// (offset, micros), both never decreasing; the first is at or before
    /// the offset last asked for.
    knots: VecDeque<(u64, u64)>,
    first: Option<(u64, u64)>,
    /// Bytes a second, if given: there are no knots then.
    fixed: Option<f64>,
}

impl Timeline {
    /// Times come with [`Timeline::mark`].
    pub(super) fn by_marks() -> Timeline {
        Timeline { knots: VecDeque::new(), first: None, fixed: None }
    }

    /// A constant rate.
    pub(super) fn by_rate(bytes_per_s: f64) -> Timeline {
        Timeline { fixed: Some(bytes_per_s), ..Timeline::by_marks() }
    }

    /// The media before `offset` lasts `micros`.
    pub(super) fn mark(&mut self, offset: u64, micros: u64) {
        if self.fixed.is_some() {
            return;
        }
        self.first.get_or_insert((offset, micros));
        match self.knots.back_mut() {
            Some(last) if last.0 == offset => last.1 = last.1.max(micros),
            _ => self.knots.push_back((offset, micros)),
        }
    }

    /// Whether media time at `offset` is known exactly.
    pub(super) fn covers(&self, offset: u64) -> bool {
        self.fixed.is_some() || self.knots.back().is_some_and(|last| last.0 >= offset)
    }

    /// Media time between the first and the last mark.
    pub(super) fn span_us(&self) -> u64 {
        match (self.first, self.knots.back()) {
            (Some(first), Some(last)) => last.1.saturating_sub(first.1),
            _ => 0,
        }
    }

    /// Mean bytes a second so far.
    pub(super) fn rate(&self) -> Option<f64> {
        if self.fixed.is_some() {
            return self.fixed;
        }
        let (first, last) = (self.first?, self.knots.back()?);
        let span_us = self.span_us();
        (span_us > 0 && last.0 > first.0).then(|| (last.0 - first.0) as f64 * 1e6 / span_us as f64)
    }

    /// Media time at `offset`, which never decreases from call to call.
    pub(super) fn micros_at(&mut self, offset: u64) -> u64 {
        if let Some(rate) = self.fixed {
            return (offset as f64 * 1e6 / rate) as u64;
        }
        while self.knots.get(1).is_some_and(|next| next.0 <= offset) {
            self.knots.pop_front();
        }
        let Some(&(from, from_us)) = self.knots.front() else {
            return 0;
        };
        let beyond = offset.saturating_sub(from);
        let us_per_byte = match self.knots.get(1) {
            Some(&(to, to_us)) => (to_us - from_us) as f64 / (to - from).max(1) as f64,
            None => self.rate().map_or(0.0, |rate| 1e6 / rate),
        };
        from_us.saturating_add((beyond as f64 * us_per_byte) as u64)
    }
}

/// The length of a piece of a stream at `bytes_per_s`, a multiple of `cut`
/// if it is longer than that.
pub(super) fn piece_bytes(bytes_per_s: f64, cut_bytes: usize) -> usize {
    let cut = cut_bytes.max(1);
    let wanted = ((bytes_per_s * PIECE_US / 1e6) as usize).min(MAX_PIECE_BYTES);
    (wanted / cut * cut).max(cut)
}

/// Token bucket: what a live source sends at once goes out at a few times its
/// rate. A rate that was guessed too low doubles: the source must not be
/// slowed down for long.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes_per_s: f64,
    depth: Duration,
    /// Since when the bucket has been slowing the source down.
    busy_since: Option<Instant>,
    /// How long it may, before its rate doubles.
    patience: Duration,
    /// When all that was handed out is paid for.
    paid: Option<Instant>,
}

impl Bucket {
    /// For a source of `bytes_per_s`.
    pub(super) fn new(bytes_per_s: f64) -> Bucket {
        let depth_bytes = (bytes_per_s * BUCKET_SECONDS).max(BUCKET_MIN_BYTES);
        let catching_up_s = BURST_BYTES / (bytes_per_s * (CATCH_UP - 1.0)).max(1.0);
        let bytes_per_s = (bytes_per_s * CATCH_UP).max(1.0);
        Bucket {
            bytes_per_s,
            depth: Duration::from_secs_f64(depth_bytes / bytes_per_s),
            busy_since: None,
            patience: MIN_PATIENCE.max(Duration::from_secs_f64(2.0 * catching_up_s)),
            paid: None,
        }
    }

    /// When the next piece may go.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let paid = self.paid.unwrap_or(now);
        paid.checked_sub(self.depth).map_or(now, |due| due.max(now))
    }

    /// `bytes` went.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) {
        let owed = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        if owed < self.depth / 2 {
            self.busy_since = None;
        } else if now.duration_since(*self.busy_since.get_or_insert(now)) > self.patience {
            self.bytes_per_s *= 2.0;
            self.busy_since = None;
        }
        let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
        self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + price.min(MAX_WAIT));
    }

    /// A piece that the bucket likes: half of it, within bounds.
    pub(super) fn piece_bytes(&self) -> usize {
        let depth_bytes = self.depth.as_secs_f64() * self.bytes_per_s;
        ((depth_bytes / 2.0) as usize).clamp(1024, MAX_PIECE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn deadlines_are_absolute() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(start, 0), start);
        // Asked late, again and again: no rate is lost.
        for piece in 1..100u64 {
            let late = start + ms(20 * piece + 7);
            assert_eq!(schedule.due(late, 20_000 * piece), start + ms(20 * piece));
        }
    }

    #[test]
    fn a_stall_moves_the_schedule() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.due(start, 0);
        let late = start + ms(20) + MAX_LATE;
        assert_eq!(schedule.due(late, 20_000), start + ms(20), "not yet");
        let stalled = late + ms(1);
        assert_eq!(schedule.due(stalled, 20_000), stalled);
        assert_eq!(schedule.due(stalled, 40_000), stalled + ms(20));
    }

    #[test]
    fn a_schedule_may_start_anywhere_and_survives_nonsense() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(start, 5_000_000), start);
        assert_eq!(schedule.due(start, 5_020_000), start + ms(20));
        assert_eq!(schedule.due(start, 0), start);
        assert_eq!(schedule.due(start, u64::MAX), start + MAX_WAIT);
    }

    #[test]
    fn a_timeline_follows_a_changing_rate() {
        let mut timeline = Timeline::by_marks();
        assert_eq!(timeline.rate(), None);
        assert_eq!(timeline.micros_at(100), 0);
        timeline.mark(1000, 0);
        timeline.mark(2000, 100_000);
        timeline.mark(6000, 200_000);
        assert_eq!(timeline.rate(), Some(25_000.0));
        assert!(timeline.covers(6000) && !timeline.covers(6001));
        let cases = [
            (0, 0),
            (1000, 0),
            (1500, 50_000),
            (2000, 100_000),
            (4000, 150_000),
            (6000, 200_000),
            (7000, 240_000),
        ];
        for (offset, micros) in cases {
            assert_eq!(timeline.micros_at(offset), micros, "{offset}");
        }
    }

    #[test]
    fn a_fixed_rate_needs_no_marks() {
        let mut timeline = Timeline::by_rate(16_000.0);
        timeline.mark(1, 99);
        assert_eq!(timeline.micros_at(32_000), 2_000_000);
        assert_eq!(timeline.rate(), Some(16_000.0));
        assert!(timeline.covers(u64::MAX));
    }

    #[test]
    fn pieces_are_whole_cuts() {
        let cases = [
            (16_000.0, 1024, 1024),
            (192_000.0, 1024, 3072),
            (100e6, 1024, 65_536),
            (100e6, 1000, 65_000),
            (100e6, 100_000, 100_000),
            (0.0, 0, 1),
        ];
        for (rate, cut, expected) in cases {
            assert_eq!(piece_bytes(rate, cut), expected, "{rate} {cut}");
        }
    }

    #[test]
    fn a_bucket_spreads_a_burst_and_lets_the_steady_rate_pass() {
        let rate = 16_000.0;
        let start = Instant::now();
        let mut bucket = Bucket::new(rate);
        let piece = bucket.piece_bytes();
        let mut now = start;
        let mut bytes = 0;
        while bytes < 65_536 {
            now = bucket.due(now);
            bucket.take(now, piece);
            bytes += piece;
        }
        // 64 KiB less bucket and piece, at three times the rate.
        let least = (65_536.0 - 4096.0 - 2.0 * piece as f64) / (3.0 * rate);
        let took = (now - start).as_secs_f64();
        assert!(took > least && took < least + 0.2, "{took} {least}");
        // Steady from here on: nothing waits.
        for _ in 0..100 {
            now += Duration::from_secs_f64(piece as f64 / rate);
            assert_eq!(bucket.due(now), now);
            bucket.take(now, piece);
        }
    }

    #[test]
    fn a_bucket_gives_way_to_a_rate_that_was_told_too_low() {
        let start = Instant::now();
        let mut bucket = Bucket::new(8_000.0);
        // 80 kB/s come for two minutes; 24 kB/s are let through at first.
        let (mut now, mut bytes) = (start, 0usize);
        while now < start + Duration::from_secs(120) {
            now = bucket.due(now) + ms(1);
            let come = (now - start).as_secs_f64() * 80_000.0;
            let piece = 1024.min(come as usize - bytes);
            bucket.take(now, piece);
            bytes += piece;
        }
        assert!(bytes > 119 * 80_000, "{bytes}");
    }
}

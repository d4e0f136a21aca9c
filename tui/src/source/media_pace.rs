//! Pacing by the clock of the media itself, or at a given rate.

use tokio::time::Instant;

use super::pace::{Schedule, Timeline, piece_bytes};
use super::probe::{Probe, mark_times};
use crate::media::Scanner;

/// Knows when each byte of a stream is due. It sees the bytes as they come
/// in, ahead of those that are handed out.
#[derive(Debug)]
pub(super) struct MediaPace {
    schedule: Schedule,
    timeline: Timeline,
    /// Finds the marks of the timeline; `None` for a fixed rate.
    scanner: Option<Scanner>,
    piece_bytes: usize,
}

impl MediaPace {
    /// At `fixed` bytes a second if given, else at the clock of the media
    /// that `probe` has seen so far; `None` if that has none.
    pub(super) fn new(fixed: Option<f64>, probe: &mut Probe, cut_bytes: usize) -> Option<Self> {
        let (timeline, scanner) = match fixed {
            Some(rate) => (Timeline::by_rate(rate), None),
            None => {
                let timeline = std::mem::replace(&mut probe.timeline, Timeline::by_marks());
                (timeline, probe.scanner.take())
            }
        };
        let rate = timeline.rate()?;
        Some(MediaPace {
            schedule: Schedule::default(),
            timeline,
            scanner,
            piece_bytes: piece_bytes(rate, cut_bytes),
        })
    }

    /// Lets the first byte be due then, which some other stream has kept busy
    /// so far.
    pub(super) fn begin_at(&mut self, at: Instant) {
        let micros = self.timeline.micros_at(0);
        self.schedule = Schedule::anchored(at, micros);
    }

    /// The next bytes of the stream have come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(scanner) = &mut self.scanner {
            mark_times(scanner, bytes, &mut self.timeline);
        }
    }

    /// When the byte at `offset` is due. Time runs from the first call on.
    pub(super) fn due(&mut self, offset: u64) -> Instant {
        let micros = self.timeline.micros_at(offset);
        self.schedule.due(Instant::now(), micros)
    }

    /// Whether [`MediaPace::due`] is exact for `offset`, not an estimate.
    pub(super) fn covers(&self, offset: u64) -> bool {
        self.timeline.covers(offset)
    }

    /// How much to hand out at once.
    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }
}

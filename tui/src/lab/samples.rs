//! How a run's numbers went, chunk time by chunk time.

use super::{CHUNK_BYTES, Lab};
use crate::observe::{History, Pace, Sample, ratio};

/// A sample for each chunk time that is over, whether the run stands behind it
/// or has gone back.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<(Sample, Sums)>);

/// What was counted until a sample was taken.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    cut: u64,
    sent: u64,
    played: u64,
    lost: u64,
}

impl Samples {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes one, at the end of a chunk time.
    pub(super) fn take(&mut self, lab: &mut Lab) {
        let before = self.0.last().map_or_else(Sums::default, |(_, sums)| *sums);
        let (cut, totals) = (u64::from(lab.chunks_cut()), *lab.totals());
        let (team, sent) = (lab.splitter().team_size(), lab.splitter().stats().chunks_sent);
        let sums = Sums { cut, sent, played: totals.played, lost: totals.lost };
        let seconds = lab.plan().chunk_us as f64 / 1e6;
        let rate = |chunks: u64| chunks as f64 * CHUNK_BYTES as f64 / seconds;
        let (played, lost) = (sums.played - before.played, sums.lost - before.lost);
        let ledgers =
            || lab.members().iter().filter(|it| it.storage.is_some()).map(|it| &it.ledger);
        let waiting: u32 = ledgers().map(|ledger| ledger.waiting()).sum();
        let wanted = ledgers().count().max(1) as f64 * f64::from(lab.plan().buffer_chunks);
        let sample = Sample {
            team,
            rate_in: rate(sums.cut - before.cut),
            rate_out: rate(sums.sent - before.sent),
            loss: ratio(lost, played + lost),
            latency_chunks: ledgers().map(|ledger| ledger.span()).max().unwrap_or(0),
            fill: f64::from(waiting) / wanted,
        };
        self.0.push((sample, sums));
    }

    /// Forgets all but the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The first `len`, for the screen.
    pub(super) fn history(&self, len: usize) -> History {
        let samples = self.0.iter().take(len).map(|(sample, _)| *sample);
        History::of(Pace::ChunkTime, samples)
    }
}

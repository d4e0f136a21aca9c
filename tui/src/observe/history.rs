//! How the team's numbers went over the last minutes, for sparklines.

use std::collections::VecDeque;
use std::sync::Arc;

use super::snapshot::{NodeSnapshot, PeerSnapshot};

/// Samples kept; as many as the widest screen has columns.
pub const MAX_SAMPLES: usize = 300;

/// The team's numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Members, as far as known.
    pub team: usize,
    /// Stream in, in bytes a second.
    pub rate_in: f64,
    /// Sent, in bytes a second: by the splitter, or by a peer alone.
    pub rate_out: f64,
    /// Of the chunks due since the last sample: how many were lost, 0 to 1.
    pub loss: f64,
    /// How far play-out is behind the newest chunk: the peer that is most.
    pub latency_chunks: u32,
    /// Chunks waiting to be played, of those that should be: the mean, 0 to 1.
    pub fill: f64,
}

/// How often a sample is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Each second.
    #[default]
    Second,
    /// Each chunk time.
    ChunkTime,
}

/// The samples of a run, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// How often one is taken.
    pub pace: Pace,
    samples: VecDeque<Sample>,
    /// Played and lost by all peers when the last sample was taken.
    due: (u64, u64),
}

impl History {
    /// The last of these samples, oldest first.
    pub fn of(pace: Pace, samples: impl ExactSizeIterator<Item = Sample>) -> History {
        let skipped = samples.len().saturating_sub(MAX_SAMPLES);
        History { pace, samples: samples.skip(skipped).collect(), due: (0, 0) }
    }

    /// Takes a sample of these nodes.
    pub fn sample(&mut self, nodes: &[Arc<NodeSnapshot>]) {
        let peers = || nodes.iter().filter_map(|node| node.as_peer());
        let splitter = nodes.iter().find_map(|node| node.as_splitter());
        let alone = peers().next();
        let sum = |count: fn(&PeerSnapshot) -> u64| peers().map(count).sum::<u64>();
        let (played, lost) =
            (sum(|peer| peer.counts.chunks_played), sum(|peer| peer.counts.chunks_lost));
        let played_now = played.saturating_sub(self.due.0);
        let lost_now = lost.saturating_sub(self.due.1);
        self.due = (played, lost);
        let buffered: Vec<f64> = peers().filter_map(PeerSnapshot::fill).collect();
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            team: splitter.map_or(alone.map_or(0, |peer| peer.neighbours + 1), |it| it.peers),
            rate_in: splitter.map_or(alone.map_or(0.0, |peer| peer.rate_in), |it| it.rate_in),
            rate_out: splitter.map_or(alone.map_or(0.0, |peer| peer.rate_out), |it| it.rate_out),
            loss: ratio(lost_now, played_now + lost_now),
            latency_chunks: peers().map(|peer| peer.latency.latency_chunks).max().unwrap_or(0),
            fill: buffered.iter().sum::<f64>() / buffered.len().max(1) as f64,
        });
    }

    /// The samples, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }
}

/// `part` of `all`; 0 of nothing.
pub(crate) fn ratio(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

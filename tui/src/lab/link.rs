//! What the virtual network does to a datagram: delay, loss, duplication,
//! reordering, limited rate, partition.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::rng::Rng;

/// One direction of the way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Time under way, in microseconds.
    pub latency_us: u64,
    /// Up to so much more, evenly spread. Later datagrams may overtake.
    pub jitter_us: u64,
    /// Share of datagrams lost in the long run, 0 to 1.
    pub loss: f64,
    /// Mean number of datagrams lost in a row (Gilbert-Elliott), for a loss of
    /// up to `burst / (burst + 1)`; at most 1: each is lost by itself.
    pub burst: f64,
    /// Probability that a datagram comes twice.
    pub duplicate: f64,
    /// Probability that a datagram is held back by `reorder_us`.
    pub reorder: f64,
    /// How long such a one is held back, in microseconds.
    pub reorder_us: u64,
    /// Time that each datagram occupies the link, in microseconds; 0: no
    /// limit.
    pub gap_us: u64,
    /// Datagrams that wait for a link with a limit; more are lost.
    pub queue: u64,
}

impl Link {
    /// No delay, no loss.
    pub const IDEAL: Link = Link {
        latency_us: 0,
        jitter_us: 0,
        loss: 0.0,
        burst: 1.0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_us: 0,
        gap_us: 0,
        queue: 0,
    };

    fn has_state(&self) -> bool {
        self.gap_us > 0 || (self.burst > 1.0 && self.loss > 0.0)
    }
}

/// Why the network delivers a datagram not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// At random.
    Random,
    /// Too many waited for a link of limited rate.
    Congestion,
    /// The two are in different partitions.
    Partition,
    /// Whoever plays with the lab wanted it.
    ByHand,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does not arrive.
    Lost(Loss),
    /// It arrives after so many microseconds; maybe twice.
    Arrives {
        /// Time under way.
        after_us: u64,
        /// Time under way of its duplicate.
        again_us: Option<u64>,
    },
}

/// All links between the nodes of a lab.
#[derive(Clone)]
pub struct Links {
    default: Link,
    own: HashMap<u32, Link>,
    states: HashMap<u32, State>,
    /// For each partition that is in force, who is cut off.
    islands: Vec<(usize, Vec<bool>)>,
    ideal: bool,
}

impl fmt::Debug for Links {
    /// Links in order: alike networks look alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("default", &self.default)
            .field("own", &self.own.iter().collect::<BTreeMap<_, _>>())
            .field("states", &self.states.iter().collect::<BTreeMap<_, _>>())
            .field("islands", &self.islands)
            .finish_non_exhaustive()
    }
}

/// What a link with a memory remembers.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    bad: bool,
    free_at_us: u64,
}

impl Links {
    /// A network whose links are all alike.
    pub fn new(default: Link) -> Links {
        let mut links = Links {
            default,
            own: HashMap::new(),
            states: HashMap::new(),
            islands: Vec::new(),
            ideal: false,
        };
        links.note();
        links
    }

    /// Gives one direction between two nodes properties of its own.
    pub fn set(&mut self, from: u16, to: u16, link: Link) {
        self.own.insert(pair(from, to), link);
        self.note();
    }

    /// Cuts the nodes marked in `island` off from all others.
    pub fn part(&mut self, partition: usize, island: Vec<bool>) {
        self.islands.push((partition, island));
        self.note();
    }

    /// Ends a partition.
    pub fn heal(&mut self, partition: usize) {
        self.islands.retain(|(one, _)| *one != partition);
        self.note();
    }

    /// The link from one node to another.
    pub fn link(&self, from: u16, to: u16) -> &Link {
        match self.own.is_empty() {
            true => &self.default,
            false => self.own.get(&pair(from, to)).unwrap_or(&self.default),
        }
    }

    /// Decides what becomes of a datagram sent now.
    pub fn send(&mut self, now_us: u64, from: u16, to: u16, rng: &mut Rng) -> Fate {
        if self.ideal {
            return Fate::Arrives { after_us: 0, again_us: None };
        }
        if self.are_parted(from, to) {
            return Fate::Lost(Loss::Partition);
        }
        let link = *self.link(from, to);
        let mut after_us = link.latency_us;
        if link.has_state() {
            let state = self.states.entry(pair(from, to)).or_default();
            if link.gap_us > 0 {
                let wait_us = state.free_at_us.saturating_sub(now_us);
                if wait_us > link.gap_us.saturating_mul(link.queue) {
                    return Fate::Lost(Loss::Congestion);
                }
                after_us += wait_us + link.gap_us;
                state.free_at_us = now_us + wait_us + link.gap_us;
            }
            if link.burst > 1.0 && state.loses(&link, rng) {
                return Fate::Lost(Loss::Random);
            }
        }
        if link.burst <= 1.0 && rng.chance(link.loss) {
            return Fate::Lost(Loss::Random);
        }
        if rng.chance(link.reorder) {
            after_us += link.reorder_us;
        }
        let again = rng.chance(link.duplicate);
        let again_us = again.then(|| after_us + jitter(&link, rng));
        Fate::Arrives { after_us: after_us + jitter(&link, rng), again_us }
    }

    /// Whether a partition stands between the two.
    pub fn are_parted(&self, from: u16, to: u16) -> bool {
        let cut_off = |island: &[bool], node| island.get(usize::from(node)) == Some(&true);
        self.islands.iter().any(|(_, island)| cut_off(island, from) != cut_off(island, to))
    }

    /// Whether this partition is in force.
    pub fn has_partition(&self, partition: usize) -> bool {
        self.islands.iter().any(|(one, _)| *one == partition)
    }

    fn note(&mut self) {
        self.ideal = self.default == Link::IDEAL && self.own.is_empty() && self.islands.is_empty();
    }
}

impl State {
    /// Gilbert-Elliott: a good state that loses nothing and a bad one that
    /// loses all; a mean stay of `burst` datagrams in the bad one.
    fn loses(&mut self, link: &Link, rng: &mut Rng) -> bool {
        let turn = match self.bad {
            true => 1.0 / link.burst,
            false => link.loss / (link.burst * (1.0 - link.loss)),
        };
        self.bad ^= rng.chance(turn);
        self.bad
    }
}

fn jitter(link: &Link, rng: &mut Rng) -> u64 {
    match link.jitter_us {
        0 => 0,
        jitter_us => rng.below(jitter_us + 1),
    }
}

fn pair(from: u16, to: u16) -> u32 {
    u32::from(from) << 16 | u32::from(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATAGRAMS: usize = 100_000;

    /// Lost or not, for many datagrams one after the other.
    fn losses(link: Link) -> Vec<bool> {
        let (mut links, mut rng) = (Links::new(link), Rng::new(3));
        let lost = |n| matches!(links.send(n as u64, 1, 2, &mut rng), Fate::Lost(Loss::Random));
        (0..DATAGRAMS).map(lost).collect()
    }

    #[test]
    fn losses_are_as_many_and_as_long_as_asked_for() {
        for burst in [1.0, 4.0] {
            let lost = losses(Link { loss: 0.1, burst, ..Link::IDEAL });
            let ratio = lost.iter().filter(|lost| **lost).count() as f64 / DATAGRAMS as f64;
            assert!((ratio - 0.1).abs() < 0.01, "burst {burst}: {ratio}");
            let starts = lost.windows(2).filter(|two| !two[0] && two[1]).count();
            let mean = ratio * DATAGRAMS as f64 / starts as f64;
            let expected = if burst > 1.0 { burst } else { 1.0 / 0.9 };
            assert!((mean - expected).abs() < 0.2, "burst {burst}: {mean}");
        }
    }

    #[test]
    fn delays_add_up_and_a_slow_link_makes_datagrams_queue() {
        let mut rng = Rng::new(1);
        let link = Link { latency_us: 100, gap_us: 10, queue: 2, ..Link::IDEAL };
        let mut links = Links::new(link);
        let mut send = |links: &mut Links, now| match links.send(now, 1, 2, &mut rng) {
            Fate::Arrives { after_us, .. } => Some(after_us),
            Fate::Lost(loss) => (loss != Loss::Congestion).then_some(0),
        };
        let sent: Vec<_> = (0..4).map(|_| send(&mut links, 0)).collect();
        assert_eq!(sent, [Some(110), Some(120), Some(130), None]);
        assert_eq!(send(&mut links, 15), Some(125), "one and a half are still in the queue");
        links.set(1, 2, Link { duplicate: 1.0, reorder: 1.0, reorder_us: 7, ..Link::IDEAL });
        let twice = Fate::Arrives { after_us: 7, again_us: Some(7) };
        assert_eq!(links.send(0, 1, 2, &mut Rng::new(1)), twice);
        let jittery = Link { jitter_us: 5, ..Link::IDEAL };
        links.set(1, 2, jittery);
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let fate = links.send(0, 1, 2, &mut rng);
            assert!(matches!(fate, Fate::Arrives { after_us: 0..=5, again_us: None }), "{fate:?}");
        }
    }

    #[test]
    fn partitions_part_until_they_heal() {
        let mut rng = Rng::new(1);
        let mut links = Links::new(Link::IDEAL);
        links.part(7, vec![false, true, true]);
        assert_eq!(links.send(0, 0, 1, &mut rng), Fate::Lost(Loss::Partition));
        assert_eq!(links.send(0, 2, 9, &mut rng), Fate::Lost(Loss::Partition));
        let arrives = Fate::Arrives { after_us: 0, again_us: None };
        assert_eq!(links.send(0, 1, 2, &mut rng), arrives);
        assert_eq!(links.send(0, 0, 9, &mut rng), arrives);
        links.heal(7);
        assert_eq!(links.send(0, 0, 1, &mut rng), arrives);
    }
}

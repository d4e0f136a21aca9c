//! `forward` and `pending` of a peer (4), as the published figures show them,
//! and what changed in them.

use std::collections::VecDeque;
use std::fmt;

use p2psp_core::Peer;

use super::Name;

/// Chunks named for each neighbour of `pending`; further ones are counted.
pub const MAX_NAMED_CHUNKS: usize = 8;
/// Changes kept.
const MAX_CHANGES: usize = 64;

/// Both tables at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// Each origin with an entry, the peer itself first, and who gets its
    /// chunks.
    pub forward: Vec<(Name, Vec<Name>)>,
    /// Each neighbour that chunks wait for.
    pub pending: Vec<(Name, Waiting)>,
}

/// Chunks that wait to be sent to a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many.
    pub count: usize,
    /// The oldest of them, at most [`MAX_NAMED_CHUNKS`].
    pub oldest: Vec<u32>,
}

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `forward[origin]` has gained a neighbour.
    Added {
        /// The origin.
        origin: Name,
        /// The neighbour.
        neighbour: Name,
    },
    /// `forward[origin]` has lost a neighbour.
    Removed {
        /// The origin.
        origin: Name,
        /// The neighbour.
        neighbour: Name,
    },
    /// A chunk waits for a neighbour.
    Queued {
        /// The neighbour.
        neighbour: Name,
        /// The chunk.
        chunk: u32,
    },
    /// A chunk no longer waits for a neighbour: it was sent, or is too old.
    Served {
        /// The neighbour.
        neighbour: Name,
        /// The chunk.
        chunk: u32,
    },
}

impl Tables {
    /// The tables of a peer.
    pub fn of(peer: &Peer<'_>) -> Tables {
        let name = |place| name_of(peer, place);
        Tables {
            forward: peer
                .forward()
                .map(|(origin, neighbours)| (name(origin), neighbours.map(name).collect()))
                .collect(),
            pending: peer
                .pending()
                .map(|(neighbour, chunks)| {
                    let mut waiting = Waiting::default();
                    for chunk in chunks {
                        waiting.count += 1;
                        if waiting.oldest.len() < MAX_NAMED_CHUNKS {
                            waiting.oldest.push(chunk.get());
                        }
                    }
                    (name(neighbour), waiting)
                })
                .collect(),
        }
    }

    /// Chunks that wait, over all neighbours.
    pub fn waiting(&self) -> usize {
        self.pending.iter().map(|(_, waiting)| waiting.count).sum()
    }

    /// What leads from `before` to these, `forward` first.
    pub fn changes_since(&self, before: &Tables) -> Vec<Change> {
        let mut changes = Vec::new();
        let origins = |tables: &Tables| -> Vec<Name> {
            tables.forward.iter().map(|(origin, _)| *origin).collect()
        };
        let mut all = origins(before);
        all.extend(origins(self).into_iter().filter(|origin| !before.has_origin(*origin)));
        for origin in all {
            let (old, new) = (before.neighbours(origin), self.neighbours(origin));
            let gone = old.iter().filter(|neighbour| !new.contains(neighbour));
            changes.extend(gone.map(|&neighbour| Change::Removed { origin, neighbour }));
            let come = new.iter().filter(|neighbour| !old.contains(neighbour));
            changes.extend(come.map(|&neighbour| Change::Added { origin, neighbour }));
        }
        for (neighbour, waiting) in &before.pending {
            let still = self.named(*neighbour);
            let served = waiting.oldest.iter().filter(|chunk| !still.contains(chunk));
            let neighbour = *neighbour;
            changes.extend(served.map(|&chunk| Change::Served { neighbour, chunk }));
        }
        for (neighbour, waiting) in &self.pending {
            let already = before.named(*neighbour);
            let queued = waiting.oldest.iter().filter(|chunk| !already.contains(chunk));
            let neighbour = *neighbour;
            changes.extend(queued.map(|&chunk| Change::Queued { neighbour, chunk }));
        }
        changes
    }

    fn has_origin(&self, origin: Name) -> bool {
        self.forward.iter().any(|(known, _)| *known == origin)
    }

    fn neighbours(&self, origin: Name) -> &[Name] {
        let row = self.forward.iter().find(|(known, _)| *known == origin);
        row.map_or(&[], |(_, neighbours)| neighbours)
    }

    fn named(&self, neighbour: Name) -> &[u32] {
        let row = self.pending.iter().find(|(known, _)| *known == neighbour);
        row.map_or(&[], |(_, waiting)| &waiting.oldest)
    }
}

/// Follows the tables of a peer and keeps what changed last.
#[derive(Debug, Clone, Default)]
pub struct ChangeLog {
    last: Option<Tables>,
    changes: VecDeque<(f64, Change)>,
}

impl ChangeLog {
    /// Takes the tables as they are at `t`, in seconds.
    pub fn update(&mut self, t: f64, tables: &Tables) {
        if let Some(last) = &self.last {
            if last == tables {
                return;
            }
            for change in tables.changes_since(last) {
                if self.changes.len() == MAX_CHANGES {
                    self.changes.pop_front();
                }
                self.changes.push_back((t, change));
            }
        }
        self.last = Some(tables.clone());
    }

    /// The last changes, oldest first, and when they were seen.
    pub fn changes(&self) -> Vec<(f64, Change)> {
        self.changes.iter().copied().collect()
    }
}

/// The name of who is at a place of a peer's table.
pub(super) fn name_of(peer: &Peer<'_>, place: usize) -> Name {
    match peer.name(place) {
        Some(id) => Name::Node(id),
        None if peer.group_place() == Some(place) => Name::Lan,
        None => peer
            .neighbours()
            .find(|neighbour| neighbour.place == place)
            .map_or(Name::Unknown, |neighbour| Name::at(neighbour.endpoint, neighbour.id)),
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Added { origin, neighbour } => write!(f, "F[{origin}] + {neighbour}"),
            Change::Removed { origin, neighbour } => write!(f, "F[{origin}] - {neighbour}"),
            Change::Queued { neighbour, chunk } => write!(f, "P[{neighbour}] + {chunk}"),
            Change::Served { neighbour, chunk } => write!(f, "P[{neighbour}] - {chunk}"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest.as_slice() {
            [one] if self.count == 1 => write!(f, "{one}"),
            many => {
                let named: Vec<String> = many.iter().map(u32::to_string).collect();
                let more = if self.count > many.len() { ", …" } else { "" };
                write!(f, "[{}{more}]", named.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M0: Name = Name::monitor(0);
    const P1: Name = Name::peer(1);
    const P2: Name = Name::peer(2);

    fn waiting(chunks: &[u32]) -> Waiting {
        Waiting { count: chunks.len(), oldest: chunks.to_vec() }
    }

    #[test]
    fn what_changed_is_told_entry_by_entry() {
        let before = Tables {
            forward: vec![(P1, vec![M0])],
            pending: vec![(M0, waiting(&[3])), (P2, waiting(&[4]))],
        };
        let after = Tables {
            forward: vec![(P1, vec![P2]), (M0, vec![P2])],
            pending: vec![(P2, waiting(&[4, 5]))],
        };
        let told: Vec<String> =
            after.changes_since(&before).iter().map(Change::to_string).collect();
        assert_eq!(told, ["F[P1] - M0", "F[P1] + P2", "F[M0] + P2", "P[M0] - 3", "P[P2] + 5"]);
        assert_eq!(after.changes_since(&after), []);
        assert_eq!(after.waiting(), 2);
    }

    #[test]
    fn the_log_keeps_the_last_changes_only() {
        let mut log = ChangeLog::default();
        for chunk in 0..100 {
            log.update(
                f64::from(chunk),
                &Tables { forward: Vec::new(), pending: vec![(P1, waiting(&[chunk]))] },
            );
        }
        let changes = log.changes();
        assert_eq!(changes.len(), MAX_CHANGES);
        assert_eq!(changes.last(), Some(&(99.0, Change::Queued { neighbour: P1, chunk: 99 })));
    }

    #[test]
    fn waiting_chunks_read_as_in_the_figures() {
        assert_eq!(waiting(&[3]).to_string(), "3");
        assert_eq!(waiting(&[3, 4]).to_string(), "[3, 4]");
        assert_eq!(Waiting { count: 9, oldest: vec![1, 2] }.to_string(), "[1, 2, …]");
    }
}

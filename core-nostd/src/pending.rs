//! The `pending` table of a peer (4): for each neighbour the chunks that have
//! yet to be sent to it, oldest first.
//!
//! The lists share one pool of entries, so the table costs the chunks now
//! being forwarded and not the buffer times the team. When the pool is full a
//! chunk is not queued for that neighbour; the caller counts it. What is
//! already queued is never evicted.

use crate::ChunkNumber;

const NIL: u16 = u16::MAX;

/// One place of the pool: a chunk in some neighbour's list.
#[derive(Debug, Clone, Copy)]
pub struct PendingEntry {
    number: ChunkNumber,
    next: u16,
}

impl PendingEntry {
    /// A place that nothing was ever put into.
    pub const EMPTY: PendingEntry = PendingEntry { number: ChunkNumber::ZERO, next: NIL };
}

/// One neighbour's list; lives with the neighbour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingList {
    head: u16,
    tail: u16,
}

impl PendingList {
    pub(crate) const EMPTY: PendingList = PendingList { head: NIL, tail: NIL };

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// What the pool needs besides its entries.
#[derive(Debug, Clone)]
pub(crate) struct PendingState {
    free: u16,
    fresh: u16,
}

impl PendingState {
    pub(crate) const fn new() -> PendingState {
        PendingState { free: NIL, fresh: 0 }
    }
}

/// The pool: state and entries, borrowed.
#[derive(Debug)]
pub(crate) struct Pending<'s> {
    state: &'s mut PendingState,
    entries: &'s mut [PendingEntry],
}

impl<'s> Pending<'s> {
    /// A pool over `entries`; those past 65,534 are never used.
    pub(crate) fn new(state: &'s mut PendingState, entries: &'s mut [PendingEntry]) -> Pending<'s> {
        let capacity = entries.len().min(NIL as usize);
        Pending { state, entries: &mut entries[..capacity] }
    }

    /// Forgets all lists. The caller empties the [`PendingList`]s.
    pub(crate) fn clear(&mut self) {
        *self.state = PendingState::new();
    }

    /// Appends a chunk to a list; `false` if the pool is full.
    #[must_use]
    pub(crate) fn push(&mut self, list: &mut PendingList, number: ChunkNumber) -> bool {
        let place = if self.state.free != NIL {
            let place = self.state.free;
            self.state.free = self.entries[place as usize].next;
            place
        } else if (self.state.fresh as usize) < self.entries.len() {
            self.state.fresh += 1;
            self.state.fresh - 1
        } else {
            return false;
        };
        self.entries[place as usize] = PendingEntry { number, next: NIL };
        if list.is_empty() {
            list.head = place;
        } else {
            self.entries[list.tail as usize].next = place;
        }
        list.tail = place;
        true
    }

    /// Takes the oldest chunk of a list.
    pub(crate) fn pop(&mut self, list: &mut PendingList) -> Option<ChunkNumber> {
        if list.is_empty() {
            return None;
        }
        let place = list.head;
        let PendingEntry { number, next } = self.entries[place as usize];
        list.head = next;
        self.entries[place as usize].next = self.state.free;
        self.state.free = place;
        Some(number)
    }

    /// The chunks of a list, oldest first.
    pub(crate) fn iter(&self, list: PendingList) -> impl Iterator<Item = ChunkNumber> + '_ {
        let mut place = list.head;
        core::iter::from_fn(move || {
            if place == NIL {
                return None;
            }
            let entry = self.entries[place as usize];
            place = entry.next;
            Some(entry.number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_the_pool_keep_order_and_fill_up() {
        let mut state = PendingState::new();
        let mut entries = [PendingEntry::EMPTY; 4];
        let mut pool = Pending::new(&mut state, &mut entries);
        let (mut a, mut b) = (PendingList::EMPTY, PendingList::EMPTY);
        let n = ChunkNumber::new;
        assert!(pool.push(&mut a, n(1)));
        assert!(pool.push(&mut b, n(2)));
        assert!(pool.push(&mut a, n(3)));
        assert!(pool.push(&mut b, n(4)));
        assert!(!pool.push(&mut a, n(5)), "the pool is full");
        assert!(pool.iter(a).eq([n(1), n(3)]));
        assert_eq!(pool.pop(&mut a), Some(n(1)));
        assert!(pool.push(&mut b, n(6)), "and room again");
        assert!(pool.iter(b).eq([n(2), n(4), n(6)]));
        assert_eq!(pool.pop(&mut a), Some(n(3)));
        assert_eq!(pool.pop(&mut a), None);
        assert!(a.is_empty());
        assert!(pool.push(&mut a, n(7)));
        assert!(pool.iter(a).eq([n(7)]));
    }
}

//! A table of fixed capacity, keyed by endpoint: the neighbours of a peer and
//! the members of a splitter's team.
//!
//! Places are stable: an entry keeps its index until it is removed. Look-up is
//! by hash chains that run through the entries themselves. A full table hands
//! back what does not fit; it never evicts.

use core::net::{IpAddr, SocketAddr};

/// "No place": the end of a chain.
const NIL: u16 = u16::MAX;

/// One place of the table: maybe an endpoint and what is known about it.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    item: Option<(SocketAddr, T)>,
    /// Next place of the same chain, or of the free list.
    next: u16,
    /// First place of the chain whose hash is this place's index.
    chain: u16,
}

impl<T> Entry<T> {
    /// A place that nothing was ever put into.
    pub const EMPTY: Entry<T> = Entry { item: None, next: NIL, chain: NIL };
}

/// What the table needs besides its entries.
#[derive(Debug, Clone)]
pub(crate) struct EndpointsState {
    len: u16,
    free: u16,
    /// Places from here on were never used since the last clear.
    fresh: u16,
}

impl EndpointsState {
    pub(crate) const fn new() -> EndpointsState {
        EndpointsState { len: 0, free: NIL, fresh: 0 }
    }
}

/// The table: state and entries, borrowed.
#[derive(Debug)]
pub(crate) struct Endpoints<'s, T> {
    state: &'s mut EndpointsState,
    entries: &'s mut [Entry<T>],
}

impl<'s, T> Endpoints<'s, T> {
    /// A table over `entries`; those past 65,534 are never used.
    pub(crate) fn new(
        state: &'s mut EndpointsState,
        entries: &'s mut [Entry<T>],
    ) -> Endpoints<'s, T> {
        let capacity = entries.len().min(NIL as usize);
        Endpoints { state, entries: &mut entries[..capacity] }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        *self.state = EndpointsState::new();
        self.entries.fill_with(|| Entry::EMPTY);
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> usize {
        self.state.len as usize
    }

    /// Entries that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Puts a new endpoint in; gives `value` back if the table is full.
    pub(crate) fn insert(&mut self, endpoint: SocketAddr, value: T) -> Result<usize, T> {
        debug_assert!(self.find(endpoint).is_none(), "an endpoint has one entry");
        let place = if self.state.free != NIL {
            let place = self.state.free;
            self.state.free = self.entries[place as usize].next;
            place
        } else if (self.state.fresh as usize) < self.capacity() {
            self.state.fresh += 1;
            self.state.fresh - 1
        } else {
            return Err(value);
        };
        let chain = self.chain_of(endpoint);
        let head = core::mem::replace(&mut self.entries[chain].chain, place);
        let entry = &mut self.entries[place as usize];
        entry.item = Some((endpoint, value));
        entry.next = head;
        self.state.len += 1;
        Ok(place as usize)
    }

    /// Takes an entry out; its place is used again first.
    pub(crate) fn remove(&mut self, place: usize) -> Option<(SocketAddr, T)> {
        let item = self.entries.get_mut(place)?.item.take()?;
        let chain = self.chain_of(item.0);
        let next = self.entries[place].next;
        if self.entries[chain].chain as usize == place {
            self.entries[chain].chain = next;
        } else {
            let mut before = self.entries[chain].chain as usize;
            while self.entries[before].next as usize != place {
                before = self.entries[before].next as usize;
            }
            self.entries[before].next = next;
        }
        self.entries[place].next = self.state.free;
        self.state.free = place as u16;
        self.state.len -= 1;
        Some(item)
    }

    /// The place of an endpoint.
    pub(crate) fn find(&self, endpoint: SocketAddr) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let mut place = self.entries[self.chain_of(endpoint)].chain;
        while place != NIL {
            let entry = &self.entries[place as usize];
            if entry.item.as_ref().is_some_and(|(there, _)| *there == endpoint) {
                return Some(place as usize);
            }
            place = entry.next;
        }
        None
    }

    /// The endpoint and value at a place.
    pub(crate) fn get(&self, place: usize) -> Option<(SocketAddr, &T)> {
        let (endpoint, value) = self.entries.get(place)?.item.as_ref()?;
        Some((*endpoint, value))
    }

    /// The value at a place, to change it.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        Some(&mut self.entries.get_mut(place)?.item.as_mut()?.1)
    }

    /// All entries with their places, in table order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, SocketAddr, &T)> {
        self.entries.iter().enumerate().filter_map(|(place, entry)| {
            let (endpoint, value) = entry.item.as_ref()?;
            Some((place, *endpoint, value))
        })
    }

    fn chain_of(&self, endpoint: SocketAddr) -> usize {
        let mut hash = u32::from(endpoint.port());
        let mut mix = |word: u32| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B1);
        match endpoint.ip() {
            IpAddr::V4(ip) => mix(u32::from_be_bytes(ip.octets())),
            IpAddr::V6(ip) => {
                for word in ip.octets().as_chunks::<4>().0 {
                    mix(u32::from_be_bytes(*word));
                }
            }
        }
        // Multiplication mixes upwards: the high half is the good one.
        (hash >> 16) as usize % self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn endpoint(n: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, (n % 3) as u8), 1000 + n))
    }

    #[test]
    fn keeps_places_hands_back_what_does_not_fit_and_reuses() {
        let mut state = EndpointsState::new();
        let mut entries = [Entry::EMPTY; 8];
        let mut table = Endpoints::new(&mut state, &mut entries);
        for n in 0..8 {
            assert_eq!(table.insert(endpoint(n), n), Ok(n as usize));
        }
        assert_eq!(table.insert(endpoint(8), 8), Err(8));
        assert_eq!(table.len(), 8);
        for n in 0..8 {
            assert_eq!(table.find(endpoint(n)), Some(n as usize));
        }
        assert_eq!(table.remove(3), Some((endpoint(3), 3)));
        assert_eq!(table.remove(3), None);
        assert_eq!(table.find(endpoint(3)), None);
        assert_eq!(table.insert(endpoint(9), 9), Ok(3));
        assert_eq!(table.get(3), Some((endpoint(9), &9)));
        assert_eq!(table.iter().count(), 8);
        table.clear();
        assert_eq!((table.len(), table.find(endpoint(0))), (0, None));
    }

    #[test]
    fn chains_survive_removal_in_any_order() {
        let mut state = EndpointsState::new();
        let mut entries = [Entry::EMPTY; 4];
        let mut table = Endpoints::new(&mut state, &mut entries);
        // More endpoints than chains, over and over: every order of removal.
        for round in 0..40 {
            for n in 0..4 {
                table.insert(endpoint(round * 4 + n), n).unwrap();
            }
            for k in 0..4 {
                let n = (k * (1 + 2 * (round % 2)) + round) % 4;
                let place = table.find(endpoint(round * 4 + n)).unwrap();
                assert_eq!(table.remove(place).unwrap().1, n);
            }
            assert_eq!(table.len(), 0);
        }
    }

    #[test]
    fn an_empty_table_is_full() {
        let mut state = EndpointsState::new();
        let mut table = Endpoints::<u8>::new(&mut state, &mut []);
        assert_eq!(table.find(endpoint(0)), None);
        assert_eq!(table.insert(endpoint(0), 1), Err(1));
    }
}

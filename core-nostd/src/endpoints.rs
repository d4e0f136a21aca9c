//! A table of fixed capacity, keyed by endpoint: the neighbours of a peer and
//! the members of a splitter's team.
//!
//! Places are stable: an entry keeps its index until it is removed. Look-up is
//! by hash chains in a slice of their own, so small that it stays in a cache
//! when the entries of a large team do not: only the entry that is sought is
//! touched. A full table hands back what does not fit; it never evicts.

use core::net::{IpAddr, SocketAddr};

/// "No place": the end of a chain.
const NIL: u16 = u16::MAX;

/// One place of the table: maybe an endpoint and what is known about it.
#[derive(Debug, Clone)]
pub struct Entry<T>(Option<(SocketAddr, T)>);

impl<T> Entry<T> {
    /// A place that nothing was ever put into.
    pub const EMPTY: Entry<T> = Entry(None);
}

/// What leads to the places: as many as there are entries.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// First place of the chain whose hash is this link's index.
    chain: u16,
    /// Next place of this place's chain, or of the free list.
    next: u16,
    /// A part of the hash of this place's endpoint that its chain does not tell.
    print: u16,
}

impl Link {
    /// The link of a place that nothing was ever put into.
    pub const EMPTY: Link = Link { chain: NIL, next: NIL, print: 0 };
}

/// What the table needs besides its entries.
#[derive(Debug, Clone)]
pub(crate) struct EndpointsState {
    len: u16,
    free: u16,
    /// Places from here on were never used since the last clear.
    fresh: u16,
    /// Who spoke last.
    last: u16,
}

impl EndpointsState {
    pub(crate) const fn new() -> EndpointsState {
        EndpointsState { len: 0, free: NIL, fresh: 0, last: NIL }
    }
}

/// The table: state, links and entries, borrowed.
#[derive(Debug)]
pub(crate) struct Endpoints<'s, T> {
    state: &'s mut EndpointsState,
    links: &'s mut [Link],
    entries: &'s mut [Entry<T>],
}

impl<'s, T> Endpoints<'s, T> {
    /// A table over `entries` and as many `links`; those past 65,534 are never
    /// used.
    pub(crate) fn new(
        state: &'s mut EndpointsState,
        links: &'s mut [Link],
        entries: &'s mut [Entry<T>],
    ) -> Endpoints<'s, T> {
        let capacity = entries.len().min(links.len()).min(NIL as usize);
        Endpoints { state, links: &mut links[..capacity], entries: &mut entries[..capacity] }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        *self.state = EndpointsState::new();
        self.links.fill(Link::EMPTY);
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
            self.state.free = self.links[place as usize].next;
            place
        } else if (self.state.fresh as usize) < self.capacity() {
            self.state.fresh += 1;
            self.state.fresh - 1
        } else {
            return Err(value);
        };
        let (chain, print) = self.hash(endpoint);
        let head = core::mem::replace(&mut self.links[chain].chain, place);
        let link = &mut self.links[place as usize];
        (link.next, link.print) = (head, print);
        self.entries[place as usize] = Entry(Some((endpoint, value)));
        self.state.len += 1;
        Ok(place as usize)
    }

    /// Takes an entry out; its place is used again first.
    pub(crate) fn remove(&mut self, place: usize) -> Option<(SocketAddr, T)> {
        let item = self.entries.get_mut(place)?.0.take()?;
        let (chain, _) = self.hash(item.0);
        let next = self.links[place].next;
        if self.links[chain].chain as usize == place {
            self.links[chain].chain = next;
        } else {
            let mut before = self.links[chain].chain as usize;
            while self.links[before].next as usize != place {
                before = self.links[before].next as usize;
            }
            self.links[before].next = next;
        }
        self.links[place].next = self.state.free;
        self.state.free = place as u16;
        self.state.len -= 1;
        Some(item)
    }

    /// The place of an endpoint.
    pub(crate) fn find(&self, endpoint: SocketAddr) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let (chain, print) = self.hash(endpoint);
        let mut place = self.links[chain].chain;
        while place != NIL {
            let link = &self.links[place as usize];
            if link.print == print
                && let Some((there, _)) = &self.entries[place as usize].0
                && *there == endpoint
            {
                return Some(place as usize);
            }
            place = link.next;
        }
        None
    }

    /// As [`Endpoints::find`], for senders of datagrams: they come in turns, so
    /// the one after the last is tried first.
    pub(crate) fn find_sender(&mut self, endpoint: SocketAddr) -> Option<usize> {
        let next = self.state.last.wrapping_add(1);
        let place = match self.get(next.into()) {
            Some((there, _)) if there == endpoint => usize::from(next),
            _ => self.find(endpoint)?,
        };
        self.state.last = place as u16;
        Some(place)
    }

    /// The endpoint and value at a place.
    pub(crate) fn get(&self, place: usize) -> Option<(SocketAddr, &T)> {
        let (endpoint, value) = self.entries.get(place)?.0.as_ref()?;
        Some((*endpoint, value))
    }

    /// The value at a place, to change it.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        Some(&mut self.entries.get_mut(place)?.0.as_mut()?.1)
    }

    /// All entries with their places, in table order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, SocketAddr, &T)> {
        self.entries.iter().enumerate().filter_map(|(place, entry)| {
            let (endpoint, value) = entry.0.as_ref()?;
            Some((place, *endpoint, value))
        })
    }

    /// The chain of an endpoint, and the rest of its hash.
    fn hash(&self, endpoint: SocketAddr) -> (usize, u16) {
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
        ((hash >> 16) as usize % self.entries.len(), hash as u16)
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
        let (mut links, mut entries) = ([Link::EMPTY; 8], [Entry::EMPTY; 8]);
        let mut table = Endpoints::new(&mut state, &mut links, &mut entries);
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
        let (mut links, mut entries) = ([Link::EMPTY; 4], [Entry::EMPTY; 4]);
        let mut table = Endpoints::new(&mut state, &mut links, &mut entries);
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
        let mut table = Endpoints::<u8>::new(&mut state, &mut [], &mut []);
        assert_eq!(table.find(endpoint(0)), None);
        assert_eq!(table.insert(endpoint(0), 1), Err(1));
    }
}

//! Who sits in which LAN (9), and what address each node has because of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use p2psp_core::Lan;

use super::member::SPLITTER;

/// Stands for the group of a LAN where a node's index is expected.
pub const GROUP: u16 = u16::MAX;
/// Most LANs of a lab; they are numbered from 1.
pub const MAX_LANS: usize = 200;
/// All nodes' port: short in a datagram.
const PORT: u16 = 100;
/// The second byte of an address is the LAN's number.
const PREFIX: u8 = 16;

/// The LANs of a run.
#[derive(Debug, Clone)]
pub(super) struct Lans {
    /// For each node its LAN's number; 0, or past the end, for none.
    of: Vec<u8>,
    /// For each number the nodes of that LAN.
    nodes: Vec<Vec<u16>>,
}

impl Lans {
    /// `of_members` has the number of each member's LAN, or is empty.
    pub(super) fn new(of_members: &[u8]) -> Lans {
        let mut of = vec![0];
        of.extend_from_slice(of_members);
        let mut nodes = vec![Vec::new(); MAX_LANS + 1];
        for (node, lan) in of.iter().enumerate().filter(|(_, lan)| **lan > 0) {
            nodes[usize::from(*lan)].push(node as u16);
        }
        Lans { of, nodes }
    }

    fn number(&self, node: u16) -> u8 {
        self.of.get(usize::from(node)).copied().unwrap_or(0)
    }

    /// Those who hear what `node` sends to the group.
    pub(super) fn hearers(&self, node: u16) -> impl Iterator<Item = u16> + '_ {
        let nodes = match self.number(node) {
            0 => &[],
            number => self.nodes[usize::from(number)].as_slice(),
        };
        nodes.iter().copied().filter(move |hearer| *hearer != node)
    }

    /// Where the node is reached: its index is in the address.
    pub(super) fn endpoint(&self, node: u16) -> SocketAddr {
        let [high, low] = node.to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(10, self.number(node), high, low), PORT))
    }

    /// The LAN in which the node plays by IMS.
    pub(super) fn lan(&self, node: u16) -> Option<Lan> {
        let address = self.endpoint(node).ip();
        let inside = node != SPLITTER && self.number(node) > 0;
        inside.then_some(Lan { address, prefix: PREFIX, group: Lan::DEFAULT_GROUP })
    }
}

/// The index of the node that is reached there, or [`GROUP`].
pub(super) fn node_at(endpoint: SocketAddr) -> u16 {
    match endpoint.ip() {
        IpAddr::V4(ip) if !ip.is_multicast() => {
            u16::from_be_bytes([ip.octets()[2], ip.octets()[3]])
        }
        _ => GROUP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_tells_its_node() {
        let lans = Lans::new(&[1, 2, 1]);
        for node in [SPLITTER, 1, 2, 255, 256, 4096, 60_000] {
            assert_eq!(node_at(lans.endpoint(node)), node);
        }
        assert_eq!(node_at(Lan::DEFAULT_GROUP), GROUP);
    }

    #[test]
    fn a_lan_is_one_subnet() {
        let lans = Lans::new(&[1, 2, 1, 0]);
        let first = lans.lan(1).unwrap();
        for (node, inside) in [(SPLITTER, false), (1, true), (2, false), (3, true), (4, false)] {
            assert_eq!(first.contains(lans.endpoint(node).ip()), inside, "{node}");
        }
        assert_eq!((lans.lan(SPLITTER), lans.lan(4)), (None, None));
        assert!(lans.hearers(3).eq([1]));
        assert_eq!(lans.hearers(4).count(), 0);
    }
}

//! Names of nodes, as the published figures write them.

use std::fmt;
use std::net::SocketAddr;

use p2psp_core::{NodeId, Role};
use serde::{Serialize, Serializer};

/// Who somebody is: `S`, `M0`, `P1`, `LAN`, or `?` before it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Name {
    /// The splitter.
    Splitter,
    /// A peer or monitor.
    Node(NodeId),
    /// All in the own subnet at once: the multicast group (9.1).
    Lan,
    /// Not known yet.
    #[default]
    Unknown,
}

impl Name {
    /// A peer's name; for tests and pictures.
    pub const fn peer(number: u32) -> Name {
        Name::Node(NodeId { role: Role::Peer, number })
    }

    /// A monitor's name; for tests and pictures.
    pub const fn monitor(number: u32) -> Name {
        Name::Node(NodeId { role: Role::Monitor, number })
    }

    /// Who can be reached at `endpoint`, if `known` does not know better.
    pub fn at(endpoint: SocketAddr, known: Option<NodeId>) -> Name {
        match known {
            Some(id) => Name::Node(id),
            None if endpoint.ip().is_multicast() => Name::Lan,
            None => Name::Unknown,
        }
    }

    /// Its number in join order.
    pub fn number(self) -> Option<u32> {
        match self {
            Name::Node(id) => Some(id.number),
            _ => None,
        }
    }

    /// Whether it is a monitor.
    pub fn is_monitor(self) -> bool {
        matches!(self, Name::Node(NodeId { role: Role::Monitor, .. }))
    }

    /// Splitter first, then in join order, the group and strangers last.
    pub fn order(self) -> (u8, u32) {
        match self {
            Name::Splitter => (0, 0),
            Name::Node(id) => (1, id.number),
            Name::Lan => (2, 0),
            Name::Unknown => (3, 0),
        }
    }
}

impl From<NodeId> for Name {
    fn from(id: NodeId) -> Name {
        Name::Node(id)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As the width of a column wants it.
            Name::Splitter => f.pad("S"),
            Name::Node(id) => f.pad(&id.to_string()),
            Name::Lan => f.pad("LAN"),
            Name::Unknown => f.pad("?"),
        }
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_figures() {
        let group = SocketAddr::from(([224, 0, 0, 1], 1234));
        let host = SocketAddr::from(([10, 0, 0, 1], 1234));
        for (name, text) in [
            (Name::Splitter, "S"),
            (Name::monitor(0), "M0"),
            (Name::peer(12), "P12"),
            (Name::at(group, None), "LAN"),
            (Name::at(host, None), "?"),
        ] {
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(format!("[{:<4}]", Name::monitor(0)), "[M0  ]");
    }
}

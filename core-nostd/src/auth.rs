//! Who may speak: keys and tags **(ours)**.
//!
//! The splitter gives every joiner, over TCP, a secret [`Key`] of its own, and
//! for each member of the list a [`Tag`]: the keyed hash, under *that member's*
//! key, of the joiner's endpoint. Both ends of a pair can thus compute or look
//! up the same tag, and nobody else can: the older one hashes the endpoint it
//! sees with its own key, the younger one got the tag with the list. Every
//! datagram carries the tag of its pair. So a member knows at once whether an
//! unknown sender was admitted by the splitter at that very address; a forged
//! source address, or a stranger who knows the team id, gets nothing.
//!
//! A datagram to the group of a LAN has many receivers, so it carries one tag of
//! the whole team. It proves that a member speaks, not which: a receiver takes
//! from the group only what a neighbour that it knows sends as its own origin.
//!
//! Tags guard against senders who can't read the team's traffic. They don't
//! cover the payload.

use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// A member's secret, known to it and to the splitter.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Key([u8; 16]);

impl Key {
    /// The key with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Key {
        Key(bytes)
    }

    /// The key of the member number `id` at `endpoint`, under the splitter's
    /// own key. A later member at the same endpoint has another.
    pub fn of_member(&self, endpoint: SocketAddr, id: u32) -> Key {
        let mut bytes = [0; 16];
        let halves = bytes.as_chunks_mut::<8>().0.iter_mut();
        for (domain, half) in [Domain::KeyLow, Domain::KeyHigh].into_iter().zip(halves) {
            *half = self.hash(domain, Some(endpoint), id).to_le_bytes();
        }
        Key(bytes)
    }

    /// The tag of datagrams between this key's owner and a younger member at
    /// `endpoint`.
    pub fn tag(&self, endpoint: SocketAddr) -> Tag {
        Tag(self.hash(Domain::Pair, Some(endpoint), 0))
    }

    /// The tag of datagrams between this key's owner and the splitter.
    pub fn splitter_tag(&self) -> Tag {
        Tag(self.hash(Domain::Splitter, None, 0))
    }

    /// The tag of datagrams to the group of a LAN, if this is the splitter's
    /// own key: one for the whole team.
    pub fn group_tag(&self) -> Tag {
        Tag(self.hash(Domain::Group, None, 0))
    }

    /// A number that may be published: it tells nothing about the key.
    pub fn public_number(&self) -> u32 {
        (self.hash(Domain::Public, None, 0) >> 32) as u32
    }

    fn hash(&self, domain: Domain, endpoint: Option<SocketAddr>, id: u32) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(domain as u8);
        match endpoint.map(|endpoint| endpoint.ip()) {
            Some(IpAddr::V4(ip)) => hasher.write(&ip.octets()),
            Some(IpAddr::V6(ip)) => hasher.write(&ip.octets()),
            None => {}
        }
        hasher.write(&endpoint.map_or(0, |endpoint| endpoint.port()).to_le_bytes());
        hasher.write(&id.to_le_bytes());
        hasher.finish()
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// What one hash is for, so that no value serves two purposes.
#[derive(Clone, Copy)]
enum Domain {
    KeyLow,
    KeyHigh,
    Pair,
    Splitter,
    Public,
    Group,
}

/// Proof that a datagram comes from the other end of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tag(#[serde(with = "postcard::fixint::le")] u64);

impl Tag {
    /// The tag of messages that need none: the join dialogue, on TCP.
    pub const NONE: Tag = Tag(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SocketAddr =
        SocketAddr::V4(core::net::SocketAddrV4::new(core::net::Ipv4Addr::new(10, 0, 0, 1), 1000));

    #[test]
    fn each_purpose_place_and_member_has_its_own_value() {
        let splitter = Key::new([7; 16]);
        let key = splitter.of_member(A, 1);
        assert_ne!(key.0, splitter.of_member(A, 2).0);
        assert_ne!(key.0[..8], key.0[8..]);
        let mut other_port = A;
        other_port.set_port(1001);
        assert_ne!(key.tag(A), key.tag(other_port));
        assert_ne!(key.tag(A), splitter.tag(A));
        assert_ne!(key.tag(A), key.splitter_tag());
        assert_ne!(splitter.group_tag(), splitter.splitter_tag());
        assert_ne!(splitter.group_tag(), key.group_tag());
    }
}

//! Finds stations on the LAN: one question of multicast DNS (RFC 6762) for the
//! service `_p2psp._tcp` that splitters announce (RFC 6763).
//!
//! The question comes from a port that is not 5353, so answers come to that
//! port alone (RFC 6762, 6.7) and have all there is to know about a station.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use p2psp_core::wire::VERSION;
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRecord, DnsRecordData, DnsRepr,
};

/// Where questions go.
pub const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), 5353);

/// The service, as its name stands in a question.
const SERVICE: &[u8] = b"\x06_p2psp\x04_tcp\x05local\x00";
/// Length of a question, in bytes.
pub const QUERY_BYTES: usize = 12 + SERVICE.len() + 4;
/// By this number an answer is known as one.
const ID: u16 = 0x5032;
/// Records of an answer that are looked at.
const MAX_RECORDS: usize = 64;

const PTR: DnsQueryType = DnsQueryType::Unknown(12);
const TXT: DnsQueryType = DnsQueryType::Unknown(16);
const SRV: DnsQueryType = DnsQueryType::Unknown(33);

type Packet<'p> = DnsPacket<&'p [u8]>;

/// The question for stations.
pub fn query() -> [u8; QUERY_BYTES] {
    let mut bytes = [0; QUERY_BYTES];
    let question = DnsQuestion { name: SERVICE, type_: PTR };
    let (opcode, flags) = (DnsOpcode::Query, DnsFlags::empty());
    let query = DnsRepr { transaction_id: ID, opcode, flags, question };
    query.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// Where to join the station that an answer tells of; `None` if it tells of
/// none that is `wanted`, by its name or team, and that speaks this version of
/// the wire. Of several addresses one that is `near` is taken.
pub fn find(
    answer: &[u8],
    wanted: Option<&str>,
    near: impl Fn(Ipv4Addr) -> bool,
) -> Option<SocketAddr> {
    let packet = DnsPacket::new_checked(answer).ok()?;
    if !packet.flags().contains(DnsFlags::RESPONSE) || packet.transaction_id() != ID {
        return None;
    }
    records(&packet).find_map(|record| {
        let (port, host) = place(&record).filter(|_| is_station(&packet, record.name))?;
        let text = |one: &DnsRecord<'_>| match one.data {
            DnsRecordData::Other(TXT, text) if is_same(&packet, one.name, record.name) => {
                Some(suits(text, wanted))
            }
            _ => None,
        };
        records(&packet).find_map(|one| text(&one)).filter(|suits| *suits)?;
        let address = |one: DnsRecord<'_>| match one.data {
            DnsRecordData::A(address) if is_same(&packet, one.name, host) => Some(address),
            _ => None,
        };
        let nearest = records(&packet).filter_map(address).find(|address| near(*address));
        let address = nearest.or_else(|| records(&packet).find_map(address))?;
        Some(SocketAddr::new(IpAddr::V4(address), port))
    })
}

/// Answers, and what goes with them.
fn records<'p>(packet: &'p Packet<'_>) -> impl Iterator<Item = DnsRecord<'p>> {
    let mut rest = packet.payload();
    for _ in 0..packet.question_count() {
        rest = DnsQuestion::parse(rest).map_or(&[], |(rest, _)| rest);
        if rest.is_empty() {
            break;
        }
    }
    let next = move || {
        let (behind, record) = DnsRecord::parse(rest).ok()?;
        rest = behind;
        Some(record)
    };
    core::iter::from_fn(next).take(MAX_RECORDS)
}

/// Port and host of a service.
fn place<'p>(record: &DnsRecord<'p>) -> Option<(u16, &'p [u8])> {
    match record.data {
        DnsRecordData::Other(SRV, [_, _, _, _, high, low, host @ ..]) => {
            Some((u16::from_be_bytes([*high, *low]), host))
        }
        _ => None,
    }
}

/// Whether it is the name of a station: one label, and the service.
fn is_station(packet: &Packet<'_>, name: &[u8]) -> bool {
    let mut labels = packet.parse_name(name);
    matches!(labels.next(), Some(Ok(_))) && are_same(labels, packet.parse_name(SERVICE))
}

fn is_same(packet: &Packet<'_>, a: &[u8], b: &[u8]) -> bool {
    are_same(packet.parse_name(a), packet.parse_name(b))
}

type Label<'p> = Result<&'p [u8], smoltcp::wire::Error>;

fn are_same<'p>(
    mut a: impl Iterator<Item = Label<'p>>,
    mut b: impl Iterator<Item = Label<'p>>,
) -> bool {
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(Ok(a)), Some(Ok(b))) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

/// Whether the text of a station says that it is the one that is wanted and
/// can be joined from here.
fn suits(text: &[u8], wanted: Option<&str>) -> bool {
    let value = |key: &str| {
        properties(text).find_map(|(name, value)| {
            name.eq_ignore_ascii_case(key.as_bytes()).then_some(value).filter(|v| !v.is_empty())
        })
    };
    let version = value("p2psp").and_then(|value| core::str::from_utf8(value).ok()?.parse().ok());
    let is = |key, wanted: &str| {
        value(key).is_some_and(|value| value.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    version == Some(VERSION) && wanted.is_none_or(|wanted| is("name", wanted) || is("team", wanted))
}

/// Each `key=value` of a text record (RFC 6763, 6.3).
fn properties(mut text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    core::iter::from_fn(move || {
        let (len, rest) = text.split_first()?;
        let (string, rest) = rest.split_at_checked((*len).into())?;
        text = rest;
        let end = string.iter().position(|byte| *byte == b'=').unwrap_or(string.len());
        Some((&string[..end], string.get(end + 1..).unwrap_or(&[])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// An answer with the stations of these names, teams and addresses.
    fn answer(stations: &[(&str, &str, &[[u8; 4]])]) -> Vec<u8> {
        let mut bytes = query().to_vec();
        bytes[2] = 0x84;
        let mut count = 0_u8;
        for (name, team, addresses) in stations {
            let instance = format!("{name} {team}");
            let host = format!("p2psp-{team}");
            // The service's name begins at byte 12, "local" at byte 24.
            let mut label = vec![instance.len() as u8];
            label.extend(instance.bytes());
            label.extend([0xc0, 12]);
            let mut target = vec![host.len() as u8];
            target.extend(host.bytes());
            target.extend([0xc0, 24]);
            let mut text = Vec::new();
            for entry in [
                "txtvers=1".to_owned(),
                format!("P2PSP={VERSION}"),
                "flag".to_owned(),
                format!("team={team}"),
                format!("name={name}"),
            ] {
                text.push(entry.len() as u8);
                text.extend(entry.bytes());
            }
            let place = [&[0, 0, 0, 0, 0x1f, 0x41][..], &target].concat();
            let mut add = |name: &[u8], kind: u16, data: &[u8]| {
                bytes.extend(name);
                bytes.extend(kind.to_be_bytes());
                bytes.extend([0, 1, 0, 0, 0, 10]);
                bytes.extend((data.len() as u16).to_be_bytes());
                bytes.extend(data);
                count += 1;
            };
            add(&[0xc0, 12], 12, &label);
            add(&label, 33, &place);
            add(&label, 16, &text);
            for address in *addresses {
                add(&target, 1, address);
            }
        }
        bytes[7] = count;
        bytes
    }

    fn at(last: u8) -> Option<SocketAddr> {
        Some(SocketAddr::from(([10, 0, 0, last], 8001)))
    }

    fn is_near(address: Ipv4Addr) -> bool {
        address.octets()[0] == 10
    }

    #[test]
    fn the_question_is_as_rfc_6762_has_it() {
        let expected = b"\x50\x32\0\0\0\x01\0\0\0\0\0\0\x06_p2psp\x04_tcp\x05local\0\0\x0c\0\x01";
        assert_eq!(&query(), expected);
    }

    #[test]
    fn stations_are_found_by_name_or_team_or_at_all() {
        let bytes = answer(&[
            ("Kitchen", "0000002a", &[[192, 168, 3, 1], [10, 0, 0, 1]]),
            ("Attic", "0000002b", &[[10, 0, 0, 2]]),
            ("Far", "0000002c", &[[192, 168, 3, 3]]),
        ]);
        assert_eq!(find(&bytes, None, is_near), at(1));
        assert_eq!(find(&bytes, Some("kitchen"), is_near), at(1));
        assert_eq!(find(&bytes, Some("0000002B"), is_near), at(2));
        let far = Some(SocketAddr::from(([192, 168, 3, 3], 8001)));
        assert_eq!(find(&bytes, Some("Far"), is_near), far);
        assert_eq!(find(&bytes, Some("Kitch"), is_near), None);
        assert_eq!(find(&bytes, Some(""), is_near), None);
    }

    #[test]
    fn other_packets_tell_of_no_station() {
        let good = answer(&[("a", "0000002a", &[[10, 0, 0, 1]])]);
        assert_eq!(find(&good, None, is_near), at(1));
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            find(&bytes, None, is_near)
        };
        assert_eq!(changed(2, 0), None, "a question");
        assert_eq!(changed(0, 0), None, "an answer to another question");
        assert_eq!(changed(13, b'-'), None, "another service");
        let version = good.windows(6).position(|six| six == b"P2PSP=").expect("there") + 6;
        assert_eq!(changed(version, b'9'), None, "another version");
        assert_eq!(find(&query(), None, is_near), None);
        assert_eq!(find(&answer(&[("a", "0000002a", &[])]), None, is_near), None);
        for len in 0..good.len() {
            assert_eq!(find(&good[..len], None, is_near), None, "{len} bytes");
        }
    }

    #[test]
    fn mutated_answers_do_no_harm() {
        let whole = answer(&[
            ("a", "0000002a", &[[10, 0, 0, 1]]),
            ("b", "0000002b", &[[10, 0, 0, 1], [10, 0, 0, 2]]),
        ]);
        let mut random = testing::random(5);
        let mut found = 0;
        for _ in 0..10_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    // Into a pointer, mostly a wrong one.
                    1 => bytes[at] = 0xc0 | random(4) as u8,
                    _ => bytes.truncate(at.max(1)),
                }
            }
            found += u32::from(find(&bytes, None, is_near).is_some());
        }
        assert!((1_000..9_000).contains(&found), "{found}");
    }
}

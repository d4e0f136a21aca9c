//! What a user sets up on a board, from texts: they are compiled in, or come
//! from a command line.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use embassy_net::{Config, Ipv4Cidr, StaticConfigV4};

/// Where the splitter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splitter {
    /// At an address.
    At(SocketAddr),
    /// On the LAN, where it announces a station: the one of this name or team,
    /// or the first that is found.
    Station(Option<&'static str>),
}

/// Where splitters listen, if nothing else is said.
const SPLITTER_PORT: u16 = 8001;

impl Splitter {
    /// `IP`, `IP:PORT`, the name or team of a station, or nothing for any
    /// station. `None` for what looks like an address and is none: the boards'
    /// network stack speaks IPv4 alone, and looks no names of hosts up.
    pub fn parse(text: &'static str) -> Option<Splitter> {
        let text = text.trim();
        let bare = text.parse::<Ipv4Addr>().map(|ip| SocketAddrV4::new(ip, SPLITTER_PORT));
        match (text.parse::<SocketAddrV4>().or(bare), text) {
            (Ok(address), _) => Some(Splitter::At(address.into())),
            (Err(_), "") => Some(Splitter::Station(None)),
            (Err(_), name) => (!name.contains(':')).then_some(Splitter::Station(Some(name))),
        }
    }
}

/// How the board gets its address: `IP/BITS`, or `IP/BITS,GATEWAY`; nothing
/// for DHCP. `None` if it is neither, or no address that a host can have.
pub fn network(text: &str) -> Option<Config> {
    if text.trim().is_empty() {
        return Some(Config::dhcpv4(Default::default()));
    }
    let (address, gateway) = match text.split_once(',') {
        Some((address, gateway)) => (address, Some(gateway.trim().parse::<Ipv4Addr>().ok()?)),
        None => (text, None),
    };
    let (ip, bits) = address.trim().split_once('/')?;
    let bits = bits.parse().ok().filter(|bits| *bits <= 32)?;
    let is_of_a_host =
        |ip: &Ipv4Addr| !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast());
    let address = Ipv4Cidr::new(ip.parse().ok().filter(is_of_a_host)?, bits);
    let dns_servers = Default::default();
    Some(Config::ipv4_static(StaticConfigV4 { address, gateway, dns_servers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use embassy_net::ConfigV4;

    #[test]
    fn splitters_have_an_address_or_a_name() {
        let address = SocketAddr::from(([10, 0, 0, 7], 8001));
        assert_eq!(Splitter::parse("10.0.0.7:8001"), Some(Splitter::At(address)));
        assert_eq!(Splitter::parse("10.0.0.7 "), Some(Splitter::At(address)));
        assert_eq!(Splitter::parse(" "), Some(Splitter::Station(None)));
        let named = Some(Splitter::Station(Some("Kitchen Radio")));
        assert_eq!(Splitter::parse("Kitchen Radio "), named);
        for wrong in ["radio.local:8001", "10.0.0.7:", "10.0.0:8001", "[::1]:8001"] {
            assert_eq!(Splitter::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_come_by_dhcp_or_are_given() {
        assert!(network("").is_some_and(|config| matches!(config.ipv4, ConfigV4::Dhcp(_))));
        let given = |text| match network(text)?.ipv4 {
            ConfigV4::Static(given) => Some((given.address, given.gateway)),
            _ => None,
        };
        let address = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 7), 24);
        let gateway = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(given("10.0.0.7/24"), Some((address, None)));
        assert_eq!(given("10.0.0.7/24, 10.0.0.1"), Some((address, Some(gateway))));
        let wrong = ["10.0.0.7", "10.0.0.7/33", "10.0.0/24", "10.0.0.7/24,x", "dhcp", "/8"];
        for wrong in wrong.into_iter().chain(["224.0.0.5/24", "255.255.255.255/8", "0.0.0.0/0"]) {
            assert!(network(wrong).is_none(), "{wrong}");
        }
    }
}

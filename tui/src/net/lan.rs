//! The LAN in which a peer plays by IMS (PROTOCOL.md 9): which interface,
//! which group, and the socket on which the group is heard.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use p2psp_core::Lan;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// The group on IPv6: all nodes of the link, as on IPv4.
const DEFAULT_GROUP_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)), 1234);

/// By which rules to play (`--rules`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RulesChoice {
    /// IMS where the interface does multicast.
    #[default]
    Auto,
    /// DBS.
    Dbs,
    /// IMS, or not at all.
    Ims,
}

/// What a user says about the LAN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanOptions {
    /// By which rules to play.
    pub rules: RulesChoice,
    /// Name or address of the interface; without: that of the way to the
    /// splitter.
    pub interface: Option<String>,
    /// The group; without: the one of 9.1.
    pub group: Option<SocketAddr>,
}

/// An interface of this host with one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    name: String,
    address: IpAddr,
    prefix: u8,
    multicast: bool,
}

/// A peer's place in its LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanPlace {
    /// What the core has to know.
    pub lan: Lan,
    /// The number of the interface.
    pub index: u32,
}

/// Why a peer can't play by IMS.
#[derive(Debug)]
pub enum LanError {
    /// No interface has this name or address.
    NoInterface {
        /// What was asked for.
        wanted: String,
        /// All there are.
        known: Vec<String>,
    },
    /// The interface does no multicast.
    NoMulticast(String),
    /// The interface has no address of the kind of the team socket.
    NoAddress(String),
    /// It can't be told which interface leads to the splitter.
    NoRoute,
    /// The group is no multicast address.
    NoGroup(SocketAddr),
    /// The group is of the other kind of address than the team socket.
    OtherFamily(SocketAddr),
    /// The splitter sees the peer at another address than that of the
    /// interface.
    Elsewhere {
        /// Where it is seen.
        seen: IpAddr,
        /// Address of the interface.
        own: IpAddr,
    },
    /// The group can't be listened to.
    Socket(SocketAddr, io::Error),
    /// The operating system does not tell its interfaces.
    System(io::Error),
}

impl fmt::Display for LanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LanError::NoInterface { wanted, known } => write!(
                f,
                "there is no interface {wanted}; --interface takes the name or address of one of \
                 these: {}",
                known.join(", ")
            ),
            LanError::NoMulticast(name) => write!(
                f,
                "the interface {name} does no multicast: choose another by --interface, or --rules \
                 dbs"
            ),
            LanError::NoAddress(name) => write!(
                f,
                "the interface {name} has no address of the kind of --bind: choose another by \
                 --interface, or another --bind"
            ),
            LanError::NoRoute => f.write_str(
                "no interface that does multicast leads to the splitter: choose one by \
                 --interface, or --rules dbs",
            ),
            LanError::NoGroup(group) => write!(
                f,
                "{group} is no multicast address: --group takes one such as 224.0.0.1:1234 or \
                 [ff02::1]:1234"
            ),
            LanError::OtherFamily(group) => {
                write!(f, "{group} is of another kind of address than --bind: change one of them")
            }
            LanError::Elsewhere { seen, own } => write!(
                f,
                "the splitter sees this peer at {seen} and not at its own address {own}: choose \
                 another --interface, or --rules dbs"
            ),
            LanError::Socket(group, error) => {
                write!(f, "can't listen to the group {group} ({error}): choose another --group")
            }
            LanError::System(error) => write!(f, "can't list the interfaces: {error}"),
        }
    }
}

impl std::error::Error for LanError {}

impl LanOptions {
    /// Finds what is wrong with the options themselves, for a team socket
    /// bound to `bind`.
    ///
    /// # Errors
    ///
    /// [`LanError`]
    pub fn check(&self, bind: SocketAddr) -> Result<(), LanError> {
        if let Some(group) = self.group {
            if !group.ip().is_multicast() || group.port() == 0 {
                return Err(LanError::NoGroup(group));
            }
            if group.is_ipv4() != bind.is_ipv4() && self.rules != RulesChoice::Dbs {
                return Err(LanError::OtherFamily(group));
            }
        }
        if let (Some(wanted), true) = (&self.interface, self.rules != RulesChoice::Dbs) {
            chosen(&interfaces()?, wanted, bind)?;
        }
        Ok(())
    }

    /// The place in the LAN of a peer bound to `bind` on its way to
    /// `splitter`; `None` if it is to play by DBS.
    ///
    /// # Errors
    ///
    /// [`LanError`], if it was told to play by IMS or where, and can't.
    pub fn place(
        &self,
        bind: SocketAddr,
        splitter: SocketAddr,
    ) -> Result<Option<LanPlace>, LanError> {
        if self.rules == RulesChoice::Dbs {
            return Ok(None);
        }
        let all = interfaces()?;
        let found = match &self.interface {
            Some(wanted) => Some(chosen(&all, wanted, bind)?),
            None => way_to(splitter, bind)
                .and_then(|own| all.iter().find(|one| one.address == own && one.multicast)),
        };
        match (found, self.rules) {
            (Some(interface), _) => self.place_at(interface).map(Some),
            (None, RulesChoice::Ims) => Err(LanError::NoRoute),
            (None, _) => Ok(None),
        }
    }

    fn place_at(&self, interface: &Interface) -> Result<LanPlace, LanError> {
        let index = if_nametoindex(interface.name.as_str())
            .map_err(|error| LanError::System(error.into()))?;
        let default = match interface.address {
            IpAddr::V4(_) => Lan::DEFAULT_GROUP,
            IpAddr::V6(_) => DEFAULT_GROUP_V6,
        };
        let group = match self.group.unwrap_or(default) {
            SocketAddr::V6(group) => SocketAddrV6::new(*group.ip(), group.port(), 0, index).into(),
            group => group,
        };
        let lan = Lan { address: interface.address, prefix: interface.prefix, group };
        Ok(LanPlace { lan, index })
    }
}

/// The interface that the user has chosen.
fn chosen<'a>(
    all: &'a [Interface],
    wanted: &str,
    bind: SocketAddr,
) -> Result<&'a Interface, LanError> {
    let address: Option<IpAddr> = wanted.parse().ok();
    let named: Vec<&Interface> =
        all.iter().filter(|one| one.name == wanted || Some(one.address) == address).collect();
    let Some(first) = named.first() else {
        let mut known: Vec<String> =
            all.iter().map(|one| format!("{} ({})", one.name, one.address)).collect();
        known.dedup();
        return Err(LanError::NoInterface { wanted: wanted.to_owned(), known });
    };
    if !first.multicast {
        return Err(LanError::NoMulticast(first.name.clone()));
    }
    let suits = |one: &&&Interface| one.address.is_ipv4() == bind.is_ipv4();
    // On IPv6 the address that others can write to without naming a link.
    let global = |one: &&&Interface| !is_link_local(one.address);
    let found = named.iter().filter(suits).find(global).or(named.iter().find(suits));
    found.copied().ok_or_else(|| LanError::NoAddress(first.name.clone()))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfe80)
}

/// The address from which this host writes to `splitter`; for a splitter on
/// this host, the one by which others know the host.
fn way_to(splitter: SocketAddr, bind: SocketAddr) -> Option<IpAddr> {
    if !bind.ip().is_unspecified() {
        return Some(bind.ip());
    }
    let own = own_address_towards(splitter)?;
    if own.is_loopback() { host_address() } else { Some(own) }
}

/// The address by which others reach this host: that of the interface with
/// the default route or, where there is none, of the first that has one.
pub(super) fn host_address() -> Option<IpAddr> {
    // The address is of a block reserved for documentation.
    let routed = own_address_towards(SocketAddr::from(([192, 0, 2, 1], 9)));
    let first = || {
        let all = interfaces().unwrap_or_default();
        let mut addresses = all.into_iter().map(|one| one.address);
        addresses.find(|address| address.is_ipv4() && !address.is_loopback())
    };
    routed.filter(|address| !address.is_loopback()).or_else(first)
}

fn own_address_towards(other: SocketAddr) -> Option<IpAddr> {
    // Connecting a UDP socket sends nothing; it only asks for the route.
    let any = match other {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let probe = UdpSocket::bind(any).ok()?;
    probe.connect(other).ok()?;
    let ip = probe.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// All interfaces that are up, once for each of their addresses.
fn interfaces() -> Result<Vec<Interface>, LanError> {
    let all = getifaddrs().map_err(|error| LanError::System(error.into()))?;
    let ip = |address: Option<nix::sys::socket::SockaddrStorage>| {
        let address = address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let up = all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
    Ok(up
        .filter_map(|one| {
            let prefix = match ip(one.netmask)? {
                IpAddr::V4(mask) => mask.to_bits().leading_ones(),
                IpAddr::V6(mask) => mask.to_bits().leading_ones(),
            };
            Some(Interface {
                address: ip(one.address)?,
                prefix: prefix as u8,
                multicast: one.flags.contains(InterfaceFlags::IFF_MULTICAST),
                name: one.interface_name,
            })
        })
        .collect())
}

/// Whether an address is in a subnet of this host.
pub fn is_near(address: IpAddr) -> bool {
    let near = |one: &Interface| {
        let (address_of, prefix) = (one.address, one.prefix);
        Lan { address: address_of, prefix, group: Lan::DEFAULT_GROUP }.contains(address)
    };
    interfaces().is_ok_and(|all| all.iter().any(near))
}

/// A socket that hears the group and nothing else, beside others of this host
/// that hear it, too (9.5).
pub(super) fn listen(place: &LanPlace) -> Result<UdpSocket, LanError> {
    let group = place.lan.group;
    open(place).map_err(|error| LanError::Socket(group, error))
}

fn open(place: &LanPlace) -> io::Result<UdpSocket> {
    let group = place.lan.group;
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    match group.ip() {
        IpAddr::V4(address) => {
            // Only what this socket itself has joined.
            socket.set_multicast_all_v4(false)?;
            // Bound to the group, it gets nothing that is sent to the port at
            // another address.
            socket.bind(&group.into())?;
            socket.join_multicast_v4_n(&address, &InterfaceIndexOrAddress::Index(place.index))?;
        }
        IpAddr::V6(address) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
            socket.bind(&group.into())?;
            socket.join_multicast_v6(&address, place.index)?;
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Prepares a socket for sending to the group: by this interface, no further
/// than this LAN, and heard on this host, too.
pub(super) fn prepare_sender(socket: &socket2::SockRef<'_>, place: &LanPlace) -> io::Result<()> {
    match place.lan.address {
        IpAddr::V4(address) => {
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)
        }
        IpAddr::V6(_) => {
            socket.set_multicast_if_v6(place.index)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

    fn interface(name: &str, address: &str, multicast: bool) -> Interface {
        let address = address.parse().unwrap();
        Interface { name: name.to_owned(), address, prefix: 24, multicast }
    }

    #[test]
    fn interfaces_are_chosen_by_name_or_address() {
        let all = [
            interface("lo", "127.0.0.1", false),
            interface("eth0", "fe80::1", true),
            interface("eth0", "10.0.0.7", true),
            interface("eth0", "fd00::7", true),
            interface("tun0", "10.8.0.1", true),
        ];
        for (wanted, bind, expected) in [
            ("eth0", V4, "10.0.0.7"),
            ("eth0", V6, "fd00::7"),
            ("10.8.0.1", V4, "10.8.0.1"),
            ("fe80::1", V6, "fe80::1"),
        ] {
            let found = chosen(&all, wanted, bind).expect(wanted);
            assert_eq!(found.address.to_string(), expected, "{wanted}");
        }
        let fails = |wanted, bind| chosen(&all, wanted, bind).unwrap_err().to_string();
        assert!(fails("eth1", V4).contains("eth0 (10.0.0.7)"), "it lists them");
        assert!(fails("lo", V4).contains("no multicast"));
        assert!(fails("tun0", V6).contains("no address"));
    }

    #[test]
    fn groups_are_checked() {
        let options = |group: &str| LanOptions {
            group: Some(group.parse().unwrap()),
            ..LanOptions::default()
        };
        assert!(options("239.1.2.3:4").check(V4).is_ok());
        assert!(options("[ff02::5]:4").check(V6).is_ok());
        for (group, bind) in [("10.0.0.1:1234", V4), ("224.0.0.1:0", V4), ("[fe80::1]:1", V6)] {
            assert!(matches!(options(group).check(bind), Err(LanError::NoGroup(_))), "{group}");
        }
        let other = options("224.0.0.1:1234").check(V6);
        assert!(matches!(other, Err(LanError::OtherFamily(_))));
    }

    /// What is sent to a group of the loopback interface, and who hears it.
    #[test]
    fn only_the_group_is_heard_and_no_further_than_this_link() {
        let index = if_nametoindex("lo").expect("every host has it");
        let place = |group: [u8; 4], port: u16| {
            let (address, group) = (Ipv4Addr::LOCALHOST.into(), SocketAddr::from((group, port)));
            LanPlace { lan: Lan { address, prefix: 8, group }, index }
        };
        // A port that was free a moment ago.
        let port = UdpSocket::bind(V4).unwrap().local_addr().unwrap().port();
        let (ours, other) = (place([239, 255, 77, 1], port), place([239, 255, 77, 2], port));
        let heard = [listen(&ours).unwrap(), listen(&ours).expect("beside the first")];
        let others = listen(&other).expect("another group at the same port");
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let options = socket2::SockRef::from(&sender);
        prepare_sender(&options, &ours).unwrap();
        assert_eq!(options.multicast_ttl_v4().unwrap(), 1);
        assert!(options.multicast_loop_v4().unwrap());
        for (to, said) in [(other.lan.group, b"b"), (ours.lan.group, b"a")] {
            sender.send_to(said, to).unwrap();
        }
        let _ = sender.send_to(b"c", (Ipv4Addr::LOCALHOST, port));
        sender.send_to(b"d", ours.lan.group).unwrap();
        let hear = |socket: &UdpSocket| {
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
            let mut said = [0; 4];
            let (len, _) = socket.recv_from(&mut said).expect("something is heard");
            said[..len].to_vec()
        };
        for socket in &heard {
            assert_eq!([hear(socket), hear(socket)], [b"a", b"d"], "in order, and nothing else");
        }
        assert_eq!(hear(&others), b"b");
    }

    #[test]
    fn loopback_does_no_multicast() {
        let options = LanOptions { interface: Some("lo".into()), ..LanOptions::default() };
        assert!(matches!(options.check(V4), Err(LanError::NoMulticast(_))));
        let splitter = SocketAddr::from(([127, 0, 0, 1], 8001));
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(LanOptions::default().place(bind, splitter).unwrap(), None);
        let ims = LanOptions { rules: RulesChoice::Ims, ..LanOptions::default() };
        assert!(matches!(ims.place(bind, splitter), Err(LanError::NoRoute)));
    }
}

//! Stations on the local network, by DNS-SD over multicast DNS (RFC 6762,
//! 6763): service `_p2psp._tcp`, the place where the join dialogue goes on.
//!
//! The TXT record has `txtvers` 1, `p2psp` (version of the wire), `name`,
//! `team` (eight hexadecimal digits), `type` (content type) and, where it is
//! known, `kbit`. Team ids are unique, so instances and hosts are called after
//! them: two stations of the same name do not get into each other's way.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use p2psp_core::TeamId;
use p2psp_core::wire::VERSION;

use crate::net::is_near;

/// The service.
const SERVICE: &str = "_p2psp._tcp.local.";

/// Bytes of a name within the name of an instance, which has at most 63.
const MAX_INSTANCE_NAME_BYTES: usize = 50;

/// The longest text of a record that is believed, in bytes.
const MAX_TEXT_BYTES: usize = 255;

/// Stations that are kept in mind; there are never so many on one network.
const MAX_STATIONS: usize = 1024;

/// How often those found are asked whether they are still there …
const VERIFY_INTERVAL: Duration = Duration::from_secs(3);
/// … and how long they may take to answer.
const VERIFY_PATIENCE: Duration = Duration::from_secs(3);

/// How long a goodbye may take.
const GOODBYE_PATIENCE: Duration = Duration::from_millis(500);

/// A station that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// What it is called; may be empty.
    pub name: String,
    /// Its team, as eight hexadecimal digits.
    pub team: String,
    /// Where peers join, the address first that is most likely to be reached.
    pub addrs: Vec<SocketAddr>,
    /// Content type of the stream.
    pub content_type: String,
    /// Rate of the stream in kbit/s, where known.
    pub kbit: Option<u32>,
    /// Version of the wire that it speaks.
    pub version: u8,
}

/// What happened on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// A station is there, or something about it has changed.
    Found(Station),
    /// It said goodbye or answers no more.
    Gone(Station),
}

/// What a splitter says of its station.
#[derive(Debug, Clone)]
pub struct Announced<'a> {
    /// The team.
    pub team: TeamId,
    /// Where peers join.
    pub addr: SocketAddr,
    /// What it is called.
    pub name: &'a str,
    /// Content type of the stream.
    pub content_type: &'a str,
    /// Rate of the stream in bytes a second, where known.
    pub rate_bytes_per_s: Option<f64>,
}

/// A station that is being announced. Dropping it leaves it to the others to
/// notice that it is gone.
pub struct Announcement {
    daemon: ServiceDaemon,
    fullname: String,
}

impl Announcement {
    /// Announces a station on all networks that reach its address; `None` if
    /// that is of this host only.
    ///
    /// # Errors
    ///
    /// What keeps it from being announced.
    pub fn new(station: &Announced<'_>) -> Result<Option<Announcement>, mdns_sd::Error> {
        let ip = station.addr.ip();
        if ip.is_loopback() {
            return Ok(None);
        }
        let daemon = ServiceDaemon::new()?;
        let team = format!("{:08x}", station.team.0);
        let kbit = station.rate_bytes_per_s.map(|rate| (rate / 125.0).round().to_string());
        let mut properties = vec![
            ("txtvers", "1".to_owned()),
            ("p2psp", VERSION.to_string()),
            ("team", team.clone()),
            ("name", cut(station.name, MAX_TEXT_BYTES - "name=".len()).to_owned()),
            ("type", cut(station.content_type, MAX_TEXT_BYTES - "type=".len()).to_owned()),
        ];
        properties.extend(kbit.map(|kbit| ("kbit", kbit)));
        let instance = match cut(station.name, MAX_INSTANCE_NAME_BYTES) {
            "" => format!("P2PSP {team}"),
            name => format!("{name} {team}"),
        };
        let host = format!("p2psp-{team}.local.");
        let addresses: &[IpAddr] = if ip.is_unspecified() { &[] } else { &[ip] };
        let port = station.addr.port();
        let info = ServiceInfo::new(SERVICE, &instance, &host, addresses, port, &properties[..])?;
        let mut info = if ip.is_unspecified() { info.enable_addr_auto() } else { info };
        if station.addr.is_ipv4() {
            info.set_interfaces(vec![IfKind::IPv4]);
        }
        let fullname = info.get_fullname().to_owned();
        daemon.register(info)?;
        Ok(Some(Announcement { daemon, fullname }))
    }

    /// Says goodbye; takes at most a second.
    pub fn withdraw(self) {
        if let Ok(done) = self.daemon.unregister(&self.fullname) {
            let _ = done.recv_timeout(GOODBYE_PATIENCE);
        }
        if let Ok(done) = self.daemon.shutdown() {
            let _ = done.recv_timeout(GOODBYE_PATIENCE);
        }
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement").field("fullname", &self.fullname).finish_non_exhaustive()
    }
}

/// Looks for stations.
pub struct Browser {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    found: HashMap<String, Station>,
    verified: Instant,
}

impl Browser {
    /// Begins to look.
    ///
    /// # Errors
    ///
    /// What keeps it from looking.
    pub fn new() -> Result<Browser, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.browse(SERVICE)?;
        Ok(Browser { daemon, events, found: HashMap::new(), verified: Instant::now() })
    }

    /// Waits for the next sighting; `None` when nothing happens until
    /// `deadline`.
    pub fn next(&mut self, deadline: Instant) -> Option<Sighting> {
        loop {
            let verify = self.verified + VERIFY_INTERVAL;
            match self.events.recv_deadline(verify.min(deadline)) {
                Ok(event) => {
                    if let Some(sighting) = self.take(event) {
                        return Some(sighting);
                    }
                }
                Err(_) if Instant::now() >= deadline => return None,
                // One that has died says no goodbye.
                Err(_) if Instant::now() >= verify => {
                    self.verified = Instant::now();
                    for fullname in self.found.keys() {
                        let _ = self.daemon.verify(fullname.clone(), VERIFY_PATIENCE);
                    }
                }
                // The daemon has gone.
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self, event: ServiceEvent) -> Option<Sighting> {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let station = station(&service)?;
                let known = self.found.get(&service.fullname);
                if known == Some(&station) || self.found.len() >= MAX_STATIONS {
                    return None;
                }
                self.found.insert(service.fullname, station.clone());
                Some(Sighting::Found(station))
            }
            ServiceEvent::ServiceRemoved(_, fullname) => {
                self.found.remove(&fullname).map(Sighting::Gone)
            }
            _ => None,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// What the records of a service say, if they make sense.
fn station(service: &ResolvedService) -> Option<Station> {
    let text = |key: &str| {
        let text = service.get_property_val_str(key).unwrap_or("");
        let clean: String = text.chars().filter(|c| !c.is_control()).collect();
        cut(&clean, MAX_TEXT_BYTES).to_owned()
    };
    let team = text("team");
    if team.len() != 8 || !team.bytes().all(|byte| byte.is_ascii_hexdigit()) || service.port == 0 {
        return None;
    }
    let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
    let mut addrs: Vec<SocketAddr> = ips.map(|ip| SocketAddr::new(ip, service.port)).collect();
    addrs.sort_by_key(|addr| (!is_near(addr.ip()), *addr));
    (!addrs.is_empty()).then(|| Station {
        name: text("name"),
        team,
        addrs,
        content_type: text("type"),
        kbit: text("kbit").parse().ok(),
        version: text("p2psp").parse().unwrap_or(0),
    })
}

/// At most so many bytes of a text, in whole letters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

//! Real networks of network namespaces: hosts at switches, routers between
//! them. They exist as long as the [`Network`] does, also if a test panics.
//!
//! Each host and each switch is a namespace of its own, so that tests that run
//! at the same time can use the same addresses. Bytes are counted where they
//! enter a switch: once for each frame, however many hosts get it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::wait::required;

/// Begins the names of all namespaces that are made here.
const PREFIX: &str = "p2psp-test-";

/// Hosts and switches; all are removed when it is dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    namespaces: Vec<String>,
}

/// A switch: all that is connected to it is one LAN.
#[derive(Debug, Clone)]
pub struct Switch {
    namespace: String,
    ports: std::rc::Rc<std::cell::Cell<u32>>,
}

/// A host.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: String,
    /// Its first address.
    pub address: IpAddr,
}

/// What has entered a switch so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Bytes, with Ethernet headers and without checksums.
    pub bytes: u64,
}

impl Traffic {
    /// What has come since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Traffic) -> Traffic {
        Traffic { frames: self.frames - earlier.frames, bytes: self.bytes - earlier.bytes }
    }
}

impl Network {
    /// A network without anything.
    ///
    /// # Panics
    ///
    /// If the programs or the permission to make one are missing.
    pub fn new() -> Network {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        remove_stale();
        let network = Network {
            name: format!("{PREFIX}{}-{number}-", std::process::id()),
            namespaces: Vec::new(),
        };
        let probe = format!("{}probe", network.name);
        let made = run(required("ip", "iproute2").args(["netns", "add", &probe]));
        if let Err(text) = made {
            panic!(
                "network namespaces can't be made here ({}): run the tests as root, or inside \
                 `unshare --map-root-user --net --mount` with a /run/netns of its own",
                text.trim()
            );
        }
        remove(&probe);
        network
    }

    /// What the names of its namespaces begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A switch with the name `name`.
    pub fn switch(&mut self, name: &str) -> Switch {
        let namespace = self.namespace(name);
        // A bridge that snoops without a querier in its LAN forgets who wants
        // which group and stops forwarding it; without snooping groups reach
        // everybody, as on a plain switch.
        ip(
            &namespace,
            "link add br0 type bridge mcast_snooping 0 forward_delay 0\nlink set br0 up\n",
        );
        Switch { namespace, ports: std::rc::Rc::default() }
    }

    /// A host with the name `name` at a switch, with `address` (`10.0.1.7/24`)
    /// at its interface `eth0` and `gateway` as the way to all others.
    pub fn host(
        &mut self,
        name: &str,
        switch: &Switch,
        address: &str,
        gateway: Option<&str>,
    ) -> Host {
        let namespace = self.namespace(name);
        let bare = address.split('/').next().unwrap_or(address);
        let host = Host { namespace, address: bare.parse().expect("an address") };
        self.connect(&host, "eth0", switch, address);
        if let Some(gateway) = gateway {
            ip(&host.namespace, &format!("route add default via {gateway}\n"));
        }
        host
    }

    /// A router at several switches, with an address at each.
    pub fn router(&mut self, name: &str, legs: &[(&Switch, &str)]) -> Host {
        let namespace = self.namespace(name);
        let first = legs[0].1.split('/').next().unwrap_or_default();
        let host = Host { namespace, address: first.parse().expect("an address") };
        for (number, (switch, address)) in legs.iter().enumerate() {
            self.connect(&host, &format!("eth{number}"), switch, address);
        }
        let on = host.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).status();
        assert!(on.is_ok_and(|status| status.success()), "can't forward");
        host
    }

    fn connect(&self, host: &Host, interface: &str, switch: &Switch, address: &str) {
        let port = switch.ports.get();
        switch.ports.set(port + 1);
        let switch_ns = &switch.namespace;
        ip(
            &host.namespace,
            &format!(
                "link add {interface} type veth peer name port{port} netns {switch_ns}\n\
                 link set {interface} gso_max_segs 1\n\
                 address add {address} dev {interface} nodad\n\
                 link set {interface} up\nlink set lo up\n"
            ),
        );
        ip(
            switch_ns,
            &format!("link set port{port} master br0 gso_max_segs 1\nlink set port{port} up\n"),
        );
    }

    fn namespace(&mut self, name: &str) -> String {
        let namespace = format!("{}{name}", self.name);
        let made = run(required("ip", "iproute2").args(["netns", "add", &namespace]));
        assert_eq!(made, Ok(()), "{namespace}");
        self.namespaces.push(namespace.clone());
        namespace
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            remove(namespace);
        }
    }
}

impl Switch {
    /// All that has entered the switch, from whatever is connected.
    pub fn traffic(&self) -> Traffic {
        let output = required("ip", "iproute2")
            .args(["-n", &self.namespace, "-j", "-s", "link", "show"])
            .output()
            .expect("ip can be executed");
        let links: Vec<Value> = serde_json::from_slice(&output.stdout).expect("ip speaks JSON");
        let mut sum = Traffic::default();
        for link in &links {
            if link["ifname"].as_str().is_some_and(|name| name.starts_with("port")) {
                let received = &link["stats64"]["rx"];
                let number = |key: &str| received[key].as_u64().expect("a counter");
                sum.frames += number("packets");
                sum.bytes += number("bytes");
            }
        }
        sum
    }
}

impl Host {
    /// A command for `program` on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.wrapper();
        command.arg(program);
        command
    }

    /// What another command is put behind to run on this host.
    pub fn wrapper(&self) -> Command {
        let mut command = required("ip", "iproute2");
        command.args(["netns", "exec", &self.namespace]);
        command
    }

    /// Changes the host's packet filter: `iptables` with these arguments.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn iptables(&self, args: &str) {
        // To be told that it is missing.
        let _ = required("iptables", "iptables");
        let done = run(self.command("iptables").arg("-w").args(args.split(' ')));
        assert_eq!(done, Ok(()), "iptables {args}");
    }

    /// Loses a part (0 to 1) of the datagrams that arrive.
    pub fn lose(&self, part: f64) {
        let rule =
            format!("-A INPUT -p udp -m statistic --mode random --probability {part} -j DROP");
        self.iptables(&rule);
    }

    /// Loses all multicast that arrives.
    pub fn lose_multicast(&self) {
        self.iptables("-A INPUT -d 224.0.0.0/4 -p udp -j DROP");
    }

    /// Loses nothing any more.
    pub fn lose_nothing(&self) {
        self.iptables("-F INPUT");
    }
}

/// Runs `ip` in a namespace with a command a line.
fn ip(namespace: &str, commands: &str) {
    let mut child = required("ip", "iproute2")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip can be executed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(commands.as_bytes()).expect("ip reads");
    drop(stdin);
    let output = child.wait_with_output().expect("ip ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip in {namespace}: {text}\n{commands}");
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = write!(text, " ({})", output.status);
    Err(text)
}

fn remove(namespace: &str) {
    if let Err(text) = run(required("ip", "iproute2").args(["netns", "del", namespace])) {
        eprintln!("{namespace} stays behind: {text}");
    }
}

/// Removes what test processes have left that were killed.
fn remove_stale() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten() {
        let name = name.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(pid) = pid
            && !std::path::Path::new("/proc").join(pid).exists()
        {
            let _ = run(required("ip", "iproute2").args(["netns", "del", &name]));
        }
    }
}

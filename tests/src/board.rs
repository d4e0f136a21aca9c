//! Boards in QEMU: on a LAN of the test's own (a network namespace with a
//! bridge), which needs root, or on the loopback network, which does not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use p2psp_core::wire::{self, Message};
use smoltcp::phy::ChecksumCapabilities;
use tempfile::TempDir;

use crate::Program;
use crate::link::{Link, datagram_in};
use crate::wait::{PATIENCE, required, wait_for, wait_until};

/// Address of the Linux host on the LAN.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Where the splitter listens.
pub const SPLITTER: &str = "10.77.0.1:8001";
/// Port of a board's team socket.
pub const TEAM_PORT: u16 = 4552;
/// The board that QEMU emulates.
const BOARD: &str = "qemu-mps2-an386";

/// A LAN. Dropping it takes it down.
#[derive(Debug)]
pub struct Lan {
    name: String,
}

/// A board. Dropping it switches it off.
#[derive(Debug)]
pub struct Board {
    child: Child,
    /// What it logs.
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
    folder: TempDir,
    build: Build,
    /// Pulled out after the board was switched off.
    _link: Option<Link>,
}

/// A build of its image, by the name that `budget.toml` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// For uncompressed sound, and all formats.
    Default,
    /// As small as it gets.
    Small,
    /// The same and MP3.
    Mp3,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    ended: bool,
}

/// What a board says about itself once a second.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardStatus {
    /// When, in seconds since it was switched on.
    pub at: f64,
    /// What it is doing.
    pub state: String,
    counts: Vec<(String, u64)>,
}

impl BoardStatus {
    /// A count by its name.
    pub fn get(&self, name: &str) -> u64 {
        let found = self.counts.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    fn parse(line: &str) -> Option<BoardStatus> {
        let (at, rest) = line.split_once(' ')?;
        let (state, counts) = rest.split_once(": joins=")?;
        let counts = format!("joins={counts}");
        let counts = counts.split(' ').map(|count| {
            let (name, value) = count.split_once('=')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Some(BoardStatus {
            at: at.parse().ok()?,
            state: state.to_owned(),
            counts: counts.collect::<Option<_>>()?,
        })
    }
}

impl Lan {
    /// A LAN with this host and `boards` places for boards.
    ///
    /// # Panics
    ///
    /// If this process may not make one.
    pub fn new(boards: u32) -> Lan {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let lan = Lan { name: format!("p2psp-{}-{count}", std::process::id()) };
        let made = required("ip", "iproute2").args(["netns", "add", &lan.name]).output();
        let made = made.expect("ip can be run");
        assert!(
            made.status.success() && Path::new("/dev/net/tun").exists(),
            "a LAN for boards needs root and /dev/net/tun: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        lan.ip("link set lo up");
        lan.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        lan.ip(&format!("addr add {HOST}/24 dev br0"));
        lan.ip("link set br0 up");
        for board in 0..boards {
            lan.ip(&format!("tuntap add tap{board} mode tap"));
            lan.ip(&format!("link set tap{board} master br0 up"));
        }
        lan
    }

    fn ip(&self, arguments: &str) {
        let ran = required("ip", "iproute2")
            .args(["-n", &self.name])
            .args(arguments.split(' '))
            .output()
            .expect("ip can be run");
        let why = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "ip {arguments}: {why}");
    }

    /// A command that executes what its further arguments say, on the LAN's
    /// host.
    pub fn exec(&self) -> Command {
        let mut command = required("ip", "iproute2");
        command.args(["netns", "exec", &self.name]);
        command
    }

    /// A splitter at [`SPLITTER`]; waits until peers can join it.
    pub fn splitter(&self, args: &[&str]) -> Program {
        let mut all = vec!["splitter", "--listen", SPLITTER];
        all.extend(args);
        let program = Program::start_in(self.exec(), &all);
        program.wait_event(PATIENCE, |line| line["event"] == "listening" && line["what"] == "team");
        program
    }

    /// A peer on the LAN's host without a player; waits until it is a member.
    pub fn peer(&self, args: &[&str]) -> Program {
        let mut all = vec!["peer", SPLITTER, "--player", "none"];
        all.extend(args);
        let program = Program::start_in(self.exec(), &all);
        program.wait_joined();
        program
    }

    /// Runs `task` in a thread of this process that is on the LAN's host.
    pub fn run<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let place = Path::new("/var/run/netns").join(&self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
                use std::os::fd::AsFd;
                let place = fs::File::open(place).expect("the namespace is there");
                move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter it");
                task()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Switches on the board at place `place`, which has the address
    /// 10.77.0.(2 + place); `args` as its image takes them.
    pub fn board(&self, place: u32, args: &[&str]) -> Board {
        let address = format!("address=10.77.0.{}/24", place + 2);
        let mut all = vec![address.as_str()];
        all.extend(args);
        self.board_by_dhcp(place, &all)
    }
}

/// A DHCP server. Dropping it stops it.
#[derive(Debug)]
pub struct DhcpServer {
    child: Child,
    _leases: TempDir,
}

impl Lan {
    /// A DHCP server that gives the first board this address.
    pub fn dhcp_server(&self, address: &str) -> DhcpServer {
        let leases = TempDir::new().expect("a temporary folder");
        let dnsmasq = required("dnsmasq", "dnsmasq-base");
        let child = self
            .exec()
            .arg(dnsmasq.get_program())
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"])
            .args(["--interface=br0", "--bind-interfaces", "--dhcp-authoritative"])
            .args(["--log-facility=/dev/null", "--pid-file="])
            .arg(format!("--dhcp-leasefile={}", leases.path().join("leases").display()))
            .arg(format!("--dhcp-range={address},{address},255.255.255.0,2m"))
            .stdin(Stdio::null())
            .spawn()
            .expect("dnsmasq can be started");
        DhcpServer { child, _leases: leases }
    }

    /// Switches on the board at place `place`, which asks for its address.
    pub fn board_by_dhcp(&self, place: u32, args: &[&str]) -> Board {
        let mut qemu = self.exec();
        qemu.arg(required("qemu-system-arm", "qemu-system-arm").get_program());
        let netdev = format!("tap,id=n0,ifname=tap{place},script=no,downscript=no");
        let splitter = SPLITTER.parse().expect("an address");
        Board::start(Build::Default, qemu, &netdev, place, splitter, args)
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = required("ip", "iproute2").args(["netns", "del", &self.name]).status();
    }
}

impl Board {
    /// Switches on a board that is a host of the loopback network, where
    /// `splitter` is; needs no root. There are no groups: it plays by DBS.
    pub fn on_loopback(build: Build, splitter: SocketAddr, args: &[&str]) -> Board {
        let link = Link::new(splitter.port());
        let address = format!("address={}/8", link.address);
        let mut all = vec![address.as_str(), "group=none"];
        all.extend(args);
        let qemu = required("qemu-system-arm", "qemu-system-arm");
        let mut board = Board::start(build, qemu, &link.netdev(), 0, splitter, &all);
        board._link = Some(link);
        board
    }

    /// Starts `qemu` with a network of this kind, as the board at `place`.
    fn start(
        build: Build,
        mut qemu: Command,
        netdev: &str,
        place: u32,
        splitter: SocketAddr,
        args: &[&str],
    ) -> Board {
        let folder = TempDir::new().expect("a temporary folder");
        let mut semihosting = "enable=on,target=native,arg=p2psp".to_owned();
        // The last one counts.
        for argument in [&*format!("splitter={splitter}"), "out=dac"].iter().chain(args) {
            semihosting += &format!(",arg={argument}");
        }
        let mut child = qemu
            .args(["-M", "mps2-an386", "-nographic", "-serial", "null"])
            .args(["-monitor", "unix:monitor,server,nowait"])
            .args(["-netdev", netdev])
            .args(["-net", &format!("nic,netdev=n0,macaddr=52:54:00:00:00:{:02x}", place + 2)])
            .args(["-object", "filter-dump,id=d0,netdev=n0,file=net.pcap"])
            .args(["-semihosting-config", &semihosting])
            .arg("-kernel")
            .arg(image(build))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("QEMU can be started");
        let log = Arc::new(Mutex::new(Log::default()));
        let (stdout, for_reader) = (child.stdout.take().expect("piped"), Arc::clone(&log));
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lock(&for_reader).lines.push(line);
            }
            lock(&for_reader).ended = true;
        });
        Board { child, log, reader: Some(reader), folder, build, _link: None }
    }

    /// What it has logged so far.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.log).lines.clone()
    }

    /// Waits for a line, old or new, that holds `text`.
    ///
    /// # Panics
    ///
    /// If none comes, or the board ends without.
    pub fn wait_line(&self, text: &str) -> String {
        self.wait_line_after(0, text)
    }

    /// The same, without the first `skip` lines.
    pub fn wait_line_after(&self, skip: usize, text: &str) -> String {
        self.wait(skip, |line| line.contains(text).then(|| line.to_owned()), text)
    }

    /// Waits for a status after the first `skip` lines that `wanted` likes.
    pub fn wait_status(&self, skip: usize, wanted: impl Fn(&BoardStatus) -> bool) -> BoardStatus {
        self.wait(skip, |line| BoardStatus::parse(line).filter(&wanted), "such a status")
    }

    fn wait<T>(&self, skip: usize, find: impl Fn(&str) -> Option<T>, what: &str) -> T {
        let found = wait_for(PATIENCE, || {
            let log = lock(&self.log);
            let found = log.lines.iter().skip(skip).find_map(|line| find(line));
            (found.is_some() || log.ended).then_some(found)
        });
        let found = found.flatten();
        found.unwrap_or_else(|| panic!("the board does not say {what}:\n{}", self.report()))
    }

    /// How many lines there were so far.
    pub fn mark(&self) -> usize {
        lock(&self.log).lines.len()
    }

    /// What it said about itself last.
    pub fn status(&self) -> BoardStatus {
        let lines = self.lines();
        let last = lines.iter().rev().find_map(|line| BoardStatus::parse(line));
        last.unwrap_or_else(|| panic!("no status yet:\n{}", self.report()))
    }

    /// The chunk with which it began to play.
    pub fn first_chunk(&self) -> usize {
        let line = self.wait_line("first chunk: ");
        let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {line}"))
    }

    /// Tells QEMU's monitor something, such as `set_link n0 off`.
    pub fn monitor(&self, command: &str) {
        let path = self.folder.path().join("monitor");
        let connected = wait_for(PATIENCE, || UnixStream::connect(&path).ok());
        let mut monitor = connected.expect("QEMU's monitor listens");
        monitor.set_read_timeout(Some(PATIENCE)).expect("a duration");
        monitor.write_all(format!("{command}\n").as_bytes()).expect("it takes commands");
        // It shows its prompt again when it has done it.
        let (mut reader, mut prompts) = (BufReader::new(monitor), 0);
        while prompts < 2 {
            let mut text = Vec::new();
            let read = reader.read_until(b')', &mut text).expect("it answers");
            assert_ne!(read, 0, "the monitor has hung up");
            prompts += usize::from(text.ends_with(b"(qemu)"));
        }
    }

    /// Waits until it has left the team and switched itself off.
    ///
    /// # Panics
    ///
    /// If it does not end, or not well.
    pub fn wait_end(&mut self) {
        self.wait_end_within(PATIENCE);
    }

    /// The same, with a deadline of its own.
    pub fn wait_end_within(&mut self, patience: Duration) {
        let mut status = None;
        let ended = wait_until(patience, || {
            status = self.child.try_wait().expect("a child of this process");
            status.is_some()
        });
        if let Some(reader) = self.reader.take().filter(|_| ended) {
            let _ = reader.join();
        }
        let well = status.is_some_and(|status| status.success());
        assert!(well, "the board does not end well:\n{}", self.report());
    }

    /// What its DAC has played so far: left and right.
    pub fn played(&self) -> Vec<[i16; 2]> {
        let bytes = fs::read(self.folder.path().join("dac")).unwrap_or_default();
        let sample = |at: &[u8]| i16::from_le_bytes([at[0], at[1]]);
        bytes.chunks_exact(4).map(|frame| [sample(frame), sample(&frame[2..])]).collect()
    }

    /// The datagrams that went over its cable, both ways, in their order.
    pub fn datagrams(&self) -> Vec<Datagram> {
        let bytes = fs::read(self.folder.path().join("net.pcap")).unwrap_or_default();
        let mut datagrams = Vec::new();
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let Some((head, tail)) = rest.split_at_checked(16) {
            let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            let Some((frame, tail)) = tail.split_at_checked(len) else { break };
            datagrams.extend(Datagram::parse(frame));
            rest = tail;
        }
        datagrams
    }

    /// Bytes of stack that it has used until it left the team, and those that
    /// its `budget.toml` allows.
    pub fn stack(&self) -> (u32, u32) {
        (self.number_in("stack used: "), self.build.stack_bytes())
    }

    /// Rounds of its executor until it left the team, for each second.
    pub fn polls_a_second(&self) -> u32 {
        (f64::from(self.number_in("polled ")) / self.status().at) as u32
    }

    /// The number after this text in a line of its log.
    fn number_in(&self, text: &str) -> u32 {
        let line = self.wait_line(text);
        let number = line.split_once(text).and_then(|(_, rest)| rest.split(' ').next());
        let number = number.and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {line}"))
    }

    /// The last lines of its log, for a message.
    pub fn report(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A UDP datagram on IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Number and origin of the chunk that it carries, if it does.
    pub chunk: Option<(u32, SocketAddr)>,
}

impl Datagram {
    fn parse(frame: &[u8]) -> Option<Datagram> {
        // On its way through the host a datagram has no checksum yet.
        let (from, to, payload) = datagram_in(frame, &ChecksumCapabilities::ignored())?;
        let chunk = match wire::decode(payload).map(|envelope| envelope.message) {
            Ok(Message::Chunk { number, origin, .. }) => Some((number.get(), origin)),
            _ => None,
        };
        Some(Datagram { from: from.into(), to: to.into(), chunk })
    }
}

impl Build {
    fn name(self) -> &'static str {
        match self {
            Build::Default => "default",
            Build::Small => "small",
            Build::Mp3 => "mp3",
        }
    }

    /// What `budget.toml` allows.
    fn stack_bytes(self) -> u32 {
        let path = root().join("boards").join(BOARD).join("budget.toml");
        let text = fs::read_to_string(path).expect("each board has one");
        let section = format!("[{}]", self.name());
        let lines = text.lines().skip_while(|line| *line != section);
        let found = lines.filter_map(|line| line.strip_prefix("stack_bytes = ")).next();
        let bytes = found.map(|bytes| bytes.replace('_', "").parse());
        bytes.expect("each build has a stack").expect("a number")
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("this package is in a folder")
}

/// The image of a build; all are built once in a test process.
fn image(build: Build) -> PathBuf {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    let images = IMAGES.get_or_init(|| {
        let built = Command::new(root().join("tests/boards")).args(["build", BOARD]).output();
        let built = built.expect("tests/boards can be run");
        let why = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "tests/boards build {BOARD}: {why}");
        root().join("target/boards/images")
    });
    match build {
        Build::Default => images.join(format!("{BOARD}.elf")),
        other => images.join(format!("{BOARD}-{}.elf", other.name())),
    }
}

/// Instructions that the core spends on a chunk, by size of the team: counted
/// by QEMU.
pub fn core_costs() -> Vec<(u32, u32)> {
    let image = image(Build::Default).with_file_name(format!("{BOARD}-core-cost.elf"));
    let ran = required("qemu-system-arm", "qemu-system-arm")
        .args(["-M", "mps2-an386", "-nographic", "-serial", "null", "-monitor", "none"])
        .args(["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(image)
        .stdin(Stdio::null())
        .output()
        .expect("QEMU can be started");
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}");
    let number = |word: Option<&str>| word?.parse().ok();
    let lines = text.lines().filter_map(|line| line.split_once("team of "));
    lines
        .filter_map(|(_, rest)| {
            let mut words = rest.split([' ', ':']).filter(|word| !word.is_empty());
            Some((number(words.next())?, number(words.next())?))
        })
        .collect()
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let status = BoardStatus::parse("3.002 no network: joins=1 received=42").expect("one");
        assert_eq!((status.at, &*status.state), (3.002, "no network"));
        assert_eq!((status.get("joins"), status.get("received")), (1, 42));
        for other in ["", "3.002 joined the team as number 4", "x playing: joins=1", "1 a: joins=b"]
        {
            assert_eq!(BoardStatus::parse(other), None, "{other}");
        }
    }
}

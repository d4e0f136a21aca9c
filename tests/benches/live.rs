//! What a live team costs: real processes of the real binary on loopback,
//! beside the bare cost of moving the same datagrams with the same calls.
//!
//! The bare team has the same sockets, the same paced source, the same number
//! of processes and the same routes (splitter to origin, origin to all
//! others), and nothing else: no tables, no buffer, no play-out. So the ratio
//! is what the protocol itself costs.
//!
//! Prints tables. Arguments: `--quick` tries fewer rates, for shorter.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use p2psp_core::{SplitterStorage, Storage};
use p2psp_tui::net::TeamSocket;
use serde_json::Value;

/// Peers besides the monitor.
const PEERS: usize = 5;
/// Length of a chunk, in bytes.
const CHUNK_BYTES: usize = 1024;
/// Length of a chunk with the protocol's header, in bytes.
const DATAGRAM_BYTES: usize = CHUNK_BYTES + 29;
/// How long a run lasts, and how much of it is the start, which is not counted.
const RUN: Duration = Duration::from_secs(8);
const START: Duration = Duration::from_secs(3);
/// How long the file lasts at the highest rate: a run, its start, and waits.
const FILE_SECONDS: u64 = 20;
/// `B` of a run, in chunks, as the reference was measured with.
const BUFFER_CHUNKS: usize = 4096;
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("bare-splitter") => return bare::splitter(&args[1..]),
        Some("bare-peer") => return bare::peer(),
        _ => {}
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    println!("machine: {}", machine());
    sizes();
    let binary = build();
    let folder = tempfile::tempdir().expect("a temporary folder");
    resident(&binary, folder.path());
    rates(&binary, folder.path(), quick);
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} x {}, Linux {}", cores, model.unwrap_or("unknown"), kernel.trim())
}

fn sizes() {
    println!("\nbytes of Storage (members, slots of 1 KiB)");
    println!("  peer  32,   48: {:>9}", size_of::<Storage<32, 48, CHUNK_BYTES>>());
    println!("  peer 128,  512: {:>9}", size_of::<Storage<128, 512, CHUNK_BYTES>>());
    println!("  peer 512, 4096: {:>9}", size_of::<Storage<512, 4096, CHUNK_BYTES>>());
    println!("  splitter  32:   {:>9}", size_of::<SplitterStorage<32, 128, CHUNK_BYTES>>());
    println!("  splitter 128:   {:>9}", size_of::<SplitterStorage<128, 1024, CHUNK_BYTES>>());
}

/// The release binary, built if need be.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "p2psp-tui"])
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the release binary builds");
    let own = std::env::current_exe().expect("a path");
    let target = own.ancestors().nth(3).expect("target/release/deps/live");
    target.join("release").join("p2psp-tui")
}

/// A process of the team under test.
struct Node {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    /// The last `stats` line of each node in it.
    stats: Arc<Mutex<HashMap<String, Value>>>,
}

impl Node {
    fn start(binary: &Path, args: &[&str]) -> Node {
        let mut child = Command::new(binary)
            .args(args)
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = std::sync::mpsc::channel();
        let stats: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let latest = Arc::clone(&stats);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("JSON");
                if line["event"] == "stats" {
                    let node = line["node"].as_str().expect("a name").to_owned();
                    latest.lock().expect("no panic").insert(node, line);
                } else if line["event"] != "lost" {
                    let _ = sender.send(line);
                }
            }
        });
        Node { child, lines, stats }
    }

    /// The next line, no `stats` or `lost`, for which `wanted` holds.
    fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("in time");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// The last `stats` line of the node whose name starts so.
    fn stats(&self, node: &str) -> Value {
        let stats = self.stats.lock().expect("no panic");
        let latest = stats.iter().filter(|(name, _)| name.starts_with(node));
        let time = |line: &Value| line["t"].as_f64().expect("a time");
        let latest = latest.map(|(_, line)| line).max_by(|a, b| time(a).total_cmp(&time(b)));
        latest.expect("one each second").clone()
    }

    fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time a process has used, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    // Nanoseconds of every thread; /proc/PID/stat has hundredths of a second.
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let spent = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() as f64 / 1e9
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a size")
}

/// Resident size of the nodes of a radio: 128 kbit/s, a player at each peer.
fn resident(binary: &Path, folder: &Path) {
    let file = long_file(folder, 2_000_000);
    let source = file.to_str().expect("a path");
    let splitter = Node::start(
        binary,
        &[
            "splitter",
            "--source",
            source,
            "--rate",
            "128",
            "--listen",
            "127.0.0.1:0",
            "--no-monitor",
        ],
    );
    let addr = address(&splitter);
    let peers: Vec<Node> = (0..PEERS)
        .map(|_| Node::start(binary, &["peer", &addr, "--player", "127.0.0.1:0"]))
        .collect();
    for peer in &peers {
        peer.wait(|line| line["event"] == "playing");
    }
    let sizes: Vec<u64> = peers.iter().map(|peer| resident_kib(peer.child.id())).collect();
    println!("\nresident size, 128 kbit/s, team of {PEERS}, latency 2 s");
    println!("  splitter: {} KiB", resident_kib(splitter.child.id()));
    println!("  peer:     {} to {} KiB", sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
}

fn address(splitter: &Node) -> String {
    let line = splitter.wait(|line| line["event"] == "listening");
    line["addr"].as_str().expect("an address").to_owned()
}

/// A file long enough for every run, in the page cache.
fn long_file(folder: &Path, bytes: u64) -> PathBuf {
    let path = folder.join("stream");
    let mut file = fs::File::create(&path).expect("a file");
    let written = std::io::copy(&mut std::io::repeat(0x5a).take(bytes), &mut file);
    assert_eq!(written.expect("room in the temporary folder"), bytes);
    path
}

/// What one run showed. CPU seconds per GB of the stream.
struct Run {
    /// Bytes of the stream a second that really went through.
    rate: f64,
    lost: u64,
    splitter_cpu: f64,
    peer_cpu: f64,
    team_cpu: f64,
}

fn rates(binary: &Path, folder: &Path, quick: bool) {
    let megabytes: &[usize] = if quick { &[12, 25, 50] } else { &[12, 25, 40, 60, 80, 100, 120] };
    println!("\nlive: splitter + monitor + {PEERS} peers, chunk {CHUNK_BYTES}, B {BUFFER_CHUNKS}");
    println!("CPU seconds per GB of stream: splitter (with its monitor), each peer, whole team;");
    println!("bare: the same datagrams with the same calls; ratio: team / bare team");
    println!("  MB/s  carried   lost  splitter   peer   team    bare  ratio");
    let fastest = *megabytes.last().expect("some") as u64;
    let file = long_file(folder, fastest * 1_000_000 * FILE_SECONDS);
    let mut best = 0;
    for &rate in megabytes {
        let run = live(binary, &file, rate);
        let bare = bare::run(rate);
        println!(
            "{rate:>6} {:>8.1} {:>6} {:>9.2} {:>6.2} {:>6.2} {:>7.2} {:>6.2}",
            run.rate / 1e6,
            run.lost,
            run.splitter_cpu,
            run.peer_cpu,
            run.team_cpu,
            bare,
            run.team_cpu / bare
        );
        if run.lost > 0 || run.rate < 0.97e6 * rate as f64 {
            break;
        }
        best = rate;
    }
    println!("highest rate without loss among these: {best} MB/s");
}

fn live(binary: &Path, file: &Path, megabytes: usize) -> Run {
    let (source, rate) = (file.to_str().expect("a path"), (megabytes * 8000).to_string());
    let buffer = BUFFER_CHUNKS.to_string();
    let splitter = Node::start(
        binary,
        &[
            "splitter",
            "--source",
            source,
            "--rate",
            &rate,
            "--listen",
            "127.0.0.1:0",
            "--buffer",
            &buffer,
        ],
    );
    let addr = address(&splitter);
    let peers: Vec<Node> =
        (0..PEERS).map(|_| Node::start(binary, &["peer", &addr, "--player", "none"])).collect();
    for peer in &peers {
        peer.wait(|line| line["event"] == "playing");
    }
    std::thread::sleep(START);
    let lost = |stats: &Value| stats["chunks_lost"].as_u64().expect("a count");
    let measure = || {
        let stats: Vec<Value> = peers.iter().map(|peer| peer.stats("P")).collect();
        let cpu: Vec<f64> = peers.iter().map(Node::cpu_seconds).collect();
        let source = splitter.stats("S");
        let bytes = source["bytes_out"].as_u64().expect("a count");
        let t = source["t"].as_f64().expect("a time");
        (stats.iter().map(lost).sum::<u64>(), cpu, splitter.cpu_seconds(), bytes, t)
    };
    let before = measure();
    std::thread::sleep(RUN - START);
    let after = measure();
    let gigabytes = (after.3 - before.3) as f64 / 1e9;
    let peers_cpu: f64 = after.1.iter().zip(&before.1).map(|(after, before)| after - before).sum();
    let splitter_cpu = after.2 - before.2;
    Run {
        rate: gigabytes * 1e9 / (after.4 - before.4),
        lost: after.0 - before.0,
        splitter_cpu: splitter_cpu / gigabytes,
        peer_cpu: peers_cpu / PEERS as f64 / gigabytes,
        team_cpu: (splitter_cpu + peers_cpu) / gigabytes,
    }
}

/// The same datagrams on the same routes, without the protocol.
mod bare {
    use super::*;

    /// CPU seconds of the whole team per GB of stream.
    pub fn run(megabytes: usize) -> f64 {
        let own = std::env::current_exe().expect("a path");
        let mut peers: Vec<Child> = (0..=PEERS)
            .map(|_| {
                Command::new(&own)
                    .arg("bare-peer")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("runs")
            })
            .collect();
        let ports: Vec<String> = peers
            .iter_mut()
            .map(|peer| {
                let mut line = String::new();
                BufReader::new(peer.stdout.take().expect("piped"))
                    .read_line(&mut line)
                    .expect("a port");
                line.trim().to_owned()
            })
            .collect();
        let mut splitter = Command::new(&own)
            .arg("bare-splitter")
            .arg((megabytes * 1_000_000).to_string())
            .args(&ports)
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(splitter.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("its port");
        for peer in &mut peers {
            let all = format!("{} {}\n", line.trim(), ports.join(" "));
            peer.stdin.as_mut().expect("piped").write_all(all.as_bytes()).expect("it reads");
        }
        let cpu = |splitter: &Child, peers: &[Child]| {
            cpu_seconds(splitter.id())
                + peers.iter().map(|peer| cpu_seconds(peer.id())).sum::<f64>()
        };
        let mut sent = || {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("a count each second");
            line.trim().parse::<u64>().expect("a count")
        };
        sent();
        let (bytes, before) = (sent(), cpu(&splitter, &peers));
        let mut end = bytes;
        for _ in 0..4 {
            end = sent();
        }
        let spent = cpu(&splitter, &peers) - before;
        for child in peers.iter_mut().chain([&mut splitter]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        spent / ((end - bytes) as f64 / 1e9)
    }

    /// Sends chunks round robin, paced and batched as the real one.
    pub fn splitter(args: &[String]) {
        let rate: f64 = args[0].parse().expect("a rate");
        let peers: Vec<SocketAddr> = args[1..].iter().map(|port| local(port)).collect();
        runtime().block_on(async {
            let mut socket = socket();
            let start = tokio::time::Instant::now();
            let (mut chunks, mut told) = (0u64, 0u64);
            // Pieces of 64 KiB, or of 20 ms if that is less.
            let piece = (rate * 0.02).min(65_536.0).max(CHUNK_BYTES as f64);
            let (mut pieces, mut bytes) = (0u64, 0.0);
            loop {
                pieces += 1;
                let due = Duration::from_secs_f64(pieces as f64 * piece / rate);
                tokio::time::sleep_until(start + due).await;
                bytes += piece;
                while (chunks as f64) < bytes / CHUNK_BYTES as f64 {
                    let to = peers[chunks as usize % peers.len()];
                    socket.outbox().push(to, |buf| {
                        buf[..DATAGRAM_BYTES].fill(chunks as u8);
                        Some(DATAGRAM_BYTES)
                    });
                    chunks += 1;
                }
                socket.flush().await;
                if start.elapsed().as_secs() > told {
                    told = start.elapsed().as_secs();
                    println!("{}", chunks * CHUNK_BYTES as u64);
                }
            }
        });
    }

    /// Sends what comes from the splitter to all others.
    pub fn peer() {
        runtime().block_on(async {
            let mut socket = socket();
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).expect("the team");
            let mut all = line.split_whitespace().map(local);
            let splitter = all.next().expect("the splitter first");
            let own = socket.local_addr().expect("bound");
            let others: Vec<SocketAddr> = all.filter(|addr| *addr != own).collect();
            loop {
                socket.readable().await.expect("goes on");
                loop {
                    let received = socket.receive(|from, datagram, outbox| {
                        if from != splitter {
                            return;
                        }
                        for to in &others {
                            outbox.push(*to, |buf| {
                                buf[..datagram.len()].copy_from_slice(datagram);
                                Some(datagram.len())
                            });
                        }
                    });
                    socket.flush().await;
                    if received == 0 {
                        break;
                    }
                }
            }
        });
    }

    /// A socket whose port it tells on standard output.
    fn socket() -> TeamSocket {
        let socket = TeamSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        println!("{}", socket.local_addr().expect("bound").port());
        socket
    }

    fn local(port: &str) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().expect("a port")))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts")
    }
}

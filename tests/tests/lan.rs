//! Teams on real networks of network namespaces: IMS on a LAN, mixed teams
//! across routers, networks that lose multicast or anything (PROTOCOL.md 9).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use p2psp_tests::netns::{Host, Switch, Traffic};
use p2psp_tests::program::is;
use p2psp_tests::wait::required;
use p2psp_tests::{Format, Icecast, Media, Network, PATIENCE, Program, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Bytes of a chunk.
const CHUNK: u64 = 1024;
/// Rate of the streams, in kbit/s.
const KBIT: u64 = 1200;
/// What a chunk's frame has besides: Ethernet, IP, UDP and the wire's own.
const HEADERS: u64 = 14 + 20 + 8 + 28;

/// A stream that is no media: bytes without a pattern, at a given rate.
struct Noise {
    folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Noise {
    fn seconds(seconds: u64, seed: u64) -> Noise {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("noise.bin");
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..KBIT * 125 * seconds)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        std::fs::write(&path, &bytes).expect("our own folder");
        Noise { folder, path, bytes }
    }

    /// Where peer number `n` writes to.
    fn out(&self, n: usize) -> String {
        let out = self.folder.path().join(format!("out{n}"));
        out.to_str().expect("plain").to_owned()
    }

    fn chunks(&self) -> u64 {
        (self.bytes.len() as u64).div_ceil(CHUNK)
    }
}

/// A splitter of `noise` on `host`; ready when it listens.
fn splitter(host: &Host, noise: &Noise, args: &[&str]) -> Program {
    let rate = KBIT.to_string();
    let source = noise.path.to_str().expect("plain");
    let mut all = vec!["splitter", "--source", source, "--rate", &rate, "--latency", "2"];
    all.push("--no-discovery");
    all.extend(args);
    let splitter = Program::start_in(host.wrapper(), &all);
    splitter.wait_event(PATIENCE, |line| is(line, "listening"));
    splitter
}

/// A peer on `host` that joins at once.
fn peer(host: &Host, splitter: &Host, args: &[&str]) -> Program {
    let port = args.iter().position(|arg| *arg == "--port").map_or("8001", |at| args[at + 1]);
    let at = match splitter.address {
        std::net::IpAddr::V4(ip) => format!("{ip}:{port}"),
        std::net::IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    };
    let mut all = vec!["peer", &at, "--player", "none"];
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if *arg == "--port" {
            rest.next();
        } else {
            all.push(arg);
        }
    }
    let peer = Program::start_in(host.wrapper(), &all);
    peer.wait_joined();
    peer
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// Plays a stream to its end: the summaries, the splitter's first.
fn to_the_end(splitter: &mut Program, peers: &mut [Program]) -> (Value, Vec<Value>) {
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    let summaries = peers.iter_mut().map(|peer| {
        assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
        peer.summary(&peer.node())
    });
    let summaries = summaries.collect();
    (splitter.summary("S"), summaries)
}

/// All chunks from the first that it played on were played.
#[track_caller]
fn played_everything(noise: &Noise, peer: &Program) {
    let first = peer.wait_event(PATIENCE, |line| is(line, "playing"));
    let summary = peer.summary(&peer.node());
    assert_eq!(number(&summary, "chunks_lost"), 0, "{}", peer.report());
    let due = noise.chunks() - number(&first, "first");
    assert_eq!(number(&summary, "chunks_played"), due, "{summary}");
}

/// What a peer has written is the source, byte for byte, from the first chunk
/// that it played on, without those that it says it lost, and nothing else.
#[track_caller]
fn wrote_all_but_the_lost(noise: &Noise, peer: &Program, out: &Path) {
    let playing = peer.wait_event(PATIENCE, |line| is(line, "playing"));
    let first = number(&playing, "first") as usize;
    let summary = peer.summary(&peer.node());
    let counted = number(&summary, "chunks_played") + number(&summary, "chunks_lost");
    let lost = peer.lost();
    let chunks = noise.bytes.chunks(CHUNK as usize).enumerate().skip(first);
    let due: Vec<u8> = chunks
        .take(counted as usize)
        .filter(|(chunk, _)| !lost.contains(&(*chunk as u32)))
        .flat_map(|(_, bytes)| bytes.iter().copied())
        .collect();
    let written = std::fs::read(out).expect("--out writes the file");
    assert!(!written.is_empty() && written == due, "{} bytes, {summary}", written.len());
}

/// 9.1, 9.2: a LAN whose splitter is elsewhere carries each chunk twice, to
/// its origin and to the group, however many listen.
#[test]
fn each_chunk_crosses_the_lan_twice() {
    let mut net = Network::new();
    let (lan, wan) = (net.switch("lan"), net.switch("wan"));
    net.router("router", &[(&lan, "10.0.1.1/24"), (&wan, "10.0.2.1/24")]);
    let source = net.host("source", &wan, "10.0.2.2/24", Some("10.0.2.1"));
    let hosts: Vec<Host> = (0..6)
        .map(|n| {
            let address = format!("10.0.1.{}/24", 11 + n);
            net.host(&format!("peer{n}"), &lan, &address, Some("10.0.1.1"))
        })
        .collect();
    let noise = Noise::seconds(8, 1);
    let mut splitter = splitter(&source, &noise, &["--no-monitor"]);
    let start = Instant::now();
    let mut peers: Vec<Program> = hosts.iter().map(|host| peer(host, &source, &[])).collect();
    let (sent, summaries) = to_the_end(&mut splitter, &mut peers);
    let seconds = start.elapsed().as_secs() + 1;
    let chunks = number(&sent, "chunks_sent");
    assert_eq!(chunks, noise.chunks());
    for peer in &peers {
        played_everything(&noise, peer);
    }
    // To the group once, but for the first, before the second peer came.
    let multicast: u64 = summaries.iter().map(|summary| number(summary, "chunks_sent")).sum();
    assert!(multicast <= chunks && multicast * 10 >= chunks * 8, "{multicast} of {chunks}");
    let traffic = lan.traffic();
    let data = chunks + multicast;
    // Joining and leaving; hellos and their answers.
    let control = 6 * (60 + 5 * seconds) + 100;
    println!("{chunks} chunks, {multicast} multicast, {traffic:?}, {seconds} s");
    assert!((data..data + control).contains(&traffic.frames), "{traffic:?}, {data} of data");
    let bytes = data * (CHUNK + HEADERS);
    assert!((bytes * 99 / 100..bytes + control * 150).contains(&traffic.bytes), "{traffic:?}");
}

/// 9.3: two LANs and two lone peers, with routers between them, are one team.
#[test]
fn a_mixed_team_plays_everything() {
    let mut net = Network::new();
    let switches: Vec<_> = (1..=5).map(|n| net.switch(&format!("lan{n}"))).collect();
    let gateways: Vec<String> = (1..=5).map(|n| format!("10.0.{n}.1")).collect();
    let legs: Vec<String> = gateways.iter().map(|gateway| format!("{gateway}/24")).collect();
    let legs: Vec<_> = switches.iter().zip(legs.iter().map(String::as_str)).collect();
    net.router("router", &legs);
    let mut host = |lan: usize, n: usize| {
        let (name, address) = (format!("host{lan}-{n}"), format!("10.0.{lan}.{}/24", 10 + n));
        net.host(&name, &switches[lan - 1], &address, Some(&gateways[lan - 1]))
    };
    let source = host(5, 0);
    let hosts: Vec<Host> = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1)]
        .iter()
        .map(|(lan, n)| host(*lan, *n))
        .collect();
    let noise = Noise::seconds(8, 2);
    let mut splitter = splitter(&source, &noise, &[]);
    let join = |(n, host): (usize, &Host)| peer(host, &source, &["--out", &noise.out(n)]);
    let mut peers: Vec<Program> = hosts.iter().enumerate().map(join).collect();
    let (_, summaries) = to_the_end(&mut splitter, &mut peers);
    for (n, peer) in peers.iter().enumerate() {
        played_everything(&noise, peer);
        wrote_all_but_the_lost(&noise, peer, Path::new(&noise.out(n)));
    }
    assert_eq!(splitter.lost(), [0; 0], "the monitor");
    // A chunk of the first LAN: once to the group, and six times to the other
    // peers and the monitor. By DBS it would be eight times.
    let sent: u64 = summaries.iter().map(|summary| number(summary, "chunks_sent")).sum();
    let by_dbs = noise.chunks() * 8 * 8 / 9;
    println!("{sent} transmissions, {by_dbs} by DBS");
    assert!(sent * 10 < by_dbs * 9, "{sent} transmissions; {by_dbs} by DBS");
}

/// Where the group does not arrive (9): the neighbours serve by unicast, the
/// others go on, and all is as before when it arrives again.
#[test]
fn one_whose_multicast_does_not_arrive_is_served_by_unicast() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let source = net.host("source", &lan, "10.0.1.1/24", None);
    let hosts: Vec<Host> = (0..4)
        .map(|n| net.host(&format!("peer{n}"), &lan, &format!("10.0.1.{}/24", 11 + n), None))
        .collect();
    let noise = Noise::seconds(60, 3);
    let mut splitter = splitter(&source, &noise, &["--no-monitor"]);
    let mut peers: Vec<Program> = hosts.iter().map(|host| peer(host, &source, &[])).collect();
    for peer in &peers {
        peer.wait_event(PATIENCE, |line| is(line, "playing"));
    }
    let transmissions = |peers: &[Program]| -> u64 {
        let sent =
            |peer: &Program| peer.stats(&peer.node()).map(|line| number(&line, "chunks_sent"));
        peers.iter().filter_map(sent).sum()
    };
    let played =
        |peer: &Program| peer.stats(&peer.node()).map_or(0, |line| number(&line, "chunks_played"));
    let (victim_host, victim) = (&hosts[3], 3);
    victim_host.lose_multicast();
    let cut = Instant::now();
    let silent = |line: &Value| is(line, "multicast") && line["state"] == "silent";
    let wait = |count: usize, state: &str| {
        let all = wait_until(PATIENCE, || {
            let events = peers[victim].events_of("multicast");
            events.iter().filter(|line| line["state"] == state).count() >= count
        });
        assert!(all, "{}", peers[victim].report());
    };
    wait(3, "silent");
    let records = peers[victim].records();
    let last = records.iter().rfind(|record| silent(&record.value));
    let noticed = last.expect("waited for").at - cut;
    println!("served by unicast {:.1} s after the multicast was lost", noticed.as_secs_f64());
    // Four seconds of silence, and up to one more until it is looked at.
    assert!(noticed < Duration::from_secs(15), "{noticed:?}");
    let addr = peers[victim].wait_event(PATIENCE, silent)["addr"].to_string();
    assert!(addr.contains("10.0.1.1"), "{addr}");

    // From then on nothing is lost, once what was on its way is through.
    let settled = played(&peers[victim]) + 400;
    assert!(wait_until(PATIENCE, || played(&peers[victim]) > settled));
    let lost = peers[victim].lost().len();
    assert!(lost > 0, "it was without for seconds");
    let (before, sent) = (played(&peers[0]), transmissions(&peers));
    assert!(wait_until(PATIENCE, || played(&peers[victim]) > settled + 500));
    let (after, more) = (played(&peers[0]), transmissions(&peers));
    assert_eq!(peers[victim].lost().len(), lost, "{}", peers[victim].report());
    // Twice for three of four chunks: to the group and to the victim.
    let each = (more - sent) as f64 / (after - before) as f64;
    println!("{each:.2} transmissions a chunk while it is served by unicast");
    assert!((1.4..2.1).contains(&each), "{each}");

    victim_host.lose_nothing();
    wait(3, "back");
    let settled = played(&peers[victim]) + 400;
    assert!(wait_until(PATIENCE, || played(&peers[victim]) > settled));
    let (before, sent) = (played(&peers[0]), transmissions(&peers));
    assert!(wait_until(PATIENCE, || played(&peers[victim]) > settled + 500));
    let (after, more) = (played(&peers[0]), transmissions(&peers));
    let each = (more - sent) as f64 / (after - before) as f64;
    println!("{each:.2} transmissions a chunk when the multicast is back");
    assert!(each < 1.2, "{each}");
    for (index, peer) in peers.iter_mut().enumerate() {
        if index != victim {
            assert_eq!(peer.lost(), [0; 0], "{}", peer.report());
            assert_eq!(peer.events_of("multicast").len(), 0, "{}", peer.report());
        }
        assert_eq!(peer.end(), 0);
    }
    assert_eq!(splitter.end(), 0);
}

/// Losses on one host: the team plays on, nobody is expelled, and what was
/// lost is counted.
#[test]
fn random_losses_are_counted_right() {
    for percent in [2, 5, 10] {
        let mut net = Network::new();
        let lan = net.switch("lan");
        let source = net.host("source", &lan, "10.0.1.1/24", None);
        let hosts: Vec<Host> = (0..4)
            .map(|n| net.host(&format!("peer{n}"), &lan, &format!("10.0.1.{}/24", 11 + n), None))
            .collect();
        hosts[0].lose(f64::from(percent) / 100.0);
        let noise = Noise::seconds(10, 4);
        let mut splitter = splitter(&source, &noise, &[]);
        let join = |(n, host): (usize, &Host)| peer(host, &source, &["--out", &noise.out(n)]);
        let mut peers: Vec<Program> = hosts.iter().enumerate().map(join).collect();
        let (_, summaries) = to_the_end(&mut splitter, &mut peers);
        let mut ratios = Vec::new();
        for (n, (peer, summary)) in peers.iter().zip(&summaries).enumerate() {
            wrote_all_but_the_lost(&noise, peer, Path::new(&noise.out(n)));
            let (played, lost) = (number(summary, "chunks_played"), number(summary, "chunks_lost"));
            assert_eq!(peer.lost().len() as u64, lost, "events and summary agree");
            let first = peer.wait_event(PATIENCE, |line| is(line, "playing"));
            let due = noise.chunks() - number(&first, "first");
            // The tail may be among what is lost.
            assert!((due - 20..=due).contains(&(played + lost)), "{summary}, {due} due");
            ratios.push(100.0 * lost as f64 / due as f64);
            assert_eq!(
                peer.events_of("left").iter().filter(|line| line["reason"] == "losses").count(),
                0
            );
        }
        println!("{percent} %: {ratios:.1?} % lost");
        let percent = f64::from(percent);
        assert!((percent * 0.4..percent * 1.8 + 1.0).contains(&ratios[0]), "{ratios:?}");
        // The others miss what was lost on its way to its origin: a fifth.
        assert!(ratios[1..].iter().all(|ratio| *ratio < percent * 0.6 + 0.5), "{ratios:?}");
        let expelled = splitter.events_of("left").iter().any(|line| line["reason"] == "losses");
        assert!(!expelled, "{}", splitter.report());
    }
}

/// 9.4: two teams share a LAN and a group, and nothing leaks.
#[test]
fn two_teams_share_a_group() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let source = net.host("source", &lan, "10.0.1.1/24", None);
    let hosts: Vec<Host> = (0..4)
        .map(|n| net.host(&format!("peer{n}"), &lan, &format!("10.0.1.{}/24", 11 + n), None))
        .collect();
    let noises = [Noise::seconds(8, 5), Noise::seconds(8, 6)];
    let ports = ["8001", "8002"];
    let mut splitters: Vec<Program> = noises
        .iter()
        .zip(ports)
        .map(|(noise, port)| splitter(&source, noise, &["--listen", &format!("0.0.0.0:{port}")]))
        .collect();
    let mut teams: Vec<Vec<Program>> = (0..2)
        .map(|team| {
            let member = |n: usize| {
                let out = noises[team].folder.path().join(format!("out{n}"));
                let out = out.to_str().expect("plain").to_owned();
                peer(&hosts[2 * team + n], &source, &["--port", ports[team], "--out", &out])
            };
            vec![member(0), member(1)]
        })
        .collect();
    for team in 0..2 {
        let noise = &noises[team];
        let (_, summaries) = to_the_end(&mut splitters[team], &mut teams[team]);
        for (n, (peer, summary)) in teams[team].iter().zip(summaries).enumerate() {
            played_everything(noise, peer);
            let written = std::fs::read(noise.folder.path().join(format!("out{n}"))).unwrap();
            assert!(!written.is_empty() && noise.bytes.ends_with(&written), "its own stream");
            // What the other team said to the group was heard, and dropped.
            assert!(number(&summary, "rejected") > 100, "{summary}");
        }
    }
}

/// 9.5: several peers on one host hear the group, and each other.
#[test]
fn three_peers_on_one_host() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let source = net.host("source", &lan, "10.0.1.1/24", None);
    let host = net.host("three", &lan, "10.0.1.11/24", None);
    let other = net.host("one", &lan, "10.0.1.12/24", None);
    let noise = Noise::seconds(8, 7);
    let mut splitter = splitter(&source, &noise, &["--no-monitor"]);
    let hosts = [&host, &host, &host, &other];
    let join = |(n, host): (usize, &&Host)| peer(host, &source, &["--out", &noise.out(n)]);
    let mut peers: Vec<Program> = hosts.iter().enumerate().map(join).collect();
    let (_, summaries) = to_the_end(&mut splitter, &mut peers);
    for (n, peer) in peers.iter().enumerate() {
        played_everything(&noise, peer);
        wrote_all_but_the_lost(&noise, peer, Path::new(&noise.out(n)));
        assert_eq!(peer.events_of("multicast").len(), 0);
    }
    let multicast: u64 = summaries.iter().map(|summary| number(summary, "chunks_sent")).sum();
    assert!(multicast <= noise.chunks(), "once to the group: {multicast}");
}

/// IPv6, with the group of the link.
#[test]
fn a_team_on_ipv6() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let source = net.host("source", &lan, "fd00:1::1/64", None);
    let hosts: Vec<Host> = (0..3)
        .map(|n| net.host(&format!("peer{n}"), &lan, &format!("fd00:1::1{n}/64"), None))
        .collect();
    let noise = Noise::seconds(8, 8);
    let mut splitter = splitter(&source, &noise, &["--listen", "[::]:8001", "--no-monitor"]);
    let args = ["--bind", "[::]:0", "--rules", "ims"];
    let mut peers: Vec<Program> = hosts.iter().map(|host| peer(host, &source, &args)).collect();
    let (_, summaries) = to_the_end(&mut splitter, &mut peers);
    for peer in &peers {
        played_everything(&noise, peer);
    }
    let multicast: u64 = summaries.iter().map(|summary| number(summary, "chunks_sent")).sum();
    assert!(multicast <= noise.chunks(), "once to the group: {multicast}");
}

/// How many times the stream's bytes the LAN carries, with so many listeners
/// and the source on the LAN: all frames that enter the switch, with their
/// Ethernet headers.
struct Crossing {
    net: Network,
    lan: Switch,
    source: Host,
    hosts: Vec<Host>,
}

/// How long it is measured.
const WINDOW: Duration = Duration::from_secs(8);

impl Crossing {
    fn new(listeners: usize) -> Crossing {
        let mut net = Network::new();
        let lan = net.switch("lan");
        let source = net.host("source", &lan, "10.0.1.1/24", None);
        let host = |n: usize| format!("10.0.1.{}/24", 11 + n);
        let hosts =
            (0..listeners).map(|n| net.host(&format!("host{n}"), &lan, &host(n), None)).collect();
        Crossing { net, lan, source, hosts }
    }

    /// A team of a splitter with its monitor and these listeners.
    fn of_team(&self, file: &Path, rules: &str, chunk_size: &str) -> f64 {
        let file = file.to_str().expect("plain");
        let args = ["splitter", "--source", file, "--chunk-size", chunk_size, "--no-discovery"];
        let splitter = [&args[..], &["--rules", rules]].concat();
        let splitter = Program::start_in(self.source.wrapper(), &splitter);
        splitter.wait_event(PATIENCE, |line| is(line, "listening"));
        let args = ["--rules", rules];
        let peers: Vec<Program> =
            self.hosts.iter().map(|host| peer(host, &self.source, &args)).collect();
        for peer in &peers {
            peer.wait_event(PATIENCE, |line| is(line, "playing"));
        }
        let stats = |line: &Value| is(line, "stats") && line["node"] == "S";
        let look = || {
            let line = splitter.wait_event_after(splitter.mark(), PATIENCE, stats);
            (self.lan.traffic(), number(&line, "bytes_in"))
        };
        let (before, from) = look();
        let start = Instant::now();
        let (mut after, mut to) = look();
        while start.elapsed() < WINDOW {
            (after, to) = look();
        }
        for peer in &peers {
            assert_eq!(peer.lost(), [0; 0], "{}", peer.report());
        }
        after.since(before).bytes as f64 / (to - from) as f64
    }

    /// An Icecast with the same listeners.
    fn of_icecast(&self, file: &Path) -> f64 {
        let icecast = Icecast::start_on(&self.source);
        let _feed = icecast.mount_source_on(&self.source, "/x", Format::Wav, file);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = |n: usize| folder.path().join(n.to_string());
        // Tries until the mount is there.
        let listen = "while true; do exec 3<>/dev/tcp/10.0.1.1/8000 && \
                      printf 'GET /x HTTP/1.0\r\n\r\n' >&3 && cat <&3 > \"$0\"; sleep 0.2; done \
                      2>/dev/null";
        let listeners: Vec<Listener> = (0..self.hosts.len())
            .map(|n| {
                let mut command = self.hosts[n].command("bash");
                command.args(["-c", listen]).arg(out(n)).process_group(0);
                Listener(command.spawn().expect("ip can be executed"))
            })
            .collect();
        let length = |n: usize| std::fs::metadata(out(n)).map_or(0, |metadata| metadata.len());
        let all = || (0..listeners.len()).map(length).sum::<u64>();
        // Past what it sends at once.
        let steady = wait_until(PATIENCE, || (0..listeners.len()).all(|n| length(n) > 600_000));
        assert!(steady, "{}", icecast.log());
        let (before, from) = (self.lan.traffic(), all());
        std::thread::sleep(WINDOW);
        let (after, to) = (self.lan.traffic(), all());
        let stream = (to - from) as f64 / listeners.len() as f64;
        after.since(before).bytes as f64 / stream
    }
}

/// A listener that is no program of ours; dropping it ends it.
struct Listener(std::process::Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

/// Sound of 1536 kbit/s, as CDs have it, for so many seconds.
fn sound(seconds: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sound.wav");
    let made = required("ffmpeg", "ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "anoisesrc=r=48000:seed=1"])
        .args(["-ac", "2", "-c:a", "pcm_s16le", "-t", &seconds.to_string()])
        .arg(&path)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "ffmpeg makes no sound");
    (folder, path)
}

/// The LAN carries the stream at most 2.1 times, headers and all.
#[test]
fn ims_is_flat() {
    let (_folder, file) = sound(60);
    for listeners in [2, 12] {
        let ratio = Crossing::new(listeners).of_team(&file, "ims", "1400");
        println!("{listeners} listeners: {ratio:.2} times the stream");
        assert!((1.2..=2.1).contains(&ratio), "{listeners} listeners: {ratio}");
    }
}

/// The table of the README.
#[test]
#[ignore = "a measurement that takes minutes"]
fn table() {
    let (_folder, file) = sound(90);
    let radio = Media::make(Format::Mp3, 90);
    println!("| listeners | IMS | chunks of 1024 | radio of 128 kbit/s | DBS | Icecast |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for listeners in [2, 5, 10, 20] {
        let crossing = Crossing::new(listeners);
        let ims = crossing.of_team(&file, "ims", "1400");
        let default = crossing.of_team(&file, "ims", "1024");
        let slow = crossing.of_team(radio.path(), "ims", "1400");
        let dbs = crossing.of_team(&file, "dbs", "1400");
        let icecast = crossing.of_icecast(&file);
        println!("| {listeners} | {ims:.2} | {default:.2} | {slow:.2} | {dbs:.2} | {icecast:.2} |");
        assert!(ims <= 2.1, "{listeners} listeners: {ims}");
        drop(crossing.net);
    }
}

/// What a network has to be for all this: a switch counts what enters it.
#[test]
fn a_network_counts_and_goes() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let one = net.host("one", &lan, "10.0.1.1/24", None);
    let two = net.host("two", &lan, "10.0.1.2/24", None);
    let before = lan.traffic();
    let send = "for n in 1 2 3; do head -c 1000 /dev/zero > /dev/udp/10.0.1.2/9; done";
    let sent = one.command("bash").args(["-c", send]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let enough = || lan.traffic().since(before).bytes >= 3 * 1042;
    assert!(wait_until(PATIENCE, enough), "{:?}", lan.traffic().since(before));
    // Addresses are asked for, neighbours found, answers say that nobody hears.
    let Traffic { frames, bytes } = lan.traffic().since(before);
    assert!((5..30).contains(&frames) && bytes < 3 * 1042 + 3000, "{frames} {bytes}");
    let (name, namespaces) = (net.name().to_owned(), std::path::Path::new("/run/netns"));
    let mine = || {
        let all = std::fs::read_dir(namespaces).expect("a folder").flatten();
        all.filter(|one| one.file_name().to_string_lossy().starts_with(&name)).count()
    };
    assert_eq!(mine(), 3);
    drop((one, two));
    drop(net);
    assert_eq!(mine(), 0);
}

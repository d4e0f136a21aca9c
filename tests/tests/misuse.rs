//! What goes wrong before anything runs: each ends with its exit code and one
//! line on standard error that says what to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use p2psp_core::wire::{self, FRAME_LENGTH_BYTES, MAX_FRAME_BYTES, Message, Refusal};
use p2psp_core::{Reject, Role, Rules, TeamId};
use p2psp_tests::{PATIENCE, Program};

/// Runs it to its end; exit code and one line are as expected.
#[track_caller]
fn fails(args: &[&str], says: &[&str]) {
    let mut program = Program::start(args);
    let code = program.wait_exit(PATIENCE);
    let stderr = program.stderr();
    assert_eq!(code, 1, "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.starts_with("p2psp-tui: "), "{args:?}: {stderr}");
    for part in says {
        assert!(stderr.contains(part), "{args:?} does not say {part:?}: {stderr}");
    }
}

/// Bad usage: exit code 2, and what is wrong.
#[track_caller]
fn is_bad_usage(args: &[&str], says: &str) {
    let mut program = Program::start(args);
    let code = program.wait_exit(PATIENCE);
    let stderr = program.stderr();
    assert_eq!(code, 2, "{args:?}: {stderr}");
    assert!(stderr.contains(says), "{args:?} does not say {says:?}: {stderr}");
    assert_eq!(program.events().len(), 0, "{args:?}: nothing on standard output");
}

fn splitter(source: &str) -> [&str; 5] {
    ["splitter", "--listen", "127.0.0.1:0", "--source", source]
}

/// A port at which nobody listens, for the moment.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that says `answer` to everybody and then waits until they go.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let _ = stream.write_all(answer);
                let mut rest = [0; 1024];
                while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
            });
        }
    });
    addr
}

#[test]
fn bad_sources() {
    fails(
        &splitter("http://no-such-host.invalid:8000/x"),
        &["no-such-host.invalid", "check the name"],
    );
    let nobody = free_port();
    let url = format!("http://{nobody}/x");
    fails(&splitter(&url), &[&nobody.to_string(), "refuses the connection", "check the port"]);
    let missing = server(b"HTTP/1.0 404 File Not Found\r\nContent-Type: text/html\r\n\r\n");
    let url = format!("http://{missing}/gone.mp3");
    fails(&splitter(&url), &["/gone.mp3", "404", "check the mount's name"]);
    let page = server(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>");
    fails(&splitter(&format!("http://{page}/")), &["text/html", "the stream itself"]);
    let no_http = server(b"220 mail.example ESMTP\r\n");
    fails(&splitter(&format!("http://{no_http}/")), &["does not answer in HTTP", "check the port"]);

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty.mp3"), b"").unwrap();
    fails(&splitter(&path("empty.mp3")), &["nothing in it", "check"]);
    fails(&splitter(&path("missing.mp3")), &["no file", "missing.mp3", "check the path"]);
    fails(&splitter(folder.path().to_str().unwrap()), &["none of the files", "no sound"]);
}

/// 3.5: while a source can't be had, joiners are asked to try again; when it
/// is given up, both say so.
#[test]
fn a_source_that_sends_nothing() {
    let silent = server(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n");
    let listen = free_port();
    let (text, url) = (listen.to_string(), format!("http://{silent}/"));
    let mut splitter = Program::start(&["splitter", "--listen", &text, "--source", &url]);
    let refused = p2psp_tests::wait_for(PATIENCE, || join(listen, wire::VERSION));
    assert_eq!(refused, Some(Refusal::NoStreamYet));
    assert_eq!(splitter.wait_exit(PATIENCE), 1);
    let stderr = splitter.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("nothing came") && stderr.contains("check that"), "{stderr}");
}

#[test]
fn addresses_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let args = ["splitter", "--source", "music", "--listen", &at];
    fails(&args, &[&at, "in use", "--listen"]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_at = udp.local_addr().unwrap().to_string();
    let args = ["splitter", "--source", "music", "--listen", &udp_at];
    fails(&args, &[&udp_at, "in use", "--listen"]);
    fails(&["peer", "127.0.0.1:1", "--player", &at], &[&at, "in use", "--player"]);
    let args = ["peer", "127.0.0.1:1", "--player", "none", "--bind", &udp_at];
    fails(&args, &[&udp_at, "--bind"]);
    fails(&["splitter", "--source", "music", "--listen", "192.0.2.7:8001"], &["--listen"]);
}

#[test]
fn bad_usage() {
    for chunk_size in ["0", "15", "1401", "many"] {
        is_bad_usage(
            &["splitter", "--source", "music", "--chunk-size", chunk_size],
            "--chunk-size",
        );
    }
    for buffer in ["0", "32769", "x"] {
        is_bad_usage(&["splitter", "--source", "music", "--buffer", buffer], "--buffer");
    }
    for (flag, value) in [
        ("--latency", "0"),
        ("--latency", "601"),
        ("--latency", "NaN"),
        ("--max-team", "0"),
        ("--max-team", "4097"),
        ("--rate", "0"),
        ("--listen", "8001"),
    ] {
        is_bad_usage(&["splitter", "--source", "music", flag, value], flag);
    }
    is_bad_usage(&["splitter", "--source", "https://example.org/x"], "https:// is not supported");
    is_bad_usage(&["splitter", "--source", "rtsp://example.org/x"], "rtsp:// is not supported");
    is_bad_usage(&["splitter", "--source", "http://"], "no address");
    is_bad_usage(&["splitter", "--source", ""], "no source");
    is_bad_usage(&["splitter"], "--source");
    is_bad_usage(&["splitter", "--source", "music", "--bogus"], "--bogus");
    is_bad_usage(&["peer", "127.0.0.1", "--player", "9999"], "127.0.0.1:9999");
    is_bad_usage(&["peer", "127.0.0.1", "--out", "-"], "standard output");
    is_bad_usage(&["dance"], "dance");
}

#[test]
fn what_a_peer_finds_where_it_looks_for_its_splitter() {
    let peer = |splitter: &str, says: &[&str]| {
        fails(&["peer", splitter, "--player", "none"], says);
    };
    peer("no-such-host.invalid:8001", &["no-such-host.invalid", "check the name"]);
    peer("no-such-host.invalid", &["no-such-host.invalid", "check the name"]);
    peer("host:port", &["host:port", "10.0.0.7:8001"]);
    let nobody = free_port().to_string();
    peer(&nobody, &[&nobody, "start the splitter there, or check the port"]);
    let web = server(b"HTTP/1.0 400 Bad Request\r\n\r\n").to_string();
    peer(&web, &[&web, "check the port"]);
    let next_version = server(&[3, 0, wire::VERSION + 1, 0, 0]).to_string();
    peer(&next_version, &[&next_version, "does not speak this version", "use the same release"]);
    let empty_frame = server(&[0, 0]).to_string();
    peer(&empty_frame, &[&empty_frame, "check the port"]);
    let nonsense = server(&[3, 0, wire::VERSION, 0, 0]).to_string();
    peer(&nonsense, &[&nonsense, "does not answer as a splitter should", "check the port"]);
    let mute = server(b"").to_string();
    peer(&mute, &[&mute, "does not answer as a splitter", "check the port"]);
}

/// Asks the splitter at `addr` to join in a version of the protocol; why it
/// says no, if it says so. `None` if nobody is there.
fn join(addr: SocketAddr, version: u8) -> Option<Refusal> {
    let mut stream = TcpStream::connect(addr).ok()?;
    let mut buffer = [0; FRAME_LENGTH_BYTES + MAX_FRAME_BYTES];
    let message = Message::Join { port: 9, role: Role::Peer, rules: Rules::Dbs, password: &[] };
    let len = wire::frame(TeamId(0), message, &mut buffer).expect("fits");
    buffer[FRAME_LENGTH_BYTES] = version;
    stream.write_all(&buffer[..len]).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and an end");
    let (frame, rest) = wire::deframe(&answer).expect("legal").expect("whole");
    let envelope = wire::decode(frame).expect("legal");
    match envelope.message {
        Message::Refused(refusal) if rest.is_empty() => Some(refusal),
        other => panic!("not refused: {other:?}"),
    }
}

/// 3.5: a wrong version, nonsense, a full team, a monitor without the key:
/// refused with a reason, while the team plays on.
#[test]
fn refusals_of_a_splitter() {
    let args = ["--source", "music", "--max-team", "2", "--monitor-key", "right"];
    let mut splitter = Program::splitter(&args);
    let at = splitter.addr();
    assert_eq!(join(at, wire::VERSION + 1), Some(Refusal::Version));
    assert_eq!(join(at, 0), Some(Refusal::Version));

    let mut stream = TcpStream::connect(at).unwrap();
    let mut buffer = [0; 64];
    let len = wire::frame(TeamId(0), Message::Admitted, &mut buffer).unwrap();
    stream.write_all(&buffer[..len]).unwrap();
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap();
    let (frame, _) = wire::deframe(&answer[..read]).unwrap().expect("whole");
    let message = wire::decode(frame).map(|envelope| envelope.message);
    assert_eq!(message, Ok::<_, Reject>(Message::Refused(Refusal::BadRequest)));
    drop(stream);

    let text = at.to_string();
    let wrong = ["monitor", &text, "--player", "none", "--key", "wrong"];
    fails(&wrong, &[&text, "refuses", "--key"]);
    let keyless = ["monitor", &text, "--player", "none"];
    fails(&keyless, &[&text, "refuses", "--key"]);

    // The splitter's monitor and one peer: full.
    let peer = Program::peer(at, &[]);
    let node = peer.node();
    peer.wait_event(PATIENCE, |line| line["event"] == "playing");
    fails(&["peer", &text, "--player", "none"], &[&text, "the team is full", "--max-team"]);
    assert_eq!(join(at, wire::VERSION), Some(Refusal::TeamFull));
    let warning = |line: &serde_json::Value| {
        line["event"] == "warning" && line["message"].to_string().contains("--max-team 2")
    };
    splitter.wait_event(PATIENCE, warning);
    let played = |peer: &Program| {
        peer.stats(&node).and_then(|stats| stats["chunks_played"].as_u64()).unwrap_or(0)
    };
    let before = played(&peer);
    let goes_on = p2psp_tests::wait_until(PATIENCE, || played(&peer) > before + 20);
    assert!(goes_on, "{}", peer.report());
    assert_eq!((peer.lost(), splitter.lost()), (vec![], vec![]));
    assert_eq!(splitter.events_of("left").len(), 0);
    drop(peer);
    assert_eq!(splitter.end(), 0);
}

//! Players over real loopback sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::http::serve_at_most;
use super::{Hub, Stream, bind};
use crate::media::Format;

const DEADLINE: Duration = Duration::from_secs(20);
const GET: &str = "GET /stream HTTP/1.1\r\nHost: here\r\n\r\n";

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

/// Lets the others work until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn served(ring_bytes: usize) -> (Hub, SocketAddr) {
    served_to(ring_bytes, super::MAX_PLAYERS).await
}

async fn served_to(ring_bytes: usize, max_players: usize) -> (Hub, SocketAddr) {
    let hub = Hub::new(ring_bytes);
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve_at_most(listener, hub.clone(), max_players));
    (hub, addr)
}

fn start(hub: &Hub, format: Format, header: &[u8]) {
    let stream = Stream {
        content_type: format!("audio/x-{format:?}"),
        format,
        header: header.to_vec(),
        name: Some("A station".to_owned()),
    };
    hub.start(stream, 0);
}

async fn ask(addr: SocketAddr, request: &str) -> TcpStream {
    let mut stream = in_time(TcpStream::connect(addr)).await.unwrap();
    in_time(stream.write_all(request.as_bytes())).await.unwrap();
    stream
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    in_time(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    in_time(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// A player that has got the headers of its answer.
async fn player(addr: SocketAddr) -> TcpStream {
    let mut stream = ask(addr, GET).await;
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    stream
}

/// The whole answer to a request that gets no stream.
async fn answer(addr: SocketAddr, request: &str) -> String {
    let mut stream = ask(addr, request).await;
    String::from_utf8(rest(&mut stream).await).unwrap()
}

/// Bytes that no other place of the stream looks like.
fn chunk(number: u32) -> Vec<u8> {
    let bytes = (0..256).flat_map(|word| (number * 256 + word).to_be_bytes());
    bytes.collect()
}

#[tokio::test]
async fn players_that_start_at_different_times_get_the_same_bytes() {
    let (hub, addr) = served(1 << 20).await;
    start(&hub, Format::Unknown, b"");
    let mut played = Vec::new();
    let mut players = Vec::new();
    for number in 0..300 {
        if number % 100 == 0 {
            // 64 KiB before it at most, from a chunk's beginning.
            players.push((player(addr).await, played.len().saturating_sub(64 * 1024)));
            let (stream, from) = players.last_mut().unwrap();
            if number > 0 {
                assert_eq!(exactly(stream, 4).await, played[*from..*from + 4]);
                *from += 4;
            }
        }
        hub.write(&chunk(number));
        played.extend_from_slice(&chunk(number));
    }
    hub.end();
    for (mut stream, from) in players {
        assert!(rest(&mut stream).await == played[from..]);
    }
    in_time(hub.idle()).await;
    let stats = hub.stats();
    assert_eq!((stats.players, stats.dropped), (0, 0));
    assert_eq!(stats.bytes_served, 300 * 1024 + (200 + 100 + 64 + 64) * 1024);
}

#[tokio::test]
async fn the_header_comes_first_and_then_a_start_mark() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Matroska, b"<header>");
    hub.write(b"garbage");
    let mut early = player(addr).await;
    hub.write(b"cluster");
    hub.mark(7);
    assert_eq!(exactly(&mut early, 15).await, b"<header>cluster");
    hub.gap(1000);
    hub.write(b"rest");
    assert_eq!(exactly(&mut early, 4).await, b"rest");
    let mut late = player(addr).await;
    assert_eq!(exactly(&mut late, 19).await, b"<header>clusterrest");
}

#[tokio::test]
async fn the_answer_follows_the_version_and_ignores_ranges() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    hub.write(b"abc");
    for version in ["1.0", "1.1"] {
        let request = format!("GET / HTTP/{version}\r\nRange: bytes=1-\r\n\r\n");
        let mut stream = ask(addr, &request).await;
        let head = head(&mut stream).await;
        assert!(head.starts_with(&format!("HTTP/{version} 200 OK\r\n")), "{head}");
        assert!(head.contains("\r\nContent-Type: audio/x-Unknown\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        let lower = head.to_lowercase();
        for never in ["icy-", "chunked", "content-length", "content-range"] {
            assert!(!lower.contains(never), "{head}");
        }
        assert_eq!(exactly(&mut stream, 3).await, b"abc");
    }
}

/// The stream and the titles in what a player got that asked for titles.
fn without_titles(mut bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let (mut stream, mut titles) = (Vec::new(), Vec::new());
    while bytes.len() > 8192 {
        stream.extend_from_slice(&bytes[..8192]);
        let length = 16 * usize::from(bytes[8192]);
        let block = &bytes[8193..8193 + length];
        titles.push(String::from_utf8(block.to_vec()).unwrap().trim_end_matches('\0').to_owned());
        bytes = &bytes[8193 + length..];
    }
    stream.extend_from_slice(bytes);
    (stream, titles)
}

#[tokio::test]
async fn titles_go_between_the_bytes_for_those_who_ask() {
    let (hub, addr) = served(1 << 20).await;
    start(&hub, Format::Unknown, b"");
    let icy = "GET / HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n";
    let mut early = ask(addr, icy).await;
    let first_head = head(&mut early).await;
    assert!(first_head.contains("\r\nicy-metaint: 8192\r\n"), "{first_head}");
    let mut plain = ask(addr, GET).await;
    assert!(!head(&mut plain).await.to_lowercase().contains("icy-"));
    let played: Vec<u8> = (0..40 * 1024u32).map(|n| (n % 251) as u8).collect();
    hub.entitle("One");
    hub.write(&played[..20 * 1024]);
    hub.entitle("Two");
    hub.write(&played[20 * 1024..]);
    // Two blocks of 32 bytes, three empty ones.
    let got = exactly(&mut early, 40 * 1024 + 2 * 33 + 3).await;
    let (stream, titles) = without_titles(&got);
    assert!(stream == played);
    assert_eq!(titles, ["StreamTitle='One';", "", "StreamTitle='Two';", "", ""]);
    assert!(exactly(&mut plain, played.len()).await == played);
    // A newcomer gets the burst, and its titles.
    let mut late = ask(addr, icy).await;
    head(&mut late).await;
    let got = exactly(&mut late, 40 * 1024 + 2 * 33 + 3).await;
    assert_eq!(without_titles(&got).1, titles);
}

#[tokio::test]
async fn formats_with_titles_of_their_own_get_no_others() {
    for format in [Format::Ogg, Format::Matroska] {
        let (hub, addr) = served(4096).await;
        start(&hub, format, b"<header>");
        let mut stream = ask(addr, "GET / HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n").await;
        hub.entitle("One");
        let head = head(&mut stream).await;
        assert!(!head.to_lowercase().contains("icy-"), "{head}");
    }
}

#[tokio::test]
async fn head_gets_the_same_headers_and_no_body() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    hub.write(b"abc");
    let mut stream = ask(addr, GET).await;
    let full = head(&mut stream).await;
    assert_eq!(answer(addr, "HEAD / HTTP/1.1\r\n\r\n").await, full);
}

#[tokio::test]
async fn refusals() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    let too_long = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(20_000));
    let table = [
        ("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("POST / HTTP/1.0\r\n\r\n", "HTTP/1.0 405 Method Not Allowed\r\n"),
        ("GET /favicon.ico HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (&too_long, "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
    ];
    for (request, expected) in table {
        let answer = answer(addr, request).await;
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.contains("\r\nAllow: GET, HEAD\r\n"), answer.contains("405"));
    }
    assert_eq!(hub.stats().players, 0);
}

#[tokio::test]
async fn a_content_type_smuggles_nothing_in() {
    let (hub, addr) = served(4096).await;
    let stream = Stream {
        content_type: "a/b\r\nSet-Cookie: x".to_owned(),
        format: Format::Unknown,
        header: Vec::new(),
        name: None,
    };
    hub.start(stream, 0);
    let answer = answer(addr, "HEAD / HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("\r\nContent-Type: application/octet-stream\r\n"), "{answer}");
    assert!(!answer.contains("Cookie"), "{answer}");
}

#[tokio::test]
async fn a_player_may_come_before_the_stream() {
    let (hub, addr) = served(4096).await;
    let mut stream = ask(addr, GET).await;
    until(|| hub.stats().players == 1).await;
    start(&hub, Format::Unknown, b"");
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    hub.write(b"abc");
    assert_eq!(exactly(&mut stream, 3).await, b"abc");
}

#[tokio::test]
async fn a_stream_that_never_comes_or_is_over_is_refused() {
    let (hub, addr) = served(4096).await;
    let mut stream = ask(addr, GET).await;
    until(|| hub.stats().players == 1).await;
    hub.end();
    let early = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(early.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{early}");
    assert!(early.ends_with("\r\n\r\nthe stream has ended\n"), "{early}");
    assert_eq!(answer(addr, GET).await, early);
    start(&hub, Format::Unknown, b"");
    player(addr).await;
}

#[tokio::test]
async fn one_player_too_many_is_refused() {
    let (hub, addr) = served_to(4096, 2).await;
    start(&hub, Format::Unknown, b"");
    let first = player(addr).await;
    let _second = player(addr).await;
    let third = answer(addr, GET).await;
    assert!(third.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{third}");
    assert!(third.ends_with("too many players are connected\n"), "{third}");
    drop(first);
    until(|| hub.stats().players == 1).await;
    player(addr).await;
}

#[tokio::test]
async fn a_stalled_player_is_dropped_and_harms_nobody() {
    let (hub, addr) = served(128 * 1024).await;
    start(&hub, Format::Unknown, b"");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stalled = in_time(socket.connect(addr)).await.unwrap();
    in_time(stalled.write_all(GET.as_bytes())).await.unwrap();
    let mut good = [player(addr).await, player(addr).await];
    until(|| hub.stats().players == 3).await;
    let mut number = 0;
    in_time(async {
        while hub.stats().dropped == 0 {
            hub.write(&chunk(number));
            for stream in &mut good {
                assert!(exactly(stream, 1024).await == chunk(number));
            }
            number += 1;
        }
    })
    .await;
    until(|| hub.stats().players == 2).await;
    hub.write(b"more");
    hub.end();
    for stream in &mut good {
        assert_eq!(rest(stream).await, b"more");
    }
    assert_eq!(hub.stats().dropped, 1);
}

#[tokio::test]
async fn a_player_that_leaves_in_the_silence_of_an_outage_is_noticed() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    let leaving = player(addr).await;
    let mut staying = player(addr).await;
    hub.write(b"abc");
    assert_eq!(exactly(&mut staying, 3).await, b"abc");
    drop(leaving);
    until(|| hub.stats().players == 1).await;
    // The outage is over; the other one is still there.
    hub.gap(5000);
    hub.write(b"def");
    assert_eq!(exactly(&mut staying, 3).await, b"def");
}

#[tokio::test]
async fn a_player_that_talks_all_the_time_is_dropped() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    let mut stream = player(addr).await;
    in_time(async { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} }).await;
    until(|| hub.stats().players == 0).await;
}

#[tokio::test]
async fn a_new_stream_keeps_the_players_of_the_same_type_only() {
    let (hub, addr) = served(4096).await;
    start(&hub, Format::Unknown, b"");
    let mut stream = player(addr).await;
    hub.write(b"abc");
    start(&hub, Format::Unknown, b"");
    hub.write(b"def");
    assert_eq!(exactly(&mut stream, 6).await, b"abcdef");
    hub.write(b"last");
    start(&hub, Format::Ogg, b"OggS");
    hub.write(b"page");
    hub.mark(0);
    assert_eq!(rest(&mut stream).await, b"last");
    let mut stream = player(addr).await;
    assert_eq!(exactly(&mut stream, 8).await, b"OggSpage");
    assert_eq!(hub.name().as_deref(), Some("A station"));
}

/// A WAVE header of 16-bit stereo; four bytes a sample frame.
fn wave_header() -> Vec<u8> {
    let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    header.extend_from_slice(&48_000_u32.to_le_bytes());
    header.extend_from_slice(&192_000_u32.to_le_bytes());
    header.extend_from_slice(b"\x04\0\x10\0data\xff\xff\xff\xff");
    header
}

#[tokio::test]
async fn a_header_in_band_comes_once_and_a_gap_keeps_newcomers_aligned() {
    let (hub, addr) = served(1 << 20).await;
    start(&hub, Format::Wav, b"");
    let mut early = player(addr).await;
    let mut played = wave_header();
    played.extend_from_slice(&[1; 956]);
    hub.write(&played);
    assert!(exactly(&mut early, 1000).await == played);
    // 999 bytes are lost: the next frame begins one byte into what follows.
    hub.gap(999);
    let after: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
    hub.write(&after);
    assert!(exactly(&mut early, after.len()).await == after);
    let mut late = player(addr).await;
    let got = exactly(&mut late, 44 + 4).await;
    assert_eq!(got[..44], wave_header());
    let behind = after.windows(4).position(|word| *word == got[44..]);
    assert_eq!(behind.map(|at| at % 4), Some(1));
}

//! Sources against real sockets and files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

/// Nothing in these tests takes that long.
const DEADLINE: Duration = Duration::from_secs(30);

fn hasty() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(800),
        probe: Duration::from_millis(300),
        retry: (Duration::from_millis(5), Duration::from_millis(20)),
    }
}

/// A server that gives one connection after the other its answer: all at
/// once, then it closes, or after the last answer stays silent.
async fn serve(answers: Vec<Vec<u8>>, then_hang: bool) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        let count = answers.len();
        for (index, answer) in answers.into_iter().enumerate() {
            let (mut stream, _) = listener.accept().await.expect("a client");
            requests.push(read_request(&mut stream).await);
            let _ = stream.write_all(&answer).await;
            if then_hang && index + 1 == count {
                // Until the client has gone.
                let _ = stream.read(&mut [0]).await;
            }
        }
        requests
    });
    (address, task)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.expect("a request");
        request.push(byte);
    }
    String::from_utf8(request).expect("a request in ASCII")
}

fn spec(address: SocketAddr) -> SourceSpec {
    format!("http://{address}/mount").parse().expect("a source")
}

async fn open_http(address: SocketAddr) -> Result<Source, SourceError> {
    let options = SourceOptions::default();
    timeout(DEADLINE, open_with(&spec(address), &options, hasty()))
        .await
        .expect("an answer in time")
}

async fn next(source: &mut Source) -> SourceItem {
    timeout(DEADLINE, source.next()).await.expect("an item in time").expect("no error")
}

/// Data up to the next item of another kind.
async fn data(source: &mut Source) -> (Vec<u8>, SourceItem) {
    let mut all = Vec::new();
    loop {
        match next(source).await {
            SourceItem::Data(bytes) => {
                assert!(!bytes.is_empty());
                all.extend(bytes);
            }
            SourceItem::Title(_) => {}
            other => return (all, other),
        }
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0x55);
    frame.repeat(frames)
}

fn is_down(item: &SourceItem) -> bool {
    matches!(item, SourceItem::Down { reason } if !reason.is_empty())
}

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Scratch {
        let name = format!("p2psp-source-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        Scratch(path)
    }

    async fn open(&self, rate_kbit: Option<u64>) -> Result<Source, SourceError> {
        let options = SourceOptions { rate_kbit, ..SourceOptions::default() };
        open(&SourceSpec::File(self.0.clone()), &options).await
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn an_icecast_stream_is_read_and_described() {
    let body = mp3(60);
    let head = "HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\nicy-name: Test\r\nicy-br: 999";
    let (address, server) = serve(vec![answer(head, &body)], false).await;
    let mut source = open_http(address).await.expect("a stream");
    let info = source.info().clone();
    assert_eq!(info.content_type, "audio/mpeg");
    assert_eq!(info.format, Format::Mp3);
    assert_eq!(info.name.as_deref(), Some("Test"));
    // Measured, not as declared: 417 bytes last 1152 samples.
    let rate = info.rate_bytes_per_s.expect("a rate");
    assert!((rate - 417.0 * 44_100.0 / 1152.0).abs() < 1.0, "{rate}");
    let (all, end) = data(&mut source).await;
    assert!(all == body && is_down(&end));
    assert!(source.header().is_empty());
    let requests = server.await.expect("the server");
    assert!(requests[0].starts_with("GET /mount HTTP/1.1\r\n"));
    assert!(requests[0].contains("\r\nUser-Agent: p2psp-tui/"));
}

#[tokio::test]
async fn the_declared_rate_serves_where_none_can_be_measured() {
    let head = "ICY 200 OK\r\ncontent-type: video/nsv\r\nicy-br: 64";
    let (address, _server) = serve(vec![answer(head, &[9; 10_000])], false).await;
    let mut source = open_http(address).await.expect("a stream");
    assert_eq!(source.info().format, Format::Unknown);
    assert_eq!(source.info().rate_bytes_per_s, Some(8000.0));
    let (all, end) = data(&mut source).await;
    assert!(all == [9; 10_000] && is_down(&end));
}

#[tokio::test]
async fn chunked_bodies_are_decoded() {
    let body = mp3(5);
    let mut chunked = Vec::new();
    for piece in body.chunks(700) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: audio/mpeg";
    let (address, _server) = serve(vec![answer(head, &chunked)], true).await;
    let mut source = open_http(address).await.expect("a stream");
    let (all, end) = data(&mut source).await;
    assert!(all == body && is_down(&end));
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let moved = |to: &str| answer(&format!("HTTP/1.1 302 Found\r\nLocation: {to}"), b"");
    let ok = answer("HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg", &mp3(5));
    let (address, server) = serve(vec![moved("/other?x"), ok], false).await;
    let mut source = open_http(address).await.expect("a stream");
    assert!(matches!(next(&mut source).await, SourceItem::Data(_)));
    let requests = server.await.expect("the server");
    assert!(requests[1].starts_with("GET /other?x HTTP/1.1\r\n"));

    let (address, _server) = serve(vec![moved("/again"); 6], false).await;
    let error = open_http(address).await.expect_err("a loop");
    assert!(matches!(error, SourceError::RedirectLoop { .. }));

    let (address, _server) = serve(vec![moved("https://x/")], false).await;
    let error = open_http(address).await.expect_err("https");
    assert!(matches!(error, SourceError::HttpsRedirect));
}

#[tokio::test]
async fn what_keeps_a_stream_from_starting_is_told() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    let cases = [
        (answer("HTTP/1.0 404 File Not Found", b""), "mount /mount is not there (404)"),
        (answer("HTTP/1.0 503 Busy", b""), "503 Busy"),
        (answer("HTTP/1.0 401 No", b""), "does not let us listen (401)"),
        (answer("HTTP/1.0 200 OK", b""), "nothing in it"),
        (answer("HTTP/1.0 200 OK\r\nContent-Type: text/html", b"x"), "no stream"),
        (answer(&long, b""), "too long a header block"),
        (b"220 mail.example ESMTP\r\n".to_vec(), "does not answer in HTTP"),
        (Vec::new(), "does not answer in HTTP"),
    ];
    for (bytes, expected) in cases {
        let (address, _server) = serve(vec![bytes], false).await;
        let error = open_http(address).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[tokio::test]
async fn silence_at_the_start_is_an_error() {
    let (address, _server) = serve(vec![answer("HTTP/1.0 200 OK", b"")], true).await;
    let error = open_http(address).await.expect_err("silence");
    assert!(matches!(error, SourceError::Silent { .. }), "{error}");
    let (address, _server) = serve(vec![Vec::new()], true).await;
    let error = open_http(address).await.expect_err("silence");
    assert!(matches!(error, SourceError::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn servers_that_are_not_there_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = open_http(address).await.expect_err("nobody there");
    assert!(matches!(error, SourceError::Refused { .. }), "{error}");
    let spec = "http://nowhere.invalid:8000/x".parse().expect("a source");
    let error = open(&spec, &SourceOptions::default()).await.expect_err("nobody there");
    assert!(matches!(error, SourceError::UnknownHost { .. }), "{error}");
}

#[tokio::test]
async fn a_live_source_that_dies_is_connected_to_again() {
    let head = "HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg";
    let (first, second) = (mp3(10), mp3(20));
    let short = answer(&format!("{head}\r\nContent-Length: 99999"), &second);
    let answers = vec![
        answer(head, &first),
        answer("HTTP/1.0 404 File Not Found", b""),
        answer(head, b""),
        short,
        answer(head, &first),
    ];
    let (address, _server) = serve(answers, true).await;
    let mut source = open_http(address).await.expect("a stream");
    let (all, end) = data(&mut source).await;
    assert!(all == first && is_down(&end));
    assert_eq!(next(&mut source).await, SourceItem::Up);
    let (all, end) = data(&mut source).await;
    assert!(all == second && is_down(&end));
    assert_eq!(next(&mut source).await, SourceItem::Up);
    // The last answer ends in silence.
    let (all, end) = data(&mut source).await;
    assert!(all == first && is_down(&end));
}

#[tokio::test]
async fn a_file_on_a_web_server_runs_at_the_clock_of_its_media() {
    let body = mp3(16);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
    let (address, _server) = serve(vec![answer(&head, &body)], false).await;
    let mut source = open_http(address).await.expect("a stream");
    let begin = Instant::now();
    let (all, end) = data(&mut source).await;
    assert!(all == body && is_down(&end));
    // 16 frames last 0.42 s.
    assert!(begin.elapsed() > Duration::from_millis(300));
}

#[tokio::test]
async fn dropped_futures_lose_nothing() {
    let head = "HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg";
    let (first, second) = (mp3(100), mp3(50));
    let answers = vec![answer(head, &first), answer(head, &second)];
    let (address, _server) = serve(answers, true).await;
    let mut source = open_http(address).await.expect("a stream");
    let (mut all, mut ups, mut downs) = (Vec::new(), 0, 0);
    let deadline = Instant::now() + DEADLINE;
    while downs < 2 {
        assert!(Instant::now() < deadline);
        tokio::select! {
            biased;
            item = source.next() => match item.expect("no error") {
                SourceItem::Title(_) => {}
                SourceItem::Skipped { reason } => panic!("{reason}"),
                SourceItem::Data(bytes) => all.extend(bytes),
                SourceItem::Up => ups += 1,
                SourceItem::Down { .. } => downs += 1,
                SourceItem::Ended => panic!("a live source does not end"),
            },
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    assert!(all == [first, second].concat() && ups == 1);
}

#[tokio::test]
async fn an_ogg_header_is_captured_and_replaced() {
    let page = |flags: u8, granule: u64, body: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend(granule.to_le_bytes());
        page.extend([0; 12]);
        page.extend([1, body.len() as u8]);
        page.extend(body);
        page
    };
    let head_of = |tag: u8| [page(2, 0, b"OpusHead\x01\x02\0\0"), page(0, 0, &[tag; 9])].concat();
    let sound = page(0, 48_000, &[0; 100]);
    let chain = |tag: u8| [head_of(tag), sound.repeat(3)].concat();
    let head = "HTTP/1.0 200 OK\r\nContent-Type: application/ogg";
    let answers = vec![answer(head, &chain(1)), answer(head, &chain(2))];
    let (address, _server) = serve(answers, true).await;
    let mut source = open_http(address).await.expect("a stream");
    assert_eq!(source.info().format, Format::Ogg);
    assert_eq!(source.header(), head_of(1));
    let (_, end) = data(&mut source).await;
    assert!(is_down(&end) && source.header() == head_of(1));
    assert_eq!(next(&mut source).await, SourceItem::Up);
    data(&mut source).await;
    assert_eq!(source.header(), head_of(2));
}

#[tokio::test]
async fn a_file_runs_at_the_clock_of_its_media() {
    let bytes = mp3(12);
    let scratch = Scratch::new("clock.mp3", &bytes);
    let mut source = scratch.open(None).await.expect("a file");
    assert_eq!(source.info().content_type, "audio/mpeg");
    let begin = Instant::now();
    let (all, end) = data(&mut source).await;
    assert!(all == bytes);
    assert_eq!(end, SourceItem::Ended);
    assert_eq!(next(&mut source).await, SourceItem::Ended);
    // 12 frames last 0.31 s.
    assert!(begin.elapsed() > Duration::from_millis(300));
}

#[tokio::test]
async fn a_given_rate_overrides_the_clock() {
    let bytes = mp3(4000);
    let scratch = Scratch::new("rate.mp3", &bytes);
    let mut source = scratch.open(Some(800_000)).await.expect("a file");
    assert_eq!(source.info().rate_bytes_per_s, Some(100e6));
    // 104 s of media; 17 ms at this rate.
    let (all, end) = data(&mut source).await;
    assert!(all == bytes && end == SourceItem::Ended);
}

#[tokio::test]
async fn files_that_can_not_be_streamed_are_told_apart() {
    let noise = Scratch::new("noise.bin", &[3; 5000]);
    let empty = Scratch::new("empty.mp3", &[]);
    let error = noise.open(None).await.expect_err("no rate");
    assert!(error.to_string().contains("--rate KBIT"), "{error}");
    let mut source = noise.open(Some(100_000)).await.expect("a rate");
    assert_eq!(source.info().content_type, "application/octet-stream");
    assert_eq!(data(&mut source).await, (vec![3; 5000], SourceItem::Ended));
    let error = empty.open(None).await.expect_err("empty");
    assert!(matches!(error, SourceError::Empty), "{error}");
    let options = SourceOptions::default();
    let directory = SourceSpec::File(std::env::temp_dir());
    let error = open(&directory, &options).await.expect_err("a directory");
    assert!(matches!(error, SourceError::IsDirectory { .. }), "{error}");
    let missing = SourceSpec::File("/no/such/file.mp3".into());
    let error = open(&missing, &options).await.expect_err("missing");
    assert!(matches!(error, SourceError::FileMissing { .. }), "{error}");
}

#[tokio::test]
async fn standard_input_is_paced_if_its_rate_can_be_told() {
    let options = SourceOptions::default();
    let bytes = mp3(12);
    let pipe = Box::pin(std::io::Cursor::new(bytes.clone()));
    let mut source = feed::open_pipe(pipe, &options, &hasty()).await.expect("MP3");
    assert_eq!(source.info().content_type, "audio/mpeg");
    let begin = Instant::now();
    assert_eq!(data(&mut source).await, (bytes, SourceItem::Ended));
    assert!(begin.elapsed() > Duration::from_millis(300));

    let noise = vec![3; 500_000];
    let pipe = Box::pin(std::io::Cursor::new(noise.clone()));
    let mut source = feed::open_pipe(pipe, &options, &hasty()).await.expect("noise");
    assert_eq!(source.info().rate_bytes_per_s, None);
    assert!(data(&mut source).await == (noise, SourceItem::Ended));

    let pipe = Box::pin(std::io::Cursor::new(Vec::new()));
    let error = feed::open_pipe(pipe, &options, &hasty()).await.expect_err("nothing");
    assert!(matches!(error, SourceError::Empty), "{error}");
}

#[tokio::test]
async fn a_live_pipe_is_not_read_ahead() {
    let (mut writer, reader) = tokio::io::duplex(64 * 1024);
    writer.write_all(&mp3(40)).await.expect("room");
    let options = SourceOptions::default();
    let mut source = feed::open_pipe(Box::pin(reader), &options, &hasty()).await.expect("MP3");
    // All whole pieces come out with the writer still there and silent.
    let mut bytes = 0;
    while bytes < 40 * 417 / 1024 * 1024 {
        match next(&mut source).await {
            SourceItem::Data(piece) => bytes += piece.len(),
            other => panic!("{other:?}"),
        }
    }
    drop(writer);
    let (rest, end) = data(&mut source).await;
    assert_eq!((bytes + rest.len(), end), (40 * 417, SourceItem::Ended));
}

#[tokio::test]
async fn music_plays_at_once() {
    let mut source = open(&SourceSpec::Music, &SourceOptions::default()).await.expect("music");
    assert_eq!(source.info().name.as_deref(), Some("P2PSP music"));
    assert_eq!(source.info().rate_bytes_per_s, Some(192_000.0));
    let SourceItem::Data(first) = next(&mut source).await else {
        panic!("no music");
    };
    assert_eq!(first[..44], *source.header());
    assert_eq!(first.len(), 44 + 3840);
    assert!(matches!(next(&mut source).await, SourceItem::Data(more) if more.len() == 3840));
}

#[test]
fn a_source_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Source>();
}

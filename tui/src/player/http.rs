//! The HTTP server that players connect to (PROTOCOL.md 6).
//!
//! As little HTTP as makes all known players happy: the answer is the stream,
//! of unknown length, closed by the end of the connection; never chunked,
//! never a range, `icy-*` only for those that ask. A newcomer waits until there is a stream,
//! and an outage is silence: players outlive it, but not a lost connection.
//!
//! Every connection is bounded: in number, in the size of its request and in
//! the time that it may take to send it, and in what is held for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Version};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::hub::{Hub, Reader};
use super::icy::{INTERVAL_BYTES, Interleaver};
use super::ring::Progress;

/// At most so many players; the next one gets 503.
pub const MAX_PLAYERS: usize = 256;

/// At most so many connections besides that send a request or are refused.
/// The next one waits until the kernel hands it over.
const MAX_REQUESTS: usize = 64;

const MAX_REQUEST_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// A request that takes longer is not a player's.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// After the end of the stream, how long a player may take for 64 KiB.
const LAST_PIECE_TIME: Duration = Duration::from_secs(60);

/// How long to wait for the other side to close a finished connection, so
/// that no reset destroys what is on its way.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// A player has nothing to say after its request; one that says more than
/// this is none.
const MAX_RUBBISH_BYTES: usize = 64 * 1024;

/// What the kernel holds for a player (it doubles the number). Without a limit
/// it would collect megabytes for one that has stalled.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// A silent connection is probed after this, lest a player that lost power
/// during an outage keeps its place for ever.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// After a failure to accept (out of descriptors) wait instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const SERVER: &str = concat!("p2psp-tui/", env!("CARGO_PKG_VERSION"));

/// Listens for players.
///
/// # Errors
///
/// What the operating system says; the address may be in use.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Serves what `hub` plays to everyone who connects. Runs for ever; dropping
/// it closes all its connections at once, so let them finish first with
/// [`Hub::end`] and [`Hub::idle`].
pub async fn serve(listener: TcpListener, hub: Hub) {
    serve_at_most(listener, hub, MAX_PLAYERS).await;
}

pub(super) async fn serve_at_most(listener: TcpListener, hub: Hub, max_players: usize) {
    let players = Arc::new(Semaphore::new(max_players));
    let connections = Arc::new(Semaphore::new(max_players + MAX_REQUESTS));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let hub = hub.clone();
        let players = Arc::clone(&players);
        tasks.spawn(async move {
            // An error is a player that has gone: nothing is left to do.
            let _gone = connection(stream, &hub, &players).await;
            drop(place);
        });
    }
}

/// A request that will be answered with the stream, or with its headers.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    version: Version,
    head_only: bool,
    /// It wants titles between the bytes.
    icy: bool,
}

/// A request that will not.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    version: Version,
    status: StatusCode,
    reason: &'static str,
    /// Headers say that there is a body, but a HEAD gets none.
    head_only: bool,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str) -> Refusal {
        Refusal { version: Version::HTTP_11, status, reason, head_only: false }
    }

    fn to(self, request: &Request) -> Refusal {
        Refusal { version: request.version, head_only: request.head_only, ..self }
    }
}

async fn connection(mut stream: TcpStream, hub: &Hub, players: &Semaphore) -> io::Result<()> {
    configure(&stream)?;
    let request = match timeout(REQUEST_TIME, read_request(&mut stream)).await {
        Ok(read) => match read? {
            Some(request) => request,
            None => return Ok(()),
        },
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request took too long")),
    };
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return refuse(stream, refusal).await,
    };
    let Ok(_player) = players.try_acquire() else {
        let full = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many players are connected");
        return refuse(stream, full.to(&request)).await;
    };
    let mut reader = hub.player();
    let mut rubbish = 0;
    let content_type = tokio::select! {
        content_type = reader.opened() => content_type,
        () = gone(&mut stream, &mut rubbish) => return Ok(()),
    };
    let Some(content_type) = content_type else {
        let ended = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the stream has ended");
        return refuse(stream, ended.to(&request)).await;
    };
    let icy = request.icy && reader.takes_titles();
    let icy_head = if icy { icy_head(reader.name().as_deref()) } else { String::new() };
    let head = stream_head(request.version, &content_type, &icy_head);
    stream.write_all(head.as_bytes()).await?;
    if request.head_only {
        drop(reader);
        return finish(stream).await;
    }
    feed(stream, reader, icy.then(Interleaver::new), rubbish).await
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_TIME);
    socket.set_tcp_keepalive(&keepalive)
}

/// Sends the stream until it ends, the player goes away or is too slow.
async fn feed(
    mut stream: TcpStream,
    mut reader: Reader,
    mut icy: Option<Interleaver>,
    mut rubbish: usize,
) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut entitled = Vec::new();
    loop {
        piece.clear();
        let progress = tokio::select! {
            biased;
            progress = reader.next(&mut piece) => progress,
            () = gone(&mut stream, &mut rubbish) => return Ok(()),
        };
        match progress {
            Progress::Data => {}
            Progress::Overrun => return drop_stalled(stream, &reader),
            Progress::End | Progress::Changed | Progress::Wait => break,
        }
        let bytes = match &mut icy {
            Some(icy) => {
                entitled.clear();
                icy.write(&piece, |back| reader.title(back), &mut entitled);
                &entitled
            }
            None => &piece,
        };
        tokio::select! {
            biased;
            written = stream.write_all(bytes) => written?,
            () = stalled(&reader) => return drop_stalled(stream, &reader),
        }
        reader.count_served(piece.len());
    }
    finish(stream).await
}

/// Waits until a player that is being written to has to be given up.
async fn stalled(reader: &Reader) {
    if !reader.overrun_or_end().await {
        sleep(LAST_PIECE_TIME).await;
    }
}

fn drop_stalled(stream: TcpStream, reader: &Reader) -> io::Result<()> {
    reader.count_dropped();
    // A reset: the player learns that bytes are missing, and the kernel
    // forgets what it holds for it.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Waits until the other side has closed the connection; what it says is
/// thrown away, and too much of it counts as gone.
async fn gone(stream: &mut TcpStream, rubbish: &mut usize) {
    let mut buffer = [0; 512];
    while *rubbish <= MAX_RUBBISH_BYTES {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => *rubbish += read,
        }
    }
}

/// Ends a connection in good order.
async fn finish(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    // Closed or not, that was all.
    let _closed = timeout(LINGER_TIME, gone(&mut stream, &mut 0)).await;
    Ok(())
}

async fn refuse(mut stream: TcpStream, refusal: Refusal) -> io::Result<()> {
    let text = refusal_text(&refusal);
    let written = timeout(LINGER_TIME, stream.write_all(text.as_bytes())).await;
    match written {
        Ok(written) => written?,
        Err(_) => return Ok(()),
    }
    finish(stream).await
}

/// Reads up to the end of the headers. `None`: closed before.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Result<Request, Refusal>>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if bytes.len() >= MAX_REQUEST_BYTES {
            return Ok(Some(Err(Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request is too long",
            ))));
        }
        let room = (MAX_REQUEST_BYTES - bytes.len()) as u64;
        let mut limited = (&mut *stream).take(room);
        if limited.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let Some(request) = parse(&bytes) {
            return Ok(Some(request));
        }
    }
}

/// `None`: incomplete.
fn parse(bytes: &[u8]) -> Option<Result<Request, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request has too many headers",
            )));
        }
        Err(_) => {
            return Some(Err(Refusal::new(StatusCode::BAD_REQUEST, "the request is malformed")));
        }
    }
    let request = Request {
        version: match parsed.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        },
        head_only: parsed.method == Some("HEAD"),
        icy: parsed.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("icy-metadata") && header.value.trim_ascii() == b"1"
        }),
    };
    let path = parsed.path.unwrap_or_default();
    let refusal = if !matches!(parsed.method, Some("GET" | "HEAD")) {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD make sense here")
    } else if path.ends_with("/favicon.ico") {
        Refusal::new(StatusCode::NOT_FOUND, "there is no icon")
    } else {
        return Some(Ok(request));
    };
    Some(Err(refusal.to(&request)))
}

fn status_line(version: Version, status: StatusCode) -> String {
    let version = match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let phrase = status.canonical_reason().unwrap_or_default();
    format!("{version} {} {phrase}\r\n", status.as_str())
}

/// What a player is told that asks for titles.
fn icy_head(name: Option<&str>) -> String {
    // It comes from another machine, like the content type.
    let name = name.filter(|name| !name.is_empty() && !name.contains(char::is_control));
    let name = name.map_or(String::new(), |name| format!("icy-name: {name}\r\n"));
    format!("{name}icy-metaint: {INTERVAL_BYTES}\r\n")
}

fn stream_head(version: Version, content_type: &str, icy_head: &str) -> String {
    format!(
        "{}Content-Type: {content_type}\r\n\
         {icy_head}\
         Cache-Control: no-cache, no-store\r\n\
         Accept-Ranges: none\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Server: {SERVER}\r\n\
         Connection: close\r\n\r\n",
        status_line(version, StatusCode::OK)
    )
}

fn refusal_text(refusal: &Refusal) -> String {
    let allow = match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let mut text = format!(
        "{}Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         {allow}\
         Cache-Control: no-cache, no-store\r\n\
         Server: {SERVER}\r\n\
         Connection: close\r\n\r\n",
        status_line(refusal.version, refusal.status),
        refusal.reason.len() + 1,
    );
    if !refusal.head_only {
        text.push_str(refusal.reason);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &str) -> Option<Result<(Version, bool), u16>> {
        let request = parse(bytes.as_bytes())?;
        Some(match request {
            Ok(request) => Ok((request.version, request.head_only)),
            Err(refusal) => Err(refusal.status.as_u16()),
        })
    }

    #[test]
    fn requests() {
        let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        let table = [
            ("", None),
            ("GET / HT", None),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", Some(Ok((Version::HTTP_10, false)))),
            ("GET /a HTTP/1.1\r\n\r\n", Some(Ok((Version::HTTP_11, false)))),
            ("GET / HTTP/1.1\n\n", Some(Ok((Version::HTTP_11, false)))),
            ("HEAD /a.ogg HTTP/1.1\r\n\r\n", Some(Ok((Version::HTTP_11, true)))),
            ("GET http://h/a HTTP/1.1\r\n\r\n", Some(Ok((Version::HTTP_11, false)))),
            ("GET /favicon.ico HTTP/1.1\r\n\r\n", Some(Err(404))),
            ("POST / HTTP/1.1\r\n\r\n", Some(Err(405))),
            ("OPTIONS * HTTP/1.1\r\n\r\n", Some(Err(405))),
            ("GET /\r\n\r\n", Some(Err(400))),
            ("GET / HTTP/2.0\r\n\r\n", Some(Err(400))),
            ("\x01\x02", Some(Err(400))),
            (&many_headers, Some(Err(431))),
        ];
        for (bytes, expected) in table {
            assert_eq!(parsed(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn titles_are_for_those_who_ask() {
        let table = [
            ("Icy-MetaData: 1", true),
            ("icy-metadata:1 ", true),
            ("Icy-MetaData: 0", false),
            ("Icy-Nothing: 1", false),
        ];
        for (header, expected) in table {
            let bytes = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
            let request = parse(bytes.as_bytes()).expect("whole").expect("a request");
            assert_eq!(request.icy, expected, "{header}");
        }
        assert_eq!(icy_head(Some("Wir")), "icy-name: Wir\r\nicy-metaint: 8192\r\n");
        for name in [None, Some(""), Some("a\r\nb: c")] {
            assert_eq!(icy_head(name), "icy-metaint: 8192\r\n");
        }
    }

    #[test]
    fn heads() {
        assert_eq!(
            stream_head(Version::HTTP_10, "audio/mpeg", ""),
            format!(
                "HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\
                 Cache-Control: no-cache, no-store\r\nAccept-Ranges: none\r\n\
                 Access-Control-Allow-Origin: *\r\nServer: {SERVER}\r\n\
                 Connection: close\r\n\r\n"
            )
        );
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "no");
        assert_eq!(
            refusal_text(&refusal),
            format!(
                "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: 3\r\nAllow: GET, HEAD\r\n\
                 Cache-Control: no-cache, no-store\r\nServer: {SERVER}\r\n\
                 Connection: close\r\n\r\nno\n"
            )
        );
    }
}

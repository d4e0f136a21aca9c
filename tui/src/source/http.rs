//! A small HTTP client: connects, asks for a mount, follows redirects, reads
//! the header block. Speaks to Icecast, SHOUTcast (`ICY 200 OK`), VLC and
//! plain web servers. ICY metadata is asked for, since titles are in it, and
//! taken out of the stream again.

use std::io::ErrorKind;

use bytes::BytesMut;
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::body::{Body, Decoder, Framing};
use super::icy::Icy;
use super::{Patience, SourceError};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

/// The longest header block.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most header lines.
const MAX_HEADERS: usize = 128;

/// A bit rate above this is in bit/s, not in kbit/s.
const MAX_KBIT: f64 = 10_000.0;

/// The answer of a server that sends a stream.
#[derive(Debug)]
pub(super) struct Answer {
    /// What it declares.
    pub(super) head: Head,
    /// The stream.
    pub(super) body: Body,
}

/// What matters of a header block.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Head {
    status: u16,
    reason: String,
    location: Option<String>,
    length: Option<u64>,
    chunked: bool,
    /// `icy-metaint`: bytes between two blocks of metadata.
    icy_interval: Option<usize>,
    /// `Content-Type`.
    pub(super) content_type: Option<String>,
    /// `icy-name`.
    pub(super) name: Option<String>,
    /// Bit rate, as `icy-br` or `ice-audio-info` say.
    pub(super) kbit: Option<f64>,
}

/// Asks for `uri`, and for where it is redirected to.
pub(super) async fn get(uri: &Uri, patience: &Patience) -> Result<Answer, SourceError> {
    let mut uri = uri.clone();
    for _ in 0..=MAX_REDIRECTS {
        let (stream, head, begun) = ask(&uri, patience).await?;
        match head.status {
            200..=299 => {
                head.refuse_pages()?;
                let decoder = Decoder::new(head.framing(), begun);
                let body = Body::new(stream, decoder, head.icy_interval.map(Icy::new));
                return Ok(Answer { head, body });
            }
            301 | 302 | 303 | 307 | 308 => {
                let location = head.location.unwrap_or_default();
                uri = redirect(&uri, &location)?;
            }
            404 => {
                let mount = uri.path().to_owned();
                return Err(SourceError::MountMissing { mount });
            }
            status => {
                let reason = head.reason;
                return Err(SourceError::Status { status, reason });
            }
        }
    }
    Err(SourceError::RedirectLoop { followed: MAX_REDIRECTS })
}

/// One request, and its answer up to the end of the header block.
async fn ask(uri: &Uri, patience: &Patience) -> Result<(TcpStream, Head, BytesMut), SourceError> {
    let server = server_of(uri);
    let no_answer = |waited| SourceError::NoAnswer { server: server.clone(), waited };
    // The lookup of the name may take as long again.
    let mut stream = timeout(2 * patience.connect, connect(uri, patience))
        .await
        .map_err(|_| no_answer(2 * patience.connect))??;
    let exchange = async {
        let broken = |error| SourceError::Connection { server: server.clone(), error };
        stream.write_all(request(uri).as_bytes()).await.map_err(broken)?;
        let mut bytes = BytesMut::new();
        loop {
            bytes.reserve(2048);
            if stream.read_buf(&mut bytes).await.map_err(broken)? == 0 {
                let server = server.clone();
                return Err(SourceError::NotHttp { server });
            }
            if let Some((head, length)) = parse_head(&bytes, &server)? {
                return Ok((head, bytes.split_off(length)));
            }
        }
    };
    let (head, begun) =
        timeout(patience.silence, exchange).await.map_err(|_| no_answer(patience.silence))??;
    Ok((stream, head, begun))
}

/// Tries all addresses of the host; one that swallows packets does not use
/// up the time of the others.
async fn connect(uri: &Uri, patience: &Patience) -> Result<TcpStream, SourceError> {
    let host = host_of(uri);
    let found = lookup_host((host, port_of(uri))).await;
    let addresses: Vec<_> = found.into_iter().flatten().take(MAX_ADDRESSES).collect();
    let mut last = None;
    for &address in &addresses {
        let share = patience.connect / addresses.len() as u32;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(ErrorKind::TimedOut.into()),
        }
    }
    let server = server_of(uri);
    Err(match last {
        None => SourceError::UnknownHost { host: host.into() },
        Some(error) if error.kind() == ErrorKind::ConnectionRefused => {
            SourceError::Refused { server }
        }
        Some(error) if error.kind() == ErrorKind::TimedOut => {
            SourceError::NoAnswer { server, waited: patience.connect }
        }
        Some(error) => SourceError::Connection { server, error },
    })
}

fn request(uri: &Uri) -> String {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: p2psp-tui/{}\r\nAccept: */*\r\n\
         Icy-MetaData: 1\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The header block at the start of `bytes` and its length; `None` until it
/// is whole.
fn parse_head(bytes: &[u8], server: &str) -> Result<Option<(Head, usize)>, SourceError> {
    let not_http = || SourceError::NotHttp { server: server.into() };
    // SHOUTcast's own status line; the rest is HTTP.
    let icy = b"ICY ";
    let http = b"HTTP/1.0 ";
    let block = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let translated = block.strip_prefix(icy).map(|rest| [http, rest].concat());
    let block = translated.as_deref().unwrap_or(block);

    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut lines);
    let parsed = httparse::ParserConfig::default()
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, block);
    let too_long = || SourceError::HeadTooLong { server: server.into() };
    match parsed {
        Ok(httparse::Status::Complete(length)) => {
            let shift = if translated.is_some() { http.len() - icy.len() } else { 0 };
            Ok(Some((Head::read(&response), length - shift)))
        }
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD_BYTES => Err(too_long()),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(too_long()),
        Err(_) => Err(not_http()),
    }
}

impl Head {
    fn read(response: &httparse::Response<'_, '_>) -> Head {
        let mut head = Head {
            status: response.code.unwrap_or(0),
            reason: response.reason.unwrap_or("").to_owned(),
            ..Head::default()
        };
        for line in response.headers.iter() {
            let value = String::from_utf8_lossy(line.value).trim().to_owned();
            match line.name.to_ascii_lowercase().as_str() {
                "location" => head.location = Some(value),
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => {
                    head.chunked = value.to_ascii_lowercase().contains("chunked");
                }
                "content-type" if !value.is_empty() => head.content_type = Some(value),
                "icy-name" | "ice-name" if !value.is_empty() => head.name = Some(value),
                "icy-metaint" => {
                    head.icy_interval = value.parse().ok().filter(|bytes| *bytes > 0);
                }
                "icy-br" => head.kbit = kbit(value.split(',').next()).or(head.kbit),
                "ice-audio-info" if head.kbit.is_none() => {
                    head.kbit = kbit(value.split(';').find_map(|part| {
                        let part = part.trim();
                        let rate = part.strip_prefix("ice-bitrate=");
                        rate.or_else(|| part.strip_prefix("bitrate="))
                    }));
                }
                _ => {}
            }
        }
        head
    }

    fn framing(&self) -> Framing {
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        }
    }

    /// Whether this is a file on a web server: a stream has no length.
    pub(super) fn is_file(&self) -> bool {
        !self.chunked && self.length.is_some()
    }

    /// A page or a playlist is not what somebody wants to stream.
    fn refuse_pages(&self) -> Result<(), SourceError> {
        const PAGES: [&str; 7] = [
            "text/html",
            "audio/x-mpegurl",
            "audio/mpegurl",
            "audio/x-scpls",
            "application/pls+xml",
            "application/vnd.apple.mpegurl",
            "application/xspf+xml",
        ];
        let declared = self.content_type.as_deref().unwrap_or("");
        let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if PAGES.contains(&essence.as_str()) {
            let content_type = essence;
            return Err(SourceError::NotAStream { content_type });
        }
        Ok(())
    }
}

/// A bit rate in kbit/s, whichever of the two customary units it is in.
fn kbit(text: Option<&str>) -> Option<f64> {
    let rate: f64 = text?.trim().parse().ok()?;
    let kbit = if rate > MAX_KBIT { rate / 1000.0 } else { rate };
    (kbit.is_finite() && kbit >= 1.0).then_some(kbit)
}

/// Where `location`, absolute or relative to `uri`, leads.
fn redirect(uri: &Uri, location: &str) -> Result<Uri, SourceError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let directory = uri.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    let lower = location.to_ascii_lowercase();
    let target = if lower.starts_with("https://") {
        return Err(SourceError::HttpsRedirect);
    } else if lower.starts_with("http://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("http:{location}")
    } else if location.starts_with('/') {
        format!("http://{authority}{location}")
    } else if location.starts_with('?') {
        format!("http://{authority}{}{location}", uri.path())
    } else {
        format!("http://{authority}{directory}/{location}")
    };
    let target = target.split('#').next().unwrap_or("");
    let bad = || SourceError::BadRedirect { location: location.to_owned() };
    let foreign_scheme = lower.split_once(':').is_some_and(|(scheme, _)| {
        scheme != "http" && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if location.is_empty() || foreign_scheme {
        return Err(bad());
    }
    let uri: Uri = target.parse().map_err(|_| bad())?;
    uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
    Ok(uri)
}

/// The host without the brackets of an IPv6 address.
fn host_of(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or("");
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(80)
}

fn server_of(uri: &Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or(""), port_of(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let parsed = parse_head(text.as_bytes(), "h:80").expect("HTTP");
        let (head, length) = parsed.expect("a whole block");
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn header_blocks_of_all_servers_are_read() {
        let icecast = head(
            "HTTP/1.0 200 OK\r\nServer: Icecast 2.4.4\r\nContent-Type: audio/mpeg\r\n\
             ice-audio-info: ice-samplerate=44100;ice-bitrate=96;ice-channels=2\r\n\
             icy-br:128, 128\r\nicy-metaint:16000\r\nicy-name: My R\u{e4}dio\r\n\r\n",
        );
        assert_eq!(icecast.content_type.as_deref(), Some("audio/mpeg"));
        assert_eq!(icecast.name.as_deref(), Some("My R\u{e4}dio"));
        assert_eq!(icecast.kbit, Some(128.0));
        assert_eq!(icecast.icy_interval, Some(16_000));
        assert_eq!(icecast.framing(), Framing::Close);
        let info = head("HTTP/1.0 200 OK\r\nice-audio-info: bitrate=64000\r\n\r\n");
        assert_eq!(info.kbit, Some(64.0));
        let shoutcast = head("ICY 200 OK\r\nicy-name:x\r\ncontent-type:audio/aacp\r\n\r\n");
        assert_eq!((shoutcast.status, shoutcast.name.as_deref()), (200, Some("x")));
        let web = head("HTTP/1.1 200\nTransfer-Encoding: Chunked\nContent-Length: 5\n\n");
        assert_eq!(web.framing(), Framing::Chunked);
        let file = head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(file.framing(), Framing::Length(5));
    }

    #[test]
    fn what_is_no_header_block_is_an_error() {
        let parse = |bytes: &[u8]| parse_head(bytes, "h:80");
        assert!(matches!(parse(b"SSH-2.0-x\r\n"), Err(SourceError::NotHttp { .. })));
        assert!(matches!(parse(b"HTTP/1.1 2"), Ok(None)));
        let mut long = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        long.resize(MAX_HEAD_BYTES, b'a');
        assert!(matches!(parse(&long), Err(SourceError::HeadTooLong { .. })));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert!(matches!(parse(many.as_bytes()), Err(SourceError::HeadTooLong { .. })));
    }

    #[test]
    fn redirects_lead_somewhere() {
        let from: Uri = "http://h:8000/a/b?x".parse().expect("an address");
        let cases = [
            ("http://i/c", "http://i/c"),
            ("HTTP://i:1/c", "http://i:1/c"),
            ("//i/c", "http://i/c"),
            ("/c?y#z", "http://h:8000/c?y"),
            ("c", "http://h:8000/a/c"),
            ("?y", "http://h:8000/a/b?y"),
        ];
        for (location, expected) in cases {
            let to = redirect(&from, location).expect(location);
            assert_eq!(to.to_string(), expected);
        }
        assert!(matches!(redirect(&from, "https://i/"), Err(SourceError::HttpsRedirect)));
        for location in ["", "ftp://i/", "http://", "/a b", "mailto:x"] {
            let bad = redirect(&from, location);
            assert!(matches!(bad, Err(SourceError::BadRedirect { .. })), "{location}");
        }
    }

    #[test]
    fn a_request_names_the_host_and_asks_for_titles() {
        let uri: Uri = "http://[::1]:8000/m?x=1".parse().expect("an address");
        let request = request(&uri);
        assert!(request.starts_with("GET /m?x=1 HTTP/1.1\r\nHost: [::1]:8000\r\n"));
        assert!(request.ends_with("Connection: close\r\n\r\n"));
        assert!(request.contains("\r\nIcy-MetaData: 1\r\n"));
        assert_eq!((host_of(&uri), port_of(&uri)), ("::1", 8000));
    }
}

//! A player that keeps what it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::wait::{PATIENCE, wait_until};

/// An HTTP client in a thread of its own, which reads an endless answer as
/// fast as it comes. Dropping it closes the connection.
#[derive(Debug)]
pub struct PlayerClient {
    stream: TcpStream,
    got: Arc<Mutex<Got>>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Got {
    bytes: Vec<u8>,
    /// Length of the header block.
    head: Option<usize>,
    first_body_at: Option<Instant>,
    end: Option<End>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// In good order, by the server.
    Closed,
    /// Broken.
    Failed(String),
}

impl PlayerClient {
    /// Connects to `addr` and asks for `path`.
    pub fn get(addr: SocketAddr, path: &str) -> PlayerClient {
        PlayerClient::request(addr, path, "")
    }

    /// A player of the peer at `addr` that asks for titles between the bytes.
    pub fn with_titles(addr: SocketAddr) -> PlayerClient {
        PlayerClient::request(addr, "/", "Icy-MetaData: 1\r\n")
    }

    fn request(addr: SocketAddr, path: &str, headers: &str) -> PlayerClient {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)
            .unwrap_or_else(|error| panic!("can't connect to {addr}: {error}"));
        let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("a request fits into the socket");
        let got = Arc::new(Mutex::new(Got::default()));
        let (reading, into) = (stream.try_clone().expect("a descriptor is left"), Arc::clone(&got));
        let reader = Some(thread::spawn(move || read(reading, &into)));
        PlayerClient { stream, got, reader }
    }

    /// A player of the peer at `addr`.
    pub fn connect(addr: SocketAddr) -> PlayerClient {
        PlayerClient::get(addr, "/")
    }

    /// The header block, once it is there.
    pub fn head(&self) -> Option<String> {
        let got = self.got();
        let head = got.head?;
        Some(String::from_utf8_lossy(&got.bytes[..head]).into_owned())
    }

    /// The body so far.
    pub fn body(&self) -> Vec<u8> {
        let got = self.got();
        got.head.map_or(Vec::new(), |head| got.bytes[head..].to_vec())
    }

    /// Length of the body so far.
    pub fn len(&self) -> usize {
        let got = self.got();
        got.head.map_or(0, |head| got.bytes.len() - head)
    }

    /// Whether nothing of the body has come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the first byte of the body came.
    pub fn first_body_at(&self) -> Option<Instant> {
        self.got().first_body_at
    }

    /// How the connection ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.got().end.clone()
    }

    /// Waits until the body has at least so many bytes.
    ///
    /// # Panics
    ///
    /// If it has not within `patience`, or the connection ends before.
    #[track_caller]
    pub fn wait_len(&self, bytes: usize, patience: Duration) {
        let come = wait_until(patience, || self.len() >= bytes || self.end().is_some());
        let (len, end) = (self.len(), self.end());
        assert!(come && len >= bytes, "{len} of {bytes} bytes came, connection: {end:?}");
    }

    /// Waits until the server has closed the connection; how it ended.
    ///
    /// # Panics
    ///
    /// If it has not within `patience`.
    #[track_caller]
    pub fn wait_end(&self, patience: Duration) -> End {
        crate::wait::wait_for(patience, || self.end()).expect("the connection ends")
    }

    fn got(&self) -> MutexGuard<'_, Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlayerClient {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read(mut stream: TcpStream, got: &Mutex<Got>) {
    let mut buffer = [0; 16 * 1024];
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break End::Closed,
            Ok(read) => {
                let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
                got.bytes.extend_from_slice(&buffer[..read]);
                if got.head.is_none() {
                    got.head = got.bytes.windows(4).position(|end| end == b"\r\n\r\n");
                    got.head = got.head.map(|at| at + 4);
                }
                if got.first_body_at.is_none() && got.head.is_some_and(|at| at < got.bytes.len()) {
                    got.first_body_at = Some(Instant::now());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break End::Failed(error.to_string()),
        }
    };
    // A server in good order waits for this.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    got.lock().unwrap_or_else(PoisonError::into_inner).end = Some(end);
}

/// The stream and the titles in the body of an answer to one who asked for
/// titles, which come after every `interval` bytes; a title with the number of
/// bytes before it.
pub fn without_titles(interval: usize, mut body: &[u8]) -> (Vec<u8>, Vec<(usize, String)>) {
    let (mut stream, mut titles) = (Vec::new(), Vec::new());
    while body.len() > interval {
        stream.extend_from_slice(&body[..interval]);
        let length = 16 * usize::from(body[interval]);
        let after = &body[interval + 1..];
        let Some(block) = after.get(..length) else { return (stream, titles) };
        let text = String::from_utf8_lossy(block);
        let text = text.trim_end_matches('\0');
        if let Some(title) = text.strip_prefix("StreamTitle='") {
            let title = title.strip_suffix("';").expect("a title ends");
            titles.push((stream.len(), title.to_owned()));
        }
        body = &after[length..];
    }
    stream.extend_from_slice(body);
    (stream, titles)
}

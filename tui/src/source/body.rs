//! The body of an HTTP answer: plain, of a given length, or chunked
//! (RFC 9112, 7.1).

use std::io::{self, ErrorKind};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::icy::Icy;
use super::probe::Pull;

/// One read from the socket.
const READ_BYTES: usize = 16 * 1024;

/// The longest line between chunks, extensions and trailers included.
const MAX_LINE_BYTES: usize = 4096;

/// Trailer lines that are read over.
const MAX_TRAILERS: usize = 64;

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// With the connection.
    Close,
    /// After so many bytes.
    Length(u64),
    /// With an empty chunk.
    Chunked,
}

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Close,
    Length(u64),
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailers(usize),
    Ended,
}

/// Takes the coding off a body; no input or output.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// Came and not yet decoded.
    buffer: BytesMut,
}

impl Decoder {
    /// `begun`: what came after the header block.
    pub(super) fn new(framing: Framing, begun: BytesMut) -> Decoder {
        let state = match framing {
            Framing::Close => State::Close,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
        };
        Decoder { state, buffer: begun }
    }

    /// The next bytes of the body; `None` if more have to come first or it
    /// has ended.
    fn decode(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.state {
                State::Ended => return Ok(None),
                State::Length(0) => self.state = State::Ended,
                State::Chunk(0) => self.state = State::ChunkEnd,
                _ if self.buffer.is_empty() => return Ok(None),
                State::Close => return Ok(Some(self.buffer.split().freeze())),
                State::Length(left) => {
                    let bytes = self.take(left);
                    self.state = State::Length(left - bytes.len() as u64);
                    return Ok(Some(bytes));
                }
                State::Chunk(left) => {
                    let bytes = self.take(left);
                    self.state = State::Chunk(left - bytes.len() as u64);
                    return Ok(Some(bytes));
                }
                State::ChunkLine | State::ChunkEnd | State::Trailers(_) => {
                    let Some(line) = self.line()? else {
                        return Ok(None);
                    };
                    self.state = self.after_line(&line)?;
                }
            }
        }
    }

    fn after_line(&self, line: &[u8]) -> io::Result<State> {
        match self.state {
            State::ChunkLine => Ok(match chunk_length(line)? {
                0 => State::Trailers(0),
                length => State::Chunk(length),
            }),
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkLine),
            State::Trailers(_) if line.is_empty() => Ok(State::Ended),
            State::Trailers(count) if count < MAX_TRAILERS => Ok(State::Trailers(count + 1)),
            _ => Err(bad_coding()),
        }
    }

    /// At most `most` bytes of what came.
    fn take(&mut self, most: u64) -> Bytes {
        let held = self.buffer.len();
        let count = usize::try_from(most).map_or(held, |most| most.min(held));
        self.buffer.split_to(count).freeze()
    }

    /// A whole line without its end.
    fn line(&mut self) -> io::Result<Option<Bytes>> {
        let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') else {
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(bad_coding());
            }
            return Ok(None);
        };
        let mut line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// Whether the body ended where it should: true as well for one that ends
    /// with the connection.
    fn complete(&self) -> bool {
        matches!(self.state, State::Ended | State::Close)
    }
}

/// A body that is being received.
#[derive(Debug)]
pub(super) struct Body {
    stream: TcpStream,
    decoder: Decoder,
    /// Takes out titles, if the server puts them in.
    icy: Option<Icy>,
}

impl Body {
    /// The body that comes from `stream`.
    pub(super) fn new(stream: TcpStream, decoder: Decoder, icy: Option<Icy>) -> Body {
        Body { stream, decoder, icy }
    }

    /// As it comes.
    async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.decoder.decode()? {
                return Ok(Some(bytes));
            }
            if self.decoder.state == State::Ended {
                return Ok(None);
            }
            self.decoder.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.decoder.buffer).await? == 0 {
                return if self.decoder.complete() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }
}

impl Pull for Body {
    async fn pull(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.icy.as_mut().and_then(Icy::pull) {
                return Ok(Some(bytes));
            }
            match (self.receive().await?, &mut self.icy) {
                (Some(bytes), Some(icy)) => icy.push(bytes),
                (bytes, _) => return Ok(bytes),
            }
        }
    }

    fn title(&mut self) -> Option<String> {
        self.icy.as_mut().and_then(Icy::title)
    }
}

fn chunk_length(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or(line);
    let text = std::str::from_utf8(digits).map_err(|_| bad_coding())?.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad_coding());
    }
    u64::from_str_radix(text, 16).map_err(|_| bad_coding())
}

fn bad_coding() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the chunked coding is broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything decoded from `input` in pieces of `cut`, and whether the
    /// body was complete.
    fn decode(framing: Framing, input: &[u8], cut: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut decoder = Decoder::new(framing, BytesMut::new());
        let mut body = Vec::new();
        for piece in input.chunks(cut) {
            decoder.buffer.extend_from_slice(piece);
            while let Some(bytes) = decoder.decode()? {
                body.extend(bytes);
            }
        }
        Ok((body, decoder.complete()))
    }

    #[test]
    fn bodies_are_decoded_whatever_the_cuts() {
        let chunked = b"5\r\nhello\r\n00A;x=y\r\n, 9 bytes \r\n1\n!\n0\r\nA: b\r\n\r\nignored";
        for cut in [1, 2, 3, 10, 100] {
            let decoded = decode(Framing::Chunked, chunked, cut).expect("a body");
            assert_eq!(decoded, (b"hello, 9 bytes !".to_vec(), true));
            let part = decode(Framing::Chunked, b"5\r\nhel", cut).expect("a part");
            assert_eq!(part, (b"hel".to_vec(), false));
            let length = decode(Framing::Length(5), b"hello, more", cut).expect("a body");
            assert_eq!(length, (b"hello".to_vec(), true));
            let close = decode(Framing::Close, b"hello", cut).expect("a body");
            assert_eq!(close, (b"hello".to_vec(), true));
        }
        assert!(decode(Framing::Length(0), b"x", 1).expect("nothing").0.is_empty());
    }

    #[test]
    fn broken_chunks_are_errors() {
        let long = [b'1'; MAX_LINE_BYTES + 2];
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(MAX_TRAILERS + 1)].concat();
        let cases: [&[u8]; 8] = [
            b"\r\n",
            b"-5\r\nhello",
            b"+5\r\nhello",
            b"xyz\r\n",
            b"fffffffffffffffff\r\n",
            b"5\r\nhello!\r\n",
            &long,
            &trailers,
        ];
        for input in cases {
            assert!(decode(Framing::Chunked, input, 7).is_err(), "{input:?}");
        }
    }
}

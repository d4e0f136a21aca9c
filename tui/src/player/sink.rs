//! What a peer plays, to a file or to standard output (PROTOCOL.md 6).
//!
//! A sink reads the hub like a player, but from the first place of the stream
//! on. The writing is done by a thread of its own, so that neither a slow disk
//! nor a full pipe ever blocks the peer; what it holds is bounded, and a sink
//! that the ring has passed ends with an error.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::hub::{Hub, Reader};
use super::ring::Progress;

/// Pieces of at most 64 KiB on the way to the writing thread.
const QUEUE_PIECES: usize = 2;

/// Opens what is written to; may block.
type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Write + Send>> + Send>;

/// Why a sink has ended before the stream.
#[derive(Debug)]
pub enum SinkError {
    /// The disk or the program behind the pipe is too slow: bytes were lost.
    TooSlow,
    /// The program reading the stream has ended (EPIPE).
    Closed,
    /// A stream of another format has begun, which can't go on in this file.
    Changed,
    /// Opening or writing failed.
    Io(io::Error),
}

/// A file or a pipe that gets every played byte.
pub struct Sink {
    open: Open,
}

impl Sink {
    /// Writes to the file at `path`, which is created or emptied when the sink
    /// runs. A named pipe is as good.
    pub fn file(path: impl Into<PathBuf>) -> Sink {
        let path = path.into();
        Sink { open: Box::new(move || Ok(Box::new(File::create(path)?))) }
    }

    /// Writes to standard output.
    pub fn stdout() -> Sink {
        // A descriptor of our own: `Stdout` would split the stream into lines.
        Sink {
            open: Box::new(|| {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                Ok(Box::new(File::from(stdout)))
            }),
        }
    }

    /// Writes to anything. It may block.
    pub fn writer(writer: impl Write + Send + 'static) -> Sink {
        Sink { open: Box::new(move || Ok(Box::new(writer))) }
    }

    /// Writes what `hub` plays until the stream ends; then how many bytes that
    /// were. The sink has its place in the stream as soon as this is called,
    /// so call it before [`Hub::start`] in order to miss nothing; if the ring
    /// has lost the first place already, it begins where a player would.
    ///
    /// # Errors
    ///
    /// See [`SinkError`]. What was written so far stays.
    pub fn run(self, hub: &Hub) -> impl Future<Output = Result<u64, SinkError>> + Send + use<> {
        copy(hub.recorder(), self.open)
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkError::TooSlow => {
                f.write_str("the disk or the program behind the pipe is too slow for the stream")
            }
            SinkError::Closed => f.write_str("the program reading the stream has ended"),
            SinkError::Changed => f.write_str("the stream has changed its format"),
            SinkError::Io(error) => write!(f, "can't write the stream: {error}"),
        }
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SinkError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> SinkError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed,
            _ => SinkError::Io(error),
        }
    }
}

async fn copy(mut reader: Reader, open: Open) -> Result<u64, SinkError> {
    let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
    let (report, mut result) = oneshot::channel();
    thread::Builder::new()
        .name("sink".to_owned())
        // A sink that was dropped has no use for the result.
        .spawn(move || drop(report.send(write_all(open, queue))))?;
    loop {
        let mut piece = Vec::new();
        // Opening may fail long before there is something to write.
        let progress = tokio::select! {
            progress = reader.next(&mut piece) => progress,
            written = &mut result => return outcome(written),
        };
        match progress {
            Progress::Data => {}
            Progress::Overrun => return Err(SinkError::TooSlow),
            Progress::Changed => {
                drop(pieces);
                outcome(result.await)?;
                return Err(SinkError::Changed);
            }
            Progress::End | Progress::Wait => {
                drop(pieces);
                return outcome(result.await);
            }
        }
        let mut overrun_possible = true;
        let mut sending = std::pin::pin!(pieces.send(piece));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => match sent {
                    Ok(()) => break,
                    Err(_) => return outcome(result.await),
                },
                overrun = reader.overrun_or_end(), if overrun_possible => {
                    if overrun {
                        return Err(SinkError::TooSlow);
                    }
                    // Nothing more will come: it may take its time.
                    overrun_possible = false;
                }
            }
        }
    }
}

fn outcome(written: Result<io::Result<u64>, oneshot::error::RecvError>) -> Result<u64, SinkError> {
    match written {
        Ok(written) => Ok(written?),
        Err(_) => Err(SinkError::Io(io::Error::other("the writing thread died"))),
    }
}

fn write_all(open: Open, mut pieces: mpsc::Receiver<Vec<u8>>) -> io::Result<u64> {
    let mut writer = open()?;
    let mut written = 0;
    while let Some(piece) = pieces.blocking_recv() {
        writer.write_all(&piece)?;
        written += piece.len() as u64;
    }
    writer.flush()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::media::Format;
    use crate::player::Stream;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn stream(format: Format, header: &[u8]) -> Stream {
        Stream {
            content_type: format.content_type().to_owned(),
            format,
            header: header.to_vec(),
            name: None,
        }
    }

    async fn result(run: impl Future<Output = Result<u64, SinkError>>) -> Result<u64, SinkError> {
        timeout(DEADLINE, run).await.expect("the sink ends")
    }

    #[tokio::test]
    async fn a_file_gets_every_byte() {
        let path = std::env::temp_dir().join(format!("p2psp-sink-{}", std::process::id()));
        let hub = Hub::new(1 << 20);
        let run = Sink::file(&path).run(&hub);
        hub.start(stream(Format::Unknown, b""), 777);
        let mut played = Vec::new();
        for chunk in 0..200_u8 {
            hub.write(&[chunk; 1024]);
            played.extend_from_slice(&[chunk; 1024]);
        }
        hub.end();
        assert_eq!(result(run).await.unwrap(), played.len() as u64);
        let written = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(written == played);
    }

    #[tokio::test]
    async fn header_first_then_from_the_first_mark() {
        let (mut reader, writer) = io::pipe().unwrap();
        let hub = Hub::new(4096);
        let run = Sink::writer(writer).run(&hub);
        hub.start(stream(Format::Ogg, b"HEAD"), 0);
        hub.write(b"xxabc");
        hub.mark(2);
        hub.gap(5);
        hub.write(b"def");
        hub.mark(11);
        hub.end();
        assert_eq!(result(run).await.unwrap(), 10);
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "HEADabcdef");
    }

    #[tokio::test]
    async fn a_full_pipe_is_too_slow_and_blocks_nobody() {
        let (reader, writer) = io::pipe().unwrap();
        let hub = Hub::new(64 * 1024);
        let mut run = std::pin::pin!(Sink::writer(writer).run(&hub));
        hub.start(stream(Format::Unknown, b""), 0);
        let overrun = async {
            loop {
                hub.write(&[0; 1024]);
                tokio::task::yield_now().await;
            }
        };
        let error = tokio::select! {
            error = result(&mut run) => error.unwrap_err(),
            () = overrun => unreachable!(),
        };
        assert!(matches!(error, SinkError::TooSlow), "{error}");
        drop(reader);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let hub = Hub::new(64 * 1024);
        let run = Sink::writer(writer).run(&hub);
        hub.start(stream(Format::Unknown, b""), 0);
        hub.write(b"abc");
        let error = result(run).await.unwrap_err();
        assert_eq!(error.to_string(), "the program reading the stream has ended");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_is_an_error_at_once() {
        let hub = Hub::new(4096);
        let error = result(Sink::file("/nonexistent/out").run(&hub)).await;
        assert!(matches!(error, Err(SinkError::Io(_))));
    }

    #[tokio::test]
    async fn another_format_ends_a_file() {
        let (mut reader, writer) = io::pipe().unwrap();
        let hub = Hub::new(4096);
        let run = Sink::writer(writer).run(&hub);
        hub.start(stream(Format::Unknown, b""), 0);
        hub.write(b"abc");
        let mut run = std::pin::pin!(run);
        let mut written = [0; 3];
        let read = tokio::task::spawn_blocking(move || {
            reader.read_exact(&mut written).unwrap();
            (written, reader)
        });
        tokio::select! {
            early = &mut run => panic!("{early:?}"),
            read = read => assert_eq!(read.unwrap().0, *b"abc"),
        }
        hub.start(stream(Format::Ogg, b"HEAD"), 0);
        let error = result(run).await.unwrap_err();
        assert!(matches!(error, SinkError::Changed), "{error}");
    }

    #[tokio::test]
    async fn a_stream_without_a_byte() {
        let hub = Hub::new(4096);
        let run = Sink::writer(io::sink()).run(&hub);
        hub.end();
        assert_eq!(result(run).await.unwrap(), 0);
    }
}

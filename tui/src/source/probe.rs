//! The first bytes of a stream: format, header, rate.

use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::io;
use tokio::time::{Instant, timeout_at};

use super::pace::Timeline;
use super::{Patience, SourceError};
use crate::media::{DETECT_BYTES, Format, Mark, Scanner};

/// A probe ends here whatever it knows.
const MAX_PROBE_BYTES: usize = 512 * 1024;

/// Titles within it that are told.
const MAX_TITLES: usize = 64;

/// Media time that tells a mean rate.
const RATE_SPAN_US: u64 = 1_000_000;

/// Bytes that come by themselves.
pub(super) trait Pull {
    /// The next bytes, `None` at the end. Dropping the future loses nothing.
    fn pull(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;

    /// A title, told once: that of the bytes pulled last and those after them.
    fn title(&mut self) -> Option<String> {
        None
    }
}

/// What the first bytes show.
#[derive(Debug)]
pub(super) struct Probe {
    /// All bytes pulled.
    pub(super) bytes: BytesMut,
    /// What they are; `None` while too few have come.
    pub(super) scanner: Option<Scanner>,
    /// The clock of the media.
    pub(super) timeline: Timeline,
    /// The first complete header.
    pub(super) header: Vec<u8>,
    /// Titles, with the number of bytes before them.
    pub(super) titles: Vec<(u64, String)>,
    /// Whether the stream ended within the probe.
    pub(super) ended: bool,
    declared: Option<String>,
    wants_rate: bool,
}

impl Probe {
    /// Nothing is known but the declared content type. `wants_rate`: whether
    /// to wait until the media tells its rate.
    pub(super) fn new(declared: Option<&str>, wants_rate: bool) -> Probe {
        Probe {
            bytes: BytesMut::new(),
            scanner: None,
            timeline: Timeline::by_marks(),
            header: Vec::new(),
            titles: Vec::new(),
            ended: false,
            declared: declared.map(str::to_owned),
            wants_rate,
        }
    }

    /// Pulls until enough is known.
    pub(super) async fn run(
        &mut self,
        source: &mut impl Pull,
        patience: &Patience,
    ) -> Result<(), ProbeError> {
        let mut deadline = Instant::now() + patience.silence;
        while !self.enough() {
            match timeout_at(deadline, source.pull()).await {
                Ok(Ok(Some(bytes))) => {
                    if self.bytes.is_empty() {
                        deadline = Instant::now() + patience.probe;
                    }
                    if self.titles.len() < MAX_TITLES
                        && let Some(title) = source.title()
                    {
                        self.titles.push((self.bytes.len() as u64, title));
                    }
                    self.push(&bytes);
                }
                Ok(Ok(None)) => {
                    self.ended = true;
                    break;
                }
                Ok(Err(error)) => return Err(ProbeError::Io(error)),
                Err(_) => break,
            }
        }
        if !self.bytes.is_empty() {
            self.detect(true);
            Ok(())
        } else if self.ended {
            Err(ProbeError::Source(SourceError::Empty))
        } else {
            let waited = patience.silence;
            Err(ProbeError::Source(SourceError::Silent { waited }))
        }
    }

    /// What the bytes are, as far as known.
    pub(super) fn format(&self) -> Format {
        self.scanner.as_ref().map_or(Format::Unknown, Scanner::format)
    }

    /// Whether there is a header too long to be kept.
    pub(super) fn header_given_up(&self) -> bool {
        self.header.is_empty() && self.scanner.as_ref().is_some_and(Scanner::header_overflow)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.scanner.is_some() {
            self.scan(bytes);
        } else {
            self.detect(false);
        }
    }

    /// Settles the format if that is possible, or if it has to be.
    fn detect(&mut self, now: bool) {
        if self.scanner.is_some() || (self.bytes.len() < DETECT_BYTES && !now) {
            return;
        }
        let bytes = self.bytes.split().freeze();
        let first = &bytes[..bytes.len().min(DETECT_BYTES)];
        let format = Format::detect(self.declared.as_deref(), first);
        self.scanner = Some(Scanner::new(format));
        self.scan(&bytes);
        self.bytes = BytesMut::from(bytes);
    }

    fn scan(&mut self, bytes: &[u8]) {
        if let Some(scanner) = &mut self.scanner {
            mark_times(scanner, bytes, &mut self.timeline);
            if self.header.is_empty() && !scanner.header().is_empty() {
                self.header = scanner.header().to_vec();
            }
        }
    }

    fn enough(&self) -> bool {
        let Some(scanner) = &self.scanner else {
            return false;
        };
        let no_clock = !self.wants_rate || scanner.format() == Format::Unknown;
        let known =
            scanner.header_complete() && (no_clock || self.timeline.span_us() >= RATE_SPAN_US);
        known || self.bytes.len() >= MAX_PROBE_BYTES
    }
}

/// Why a probe failed.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// Reading failed; who pulls knows what that means.
    Io(io::Error),
    /// Nothing came.
    Source(SourceError),
}

/// Pushes `bytes` and puts the times found on the line.
pub(super) fn mark_times(scanner: &mut Scanner, bytes: &[u8], timeline: &mut Timeline) {
    scanner.push(bytes);
    while let Some(mark) = scanner.poll_mark() {
        if let Mark::Time { offset, micros } = mark {
            timeline.mark(offset, micros);
        }
    }
}

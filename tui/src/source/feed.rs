//! A file or standard input, handed out at the clock of its media.
//!
//! A file is read ahead as far as the next time mark, so that a changing rate
//! is followed exactly. Standard input may be live: nothing is waited for but
//! the next piece.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep_until};

use super::media_pace::MediaPace;
use super::probe::{Probe, ProbeError, Pull};
use super::station::Span;
use super::{Origin, Patience, Source, SourceError, SourceInfo, SourceItem, SourceOptions, title};
use crate::media::Format;

/// One read.
const READ_BYTES: usize = 64 * 1024;

/// A time mark further ahead than this is not looked for.
const MAX_AHEAD_BYTES: usize = 1024 * 1024;

/// Content types by file extension; several for one format, so that sound
/// and pictures are told apart.
const EXTENSIONS: [(&str, &str); 22] = [
    ("mp3", "audio/mpeg"),
    ("mp2", "audio/mpeg"),
    ("mpga", "audio/mpeg"),
    ("aac", "audio/aac"),
    ("adts", "audio/aac"),
    ("ogg", "application/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("spx", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("wave", "audio/wav"),
    ("ts", "video/mp2t"),
    ("mts", "video/mp2t"),
    ("m2t", "video/mp2t"),
    ("webm", "video/webm"),
    ("weba", "audio/webm"),
    ("mkv", "video/x-matroska"),
    ("mka", "audio/x-matroska"),
    ("mp4", "video/mp4"),
    ("m4a", "audio/mp4"),
];

/// A stream that is read and paced here.
#[derive(Debug)]
pub(super) struct Feed {
    input: Input,
    path: PathBuf,
    /// Read and not yet handed out.
    ahead: BytesMut,
    /// Offset of the first byte of `ahead`.
    offset: u64,
    at_end: bool,
    pace: Option<MediaPace>,
    cut_bytes: usize,
}

/// What is read, and the buffer to read into.
pub(super) enum Input {
    File(File, BytesMut),
    /// The media of a file, without what is around it.
    Span(Box<Span>),
    /// Standard input, in general.
    Pipe(Pin<Box<dyn AsyncRead + Send>>, BytesMut),
}

/// Opens the file at `path`.
pub(super) async fn open_file(
    path: &Path,
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Source, SourceError> {
    let fail = |error| read_error(path, error);
    let file = File::open(path).await.map_err(fail)?;
    if file.metadata().await.map_err(fail)?.is_dir() {
        return Err(SourceError::IsDirectory { path: path.into() });
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let input = Input::File(file, BytesMut::new());
    let mut source = open(input, path.into(), name, options, patience).await?;
    if source.title.is_none() {
        let tagged = path.to_owned();
        let tagged = tokio::task::spawn_blocking(move || {
            title::of_tags(&mut std::fs::File::open(tagged).ok()?)
        });
        let title = tagged.await.ok().flatten();
        source.title = Some(title.unwrap_or_else(|| title::of_name(path)));
    }
    Ok(source)
}

/// What it means that `path` can't be read.
pub(super) fn read_error(path: &Path, error: std::io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::NotFound => SourceError::FileMissing { path: path.into() },
        ErrorKind::IsADirectory => SourceError::IsDirectory { path: path.into() },
        _ => SourceError::Read { path: path.into(), error },
    }
}

/// Opens standard input.
pub(super) async fn open_stdin(
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Source, SourceError> {
    open_pipe(Box::pin(tokio::io::stdin()), options, patience).await
}

/// Opens whatever can be read and not be read ahead.
pub(super) async fn open_pipe(
    pipe: Pin<Box<dyn AsyncRead + Send>>,
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Source, SourceError> {
    let input = Input::Pipe(pipe, BytesMut::new());
    open(input, "-".into(), None, options, patience).await
}

async fn open(
    input: Input,
    path: PathBuf,
    name: Option<String>,
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Source, SourceError> {
    let by_extension = content_type_of(&path);
    let opened = open_input(input, path, by_extension, options, patience).await?;
    let info = SourceInfo {
        content_type: opened.content_type.to_owned(),
        format: opened.format,
        name,
        rate_bytes_per_s: opened.rate_bytes_per_s,
    };
    let origin = Origin::Feed(Box::new(opened.feed));
    Ok(Source::new(info, opened.header, opened.header_given_up, origin))
}

/// A feed, and what its first bytes show.
pub(super) struct Opened {
    pub(super) feed: Feed,
    pub(super) format: Format,
    pub(super) content_type: &'static str,
    pub(super) rate_bytes_per_s: Option<f64>,
    pub(super) header: Vec<u8>,
    pub(super) header_given_up: bool,
}

/// Reads the first bytes of `input`, which is at `path`.
pub(super) async fn open_input(
    mut input: Input,
    path: PathBuf,
    by_extension: Option<&'static str>,
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Opened, SourceError> {
    let fixed = options.rate_bytes_per_s();
    let mut probe = Probe::new(by_extension, fixed.is_none());
    probe.run(&mut input, patience).await.map_err(|error| match error {
        ProbeError::Io(error) => SourceError::Read { path: path.clone(), error },
        ProbeError::Source(error) => error,
    })?;
    let format = probe.format();
    let content_type = content_type(format, by_extension);
    let rate_bytes_per_s = fixed.or_else(|| probe.timeline.rate());
    let header_given_up = probe.header_given_up();
    let pace = MediaPace::new(fixed, &mut probe, options.cut_bytes);
    if pace.is_none() && !matches!(input, Input::Pipe(..)) {
        return Err(SourceError::NoRate);
    }
    let feed = Feed {
        input,
        path,
        ahead: probe.bytes,
        offset: 0,
        at_end: probe.ended,
        pace,
        cut_bytes: options.cut_bytes.max(1),
    };
    let header = probe.header;
    Ok(Opened { feed, format, content_type, rate_bytes_per_s, header, header_given_up })
}

impl Feed {
    /// Lets the first byte be due then, unless that is long ago.
    pub(super) fn begin_at(&mut self, at: Instant) {
        if let Some(pace) = &mut self.pace {
            pace.begin_at(at);
        }
    }

    /// When the next byte is due; at the end, when the last was played.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.pace.as_mut().map(|pace| pace.due(self.offset))
    }

    /// Nothing more is read.
    pub(super) fn end(&mut self) {
        self.at_end = true;
    }

    /// The next piece when it is due, the end when the last has been played.
    pub(super) async fn next(&mut self) -> Result<SourceItem, SourceError> {
        if let Some(pace) = &mut self.pace {
            // Time runs from the first call on.
            pace.due(self.offset);
        }
        while self.wants_more() {
            self.read().await?;
        }
        if let Some(pace) = &mut self.pace {
            let due = pace.due(self.offset);
            if due > Instant::now() {
                sleep_until(due).await;
            }
        }
        if self.ahead.is_empty() {
            return Ok(SourceItem::Ended);
        }
        let piece = self.ahead.split_to(self.piece_bytes().min(self.ahead.len()));
        self.offset += piece.len() as u64;
        Ok(SourceItem::Data(piece.freeze()))
    }

    fn piece_bytes(&self) -> usize {
        match &self.pace {
            Some(pace) => pace.piece_bytes(),
            // As it comes, in whole cuts if there are any.
            None => self.ahead.len().min(READ_BYTES) / self.cut_bytes * self.cut_bytes,
        }
        .max(self.cut_bytes)
    }

    fn wants_more(&self) -> bool {
        if self.at_end {
            return false;
        }
        let Some(pace) = &self.pace else {
            return self.ahead.is_empty();
        };
        if self.ahead.len() < pace.piece_bytes() {
            return true;
        }
        let may_look_ahead = !matches!(self.input, Input::Pipe(..));
        may_look_ahead && self.ahead.len() < MAX_AHEAD_BYTES && !pace.covers(self.offset)
    }

    async fn read(&mut self) -> Result<(), SourceError> {
        match self.input.pull().await {
            Ok(Some(bytes)) => {
                if let Some(pace) = &mut self.pace {
                    pace.push(&bytes);
                }
                self.ahead.extend_from_slice(&bytes);
            }
            Ok(None) => self.at_end = true,
            Err(error) => {
                let path = self.path.clone();
                return Err(SourceError::Read { path, error });
            }
        }
        Ok(())
    }
}

impl Pull for Input {
    async fn pull(&mut self) -> std::io::Result<Option<Bytes>> {
        let (count, buffer) = match self {
            Input::Span(span) => return span.pull().await,
            Input::File(file, buffer) => {
                buffer.reserve(READ_BYTES);
                (file.read_buf(buffer).await?, buffer)
            }
            Input::Pipe(pipe, buffer) => {
                buffer.reserve(READ_BYTES);
                (pipe.read_buf(buffer).await?, buffer)
            }
        };
        Ok((count > 0).then(|| buffer.split().freeze()))
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Input::File(..) => "File",
            Input::Span(..) => "Span",
            Input::Pipe(..) => "Pipe",
        })
    }
}

/// The content type by the extension of `path`.
pub(super) fn content_type_of(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let known = EXTENSIONS.iter().find(|known| known.0 == extension)?;
    Some(known.1)
}

/// The content type of the format; the extension decides between several.
fn content_type(format: Format, by_extension: Option<&'static str>) -> &'static str {
    by_extension
        .filter(|by| Format::detect(Some(by), &[]) == format)
        .unwrap_or(format.content_type())
}

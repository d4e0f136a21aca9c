//! Where a stream comes from: an Icecast mount, files, standard input, or
//! music made here (PROTOCOL.md 2.4, 2.5).
//!
//! [`open`] connects and looks at the first bytes; [`Source::next`] then hands
//! out the stream in pieces, at its own pace. A file runs at the clock of its
//! media; a live source comes as it comes, and when it ends or dies it says so
//! and is connected to again, for ever.

mod body;
mod error;
mod feed;
mod http;
mod icy;
mod live;
mod media_pace;
mod music;
mod pace;
mod playlist;
mod probe;
mod spec;
mod station;
mod title;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

use crate::media::{Format, Scanner};

pub use error::SourceError;
pub use playlist::{Playlist, PlaylistError, Track, names_several};
pub use spec::{SourceSpec, SpecError};

/// How the stream is wanted.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Rate in kbit/s that overrides what the media says.
    pub rate_kbit: Option<u64>,
    /// Preferred length of a piece in bytes: the length of a chunk.
    pub cut_bytes: usize,
}

impl Default for SourceOptions {
    fn default() -> SourceOptions {
        SourceOptions { rate_kbit: None, cut_bytes: 1024 }
    }
}

impl SourceOptions {
    /// The rate that overrides, in bytes a second.
    fn rate_bytes_per_s(&self) -> Option<f64> {
        self.rate_kbit.filter(|&kbit| kbit > 0).map(|kbit| kbit as f64 * 125.0)
    }
}

/// What is known of a stream once it is open.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    /// Content type for players.
    pub content_type: String,
    /// What the bytes are.
    pub format: Format,
    /// What the stream calls itself.
    pub name: Option<String>,
    /// Mean rate in bytes a second, if it could be told: measured by the
    /// clock of the media, or as the server says.
    pub rate_bytes_per_s: Option<f64>,
}

/// What a source has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceItem {
    /// The next bytes of the stream; never empty.
    Data(Bytes),
    /// What the data that follows is called. It is clean, and may be empty.
    Title(String),
    /// Something of a playlist is passed over.
    Skipped {
        /// One line for people.
        reason: String,
    },
    /// A live source is gone; it is being connected to again.
    Down {
        /// One line for people.
        reason: String,
    },
    /// A live source is back; data follows.
    Up,
    /// The end of files or of standard input. It stays the end.
    Ended,
}

/// An open stream.
#[derive(Debug)]
pub struct Source {
    info: SourceInfo,
    header: Vec<u8>,
    header_given_up: bool,
    /// Watches for headers that replace the first one.
    follower: Option<Scanner>,
    origin: Origin,
    /// The title told last, empty if none.
    told: String,
    /// One that is to be told.
    title: Option<String>,
}

#[derive(Debug)]
enum Origin {
    Station(Box<station::Station>),
    Live(Box<live::Live>),
    Feed(Box<feed::Feed>),
    Music(Box<music::Music>),
}

/// How long a source may take; constants but for tests.
#[derive(Debug, Clone)]
struct Patience {
    /// To resolve a name, and as long again to connect.
    connect: Duration,
    /// To send anything, at the start and later.
    silence: Duration,
    /// To show format, header and rate after its first byte.
    probe: Duration,
    /// First and longest pause between attempts to connect again.
    retry: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            probe: Duration::from_secs(5),
            retry: (Duration::from_millis(500), Duration::from_secs(5)),
        }
    }
}

/// Connects or opens, and reads until format, header and if possible rate are
/// known: at most 512 KiB or 5 s from the first byte on.
///
/// # Errors
///
/// Whatever keeps the stream from starting; only afterwards is a live source
/// connected to again by itself.
pub async fn open(spec: &SourceSpec, options: &SourceOptions) -> Result<Source, SourceError> {
    open_with(spec, options, Patience::default()).await
}

async fn open_with(
    spec: &SourceSpec,
    options: &SourceOptions,
    patience: Patience,
) -> Result<Source, SourceError> {
    match spec {
        SourceSpec::Http(uri) => live::open(uri, options, patience).await,
        SourceSpec::File(path) => feed::open_file(path, options, &patience).await,
        SourceSpec::Files(playlist) => station::open(playlist, options, &patience).await,
        SourceSpec::Stdin => feed::open_stdin(options, &patience).await,
        SourceSpec::Music => Ok(music::open()),
    }
}

impl Source {
    fn new(info: SourceInfo, header: Vec<u8>, header_given_up: bool, origin: Origin) -> Source {
        let title = title::of_header(info.format, &header);
        // Only these can carry another header later on.
        let changes = matches!(info.format, Format::Ogg | Format::Matroska);
        Source {
            follower: changes.then(|| Scanner::new(info.format)),
            info,
            header,
            header_given_up,
            origin,
            told: String::new(),
            title,
        }
    }

    /// The next of the stream, when it is due. Dropping the future loses
    /// nothing: it can be used in `select!`.
    ///
    /// # Errors
    ///
    /// A file that can't be read any more; never for live sources and music.
    pub async fn next(&mut self) -> Result<SourceItem, SourceError> {
        loop {
            if let Some(title) = self.title.take()
                && self.told != title
            {
                self.told.clone_from(&title);
                return Ok(SourceItem::Title(title));
            }
            let item = match &mut self.origin {
                Origin::Station(station) => station.next().await,
                Origin::Live(live) => live.next().await,
                Origin::Feed(feed) => feed.next().await?,
                Origin::Music(music) => music.next().await,
            };
            match item {
                SourceItem::Title(title) => self.title = Some(title),
                SourceItem::Data(bytes) => {
                    self.follow(&bytes);
                    return Ok(SourceItem::Data(bytes));
                }
                item => return Ok(item),
            }
        }
    }

    /// What is known of the stream.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// The header that somebody who joins now needs, empty if none. It
    /// changes with the data handed out: when the header of a new Ogg chain
    /// or Matroska document is complete.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Whether the stream has a header too long to be handed to joiners:
    /// nobody can join in mid-stream.
    pub fn header_given_up(&self) -> bool {
        self.header_given_up
    }

    fn follow(&mut self, bytes: &[u8]) {
        let Some(follower) = &mut self.follower else {
            return;
        };
        follower.push(bytes);
        while follower.poll_mark().is_some() {}
        let header = follower.header();
        if follower.header_overflow() {
            self.header_given_up = true;
            self.header.clear();
        } else if !header.is_empty() && header != self.header {
            self.header_given_up = false;
            self.header = header.to_vec();
            if !matches!(self.origin, Origin::Station(_)) {
                // One without a title takes the last one back.
                self.title = Some(title::of_header(self.info.format, header).unwrap_or_default());
            }
        }
    }
}

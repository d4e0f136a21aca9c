//! A station: one file after the other as one stream, at the clock of its
//! media.
//!
//! The first track that can be played decides what the stream is. A track of
//! another format is passed over, and said to be. MP3, AAC (ADTS) and MPEG-TS
//! are joined frame by frame, Ogg as a chain if the codec is the same. FLAC,
//! WAV, Matroska and what is not known can't be joined: of these the first
//! track is all there is.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{Read, Seek, SeekFrom};
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::feed::{self, Feed, Input, Opened};
use super::playlist::{Playlist, Track};
use super::title::{self, ID3V1_BYTES};
use super::{Origin, Patience, Source, SourceError, SourceInfo, SourceItem, SourceOptions};
use crate::media::{Cutter, DETECT_BYTES, Format, chain_codec, id3_length};

/// One read.
const READ_BYTES: usize = 64 * 1024;

/// ID3 tags in a row at the start of a file that are passed over.
const MAX_TAGS: usize = 8;

/// Last bytes of a file that ends with an APE tag.
const APE_FOOTER_BYTES: u64 = 32;

type Opening = Pin<Box<dyn Future<Output = Result<Ready, Skip>> + Send>>;

/// A station that plays.
pub(super) struct Station {
    playlist: Playlist,
    /// The rest of this pass, as numbers of tracks, the next one last.
    queue: Vec<usize>,
    pass: u64,
    /// Whether anything was played in this pass.
    played: bool,
    kind: Kind,
    feed: Feed,
    /// What is to be said before anything else.
    news: VecDeque<SourceItem>,
    /// The next track: kept, so that nothing is lost when
    /// [`Station::next`] is dropped.
    opening: Option<Opening>,
    /// When the track before it ended.
    ended: Option<Instant>,
    options: SourceOptions,
    patience: Patience,
}

/// What tracks of one stream have to have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    format: Format,
    codec: Vec<u8>,
}

/// A track that can be played.
struct Ready {
    kind: Kind,
    title: String,
    opened: Opened,
}

/// Why a track is passed over.
struct Skip(String);

/// Opens the first track that can be played.
pub(super) async fn open(
    playlist: &Playlist,
    options: &SourceOptions,
    patience: &Patience,
) -> Result<Source, SourceError> {
    let mut queue = playlist.order(0);
    queue.reverse();
    let mut news: VecDeque<SourceItem> = VecDeque::new();
    news.extend(playlist.skipped.iter().map(|line| SourceItem::Skipped { reason: line.clone() }));
    let (track, ready) = loop {
        let Some(number) = queue.pop() else {
            let said = news.into_iter().filter_map(|item| match item {
                SourceItem::Skipped { reason } => Some(reason),
                _ => None,
            });
            let reason = said.last().unwrap_or_default();
            return Err(SourceError::NothingPlayable { reason });
        };
        let track = playlist.tracks[number].clone();
        match ready(track.clone(), options.clone(), patience.clone(), None).await {
            Ok(ready) => break (track, ready),
            Err(Skip(reason)) => news.push_back(SourceItem::Skipped { reason }),
        }
    };
    let Ready { kind, title, opened } = ready;
    let more = !queue.is_empty() || playlist.repeat;
    if more && !kind.can_be_joined() {
        let reason = format!(
            "{} is the only track: {} files can't follow one another in one stream; convert them \
             to Ogg or MP3",
            track.path.display(),
            kind.name()
        );
        queue.clear();
        news.push_back(SourceItem::Skipped { reason });
    }
    news.push_back(SourceItem::Title(title));
    let info = SourceInfo {
        content_type: opened.content_type.to_owned(),
        format: kind.format,
        name: Some(playlist.name.clone()),
        rate_bytes_per_s: opened.rate_bytes_per_s,
    };
    let repeat = playlist.repeat && kind.can_be_joined();
    let station = Station {
        playlist: Playlist { repeat, ..playlist.clone() },
        queue,
        pass: 0,
        played: true,
        kind,
        feed: opened.feed,
        news,
        opening: None,
        ended: None,
        options: options.clone(),
        patience: patience.clone(),
    };
    let origin = Origin::Station(Box::new(station));
    Ok(Source::new(info, opened.header, opened.header_given_up, origin))
}

impl Station {
    /// The next piece when it is due, the title before the first of a track.
    pub(super) async fn next(&mut self) -> SourceItem {
        loop {
            if let Some(item) = self.news.pop_front() {
                return item;
            }
            if let Some(opening) = &mut self.opening {
                let opened = opening.await;
                self.opening = None;
                match opened {
                    Ok(ready) => self.begin(ready),
                    Err(Skip(reason)) => {
                        self.news.push_back(SourceItem::Skipped { reason });
                        self.advance();
                    }
                }
                continue;
            }
            match self.feed.next().await {
                Ok(SourceItem::Ended) if self.ended.is_none() => {
                    self.ended = self.feed.due();
                    self.advance();
                    if self.opening.is_none() {
                        return SourceItem::Ended;
                    }
                }
                Ok(item) => return item,
                Err(error) => {
                    self.news.push_back(SourceItem::Skipped { reason: error.to_string() });
                    self.feed.end();
                }
            }
        }
    }

    fn begin(&mut self, ready: Ready) {
        self.feed = ready.opened.feed;
        if let Some(ended) = self.ended.take() {
            self.feed.begin_at(ended);
        }
        self.played = true;
        self.news.push_back(SourceItem::Title(ready.title));
    }

    /// Begins to open the next track, if there is one.
    fn advance(&mut self) {
        if self.queue.is_empty() && self.playlist.repeat && std::mem::take(&mut self.played) {
            self.pass += 1;
            self.queue = self.playlist.order(self.pass);
            self.queue.reverse();
        }
        let next = self.queue.pop().map(|number| {
            let track = self.playlist.tracks[number].clone();
            let (options, patience) = (self.options.clone(), self.patience.clone());
            Box::pin(ready(track, options, patience, Some(self.kind.clone()))) as Opening
        });
        self.opening = next;
    }
}

impl fmt::Debug for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Station").field("playlist", &self.playlist.name).finish_non_exhaustive()
    }
}

impl Kind {
    fn can_be_joined(&self) -> bool {
        matches!(self.format, Format::Mp3 | Format::Adts | Format::MpegTs | Format::Ogg)
    }

    /// For people.
    fn name(&self) -> String {
        let readable = |byte: &u8| byte.is_ascii_alphanumeric();
        let codec: String = self.codec.iter().copied().filter(readable).map(char::from).collect();
        match self.format {
            Format::Mp3 => "MP3".to_owned(),
            Format::Adts => "AAC".to_owned(),
            Format::Ogg => format!("Ogg {codec}"),
            Format::Flac => "FLAC".to_owned(),
            Format::Wav => "WAV".to_owned(),
            Format::MpegTs => "MPEG-TS".to_owned(),
            Format::Matroska => "Matroska".to_owned(),
            Format::Unknown => "unknown".to_owned(),
        }
    }
}

/// Opens a track that is to follow others of `kind`, if that is given.
async fn ready(
    track: Track,
    options: SourceOptions,
    patience: Patience,
    kind: Option<Kind>,
) -> Result<Ready, Skip> {
    let path = track.path.clone();
    let skip = |why: &dyn fmt::Display| Skip(format!("{why}; it is skipped"));
    let looked = tokio::task::spawn_blocking(move || look(&track)).await;
    let found = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(skip(&feed::read_error(&path, error))),
        Err(_) => return Err(skip(&path.display())),
    };
    let other = |own: &Kind, wanted: &Kind| {
        let (path, own, wanted) = (path.display(), own.name(), wanted.name());
        Skip(format!("{path} is {own} and the stream {wanted}: it is skipped"))
    };
    let own = Kind { format: found.format, codec: Vec::new() };
    if let Some(wanted) = kind.as_ref().filter(|wanted| wanted.format != own.format) {
        return Err(other(&own, wanted));
    }
    let span = Span {
        file: File::from_std(found.file),
        left: found.length,
        cutter: Cutter::new(found.format),
        read: BytesMut::new(),
    };
    let input = Input::Span(Box::new(span));
    let opened = feed::open_input(input, path.clone(), found.by_extension, &options, &patience)
        .await
        .map_err(|error| match error {
            SourceError::Empty => skip(&format_args!("there is no sound in {}", path.display())),
            error => skip(&format_args!("{}: {error}", path.display())),
        })?;
    let own = Kind {
        format: opened.format,
        codec: match opened.format {
            Format::Ogg => chain_codec(&opened.header),
            _ => Vec::new(),
        },
    };
    if let Some(wanted) = kind.filter(|wanted| *wanted != own) {
        return Err(other(&own, &wanted));
    }
    let tagged = title::of_header(own.format, &opened.header);
    let title = found.title.or(tagged).or(found.listed).unwrap_or_else(|| title::of_name(&path));
    Ok(Ready { kind: own, title, opened })
}

/// What a look at a file shows.
struct Found {
    /// At its first byte of media.
    file: std::fs::File,
    /// Bytes of media.
    length: u64,
    format: Format,
    by_extension: Option<&'static str>,
    title: Option<String>,
    /// What the playlist calls it.
    listed: Option<String>,
}

/// Finds the media between the tags of a file, and its title.
fn look(track: &Track) -> std::io::Result<Found> {
    let mut file = std::fs::File::open(&track.path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut end = metadata.len();
    let title = title::of_tags(&mut file);
    let begin = after_tags(&mut file)?.min(end);
    end = before_tags(&mut file, begin, end)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut first = Vec::new();
    (&mut file).take((end - begin).min(DETECT_BYTES as u64)).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(begin))?;
    let by_extension = feed::content_type_of(&track.path);
    let format = Format::detect(by_extension, &first);
    let (length, listed) = (end - begin, track.title.clone());
    Ok(Found { file, length, format, by_extension, title, listed })
}

/// Where the ID3v2 tags at the start of a file end.
fn after_tags(file: &mut std::fs::File) -> std::io::Result<u64> {
    let mut begin = 0;
    for _ in 0..MAX_TAGS {
        file.seek(SeekFrom::Start(begin))?;
        let mut header = Vec::new();
        file.take(10).read_to_end(&mut header)?;
        match id3_length(&header) {
            Some(length) => begin += length,
            None => break,
        }
    }
    Ok(begin)
}

/// Where the media of a file ends that has tags behind it: ID3v1, APE.
fn before_tags(file: &mut std::fs::File, begin: u64, mut end: u64) -> std::io::Result<u64> {
    let mut at = |end: u64, back: u64| -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if end >= begin + back {
            file.seek(SeekFrom::Start(end - back))?;
            file.take(back).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    if at(end, ID3V1_BYTES)?.starts_with(b"TAG") {
        end -= ID3V1_BYTES;
    }
    let footer = at(end, APE_FOOTER_BYTES)?;
    if footer.starts_with(b"APETAGEX")
        && let Some(size) = footer.get(12..16)
    {
        let size = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
        let header = if footer[23] & 0x80 == 0 { 0 } else { APE_FOOTER_BYTES };
        end = end.saturating_sub(size + header).max(begin);
    }
    Ok(end)
}

/// The media of a file.
pub(super) struct Span {
    file: File,
    left: u64,
    cutter: Cutter,
    read: BytesMut,
}

impl Span {
    /// The next bytes of media, `None` at the end. Dropping the future loses
    /// nothing.
    pub(super) async fn pull(&mut self) -> std::io::Result<Option<Bytes>> {
        let mut media = BytesMut::new();
        while media.is_empty() && self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(READ_BYTES).min(READ_BYTES);
            self.read.reserve(most);
            let mut limited = (&mut self.file).take(most as u64);
            let count = limited.read_buf(&mut self.read).await?;
            self.left = if count == 0 { 0 } else { self.left - count as u64 };
            self.cutter.push(&self.read.split(), &mut media);
            if self.left == 0 {
                self.cutter.finish(&mut media);
            }
        }
        Ok((!media.is_empty()).then(|| media.freeze()))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("left", &self.left).finish_non_exhaustive()
    }
}

//! A stream from an HTTP server. It may end, die or fall silent: that is
//! said once, then the server is connected to again for ever, and the stream
//! goes on (PROTOCOL.md 2.5).

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Uri;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::body::Body;
use super::http::{self as client, Answer};
use super::media_pace::MediaPace;
use super::pace::Bucket;
use super::probe::{Probe, ProbeError, Pull};
use super::{Origin, Patience, Source, SourceError, SourceInfo, SourceItem, SourceOptions};
use crate::media::{Format, Scanner, wav_block_bytes};

/// Titles of bytes that wait to be handed out; more are not told.
const MAX_TITLES: usize = 256;

/// A live source.
#[derive(Debug)]
pub(super) struct Live {
    uri: Uri,
    patience: Patience,
    link: Link,
    /// Received and not yet handed out.
    ahead: BytesMut,
    /// Since when nothing came; `None` while nothing is waited for.
    quiet_since: Option<Instant>,
    pace: Pace,
    cut_bytes: usize,
    wav: Option<WavJoint>,
    /// Titles to come, with the number of bytes handed out before them.
    titles: VecDeque<(u64, String)>,
    handed_out: u64,
}

/// When a piece may go.
#[derive(Debug)]
enum Pace {
    /// At once: the rate is not known.
    Free,
    /// Nearly as it comes.
    Bucket(Bucket),
    /// A file on a web server, which would come as fast as the network lets
    /// it: at the clock of its media.
    Media {
        pace: Box<MediaPace>,
        /// Offset of the next byte to be handed out.
        offset: u64,
    },
}

enum Link {
    Up(Body),
    /// Wait until then, then connect; the next pause is given.
    Pause(Instant, Duration),
    Connecting(Connecting, Duration),
}

/// A connection being made: kept, so that nothing is lost when
/// [`Live::next`] is dropped.
type Connecting = Pin<Box<dyn Future<Output = Result<(Body, Bytes), SourceError>> + Send>>;

/// Connects and reads the first bytes.
pub(super) async fn open(
    uri: &Uri,
    options: &SourceOptions,
    patience: Patience,
) -> Result<Source, SourceError> {
    let Answer { head, mut body } = client::get(uri, &patience).await?;
    let fixed = options.rate_bytes_per_s();
    let mut probe = Probe::new(head.content_type.as_deref(), fixed.is_none());
    probe.run(&mut body, &patience).await.map_err(|error| match error {
        ProbeError::Io(error) => SourceError::Connection {
            server: uri.authority().map_or(String::new(), ToString::to_string),
            error,
        },
        ProbeError::Source(error) => error,
    })?;
    let format = probe.format();
    let declared = head.kbit.map(|kbit| kbit * 125.0);
    let is_file = head.is_file();
    let info = SourceInfo {
        content_type: head.content_type.unwrap_or_else(|| format.content_type().to_owned()),
        format,
        name: head.name,
        rate_bytes_per_s: fixed.or_else(|| probe.timeline.rate()).or(declared),
    };
    let header_given_up = probe.header_given_up();
    let wav = match format {
        Format::Wav => WavJoint::new(&probe.header),
        _ => None,
    };
    let media = if is_file { MediaPace::new(fixed, &mut probe, options.cut_bytes) } else { None };
    let pace = match (media, info.rate_bytes_per_s) {
        (Some(pace), _) => Pace::Media { pace: Box::new(pace), offset: 0 },
        (None, Some(rate)) => Pace::Bucket(Bucket::new(rate)),
        (None, None) => Pace::Free,
    };
    let live = Live {
        uri: uri.clone(),
        patience,
        link: Link::Up(body),
        ahead: probe.bytes,
        quiet_since: None,
        pace,
        cut_bytes: options.cut_bytes.max(1),
        wav,
        titles: probe.titles.into(),
        handed_out: 0,
    };
    let origin = Origin::Live(Box::new(live));
    Ok(Source::new(info, probe.header, header_given_up, origin))
}

impl Live {
    /// The next piece when it is due, or the end or return of the server.
    pub(super) async fn next(&mut self) -> SourceItem {
        loop {
            if self.titles.front().is_some_and(|(at, _)| *at <= self.handed_out)
                && let Some((_, title)) = self.titles.pop_front()
            {
                return SourceItem::Title(title);
            }
            if !self.ahead.is_empty() {
                return SourceItem::Data(self.hand_out().await);
            }
            match &mut self.link {
                Link::Up(_) => {
                    if let Some(down) = self.receive().await {
                        return down;
                    }
                }
                Link::Pause(until, pause) => {
                    sleep_until(*until).await;
                    let pause = *pause;
                    let connecting = connect_again(self.uri.clone(), self.patience.clone());
                    self.link = Link::Connecting(Box::pin(connecting), pause);
                }
                Link::Connecting(connecting, pause) => {
                    let pause = *pause;
                    match connecting.await {
                        Ok((mut body, first)) => {
                            let title = body.title();
                            self.link = Link::Up(body);
                            if let Some(wav) = &mut self.wav {
                                wav.reconnected();
                            }
                            self.note(title);
                            self.take(&first);
                            return SourceItem::Up;
                        }
                        Err(_) => {
                            let next = (pause * 2).min(self.patience.retry.1);
                            self.link = Link::Pause(Instant::now() + pause, next);
                        }
                    }
                }
            }
        }
    }

    /// Waits for bytes; the end of the connection is an item.
    async fn receive(&mut self) -> Option<SourceItem> {
        let Link::Up(body) = &mut self.link else {
            return None;
        };
        let silence = self.patience.silence;
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        let received = timeout_at(since + silence, body.pull()).await;
        self.quiet_since = None;
        let reason = match received {
            Ok(Ok(Some(bytes))) => {
                let title = body.title();
                self.note(title);
                self.take(&bytes);
                return None;
            }
            Ok(Ok(None)) => "the server ended the stream".to_owned(),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the server broke off the stream".to_owned()
            }
            Ok(Err(error)) => format!("the connection broke: {error}"),
            Err(_) => format!("nothing came in {:.0} s", silence.as_secs_f64()),
        };
        Some(self.down(reason))
    }

    fn down(&mut self, reason: String) -> SourceItem {
        let (first, longest) = self.patience.retry;
        self.link = Link::Pause(Instant::now() + first, (first * 2).min(longest));
        SourceItem::Down { reason }
    }

    /// The title of the bytes that come next.
    fn note(&mut self, title: Option<String>) {
        let at = self.handed_out + self.ahead.len() as u64;
        if let Some(title) = title.filter(|_| self.titles.len() < MAX_TITLES) {
            self.titles.push_back((at, title));
        }
    }

    /// Bytes that came.
    fn take(&mut self, bytes: &[u8]) {
        let held = self.ahead.len();
        match &mut self.wav {
            Some(wav) => wav.push(bytes, &mut self.ahead),
            None => self.ahead.extend_from_slice(bytes),
        }
        if let Pace::Media { pace, .. } = &mut self.pace {
            pace.push(&self.ahead[held..]);
        }
    }

    /// The next piece of what came, when it may go.
    async fn hand_out(&mut self) -> Bytes {
        let most = match &mut self.pace {
            Pace::Free => self.ahead.len(),
            Pace::Bucket(bucket) => {
                wait_until(bucket.due(Instant::now())).await;
                bucket.piece_bytes().max(self.cut_bytes)
            }
            Pace::Media { pace, offset } => {
                wait_until(pace.due(*offset)).await;
                pace.piece_bytes()
            }
        };
        // Not past the next title.
        let until_title = self.titles.front().map_or(u64::MAX, |(at, _)| at - self.handed_out);
        let most = most.min(usize::try_from(until_title).unwrap_or(usize::MAX));
        let piece = self.ahead.split_to(most.min(self.ahead.len())).freeze();
        self.handed_out += piece.len() as u64;
        match &mut self.pace {
            Pace::Free => {}
            Pace::Bucket(bucket) => bucket.take(Instant::now(), piece.len()),
            Pace::Media { offset, .. } => *offset += piece.len() as u64,
        }
        if let Some(wav) = &mut self.wav {
            wav.handed_out(piece.len());
        }
        piece
    }
}

/// Sleeps only if that is to come.
async fn wait_until(due: Instant) {
    if due > Instant::now() {
        sleep_until(due).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Up(_) => "Up",
            Link::Pause(..) => "Pause",
            Link::Connecting(..) => "Connecting",
        })
    }
}

/// A server is back when its first bytes are there: one that answers without
/// a stream is not.
async fn connect_again(uri: Uri, patience: Patience) -> Result<(Body, Bytes), SourceError> {
    let mut answer = client::get(&uri, &patience).await?;
    let waited = patience.silence;
    match timeout(waited, answer.body.pull()).await {
        Ok(Ok(Some(first))) => Ok((answer.body, first)),
        Ok(Ok(None)) => Err(SourceError::Empty),
        Ok(Err(error)) => Err(SourceError::Connection { server: uri.to_string(), error }),
        Err(_) => Err(SourceError::Silent { waited }),
    }
}

/// Joins WAV streams: players have the header already, and sample frames
/// must stay aligned to it.
#[derive(Debug)]
struct WavJoint {
    block_bytes: usize,
    /// Bytes of the stream so far, less the header, modulo the block.
    phase: usize,
    /// Bytes of the header that are yet to be handed out.
    header_left: usize,
    /// The header of a new connection, until it is whole.
    again: Option<(Scanner, BytesMut)>,
}

impl WavJoint {
    fn new(header: &[u8]) -> Option<WavJoint> {
        Some(WavJoint {
            block_bytes: wav_block_bytes(header)?,
            phase: 0,
            header_left: header.len(),
            again: None,
        })
    }

    fn handed_out(&mut self, bytes: usize) {
        let header = bytes.min(self.header_left);
        self.header_left -= header;
        self.phase = (self.phase + bytes - header) % self.block_bytes;
    }

    fn reconnected(&mut self) {
        self.again = Some((Scanner::new(Format::Wav), BytesMut::new()));
    }

    /// Puts `bytes` at the end of `ahead`, without a repeated header.
    fn push(&mut self, bytes: &[u8], ahead: &mut BytesMut) {
        let Some((scanner, held)) = &mut self.again else {
            return ahead.extend_from_slice(bytes);
        };
        scanner.push(bytes);
        held.extend_from_slice(bytes);
        if scanner.header_complete() {
            // All that was received before has been handed out by now.
            let missing = (self.block_bytes - self.phase) % self.block_bytes;
            ahead.extend(std::iter::repeat_n(0, missing));
            ahead.extend_from_slice(&held[scanner.header().len()..]);
            self.again = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0\
          data\xff\xff\xff\xff";

    #[test]
    fn a_repeated_wav_header_is_dropped_and_samples_stay_aligned() {
        for cut in [1, 10, 1000] {
            let mut joint = WavJoint::new(HEADER).expect("a WAV header");
            let mut ahead = BytesMut::new();
            joint.push(&[HEADER, &[1; 10]].concat(), &mut ahead);
            let first = ahead.split();
            assert_eq!(first, [HEADER, &[1; 10]].concat());
            joint.handed_out(20);
            joint.handed_out(first.len() - 20);
            joint.reconnected();
            for piece in [HEADER, &[2; 8]].concat().chunks(cut) {
                joint.push(piece, &mut ahead);
            }
            assert_eq!(ahead[..], [&[0; 2][..], &[2; 8]].concat());
            joint.handed_out(ahead.len());
            assert_eq!(joint.phase, 0);
        }
    }

    #[test]
    fn a_stream_without_header_goes_on_as_it_is() {
        let mut joint = WavJoint::new(HEADER).expect("a WAV header");
        let mut ahead = BytesMut::new();
        joint.reconnected();
        joint.push(&[7; 20], &mut ahead);
        assert_eq!(ahead[..], [7; 20]);
        assert!(WavJoint::new(b"no header").is_none());
    }
}

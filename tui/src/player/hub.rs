//! The handle which the peer and the readers of its stream share
//! (PROTOCOL.md 6).
//!
//! The peer starts a stream, writes what it plays and reports what was lost;
//! readers wait for bytes. Nothing here ever waits for a reader.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::Notify;

use super::ring::{Begin, Cursor, Opening, Progress, Ring};
use crate::media::{Format, Mark, Scanner};

/// At most so many bytes of the stream are copied out of the ring at once,
/// and held for one player while its socket takes them.
const COPY_BYTES: usize = 64 * 1024;

/// What is being played, as the splitter's welcome describes it
/// (PROTOCOL.md 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Declared to the players; the format's own one if this is none.
    pub content_type: String,
    /// Decides where a player may start.
    pub format: Format,
    /// What a decoder needs before it can start in mid-stream; may be empty.
    pub header: Vec<u8>,
    /// Of the station, if it has one. Only players that ask for titles are
    /// told: any `icy-*` header makes some of the others connect twice.
    pub name: Option<String>,
}

/// What the hub has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubStats {
    /// Players connected now, those included that wait for a stream.
    pub players: usize,
    /// Players dropped because they stalled.
    pub dropped: u64,
    /// Bytes of the stream, headers included, that the players' sockets took.
    pub bytes_served: u64,
}

/// Titles within the ring; one more pushes out the oldest.
const MAX_TITLES: usize = 256;
/// How far back the burst of a transport stream reaches. ffmpeg and what is
/// made of it look at five seconds and more of it before they play: with less
/// they would be silent for the rest of that time, and be as far behind.
const TS_BURST: Duration = Duration::from_secs(8);
/// How exactly that is measured.
const PAST_INTERVAL: Duration = Duration::from_millis(100);

/// The stream that a peer plays, in a ring from which all players read. A
/// clone is another handle of the same hub.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Told after every change of the state, and when a player leaves.
    changed: Notify,
    players: AtomicUsize,
    dropped: AtomicU64,
    bytes_served: AtomicU64,
}

struct State {
    ring: Ring,
    /// `None` for an unknown format: there is nothing to find.
    scanner: Option<Scanner>,
    name: Option<String>,
    /// Titles, each with the position from which on it holds: the last one
    /// before the oldest byte of the ring, and those after it.
    titles: VecDeque<(u64, String)>,
    /// Where the ring's head was, and when, for as long as a burst reaches
    /// back.
    past: VecDeque<(Instant, u64)>,
}

impl Hub {
    /// A hub that keeps the last `ring_bytes` bytes (rounded up to a power of
    /// two, between 4 KiB and 1 GiB). A player may fall so far behind before
    /// it is dropped; half of it is the most that a newcomer gets at once.
    pub fn new(ring_bytes: usize) -> Hub {
        Hub {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(ring_bytes)),
                changed: Notify::new(),
                players: AtomicUsize::new(0),
                dropped: AtomicU64::new(0),
                bytes_served: AtomicU64::new(0),
            }),
        }
    }

    /// A stream begins with the byte at `offset`: number of the first chunk
    /// played times the chunk length (PROTOCOL.md 6.1).
    ///
    /// Players of a stream before it go on with this one if content type and
    /// format are the same and their decoder can; else they get what is left
    /// of theirs, and their connection ends.
    pub fn start(&self, stream: Stream, offset: u64) {
        let Stream { content_type, format, header, name } = stream;
        // It comes from another machine and goes into a header of HTTP: it
        // must not smuggle in a line of its own.
        let content_type = match HeaderValue::from_str(&content_type) {
            Ok(value) if !value.is_empty() => &content_type,
            _ => format.content_type(),
        };
        let mut state = self.lock();
        let scanner = if offset == 0 && header.is_empty() {
            // The header, if the format has one, is about to come.
            Scanner::new(format)
        } else {
            Scanner::resume(format, &header, offset)
        };
        let header = match scanner.header() {
            [] => &header,
            known => known,
        };
        state.past.clear();
        state.entitle("");
        state.ring.start(&Begin { content_type, format, header, offset });
        state.scanner = (format != Format::Unknown).then_some(scanner);
        state.name = name;
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The next played bytes. Ignored when no stream is being played.
    pub fn write(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if bytes.is_empty() || !state.ring.is_open() {
            return;
        }
        state.ring.append(bytes);
        state.scan(bytes);
        state.remember(bytes);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The bytes written next are of something with this title.
    pub fn entitle(&self, title: &str) {
        self.lock().entitle(title);
    }

    /// A chunk was lost (PROTOCOL.md 6.3): players get what comes next right
    /// after what came before.
    pub fn gap(&self, lost_bytes: u64) {
        let mut state = self.lock();
        if !state.ring.is_open() {
            return;
        }
        state.ring.gap(lost_bytes);
        if let Some(scanner) = &mut state.scanner {
            scanner.gap(lost_bytes);
        }
    }

    /// The stream has ended: readers get what is left, then their connection
    /// ends. Newcomers are refused until [`Hub::start`].
    pub fn end(&self) {
        self.lock().ring.end();
        self.shared.changed.notify_waiters();
    }

    /// Waits until no player is connected. After [`Hub::end`], to let them
    /// finish; the server must go on running meanwhile.
    pub async fn idle(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.stats().players == 0 {
                return;
            }
            changed.await;
        }
    }

    /// What the hub has done so far.
    pub fn stats(&self) -> HubStats {
        HubStats {
            players: self.shared.players.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            bytes_served: self.shared.bytes_served.load(Ordering::Relaxed),
        }
    }

    /// Name of the station that is being played.
    pub fn name(&self) -> Option<String> {
        self.lock().name.clone()
    }

    /// A player's reader: begins with a burst.
    pub(super) fn player(&self) -> Reader {
        self.shared.players.fetch_add(1, Ordering::Relaxed);
        self.reader(Cursor::burst(), true)
    }

    /// A recorder's reader: begins at the first place of the stream, if that
    /// is still in the ring; else like a player.
    pub(super) fn recorder(&self) -> Reader {
        let gone = self.lock().ring.first_is_gone();
        let cursor = if gone { Cursor::burst() } else { Cursor::first() };
        self.reader(cursor, false)
    }

    /// A start mark that no scanner has found.
    #[cfg(test)]
    pub(super) fn mark(&self, offset: u64) {
        self.lock().ring.mark(offset);
        self.shared.changed.notify_waiters();
    }

    fn reader(&self, cursor: Cursor, is_player: bool) -> Reader {
        Reader { hub: self.clone(), cursor, is_player }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl State {
    fn new(ring_bytes: usize) -> State {
        let ring = Ring::new(ring_bytes);
        let (titles, past) = (VecDeque::new(), VecDeque::new());
        State { ring, scanner: None, name: None, titles, past }
    }

    fn entitle(&mut self, title: &str) {
        let tail = self.ring.tail();
        while self.titles.len() > 1 && (self.titles[1].0 <= tail || self.titles.len() >= MAX_TITLES)
        {
            self.titles.pop_front();
        }
        self.titles.push_back((self.ring.head(), title.to_owned()));
    }

    /// The title of the byte at `position`.
    fn title_at(&self, position: u64) -> &str {
        let after = self.titles.partition_point(|(from, _)| *from <= position);
        after.checked_sub(1).map_or("", |index| &self.titles[index].1)
    }

    /// Lets the burst of a transport stream reach back by time.
    fn remember(&mut self, bytes: &[u8]) {
        if self.ring.format() != Format::MpegTs {
            return;
        }
        let now = Instant::now();
        let recent = |(then, _): &(Instant, u64)| now.duration_since(*then) < PAST_INTERVAL;
        if !self.past.back().is_some_and(recent) {
            self.past.push_back((now, self.ring.head() - bytes.len() as u64));
        }
        while self.past.len() > 1 && now.duration_since(self.past[1].0) >= TS_BURST {
            self.past.pop_front();
        }
        self.ring.set_burst(self.past[0].1);
    }

    /// Follows the bytes that were just appended to the ring.
    fn scan(&mut self, bytes: &[u8]) {
        let Some(scanner) = &mut self.scanner else {
            return;
        };
        scanner.push(bytes);
        let mut header_is_current = false;
        while let Some(mark) = scanner.poll_mark() {
            let Mark::Start { offset } = mark else {
                continue;
            };
            // A header may be long: it is compared once a write, and only when
            // there is a new place that it could belong to.
            if !header_is_current {
                header_is_current = true;
                let header = scanner.header();
                if !header.is_empty() && header != self.ring.header() {
                    self.ring.set_header(header, bytes.len());
                }
            }
            self.ring.mark(offset);
        }
    }
}

/// One reader's place in the hub. Every method that waits may be cancelled
/// without losing a byte.
pub(super) struct Reader {
    hub: Hub,
    cursor: Cursor,
    is_player: bool,
}

impl Reader {
    /// Waits for a stream; its content type, or `None` when it has ended.
    pub(super) async fn opened(&mut self) -> Option<Arc<str>> {
        loop {
            let changed = self.hub.shared.changed.notified();
            match self.hub.lock().ring.open(&mut self.cursor) {
                Opening::Open(content_type) => return Some(content_type),
                Opening::Ended => return None,
                Opening::Wait => {}
            }
            changed.await;
        }
    }

    /// Waits for the next bytes and appends them to `out`, which is empty: at
    /// most 64 KiB of the stream, and the header before the first of them.
    /// Never answers [`Progress::Wait`].
    pub(super) async fn next(&mut self, out: &mut Vec<u8>) -> Progress {
        loop {
            let changed = self.hub.shared.changed.notified();
            let progress = {
                let state = self.hub.lock();
                state.ring.read(&mut self.cursor, out, COPY_BYTES)
            };
            if progress != Progress::Wait {
                return progress;
            }
            changed.await;
        }
    }

    /// The title of the byte so many bytes before the place that was reached.
    pub(super) fn title(&self, back: usize) -> String {
        let position = self.cursor.position().saturating_sub(back as u64);
        self.hub.lock().title_at(position).to_owned()
    }

    /// Whether titles can go between the bytes of this stream: in formats
    /// that carry them themselves they would be twofold.
    pub(super) fn takes_titles(&self) -> bool {
        !matches!(self.hub.lock().ring.format(), Format::Ogg | Format::Matroska)
    }

    /// Name of the station.
    pub(super) fn name(&self) -> Option<String> {
        self.hub.name()
    }

    /// Waits until the ring has passed the cursor, or the stream has ended:
    /// true for the former.
    pub(super) async fn overrun_or_end(&self) -> bool {
        loop {
            let changed = self.hub.shared.changed.notified();
            {
                let state = self.hub.lock();
                if state.ring.overrun(&self.cursor) {
                    return true;
                }
                if state.ring.is_ended() {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// The player took these many bytes.
    pub(super) fn count_served(&self, bytes: usize) {
        let served = &self.hub.shared.bytes_served;
        served.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The player is dropped because it stalled.
    pub(super) fn count_dropped(&self) {
        self.hub.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.is_player {
            self.hub.shared.players.fetch_sub(1, Ordering::Relaxed);
            self.hub.shared.changed.notify_waiters();
        }
    }
}

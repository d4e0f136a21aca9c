//! What can be seen of a running team: events, snapshots, summaries.
//!
//! Nodes report events and publish snapshots to an [`Observer`]; where these
//! go (JSON lines, log lines, a screen) is no concern of theirs. None of it
//! ever makes a node wait.

mod event;
mod flow;
mod history;
mod name;
mod ring;
mod snapshot;
mod tables;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use event::{Event, Level, Line, PeerSummary, SplitterSummary};
pub use flow::{Sightings, Transmission};
pub(crate) use history::ratio;
pub use history::{History, MAX_SAMPLES, Pace, Sample};
pub use name::Name;
pub use ring::{MAX_SLOTS, Ring, Slot};
pub use snapshot::{
    BufferFill, Latency, LogLine, MemberRow, NeighbourRow, NodeSnapshot, PeerSnapshot, Rate,
    Snapshot, SplitterSnapshot, StreamInfo, chunk_ms,
};
pub use tables::{Change, ChangeLog, MAX_NAMED_CHUNKS, Tables, Waiting};

/// Lines that wait for a slow reader of standard output or error; more are
/// dropped and counted.
const MAX_WAITING_LINES: usize = 4096;
/// Log lines kept for a screen.
const MAX_LOG_LINES: usize = 500;
/// Transmissions kept for a screen.
const MAX_TRANSMISSIONS: usize = 512;
/// Transmissions are drawn as arrows for so many seconds.
const FLOW_SECONDS: f64 = 0.65;
/// They are shown so much later, in seconds: until every node has told.
const FLOW_DELAY: f64 = 0.15;
/// Those of so many chunks at most: more would hide one another.
const FLOW_CHUNKS: usize = 2;
/// Nobody has looked at the screen for so long: nodes need not hurry.
const UNWATCHED: Duration = Duration::from_millis(500);
/// How often a node renews its snapshot while nobody looks, and a sample of
/// the history is taken: each second, by a clock that ticks no earlier.
const SLOW_INTERVAL: Duration = Duration::from_millis(950);
/// Log lines say the numbers so often.
const STATS_TEXT_INTERVAL: Duration = Duration::from_secs(10);

/// Where reports go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One JSON object a line on standard output.
    Json,
    /// Log lines on standard error.
    Text,
    /// Into the snapshot, for a screen.
    Screen,
}

/// Takes what nodes report. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mode: Mode,
    started: Instant,
    board: Mutex<Board>,
    /// When somebody looked last, in milliseconds since the start.
    watched_ms: AtomicU64,
    lines: Mutex<Option<(SyncSender<String>, JoinHandle<()>)>>,
}

#[derive(Debug, Default)]
struct Board {
    nodes: Vec<Option<Arc<NodeSnapshot>>>,
    log: VecDeque<LogLine>,
    transmissions: VecDeque<Transmission>,
    history: History,
    last_sample: Option<Instant>,
    dropped_lines: u64,
    last_stats_text: Option<Instant>,
}

impl Observer {
    /// An observer of the kind `mode`, whose time starts now.
    pub fn new(mode: Mode) -> Observer {
        let lines = (mode != Mode::Screen).then(|| spawn_writer(mode));
        Observer(Arc::new(Inner {
            mode,
            started: Instant::now(),
            board: Mutex::default(),
            watched_ms: AtomicU64::new(0),
            lines: Mutex::new(lines),
        }))
    }

    /// Where reports go.
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Reports what happened at a node. Never blocks.
    pub fn report(&self, node: &str, event: &Event) {
        let t = self.0.started.elapsed().as_secs_f64();
        match self.0.mode {
            Mode::Json => {
                let line = Line { v: 1, t: (t * 1e6).round() / 1e6, node, event };
                if let Ok(text) = serde_json::to_string(&line) {
                    self.write(text);
                }
            }
            Mode::Text => {
                if !matches!(event, Event::Stats(_)) || self.stats_text_is_due() {
                    self.write(format!("{t:9.3} {node:<4} {event}"));
                }
            }
            Mode::Screen => {
                if !matches!(event, Event::Stats(_)) {
                    let mut board = self.board();
                    if board.log.len() == MAX_LOG_LINES {
                        board.log.pop_front();
                    }
                    let (node, level) = (node.to_owned(), event.level());
                    board.log.push_back(LogLine { t, node, level, text: event.to_string() });
                }
            }
        }
    }

    /// A place of its own for a node's snapshots.
    pub fn place(&self) -> usize {
        let mut board = self.board();
        board.nodes.push(None);
        board.nodes.len() - 1
    }

    /// Seconds since the start.
    pub fn elapsed(&self) -> f64 {
        self.0.started.elapsed().as_secs_f64()
    }

    /// Whether a node that renewed its snapshot at `last` should do so now:
    /// each second, or whenever it can while somebody looks.
    pub fn is_due(&self, last: Option<Instant>, now: Instant) -> bool {
        let looked = Duration::from_millis(self.0.watched_ms.load(Ordering::Relaxed));
        let watched = now.duration_since(self.0.started).saturating_sub(looked) < UNWATCHED;
        (watched && self.0.mode == Mode::Screen)
            || last.is_none_or(|last| now.duration_since(last) >= SLOW_INTERVAL)
    }

    /// Renews what can be seen of the node at `place`, and adds the
    /// transmissions that it has seen since.
    pub fn publish(&self, place: usize, node: NodeSnapshot, seen: Vec<Transmission>) {
        if self.0.mode != Mode::Screen {
            return;
        }
        let node = Arc::new(node);
        let mut board = self.board();
        for transmission in seen {
            // What was received from a node of this process, that has told.
            let told = transmission.from != node.name()
                && board.nodes.iter().flatten().any(|other| other.name() == transmission.from);
            if !told {
                if board.transmissions.len() == MAX_TRANSMISSIONS {
                    board.transmissions.pop_front();
                }
                board.transmissions.push_back(transmission);
            }
        }
        if let Some(old) = board.nodes.get_mut(place) {
            *old = Some(node);
        }
        let now = Instant::now();
        if board.last_sample.is_none_or(|last| now.duration_since(last) >= SLOW_INTERVAL) {
            board.last_sample = Some(now);
            let nodes: Vec<_> = board.nodes.iter().flatten().cloned().collect();
            board.history.sample(&nodes);
        }
    }

    /// All that can be seen now.
    pub fn snapshot(&self) -> Snapshot {
        let since = self.0.started.elapsed();
        let looked = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.watched_ms.store(looked, Ordering::Relaxed);
        let board = self.board();
        let told = |sent: &&Transmission| sent.t <= since.as_secs_f64() - FLOW_DELAY;
        let mut transmissions: Vec<Transmission> =
            board.transmissions.iter().filter(told).copied().collect();
        let snapshot = Snapshot {
            t: since.as_secs_f64(),
            nodes: board.nodes.iter().flatten().cloned().collect(),
            log: board.log.iter().cloned().collect(),
            transmissions: Vec::new(),
            flow_s: FLOW_SECONDS,
            flow_chunks: FLOW_CHUNKS,
            history: board.history.clone(),
        };
        drop(board);
        // Each node tells in its own time.
        transmissions.sort_by(|a, b| a.t.total_cmp(&b.t));
        Snapshot { transmissions, ..snapshot }
    }

    /// Writes out what waits; lines reported later are dropped. Takes at most
    /// `patience` if nobody reads.
    pub fn close(&self, patience: Duration) {
        let taken = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((sender, writer)) = taken else { return };
        drop(sender);
        let deadline = Instant::now() + patience;
        while !writer.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn write(&self, line: String) {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, _)) = lines.as_ref()
            && let Err(TrySendError::Full(_)) = sender.try_send(line)
        {
            self.board().dropped_lines += 1;
        }
    }

    fn stats_text_is_due(&self) -> bool {
        let mut board = self.board();
        let now = Instant::now();
        let last = board.last_stats_text.get_or_insert(self.0.started);
        // All nodes of a process say theirs in the same instant, more or less.
        let since = now.duration_since(*last);
        if since >= STATS_TEXT_INTERVAL {
            *last = now;
        }
        since >= STATS_TEXT_INTERVAL || since < Duration::from_millis(50)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines in a thread of its own, so that a reader who stops reading
/// stops nobody else.
fn spawn_writer(mode: Mode) -> (SyncSender<String>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel::<String>(MAX_WAITING_LINES);
    let writer = std::thread::spawn(move || {
        for line in receiver {
            let written = match mode {
                Mode::Json => writeln!(std::io::stdout(), "{line}"),
                _ => writeln!(std::io::stderr(), "{line}"),
            };
            if written.is_err() {
                // The reader has gone: go on without it.
                return;
            }
        }
    });
    (sender, writer)
}

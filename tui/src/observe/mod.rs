//! What can be seen of a running team: events, snapshots, summaries.
//!
//! Nodes report events and publish snapshots to an [`Observer`]; where these
//! go (JSON lines, log lines, a screen) is no concern of theirs. None of it
//! ever makes a node wait.

mod event;
mod snapshot;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use event::{Event, Line, PeerSummary, SplitterSummary};
pub use snapshot::{
    BufferFill, LogLine, MemberRow, NeighbourRow, NodeSnapshot, PeerSnapshot, Rate, Snapshot,
    SplitterSnapshot, StreamInfo,
};

/// Lines that wait for a slow reader of standard output or error; more are
/// dropped and counted.
const MAX_WAITING_LINES: usize = 4096;
/// Log lines kept for a screen.
const MAX_LOG_LINES: usize = 500;
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
    lines: Mutex<Option<(SyncSender<String>, JoinHandle<()>)>>,
}

#[derive(Debug, Default)]
struct Board {
    nodes: Vec<Option<NodeSnapshot>>,
    log: VecDeque<LogLine>,
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
                    let (node, text) = (node.to_owned(), event.to_string());
                    board.log.push_back(LogLine { t, node, text });
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

    /// Renews what can be seen of the node at `place`.
    pub fn publish(&self, place: usize, node: NodeSnapshot) {
        if let Some(old) = self.board().nodes.get_mut(place) {
            *old = Some(node);
        }
    }

    /// All that can be seen now.
    pub fn snapshot(&self) -> Snapshot {
        let board = self.board();
        Snapshot {
            t: self.0.started.elapsed().as_secs_f64(),
            nodes: board.nodes.iter().flatten().cloned().collect(),
            log: board.log.iter().cloned().collect(),
        }
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

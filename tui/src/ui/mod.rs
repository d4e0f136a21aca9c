//! The screen: draws snapshots, and knows nothing else of the team.
//!
//! It runs in the main thread, the network in another: a terminal that is slow
//! or stopped makes no datagram wait.

mod keys;
mod panels;
mod theme;

use std::io::{self, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{LeaveAlternateScreen, disable_raw_mode};

use crate::net::Stopper;
use crate::observe::{Observer, Snapshot};
use keys::Action;
pub use panels::draw;
pub use theme::Theme;

/// How often the screen looks for something new.
const FRAME: Duration = Duration::from_millis(200);
/// How long the terminal may take between two looks at the network thread.
const POLL: Duration = Duration::from_millis(50);

/// Whether the terminal is in the screen's hands.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the screen shows besides the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// The help is open.
    pub help: bool,
    /// The user wants to quit, and the nodes are leaving.
    pub leaving: bool,
}

/// Runs `work` in a thread of its own and shows what it reports until it ends.
/// The user's wish to quit goes to `stopper`.
///
/// # Errors
///
/// What `work` returns; or, if the terminal fails, that, after `work` has
/// ended in good order.
pub fn run_with(
    observer: Observer,
    stopper: Stopper,
    work: impl FnOnce(Observer, Stopper) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let (sender, receiver) = channel();
    let for_work = (observer.clone(), stopper.clone());
    let worker = std::thread::spawn(move || {
        let _ = sender.send(work(for_work.0, for_work.1));
    });
    TAKEN.store(true, Ordering::SeqCst);
    let mut terminal = ratatui::init();
    let mut screen =
        Screen { observer, view: View::default(), theme: Theme::from_env(), shown: None };
    let mut broken = None;
    let result = loop {
        match receiver.recv_timeout(Duration::ZERO) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Disconnected) => break Err("the network has failed".to_owned()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if broken.is_some() {
            std::thread::sleep(POLL);
            continue;
        }
        match screen.step(&mut terminal) {
            Ok(true) => stopper.stop(),
            Ok(false) => {}
            Err(error) => {
                stopper.stop();
                broken = Some(format!("the terminal has failed: {error}"));
            }
        }
    };
    restore();
    let _ = worker.join();
    result.and(broken.map_or(Ok(()), Err))
}

/// Gives the terminal back, if the screen has it.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

struct Screen {
    observer: Observer,
    view: View,
    theme: Theme,
    /// When the last frame was drawn.
    shown: Option<Instant>,
}

impl Screen {
    /// Takes keys and draws when it is time; whether the user wants to quit.
    fn step(&mut self, terminal: &mut DefaultTerminal) -> io::Result<bool> {
        let mut quit = false;
        let mut changed = false;
        if event::poll(POLL)? {
            match event::read()? {
                Event::Key(key) => {
                    changed = true;
                    match keys::action(&key) {
                        Some(Action::Quit) if self.view.help => self.view.help = false,
                        Some(Action::Quit) => {
                            quit = true;
                            self.view.leaving = true;
                        }
                        Some(Action::Help) => self.view.help = !self.view.help,
                        None => {}
                    }
                }
                Event::Resize(..) => changed = true,
                _ => {}
            }
        }
        if changed || self.shown.is_none_or(|shown| shown.elapsed() >= FRAME) {
            self.shown = Some(Instant::now());
            let snapshot: Snapshot = self.observer.snapshot();
            terminal.draw(|frame| draw(frame, &snapshot, self.view, self.theme))?;
        }
        Ok(quit)
    }
}

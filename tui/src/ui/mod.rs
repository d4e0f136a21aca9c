//! The screen: draws snapshots, and knows nothing else of the team.
//!
//! An [`App`] is the screen's state; a [`Scene`] is where its snapshots come
//! from, be it a live team or one in virtual time; each panel is a file of
//! `panels`. The screen runs in a thread of its own, the network in another:
//! a terminal that is slow or stopped makes no datagram wait.

mod app;
mod ascii;
pub mod format;
pub mod keys;
pub mod lab;
mod panels;
pub mod roster;
mod save;
mod scene;
pub mod svg;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::style::force_color_output;

use crate::net::Stopper;
use crate::observe::Observer;
pub use app::{App, Request};
pub use lab::LabScene;
pub use panels::{chart, frame_of};
pub use save::save;
pub use scene::{Live, Scene};
use terminal::Screen;
pub use terminal::give_back;
pub use theme::{ColorChoice, Theme, mark};

/// At most so often the screen is drawn without a key.
const FRAME: Duration = Duration::from_millis(100);
/// Over a slow line a frame takes its time: so many bytes a second on average.
const BYTES_PER_SECOND: f64 = 16e3;
/// The longest that a frame of many bytes puts off the next one.
const MAX_FRAME: Duration = Duration::from_secs(2);
/// How often while the view is held: its lag is told in seconds.
const HELD_FRAME: Duration = Duration::from_secs(1);
/// How long it takes at most to see that the team has ended.
const POLL: Duration = Duration::from_millis(50);

/// How the screen is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Colours or not.
    pub color: ColorChoice,
    /// Nothing but ASCII.
    pub ascii: bool,
    /// For tests: fail where it hurts most.
    pub failure: Option<Failure>,
}

/// A failure on purpose, one second after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The screen panics.
    Screen,
    /// The network panics.
    Network,
}

/// Runs `work` in a thread of its own and shows what it reports until it ends.
/// The user's wish to quit goes to `stopper`.
///
/// # Errors
///
/// What `work` returns; or, if the terminal or the screen fails, that, after
/// `work` has ended in good order.
pub fn run_with(
    options: Options,
    observer: Observer,
    stopper: Stopper,
    work: impl FnOnce(Observer, Stopper) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let mut screen = terminal::take().map_err(|error| broken(&error))?;
    let (sender, receiver) = channel();
    let for_work = (observer.clone(), stopper.clone());
    std::thread::spawn(move || {
        let _ = sender.send(work(for_work.0, for_work.1));
    });
    let over = Arc::new(AtomicBool::new(false));
    let (shown, is_shown) = channel();
    let (for_screen, its_stopper) = (Arc::clone(&over), stopper.clone());
    std::thread::spawn(move || {
        let mut scene = Live::new(observer, its_stopper);
        let mut failure = options.failure;
        let ended = || for_screen.load(Ordering::Relaxed);
        let _ = shown.send(show(&mut screen, &mut scene, options, &mut failure, &ended));
    });
    // The screen may end first, by a failure: the team leaves nevertheless.
    let mut trouble = None;
    let result = loop {
        match receiver.recv_timeout(POLL) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Disconnected) => break Err("the network has failed".to_owned()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        trouble = trouble.or(match is_shown.try_recv() {
            Err(TryRecvError::Empty) => None,
            Ok(Err(error)) => Some(error),
            Ok(Ok(())) | Err(TryRecvError::Disconnected) => {
                Some("the screen has failed".to_owned())
            }
        });
        if trouble.is_some() {
            stopper.stop();
        }
    };
    over.store(true, Ordering::Relaxed);
    let _ = is_shown.recv_timeout(terminal::PATIENCE);
    give_back();
    result.and(trouble.map_or(Ok(()), Err))
}

/// Shows a scene that needs no thread of its own until the user has enough.
///
/// # Errors
///
/// The terminal has failed.
pub fn run(options: Options, scene: &mut dyn Scene) -> Result<(), String> {
    let mut screen = terminal::take().map_err(|error| broken(&error))?;
    let mut failure = options.failure;
    let result = show(&mut screen, scene, options, &mut failure, &|| false);
    give_back();
    result
}

/// Takes keys and draws until `ended` or the user ends it.
fn show(
    screen: &mut Screen,
    scene: &mut dyn Scene,
    options: Options,
    failure: &mut Option<Failure>,
    ended: &dyn Fn() -> bool,
) -> Result<(), String> {
    let mut app = App::new(Theme::from_env(options.color, options.ascii));
    app.show(scene.first_tab());
    // The theme has decided; crossterm would look at NO_COLOR once more.
    force_color_output(true);
    let started = Instant::now();
    let mut drawn: Option<Instant> = None;
    let mut news = false;
    let mut paid = FRAME;
    while !ended() && terminal::is_taken() {
        news |= scene.advance();
        let frame = if app.is_paused() { HELD_FRAME } else { paid };
        let wait = drawn.map_or(Duration::ZERO, |drawn| frame.saturating_sub(drawn.elapsed()));
        let renews = news || app.is_paused();
        let mut changed = drawn.is_none() || (wait.is_zero() && renews);
        let rest = match (changed, renews) {
            (true, _) => Duration::ZERO,
            (false, true) => wait.min(scene.rest()),
            (false, false) => scene.rest(),
        };
        // Without any time it would not look at all.
        if event::poll(rest.clamp(Duration::from_millis(1), POLL))
            .map_err(|error| broken(&error))?
        {
            match event::read().map_err(|error| broken(&error))? {
                Event::Key(key) => {
                    changed = true;
                    match app.press(&key, scene) {
                        Request::Draw => {}
                        Request::End => return Ok(()),
                        Request::Save => {
                            let message = saved(screen, &app, scene);
                            app.tell(message);
                        }
                    }
                }
                Event::Resize(..) => changed = true,
                _ => {}
            }
        }
        if failure.is_some() && started.elapsed() >= Duration::from_secs(1) {
            match failure.take() {
                Some(Failure::Screen) => panic!("failed on purpose"),
                Some(Failure::Network) => fail_elsewhere(),
                None => {}
            }
        }
        if changed {
            drawn = Some(Instant::now());
            news = false;
            app.look(scene);
            let before = terminal::written();
            draw(screen, &app, scene).map_err(|error| broken(&error))?;
            let bytes = (terminal::written() - before) as f64;
            paid = Duration::from_secs_f64(bytes / BYTES_PER_SECOND).clamp(FRAME, MAX_FRAME);
        }
    }
    Ok(())
}

/// Draws a frame; what has not changed since the last one is not written.
fn draw(screen: &mut Screen, app: &App, scene: &mut dyn Scene) -> std::io::Result<()> {
    use std::io::Write;
    screen.autoresize()?;
    let mut frame = screen.get_frame();
    app.draw(&mut frame, scene);
    scene.drawn(frame.buffer_mut());
    screen.flush()?;
    screen.swap_buffers();
    screen.backend_mut().flush()
}

/// Saves the screen as it would be drawn now; what to tell of it.
fn saved(screen: &mut Screen, app: &App, scene: &dyn Scene) -> String {
    let Ok(size) = screen.size() else { return "the terminal has no size".to_owned() };
    let buffer = frame_of(app, scene, size.width, size.height);
    match save(Path::new("."), &panels::name(app.tab(), scene).to_lowercase(), &buffer) {
        Ok([text, picture]) => {
            format!("saved {} and {}", shown(&text), shown(&picture))
        }
        Err(error) => format!("can't save here ({error}): start in a folder that you may write to"),
    }
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn broken(error: &std::io::Error) -> String {
    format!("the terminal has failed ({error}): try --headless")
}

fn fail_elsewhere() {
    std::thread::spawn(|| panic!("failed on purpose"));
}

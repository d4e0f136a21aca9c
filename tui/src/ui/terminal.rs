//! The terminal: taken, drawn upon, and given back whatever happens.
//!
//! A terminal may stop reading. Then writing to it blocks, for ever if need
//! be; so nothing that the team or the end of the program depends on waits for
//! it longer than [`PATIENCE`].

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Once, mpsc};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{Command, queue};

/// How long a terminal that does not read holds up the end.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Room for a whole frame, so that it goes out in one piece.
const FRAME_BYTES: usize = 64 << 10;

/// Whether the terminal is in the screen's hands.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Bytes of all frames so far.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A terminal to draw upon.
pub type Screen = Terminal<CrosstermBackend<BufWriter<Counted>>>;

/// Standard output, which counts what goes there.
#[derive(Debug)]
pub struct Counted(File);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        WRITTEN.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Takes the terminal. A panic from now on gives it back before it is told.
///
/// # Errors
///
/// Standard output is no terminal, or has gone.
pub fn take() -> io::Result<Screen> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
    });
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = BufWriter::with_capacity(FRAME_BYTES, Counted(stdout()?));
    queue!(out, EnterAlternateScreen, Hide)?;
    out.flush()?;
    Terminal::new(CrosstermBackend::new(out))
}

/// Whether the screen still has the terminal.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// How many bytes went to the terminal so far.
pub fn written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// Gives the terminal back, if the screen has it: out of raw mode at once, and
/// to its old picture and cursor as soon as it reads, for which it has
/// two seconds.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let mut goodbye = String::new();
    for written in [LeaveAlternateScreen.write_ansi(&mut goodbye), Show.write_ansi(&mut goodbye)] {
        debug_assert!(written.is_ok(), "a string takes everything");
    }
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = stdout().and_then(|mut out| out.write_all(goodbye.as_bytes()));
        let _ = sender.send(());
    });
    let _ = done.recv_timeout(PATIENCE);
}

/// Standard output without the lock of [`io::stdout`], which a blocked frame
/// would hold.
fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

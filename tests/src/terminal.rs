//! `p2psp-tui` with its screen, in a terminal of its own: a pseudo-terminal,
//! and a model of what a terminal makes of the bytes that come out of it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

use crate::program::{Signal, binary, send};
use crate::wait::{PATIENCE, wait_for, wait_until};

/// A running `p2psp-tui` on a terminal. Dropping it kills it.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    shown: Arc<Shown>,
    modes_before: String,
    label: String,
    // So that the terminal outlives the program.
    _slave: Box<dyn SlavePty + Send>,
}

#[derive(Default)]
struct Shown {
    state: Mutex<State>,
    reads: Condvar,
}

#[derive(Default)]
struct State {
    parser: vt100::Parser,
    /// All that came, as it came.
    bytes: Vec<u8>,
    stopped: bool,
}

impl Terminal {
    /// Starts it with `args` on a terminal with UTF-8 and colours.
    pub fn start(args: &[&str], width: u16, height: u16) -> Terminal {
        Terminal::start_in(Path::new("."), &[], args, width, height)
    }

    /// The same in a folder, with some variables set otherwise.
    ///
    /// # Panics
    ///
    /// If there is no pseudo-terminal or no such folder.
    pub fn start_in(
        folder: &Path,
        vars: &[(&str, &str)],
        args: &[&str],
        width: u16,
        height: u16,
    ) -> Terminal {
        let pair = native_pty_system().openpty(size(width, height)).expect("a pseudo-terminal");
        let modes_before = modes(&*pair.master);
        let mut command = CommandBuilder::new(binary());
        command.args(args);
        command.cwd(folder.canonicalize().expect("a folder"));
        let usual = [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "")];
        for (name, value) in usual.iter().chain(vars) {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the binary can be executed");
        let shown = Arc::new(Shown::default());
        shown.state().parser = vt100::Parser::new(cells(height), cells(width), 0);
        let mut reader = pair.master.try_clone_reader().expect("a descriptor is left");
        let reading = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                reading.wait_until_reading();
                match reader.read(&mut buffer) {
                    Ok(read) if read > 0 => reading.take(&buffer[..read]),
                    // The terminal is gone.
                    _ => return,
                }
            }
        });
        let keyboard = pair.master.take_writer().expect("taken once");
        let label = args.join(" ");
        Terminal {
            child,
            master: pair.master,
            keyboard,
            shown,
            modes_before,
            label,
            _slave: pair.slave,
        }
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.shown.state().parser.screen().contents()
    }

    /// All bytes that came out of it, as they came.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.state().bytes.clone()
    }

    /// How many came.
    pub fn byte_count(&self) -> usize {
        self.shown.state().bytes.len()
    }

    /// Waits until all of these are on the screen; the screen.
    ///
    /// # Panics
    ///
    /// If they are not in time.
    #[track_caller]
    pub fn wait_text(&self, expected: &[&str]) -> String {
        let mut text = String::new();
        let found = wait_until(PATIENCE, || {
            text = self.text();
            expected.iter().all(|part| text.contains(part))
        });
        assert!(found, "{}: {expected:?} is not on the screen:\n{text}", self.label);
        text
    }

    /// Waits until `condition` holds of what is on the screen; the screen.
    ///
    /// # Panics
    ///
    /// If it does not in time.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let found = wait_for(PATIENCE, || Some(self.text()).filter(|text| condition(text)));
        found.unwrap_or_else(|| panic!("{}: not {what}:\n{}", self.label, self.text()))
    }

    /// Presses keys.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a terminal");
        self.keyboard.flush().expect("a terminal");
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn resize(&mut self, width: u16, height: u16) {
        self.shown.state().parser.screen_mut().set_size(cells(height), cells(width));
        self.master.resize(size(width, height)).expect("a terminal");
    }

    /// Stops to read, as a terminal does at Ctrl-S, or goes on.
    pub fn stop_reading(&self, stop: bool) {
        self.shown.state().stopped = stop;
        self.shown.reads.notify_all();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("a process")
    }

    /// Waits until it ends; its exit code.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    #[track_caller]
    pub fn wait_exit(&mut self, patience: Duration) -> u32 {
        let ended = wait_for(patience, || self.child.try_wait().expect("a child of this process"));
        let ended =
            ended.unwrap_or_else(|| panic!("{} does not end:\n{}", self.label, self.text()));
        ended.exit_code()
    }

    /// The terminal is as it was: modes, cursor, picture, mouse. Once the
    /// program has ended.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_restored(&self) {
        assert_eq!(modes(&*self.master), self.modes_before, "modes of {}", self.label);
        let restored = wait_until(PATIENCE, || {
            let state = self.shown.state();
            let screen = state.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        assert!(restored, "{}: the old picture or the cursor has not come back", self.label);
        let state = self.shown.state();
        let screen = state.parser.screen();
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert!(!screen.application_cursor() && !screen.bracketed_paste());
    }

    /// The screen has the terminal: raw, without cursor, another picture.
    ///
    /// # Panics
    ///
    /// If it has not.
    #[track_caller]
    pub fn assert_taken(&self) {
        assert_ne!(modes(&*self.master), self.modes_before, "modes of {}", self.label);
        let state = self.shown.state();
        let screen = state.parser.screen();
        assert!(screen.alternate_screen() && screen.hide_cursor());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.stop_reading(false);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shown {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_reading(&self) {
        let state = self.state();
        let reading = self.reads.wait_while(state, |state| state.stopped);
        drop(reading.unwrap_or_else(PoisonError::into_inner));
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.parser.process(bytes);
        state.bytes.extend_from_slice(bytes);
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

fn size(width: u16, height: u16) -> PtySize {
    PtySize { rows: height, cols: width, pixel_width: 0, pixel_height: 0 }
}

/// The terminal's modes: echo, line editing, signals and so on.
fn modes(master: &(dyn MasterPty + Send)) -> String {
    let modes = master.get_termios().expect("a terminal has modes");
    format!(
        "{:?} {:?} {:?} {:?}",
        modes.input_flags, modes.output_flags, modes.control_flags, modes.local_flags
    )
}

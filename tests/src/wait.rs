//! Waiting for a condition, with a deadline.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A deadline that only a failure reaches, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Pause between two looks at a condition.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Looks at `condition` every 10 ms until it holds; whether it did within
/// `patience`.
#[must_use]
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    wait_for(patience, || condition().then_some(())).is_some()
}

/// Looks every 10 ms for what `find` finds; `None` if that is nothing within
/// `patience`.
pub fn wait_for<T>(patience: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = find() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL_PAUSE);
    }
}

/// A command for `program` of the Debian package `package`.
///
/// # Panics
///
/// If it is not installed.
pub fn required(program: &str, package: &str) -> Command {
    let mut folders = std::env::var_os("PATH").unwrap_or_default();
    // Where servers are, and where users' paths don't lead.
    folders.push(":/usr/sbin:/usr/local/sbin");
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|at| at.is_file());
    match found {
        Some(path) => Command::new(path),
        None => panic!("{program} is missing: install the Debian package {package}"),
    }
}

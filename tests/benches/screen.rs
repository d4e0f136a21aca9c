//! What the screen costs: `demo` with 20 peers on a terminal, beside the same
//! demo without a screen. CPU is that of the whole process less that of the
//! one without; bytes are what the terminal gets.
//!
//! Prints a table. Arguments: `--quick` looks for a shorter time.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use p2psp_tests::{Terminal, program};

/// Peers besides the monitor.
const PEERS: &str = "20";
/// How long each state is looked at, in all and with `--quick`.
const LOOK: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(4));
/// The size of the terminal.
const SIZE: (u16, u16) = (100, 30);

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let look = if quick { LOOK.1 } else { LOOK.0 };
    println!("demo --peers {PEERS} on a terminal of {} x {}, {look:?} each", SIZE.0, SIZE.1);
    let bare = headless(look);
    println!("{:<22} {:>10} {:>12} {:>12}", "", "process", "screen", "terminal");
    println!("{:<22} {:>8.2} %", "without a screen", bare * 100.0);
    let mut terminal = Terminal::start(&["demo", "--peers", PEERS], SIZE.0, SIZE.1);
    terminal.wait_text(&["P2PSP music", " playing "]);
    std::thread::sleep(Duration::from_secs(4));
    for (key, name) in [
        ("1", "Overview"),
        ("2", "Team"),
        ("3", "Buffer"),
        ("4", "Flow"),
        ("5", "Tables"),
        ("6", "Log (idle)"),
        ("1", "Overview"),
    ] {
        terminal.press(key);
        measure(&terminal, name, look, bare);
    }
    terminal.press(" ");
    measure(&terminal, "paused", look, bare);
    terminal.press(" q");
    terminal.wait_exit(Duration::from_secs(30));
}

fn measure(terminal: &Terminal, name: &str, look: Duration, bare: f64) {
    // The first picture is not counted.
    std::thread::sleep(Duration::from_millis(500));
    let bytes = terminal.byte_count();
    let share = share(terminal.pid(), look);
    let rate = (terminal.byte_count() - bytes) as f64 / look.as_secs_f64();
    println!(
        "{name:<22} {:>8.2} % {:>10.2} % {:>7.2} kB/s",
        share * 100.0,
        (share - bare) * 100.0,
        rate / 1e3
    );
}

/// CPU share of the same demo with no screen.
fn headless(look: Duration) -> f64 {
    let mut child = Command::new(program::binary())
        .args(["demo", "--peers", PEERS, "--headless"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be executed");
    std::thread::sleep(Duration::from_secs(5));
    let share = share(child.id(), look);
    end(&mut child);
    share
}

fn end(child: &mut Child) {
    program::send(child.id(), p2psp_tests::Signal::Term);
    let _ = child.wait();
}

/// The share of one core that a process uses while it is looked at.
fn share(pid: u32, look: Duration) -> f64 {
    let (before, since) = (cpu_seconds(pid), Instant::now());
    std::thread::sleep(look);
    (cpu_seconds(pid) - before) / since.elapsed().as_secs_f64()
}

/// User and system time so far, of all threads.
fn cpu_seconds(pid: u32) -> f64 {
    let mut nanos = 0.0;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let run = stat.split_whitespace().next().and_then(|run| run.parse::<f64>().ok());
        nanos += run.unwrap_or(0.0);
    }
    nanos / 1e9
}

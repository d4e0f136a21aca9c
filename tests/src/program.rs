//! `p2psp-tui` in a process of its own, and what it says there.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::{PATIENCE, wait_for};

/// Version of the lines that are understood here.
const LINE_VERSION: u64 = 1;

/// What a process can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// As Ctrl-C sends.
    Int,
    /// A polite end.
    Term,
    /// Sudden death.
    Kill,
    /// Freezes it.
    Stop,
    /// Goes on.
    Cont,
}

/// A line of `--json`, and when it came.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was read.
    pub at: Instant,
    /// The line.
    pub value: Value,
}

/// A running `p2psp-tui` with `--json`. Dropping it kills it.
///
/// Every line of its standard output has to be an object with `v`, `t`, `node`
/// and `event`: another one is a panic at the next look.
#[derive(Debug)]
pub struct Program {
    child: Child,
    said: Arc<Mutex<Said>>,
    readers: Vec<JoinHandle<()>>,
    label: String,
    addr: Option<SocketAddr>,
    exit: Option<i32>,
}

#[derive(Debug, Default)]
struct Said {
    records: Vec<Record>,
    wrong: Option<String>,
    stderr: String,
    stdout_closed: bool,
}

impl Program {
    /// Starts it with `args` and `--json`.
    pub fn start(args: &[&str]) -> Program {
        Program::start_command(Command::new(binary()), args)
    }

    /// Starts `wrapper` (for example `ip netns exec …`), which is to execute
    /// the binary with `args` and `--json`.
    pub fn start_in(mut wrapper: Command, args: &[&str]) -> Program {
        wrapper.arg(binary());
        Program::start_command(wrapper, args)
    }

    fn start_command(mut command: Command, args: &[&str]) -> Program {
        let mut child = command
            .args(args)
            .arg("--json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        let said = Arc::new(Mutex::new(Said::default()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (for_stdout, for_stderr) = (Arc::clone(&said), Arc::clone(&said));
        let readers = vec![
            thread::spawn(move || read_stdout(stdout.expect("piped"), &for_stdout)),
            thread::spawn(move || read_stderr(stderr.expect("piped"), &for_stderr)),
        ];
        Program { child, said, readers, label: args.join(" "), addr: None, exit: None }
    }

    /// A splitter at a free loopback port, unless `args` say another
    /// `--listen`; waits until peers can join it.
    pub fn splitter(args: &[&str]) -> Program {
        let mut all = vec!["splitter"];
        all.extend(args);
        if !all.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        Program::start(&all).listening("team")
    }

    /// A peer of the team at `splitter` with a player port of its own, unless
    /// `args` say another `--player`; waits until players can connect, or with
    /// `--player none` for nothing.
    pub fn peer(splitter: SocketAddr, args: &[&str]) -> Program {
        Program::joiner("peer", splitter, args)
    }

    /// Like [`Program::peer`], but a monitor.
    pub fn monitor(splitter: SocketAddr, args: &[&str]) -> Program {
        Program::joiner("monitor", splitter, args)
    }

    fn joiner(command: &str, splitter: SocketAddr, args: &[&str]) -> Program {
        let splitter = splitter.to_string();
        let mut all = vec![command, &splitter];
        all.extend(args);
        if !all.contains(&"--player") {
            all.extend(["--player", "127.0.0.1:0"]);
        }
        let program = Program::start(&all);
        if all.windows(2).any(|pair| pair == ["--player", "none"]) {
            return program;
        }
        program.listening("player")
    }

    /// Waits until it says where it listens.
    fn listening(mut self, what: &str) -> Program {
        let line = self.wait_event(PATIENCE, |line| is(line, "listening") && line["what"] == what);
        let addr = line["addr"].as_str().and_then(|addr| addr.parse().ok());
        self.addr = Some(addr.unwrap_or_else(|| panic!("no address in {line}")));
        self
    }

    /// Waits until it is a member of its team, as it says itself.
    pub fn wait_joined(&self) {
        self.wait_event(PATIENCE, |line| is(line, "joined") && line["peer"] == line["node"]);
    }

    /// Where it listens: a splitter for peers, a peer for players.
    ///
    /// # Panics
    ///
    /// If it does not listen.
    pub fn addr(&self) -> SocketAddr {
        self.addr.unwrap_or_else(|| panic!("{} does not listen", self.label))
    }

    /// Name of a peer: `P3`. Names change when it joins again: this is the one
    /// it had first.
    pub fn node(&self) -> String {
        let line = self.wait_event(PATIENCE, |line| is(line, "joined") || is(line, "listening"));
        line["node"].as_str().expect("checked when read").to_owned()
    }

    /// All lines so far.
    pub fn events(&self) -> Vec<Value> {
        self.records().into_iter().map(|record| record.value).collect()
    }

    /// All lines so far, and when they came.
    pub fn records(&self) -> Vec<Record> {
        let said = self.said();
        if let Some(wrong) = &said.wrong {
            let message = format!("{}: no line of --json: {wrong}", self.label);
            drop(said);
            panic!("{message}");
        }
        said.records.clone()
    }

    /// The lines so far of the kind `event`, of whatever node.
    pub fn events_of(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|line| is(line, event)).collect()
    }

    /// Waits for a line, old or new, that `wanted` likes; the first one.
    ///
    /// # Panics
    ///
    /// If there is none within `patience`, or the program ends without.
    pub fn wait_event(&self, patience: Duration, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.wait_event_after(0, patience, wanted)
    }

    /// Like [`Program::wait_event`], without the first `skip` lines.
    pub fn wait_event_after(
        &self,
        skip: usize,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut seen = skip;
        let found = wait_for(patience, || {
            let said = self.said();
            let closed = said.stdout_closed;
            let found = said.records.iter().skip(seen).find(|record| wanted(&record.value));
            let found = found.map(|record| record.value.clone());
            seen = seen.max(said.records.len());
            match (found, closed) {
                (Some(value), _) => Some(Some(value)),
                (None, true) => Some(None),
                (None, false) => None,
            }
        });
        self.records();
        match found {
            Some(Some(value)) => value,
            Some(None) => panic!("{} has ended without the line\n{}", self.label, self.report()),
            None => panic!("{}: no such line in time\n{}", self.label, self.report()),
        }
    }

    /// How many lines there were so far, for [`Program::wait_event_after`].
    pub fn mark(&self) -> usize {
        self.said().records.len()
    }

    /// The latest numbers that `node` has reported.
    pub fn stats(&self, node: &str) -> Option<Value> {
        self.events_of("stats").into_iter().rev().find(|line| line["node"] == node)
    }

    /// The last word of `node`.
    ///
    /// # Panics
    ///
    /// If it has not said it.
    pub fn summary(&self, node: &str) -> Value {
        let found = self.events_of("summary").into_iter().rev().find(|line| line["node"] == node);
        found.unwrap_or_else(|| panic!("no summary of {node}\n{}", self.report()))
    }

    /// Lost chunks that any node of it has reported so far, one by one.
    pub fn lost(&self) -> Vec<u32> {
        self.events_of("lost").iter().flat_map(lost_numbers).collect()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.said().stderr.clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.exit.is_none() && self.poll_exit().is_none()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            send(self.child.id(), signal);
        }
    }

    /// Waits until it ends and all that it said is read; its exit code, or 128
    /// and the signal that killed it.
    ///
    /// # Panics
    ///
    /// If it does not end within `patience`.
    pub fn wait_exit(&mut self, patience: Duration) -> i32 {
        let exit = wait_for(patience, || self.poll_exit());
        let Some(exit) = exit else {
            panic!("{} does not end\n{}", self.label, self.report());
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.records();
        exit
    }

    /// Asks it politely to end; its exit code.
    pub fn end(&mut self) -> i32 {
        self.signal(Signal::Term);
        self.wait_exit(PATIENCE)
    }

    /// The last lines of what it said, for a message.
    pub fn report(&self) -> String {
        let said = self.said();
        let from = said.records.len().saturating_sub(30);
        let mut text = String::new();
        for record in &said.records[from..] {
            let line = record.value.to_string();
            text.push_str(line.get(..line.len().min(400)).unwrap_or(&line));
            text.push('\n');
        }
        text + "stderr: " + &said.stderr
    }

    fn poll_exit(&mut self) -> Option<i32> {
        if self.exit.is_none() {
            let status = self.child.try_wait().expect("a child of this process")?;
            self.exit = Some(exit_code(status));
        }
        self.exit
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if !thread::panicking() {
            self.records();
        } else if !self.said().stderr.is_empty() {
            eprintln!("{} said: {}", self.label, self.said().stderr);
        }
    }
}

/// Whether a line is of the kind `event`.
pub fn is(line: &Value, event: &str) -> bool {
    line["event"] == event
}

/// The chunks of a `lost` line, one by one.
pub fn lost_numbers(line: &Value) -> Vec<u32> {
    let first = line["chunk"].as_u64().expect("a lost chunk has a number") as u32;
    let count = line["count"].as_u64().unwrap_or(1) as u32;
    (0..count).map(|step| first.wrapping_add(step)).collect()
}

/// Sends a signal to a process.
pub fn send(pid: u32, signal: Signal) {
    let name = match signal {
        Signal::Int => "-INT",
        Signal::Term => "-TERM",
        Signal::Kill => "-KILL",
        Signal::Stop => "-STOP",
        Signal::Cont => "-CONT",
    };
    let sent = crate::wait::required("kill", "procps").args([name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "can't send {signal:?} to {pid}");
}

/// The exit code of a process, or 128 and the signal that killed it.
pub fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The binary, built once in a test process in the profile that this process
/// was built in.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

fn build() -> PathBuf {
    // target/<profile>/deps/<test>
    let this = std::env::current_exe().expect("a test has a path");
    let profile_dir = this.ancestors().nth(2).expect("a test is in deps").to_owned();
    let target_dir = profile_dir.parent().expect("a profile is in a target folder");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "p2psp-tui", "--bin", "p2psp-tui"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target_dir)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "p2psp-tui can't be built");
    profile_dir.join("p2psp-tui")
}

fn read_stdout(stdout: impl Read, said: &Mutex<Said>) {
    for line in BufReader::new(stdout).lines() {
        let at = Instant::now();
        let parsed = match line {
            Ok(line) => parse(&line).ok_or(line),
            Err(error) => Err(error.to_string()),
        };
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        match parsed {
            Ok(value) => said.records.push(Record { at, value }),
            Err(line) => {
                said.wrong.get_or_insert(line);
            }
        }
    }
    said.lock().unwrap_or_else(PoisonError::into_inner).stdout_closed = true;
}

/// A line as it was promised.
fn parse(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    let good = value["v"] == LINE_VERSION
        && value["t"].as_f64().is_some_and(|t| t >= 0.0)
        && value["node"].is_string()
        && value["event"].is_string();
    good.then_some(value)
}

fn read_stderr(mut stderr: impl Read, said: &Mutex<Said>) {
    let mut buffer = [0; 4096];
    while let Ok(read) = stderr.read(&mut buffer) {
        if read == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..read]);
        said.lock().unwrap_or_else(PoisonError::into_inner).stderr.push_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert!(parse(r#"{"v":1,"t":0.5,"node":"S","event":"x"}"#).is_some());
        for wrong in [
            "",
            "x",
            "[]",
            r#"{"v":2,"t":0.5,"node":"S","event":"x"}"#,
            r#"{"v":1,"node":"S","event":"x"}"#,
            r#"{"v":1,"t":0.5,"event":"x"}"#,
            r#"{"v":1,"t":0.5,"node":"S"}"#,
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn losses() {
        assert_eq!(lost_numbers(&serde_json::json!({"chunk": 7})), [7]);
        let wrapping = serde_json::json!({"chunk": u32::MAX, "count": 2});
        assert_eq!(lost_numbers(&wrapping), [u32::MAX, 0]);
    }
}

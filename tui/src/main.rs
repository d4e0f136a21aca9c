//! `p2psp-tui`: splitter, peer, monitor and demo in a terminal.

mod cli;

use std::io::{BufWriter, IsTerminal, Write, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use cli::{Cli, Command, DemoArgs, LabArgs, PeerArgs, SimArgs, StationName, StationsArgs, Verb};
use p2psp_core::Role;
use p2psp_tui::lab::sim::{self, SimFailure};
use p2psp_tui::net::splitter::SplitterOptions;
use p2psp_tui::net::{Stop, Stopper, demo, peer, splitter};
use p2psp_tui::observe::{Mode, Observer};
use p2psp_tui::stations::{self, Unfound};
use p2psp_tui::ui;
use tokio::signal::unix::{SignalKind, signal};

/// After how long, how often and how wide a bar of progress is drawn.
const BAR_DELAY: Duration = Duration::from_millis(500);
const BAR_INTERVAL: Duration = Duration::from_millis(100);
const BAR_CELLS: usize = 40;
/// How long the last lines may take to be written if nobody reads them.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = match cli.command {
        None => Command::Demo(cli.demo),
        Some(Verb::Live(command)) => command,
        Some(Verb::Sim(args)) => return simulate(args),
        Some(Verb::Lab(args)) => return step_through(args),
        Some(Verb::Completions { shell }) => return written(completions(shell)),
        Some(Verb::Man) => return written(manual()),
        Some(Verb::Stations(args)) => return list_stations(&args),
    };
    let mode = mode_of(&command);
    let run_for = command.common().run_for;
    let screen = command.common().screen();
    // What is wrong with it shows before there is a screen.
    let job = match Job::prepare(command, mode) {
        Ok(job) => job,
        Err(failure) => return failed(failure),
    };
    let observer = Observer::new(mode);
    let (stopper, stop) = Stopper::new();
    let result = if mode == Mode::Screen {
        ui::run_with(screen, observer.clone(), stopper, move |observer, stopper| {
            run(job, run_for, observer, stopper, stop)
        })
    } else {
        run(job, run_for, observer.clone(), stopper, stop)
    };
    observer.close(LAST_LINES_PATIENCE);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(Failure::AtWork(message)),
    }
}

/// Why the program did not do what it was told.
enum Failure {
    /// It was told what makes no sense.
    Usage(String),
    /// It failed.
    AtWork(String),
}

fn failed(failure: Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::Usage(message) => (message, ExitCode::from(2)),
        Failure::AtWork(message) => (message, ExitCode::FAILURE),
    };
    eprintln!("p2psp-tui: {message}");
    code
}

/// A command of which all is known that has to be known before it runs.
enum Job {
    Demo(DemoArgs),
    Splitter(Box<SplitterOptions>),
    Peer { args: Box<PeerArgs>, splitter: Option<SocketAddr>, role: Role, key: String },
}

impl Job {
    fn prepare(command: Command, mode: Mode) -> Result<Job, Failure> {
        let (args, role, key) = match command {
            Command::Demo(args) => return Ok(Job::Demo(args)),
            Command::Splitter(args) => {
                let options = args.options().map_err(Failure::Usage)?;
                return Ok(Job::Splitter(Box::new(options)));
            }
            Command::Peer(args) => (args, Role::Peer, String::new()),
            Command::Monitor(args) => (args.peer, Role::Monitor, args.key.unwrap_or_default()),
        };
        args.lan.options().check(args.bind).map_err(|error| Failure::Usage(error.to_string()))?;
        let ask = mode == Mode::Screen && stdin().is_terminal();
        let splitter = match args.station_name() {
            StationName::Address => None,
            StationName::Named(name) => stations::named(name, &args.bind)?,
            StationName::Any => Some(stations::choose(ask, &args.bind)?),
        };
        Ok(Job::Peer { args: Box::new(args), splitter, role, key })
    }
}

impl From<Unfound> for Failure {
    fn from(unfound: Unfound) -> Failure {
        match unfound {
            Unfound::Ambiguous(message) => Failure::Usage(message),
            Unfound::Failed(message) => Failure::AtWork(message),
        }
    }
}

/// Lists the stations of the network, on no runtime.
fn list_stations(args: &StationsArgs) -> ExitCode {
    match stations::list(args.run_for, args.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(Failure::AtWork(message)),
    }
}

/// Plays a scenario in virtual time, on no runtime.
fn simulate(args: SimArgs) -> ExitCode {
    let start = std::time::Instant::now();
    let options = args.options();
    let mut out = BufWriter::new(stdout().lock());
    // Lines on the same terminal would run into it.
    let mut bar = Bar::new(stderr().is_terminal() && !(options.json && stdout().is_terminal()));
    let (message, code) =
        match sim::run(&options, &mut out, &|| start.elapsed().as_secs_f64(), &mut |done| {
            bar.show(done);
        }) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(SimFailure::Usage(message)) => (message, ExitCode::from(2)),
            Err(SimFailure::Failed(message)) => (message, ExitCode::FAILURE),
        };
    eprintln!("p2psp-tui: {message}");
    code
}

/// How much of a long work is done, on the terminal that standard error is.
struct Bar {
    wanted: bool,
    next: Instant,
    shown: bool,
}

impl Bar {
    /// Nothing is shown for work that is soon done.
    fn new(wanted: bool) -> Bar {
        Bar { wanted, next: Instant::now() + BAR_DELAY, shown: false }
    }

    fn show(&mut self, done: Option<f64>) {
        match done {
            Some(share) if self.wanted && Instant::now() >= self.next => {
                let full = (share.clamp(0.0, 1.0) * BAR_CELLS as f64) as usize;
                let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR_CELLS - full));
                let _ = write!(stderr(), "\r[{bar}] {:3.0} %", share * 100.0);
                self.next = Instant::now() + BAR_INTERVAL;
                self.shown = true;
            }
            None if self.shown => {
                let _ = write!(stderr(), "\r\x1b[K");
                self.shown = false;
            }
            _ => {}
        }
    }
}

/// Shows a scenario in virtual time.
fn step_through(args: LabArgs) -> ExitCode {
    let refuse = |message: &str| {
        eprintln!("p2psp-tui: {message}");
        ExitCode::from(2)
    };
    if args.common.headless || args.common.json || !stdout().is_terminal() {
        return refuse(
            "lab needs a terminal to draw on; without one, p2psp-tui sim plays the same",
        );
    }
    let recipe = match args.recipe() {
        Ok(recipe) => recipe,
        Err(error) => return refuse(&error.to_string()),
    };
    let mut scene = ui::LabScene::new(recipe, Path::new("."));
    let differs = scene.differs();
    std::thread::spawn(give_back_when_told);
    let result = ui::run(args.common.screen(), &mut scene);
    if let Some(message) = differs {
        eprintln!("p2psp-tui: {message}");
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("p2psp-tui: {message}");
            ExitCode::FAILURE
        }
    }
}

/// SIGINT and SIGTERM end the screen, which sees that it has no terminal.
fn give_back_when_told() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        ui::give_back();
    });
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "p2psp-tui", &mut script);
    script
}

/// The program's manual page, and those of its commands after it.
fn manual() -> Vec<u8> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    for command in std::iter::once(&command).chain(commands) {
        let rendered = clap_mangen::Man::new(command.clone()).render(&mut pages);
        debug_assert!(rendered.is_ok(), "memory takes everything");
    }
    pages
}

/// Writes to standard output; a reader who has enough is no failure.
fn written(text: Vec<u8>) -> ExitCode {
    match stdout().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("p2psp-tui: can't write to standard output ({error})");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn mode_of(command: &Command) -> Mode {
    let common = command.common();
    let stream_on_stdout = match command {
        Command::Demo(_) | Command::Splitter(_) => false,
        Command::Peer(args) => args.writes_to_stdout(),
        Command::Monitor(args) => args.peer.writes_to_stdout(),
    };
    if common.json && stream_on_stdout {
        let message = "--json and --out - both want standard output; write the stream to a file";
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    let (headless, json) = (common.headless, common.json);
    match (json, headless || stream_on_stdout || !stdout().is_terminal()) {
        (true, _) => Mode::Json,
        (false, true) => Mode::Text,
        (false, false) => Mode::Screen,
    }
}

/// Runs a command to its end on a runtime of one thread.
fn run(
    job: Job,
    run_for: Option<Duration>,
    observer: Observer,
    stopper: Stopper,
    stop: Stop,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("can't start: {error}"))?;
    let result = runtime.block_on(async {
        tokio::spawn(stop_when_told(stopper, run_for));
        perform(job, observer, stop).await
    });
    // A reader of standard input may block a thread for ever.
    runtime.shutdown_background();
    result
}

async fn perform(job: Job, observer: Observer, stop: Stop) -> Result<(), String> {
    match job {
        Job::Demo(args) => {
            let (player, peers) = (args.player(), usize::from(args.peers));
            let done = demo::run(args.options(), peers, player, observer, stop).await;
            done.map_err(|error| error.to_string())
        }
        Job::Splitter(options) => {
            let done = splitter::run(*options, observer, stop, None).await;
            done.map(drop).map_err(|error| error.to_string())
        }
        Job::Peer { args, splitter, role, key } => {
            let splitter = match splitter {
                Some(splitter) => splitter,
                None => args.resolve().await?,
            };
            let options = args.options(splitter, role, key.into_bytes());
            let done = peer::run(options, observer, stop).await;
            done.map(drop).map_err(|error| error.to_string())
        }
    }
}

/// SIGINT, SIGTERM and the time given end everything in good order; the same
/// signal once more ends it at once.
async fn stop_when_told(stopper: Stopper, run_for: Option<Duration>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let over = async {
        match run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stopper.stopped() => {}
    }
    stopper.stop();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    ui::give_back();
    std::process::exit(1);
}

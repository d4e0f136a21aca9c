//! The command line: what there is to say, and what it means.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use p2psp_core::Role;
use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_CHUNK_BYTES, MAX_TEAM, MIN_CHUNK_BYTES};
use p2psp_tui::lab::scenario::{self, Overrides, Recipe, ScenarioError};
use p2psp_tui::lab::sim::SimOptions;
use p2psp_tui::lab::sweep::{DEFAULT_SEEDS, Sweep};
use p2psp_tui::net::peer::{Output, PeerOptions, PlayerPort};
use p2psp_tui::net::splitter::SplitterOptions;
use p2psp_tui::net::{LanOptions, RulesChoice};
use p2psp_tui::source::{Playlist, SourceSpec, names_several};
use p2psp_tui::ui::{self, ColorChoice, Failure};

/// Where splitters listen and peers look for them unless told otherwise.
const DEFAULT_PORT: u16 = 8001;
/// Where players are served unless told otherwise.
const DEFAULT_PLAYER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);
/// Longest time that may be asked for, in seconds.
const MAX_SECONDS: f64 = 1e9;
/// Most peers of a demo.
const MAX_DEMO_PEERS: u16 = 100;

/// Live audio and video to any number of listeners for the upload of one.
///
/// Without a command: a whole team in this terminal, with built-in music.
#[derive(Debug, Parser)]
#[command(name = "p2psp-tui", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub command: Option<Verb>,
    /// How to run it.
    #[command(flatten)]
    pub demo: DemoArgs,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Those that need the network.
    #[command(flatten)]
    Live(Command),
    /// Play a team in virtual time, without a screen, and report
    Sim(SimArgs),
    /// Step through a team in virtual time, forward and back
    Lab(LabArgs),
    /// Write what a shell needs to complete commands and options
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual page
    Man,
    /// List the stations that announce themselves on this network
    Stations(StationsArgs),
}

/// The commands that run on real sockets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A whole team in this terminal, over real loopback sockets
    Demo(DemoArgs),
    /// Split a stream into chunks and feed a team of peers
    Splitter(SplitterArgs),
    /// Join a team, and serve its stream to players
    Peer(PeerArgs),
    /// Join a team as a peer that complains about lost chunks
    Monitor(MonitorArgs),
}

impl Command {
    /// What every command takes.
    pub fn common(&self) -> &Common {
        match self {
            Command::Demo(args) => &args.common,
            Command::Splitter(args) => &args.common,
            Command::Peer(args) => &args.common,
            Command::Monitor(args) => &args.peer.common,
        }
    }
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// No screen, log lines on standard error (by itself when standard output
    /// is no terminal)
    #[arg(long)]
    pub headless: bool,
    /// No screen, one JSON object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Leave in good order after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub run_for: Option<Duration>,
    /// Seed for everything random
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Colours on the screen: auto heeds NO_COLOR
    #[arg(long, value_name = "WHEN", value_parser = color(), default_value = "auto")]
    pub color: ColorChoice,
    /// Nothing but ASCII on the screen (by itself when the locale has no UTF-8)
    #[arg(long)]
    pub ascii: bool,
    /// Fail on purpose: screen or network
    #[arg(long, value_name = "WHERE", value_parser = failure, hide = true)]
    pub fail: Option<Failure>,
}

impl Common {
    /// How the screen is set up.
    pub fn screen(&self) -> ui::Options {
        ui::Options { color: self.color, ascii: self.ascii, failure: self.fail }
    }
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Number of peers, besides the monitor
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_DEMO_PEERS)))]
    pub peers: u16,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// How to play in the LAN.
#[derive(Debug, Clone, Args)]
pub struct LanArgs {
    /// ims: one multicast packet serves all neighbours of the LAN; dbs: each
    /// gets its own; auto: ims where the interface does multicast
    #[arg(long, value_name = "RULES", default_value = "auto")]
    rules: RulesArg,
    /// The interface for multicast, by name or address (without: the one that
    /// leads to the splitter)
    #[arg(long, value_name = "NAME|ADDR")]
    interface: Option<String>,
    /// The multicast group (without: 224.0.0.1:1234, on IPv6 [ff02::1]:1234)
    #[arg(long, value_name = "ADDR:PORT", value_parser = group)]
    group: Option<SocketAddr>,
}

/// `--rules`
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RulesArg {
    Auto,
    Dbs,
    Ims,
}

impl LanArgs {
    /// What the user wants.
    pub fn options(&self) -> LanOptions {
        LanOptions {
            rules: match self.rules {
                RulesArg::Auto => RulesChoice::Auto,
                RulesArg::Dbs => RulesChoice::Dbs,
                RulesArg::Ims => RulesChoice::Ims,
            },
            interface: self.interface.clone(),
            group: self.group,
        }
    }
}

/// `splitter`
#[derive(Debug, Args)]
pub struct SplitterArgs {
    /// The stream: http://host:port/mount, files, a directory, an M3U, -
    /// (standard input) or music
    #[arg(long, value_name = "SRC", required = true, num_args = 1..)]
    pub source: Vec<SourceSpec>,
    /// What the station is called, instead of what its source is called
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Play the files in a random order (--seed makes it the same again)
    #[arg(long)]
    pub shuffle: bool,
    /// Play the files again and again
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Where peers join (TCP and UDP)
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)))]
    pub listen: SocketAddr,
    /// Length of a chunk in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(MIN_CHUNK_BYTES as i64..=MAX_CHUNK_BYTES as i64))]
    pub chunk_size: u16,
    /// How many seconds peers play behind the source: more is safer
    #[arg(long, value_name = "SECONDS", default_value = "2.0", value_parser = latency)]
    pub latency: Duration,
    /// Start-up buffer in chunks, instead of what follows from --latency
    #[arg(long, value_name = "CHUNKS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BUFFER_CHUNKS)))]
    pub buffer: Option<u32>,
    /// Most members of the team
    #[arg(long, value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_TEAM)))]
    pub max_team: u16,
    /// Rate of the stream, where it can't be told or is to be another
    #[arg(long, value_name = "KBIT",
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
    /// Do not announce the station on the local network
    #[arg(long)]
    pub no_discovery: bool,
    /// Run no monitor in this process
    #[arg(long)]
    pub no_monitor: bool,
    /// What monitors of other hosts must know (without: those of this host only)
    #[arg(long, value_name = "KEY", value_parser = monitor_key)]
    pub monitor_key: Option<String>,
    /// How its own monitor plays.
    #[command(flatten)]
    pub lan: LanArgs,
    /// Number of the first chunk
    #[arg(long, hide = true, default_value_t = 0)]
    pub first_chunk: u32,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `peer`
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// The splitter: host:port, a host, or the name of a station on this
    /// network; without: the only station there is
    #[arg(value_name = "SPLITTER")]
    pub splitter: Option<String>,
    /// Where to serve players over HTTP, or none
    #[arg(long, value_name = "ADDR|none", default_value = "127.0.0.1:9999", value_parser = player)]
    pub player: PlayerPort,
    /// Address of the socket for the team
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))]
    pub bind: SocketAddr,
    /// How to play in the LAN.
    #[command(flatten)]
    pub lan: LanArgs,
    /// Write the stream to a file, too, or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub out: Option<PathBuf>,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `monitor`
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// What a peer takes.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// The splitter's --monitor-key
    #[arg(long, value_name = "KEY", value_parser = monitor_key)]
    pub key: Option<String>,
}

/// `stations`
#[derive(Debug, Args)]
pub struct StationsArgs {
    /// How long to look, in seconds
    #[arg(long = "for", value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub run_for: Duration,
    /// One JSON object a line, as stations come and go
    #[arg(long)]
    pub json: bool,
}

/// How a splitter was named.
pub enum StationName<'a> {
    /// Not at all.
    Any,
    /// By what may be a station or a host.
    Named(&'a str),
    /// By an address, or what looks like one.
    Address,
}

/// What is played in virtual time: `sim`, `lab`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A scenario built in (figures, join-storm, churn, lossy, selfish,
    /// buffer, lan, mixed, big), a TOML file, or a run that the lab has saved
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<String>,
    /// Members from the start, the monitor included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_TEAM)))]
    pub peers: Option<u16>,
    /// Length of the run: a round has as many chunks as there are members
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// Start-up buffer in chunks
    #[arg(long, value_name = "B",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BUFFER_CHUNKS)))]
    pub buffer: Option<u32>,
    /// Share of datagrams that the network loses, 0 to 1
    #[arg(long, value_name = "P", value_parser = share)]
    pub loss: Option<f64>,
    /// Time that datagrams are under way, in milliseconds
    #[arg(long, value_name = "L", value_parser = milliseconds)]
    pub latency_ms: Option<Duration>,
}

impl RunArgs {
    /// What the command line says over the scenario.
    fn overrides(&self, common: &Common) -> Overrides {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Overrides {
            peers: self.peers,
            rounds: self.rounds,
            buffer: self.buffer,
            seed: common.seed,
            loss: self.loss,
            latency_us: self.latency_ms.map(micros),
            stop_at_us: common.run_for.map(micros),
        }
    }
}

/// `lab`
#[derive(Debug, Args)]
pub struct LabArgs {
    /// What is played; without a scenario: figures.
    #[command(flatten)]
    pub run: RunArgs,
    /// What every command takes; --for counts virtual time.
    #[command(flatten)]
    pub common: Common,
}

impl LabArgs {
    /// What is to be played.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] with file and line.
    pub fn recipe(&self) -> Result<Recipe, ScenarioError> {
        let name = self.run.scenario.as_deref().unwrap_or("figures");
        scenario::open(name, &self.run.overrides(&self.common))
    }
}

/// `sim`
#[derive(Debug, Args)]
pub struct SimArgs {
    /// What is played; without a scenario: a full mesh.
    #[command(flatten)]
    pub run: RunArgs,
    /// Play every combination of values and write CSV: peers=5,10
    /// buffer=0.5N,1N … (keys: peers, buffer, loss, latency-ms, rounds)
    #[arg(long, value_name = "KEY=VALUES", conflicts_with = "json")]
    pub sweep: Vec<Sweep>,
    /// Seeds of each combination of a sweep
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_SEEDS,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub seeds: u32,
    /// What every command takes; --for counts virtual time.
    #[command(flatten)]
    pub common: Common,
}

impl SimArgs {
    /// What is to be played.
    pub fn options(self) -> SimOptions {
        SimOptions {
            overrides: self.run.overrides(&self.common),
            scenario: self.run.scenario,
            json: self.common.json,
            sweeps: self.sweep,
            seeds: self.seeds,
        }
    }
}

impl SplitterArgs {
    /// What the splitter is to do.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong with the source.
    pub fn options(self) -> Result<SplitterOptions, String> {
        self.lan.options().check(self.listen).map_err(|error| error.to_string())?;
        Ok(SplitterOptions {
            source: self.source()?,
            name: self.name,
            rate_kbit: self.rate,
            listen: self.listen,
            chunk_bytes: self.chunk_size,
            latency: self.latency,
            buffer_chunks: self.buffer,
            max_team: self.max_team,
            monitor_key: self.monitor_key,
            own_monitor: !self.no_monitor,
            lan: self.lan.options(),
            announce: !self.no_discovery,
            seed: self.common.seed,
            first_chunk: self.first_chunk,
        })
    }

    /// The one source, or all files as one.
    fn source(&self) -> Result<SourceSpec, String> {
        let mut paths = Vec::new();
        for source in &self.source {
            match source {
                SourceSpec::File(path) => paths.push(path.clone()),
                other if self.source.len() > 1 => {
                    return Err(format!(
                        "{other} can't be combined with others: only files, directories and \
                         playlists can follow one another"
                    ));
                }
                other if self.shuffle || self.repeat => {
                    return Err(format!(
                        "--shuffle and --loop are for files, directories and playlists, not for \
                         {other}"
                    ));
                }
                other => return Ok(other.clone()),
            }
        }
        if let [path] = &paths[..]
            && !(self.shuffle || self.repeat || names_several(path))
        {
            return Ok(SourceSpec::File(path.clone()));
        }
        let mut playlist = Playlist::gather(&paths).map_err(|error| error.to_string())?;
        playlist.repeat = self.repeat;
        if self.shuffle {
            let seed = self.common.seed.map_or_else(getrandom::u64, Ok);
            playlist.shuffle = Some(seed.map_err(|_| "give --shuffle a --seed NUMBER".to_owned())?);
        }
        Ok(SourceSpec::Files(playlist))
    }
}

impl DemoArgs {
    /// What the demo's splitter is to do.
    pub fn options(&self) -> SplitterOptions {
        SplitterOptions {
            source: SourceSpec::Music,
            name: None,
            rate_kbit: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            chunk_bytes: 1024,
            latency: Duration::from_secs(2),
            buffer_chunks: None,
            max_team: 128,
            monitor_key: None,
            own_monitor: true,
            lan: LanOptions { rules: RulesChoice::Dbs, ..LanOptions::default() },
            announce: false,
            seed: self.common.seed,
            first_chunk: 0,
        }
    }

    /// Where the demo's first peer serves players, if that is free.
    pub fn player(&self) -> SocketAddr {
        DEFAULT_PLAYER
    }
}

impl PeerArgs {
    /// Whether the stream itself goes to standard output.
    pub fn writes_to_stdout(&self) -> bool {
        self.out.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// How the splitter was named.
    pub fn station_name(&self) -> StationName<'_> {
        match self.splitter.as_deref() {
            None => StationName::Any,
            Some(text) if text.contains(':') || text.parse::<std::net::IpAddr>().is_ok() => {
                StationName::Address
            }
            Some("") => StationName::Address,
            Some(text) => StationName::Named(text),
        }
    }

    /// Looks up the splitter.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong.
    pub async fn resolve(&self) -> Result<SocketAddr, String> {
        let text = self.splitter.as_deref().unwrap_or("");
        let with_port = match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                text.to_owned()
            }
            None if !text.is_empty() => format!("{text}:{DEFAULT_PORT}"),
            _ => return Err(format!("{text:?} is no host:port; write for example 10.0.0.7:8001")),
        };
        let mut found = tokio::net::lookup_host(&with_port).await.map_err(|error| {
            format!(
                "{text} is neither a station on this network nor a host ({error}): check the \
                     name, or see p2psp-tui stations"
            )
        })?;
        let same_family = |addr: &SocketAddr| addr.is_ipv4() == self.bind.is_ipv4();
        found.find(same_family).ok_or_else(|| {
            format!("{text} has no address of the kind of --bind {}: choose another", self.bind)
        })
    }

    /// What the peer is to do.
    pub fn options(self, splitter: SocketAddr, role: Role, password: Vec<u8>) -> PeerOptions {
        let stdout = self.writes_to_stdout();
        PeerOptions {
            splitter,
            bind: self.bind,
            lan: self.lan.options(),
            player: self.player,
            out: self.out.map(|path| if stdout { Output::Stdout } else { Output::File(path) }),
            role,
            password,
        }
    }
}

fn color() -> impl TypedValueParser<Value = ColorChoice> {
    PossibleValuesParser::new(["auto", "always", "never"]).map(|choice| match choice.as_str() {
        "always" => ColorChoice::Always,
        "never" => ColorChoice::Never,
        _ => ColorChoice::Auto,
    })
}

fn failure(text: &str) -> Result<Failure, String> {
    match text {
        "screen" => Ok(Failure::Screen),
        "network" => Ok(Failure::Network),
        _ => Err("screen or network".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=MAX_SECONDS).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("must be 0 to {MAX_SECONDS:.0} seconds"))
    }
}

fn group(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .ok()
        .filter(|group: &SocketAddr| group.ip().is_multicast() && group.port() != 0)
        .ok_or_else(|| {
            "must be a multicast address and a port, such as 224.0.0.1:1234 or [ff02::1]:1234"
                .to_owned()
        })
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|ms| (0.0..=600_000.0).contains(ms))
        .map(|ms: f64| Duration::from_secs_f64(ms / 1e3))
        .ok_or_else(|| "must be 0 to 600000 milliseconds".to_owned())
}

fn latency(text: &str) -> Result<Duration, String> {
    let latency = seconds(text)?;
    if (0.01..=600.0).contains(&latency.as_secs_f64()) {
        Ok(latency)
    } else {
        Err("must be 0.01 to 600 seconds".to_owned())
    }
}

fn player(text: &str) -> Result<PlayerPort, String> {
    if text == "none" {
        return Ok(PlayerPort::None);
    }
    text.parse()
        .map(PlayerPort::At)
        .map_err(|_| "write an address like 127.0.0.1:9999, or none".to_owned())
}

fn monitor_key(text: &str) -> Result<String, String> {
    if (1..=255).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 255 bytes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_as_documented() {
        let cli = Cli::parse_from(["p2psp-tui", "splitter", "--source", "music"]);
        let Some(Verb::Live(Command::Splitter(args))) = cli.command else { panic!("a splitter") };
        let options = args.options().expect("a source");
        assert_eq!(options.listen.to_string(), "0.0.0.0:8001");
        assert_eq!((options.chunk_bytes, options.max_team), (1024, 128));
        assert_eq!((options.latency, options.buffer_chunks), (Duration::from_secs(2), None));
        let cli = Cli::parse_from(["p2psp-tui", "peer", "host"]);
        let Some(Verb::Live(Command::Peer(args))) = cli.command else { panic!("a peer") };
        assert_eq!(args.player, PlayerPort::At(DEFAULT_PLAYER));
        assert_eq!(args.bind.to_string(), "0.0.0.0:0");
    }
}

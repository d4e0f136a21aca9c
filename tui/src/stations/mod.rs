//! Finding stations: the command that lists them, and the choice of one for a
//! peer that was given no address.

mod discovery;

use std::fmt::Write as _;
use std::io::{BufRead, Write as _, stdin, stdout};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use discovery::{Announced, Announcement, Browser, Sighting, Station};

/// How long to look for a station at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to look for more once one was found.
const MORE: Duration = Duration::from_millis(1000);
/// How long to look for a second station of the same name; and for a station
/// at all if there is a host of that name.
const SAME_NAME: Duration = Duration::from_millis(600);

/// Why no station was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// There are several, and nobody to choose one.
    Ambiguous(String),
    /// There is none.
    Failed(String),
}

/// Lists the stations that are found in `time`: a table at the end or, with
/// `json`, a line for each as it comes and goes.
///
/// # Errors
///
/// One line that says what is wrong.
pub fn list(time: Duration, json: bool) -> Result<(), String> {
    let start = Instant::now();
    let mut browser = browser()?;
    let mut found: Vec<Station> = Vec::new();
    let mut out = stdout().lock();
    let mut write = |text: &str| {
        // A reader who has gone wants no more.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    };
    while let Some(sighting) = browser.next(start + time) {
        if json {
            write(&line(start, &sighting.into_line(&mut found)));
        } else {
            note(&mut found, sighting);
        }
    }
    if json {
        write(&line(start, &Line::Summary { stations: found.len() }));
    } else if found.is_empty() {
        write("no stations found");
    } else {
        write(table(&found).trim_end());
    }
    Ok(())
}

/// The only station on the network, or the one that the user chooses.
///
/// # Errors
///
/// [`Unfound`]
pub fn choose(ask: bool, bind: &SocketAddr) -> Result<SocketAddr, Unfound> {
    let none = "no station was found on this network: start a splitter, or give its address: \
                p2psp-tui peer HOST:8001";
    let stations = look(PATIENCE, MORE, |_| true)?;
    match &stations[..] {
        [] => Err(Unfound::Failed(none.to_owned())),
        [one] => address(one, bind),
        several if ask => address(ask_for(several)?, bind),
        several => Err(ambiguous("there are several stations", several)),
    }
}

/// The station called `name`, by name or team; `None` if there is none, but a
/// host of that name.
///
/// # Errors
///
/// [`Unfound`] if there are several, or none and it can't be a host's name.
pub fn named(name: &str, bind: &SocketAddr) -> Result<Option<SocketAddr>, Unfound> {
    let (sender, is_host) = mpsc::channel();
    if may_be_host(name) {
        let host = (name.to_owned(), 0);
        std::thread::spawn(move || {
            let _ = sender.send(host.to_socket_addrs().is_ok());
        });
    }
    let meant = |station: &Station| {
        station.name.eq_ignore_ascii_case(name) || station.team.eq_ignore_ascii_case(name)
    };
    let mut stations = match look(SAME_NAME, SAME_NAME, meant) {
        Err(_) if may_be_host(name) => return Ok(None),
        looked => looked?,
    };
    if stations.is_empty() && is_host.try_recv() != Ok(true) {
        stations = look(PATIENCE, SAME_NAME, meant)?;
    }
    match &stations[..] {
        [] if may_be_host(name) => Ok(None),
        [] => Err(Unfound::Failed(format!(
            "there is no station called {name} on this network: see p2psp-tui stations"
        ))),
        [one] => address(one, bind).map(Some),
        several => Err(ambiguous(&format!("there are several stations called {name}"), several)),
    }
}

/// Whether `name` may be a host's. Digits alone are a team, though resolvers
/// take them for a whole IPv4 address, 83910528 for 5.0.95.128.
fn may_be_host(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_digit())
}

fn browser() -> Result<Browser, String> {
    Browser::new().map_err(|error| format!("can't look for stations on this network: {error}"))
}

/// The stations that are `wanted`: looks for `first` until there is one, and
/// then for `more`.
fn look(
    first: Duration,
    more: Duration,
    wanted: impl Fn(&Station) -> bool,
) -> Result<Vec<Station>, Unfound> {
    let mut browser = browser().map_err(Unfound::Failed)?;
    let mut deadline = Instant::now() + first;
    let mut found = Vec::new();
    while let Some(sighting) = browser.next(deadline) {
        let before = found.len();
        match sighting {
            Sighting::Found(station) if !wanted(&station) => continue,
            sighting => note(&mut found, sighting),
        }
        if before == 0 && !found.is_empty() {
            deadline = deadline.min(Instant::now() + more);
        }
    }
    Ok(found)
}

fn note(found: &mut Vec<Station>, sighting: Sighting) {
    let (Sighting::Found(station) | Sighting::Gone(station)) = &sighting;
    found.retain(|known| known.team != station.team);
    if let Sighting::Found(station) = sighting {
        found.push(station);
        found.sort_by(|a, b| (&a.name, &a.team).cmp(&(&b.name, &b.team)));
    }
}

/// Where to join a station from an address like `bind`.
fn address(station: &Station, bind: &SocketAddr) -> Result<SocketAddr, Unfound> {
    let suits = |addr: &&SocketAddr| addr.is_ipv4() == bind.is_ipv4();
    station.addrs.iter().find(suits).copied().ok_or_else(|| {
        Unfound::Failed(format!(
            "{} has no address of the kind of --bind {bind}: choose another",
            station.name
        ))
    })
}

fn ambiguous(what: &str, stations: &[Station]) -> Unfound {
    let table = table(stations);
    Unfound::Ambiguous(format!("{what}; give one's name, team or address:\n{}", table.trim_end()))
}

/// Asks on the terminal.
fn ask_for(stations: &[Station]) -> Result<&Station, Unfound> {
    let gave_up = || Unfound::Failed("no station was chosen".to_owned());
    for (number, line) in table(stations).lines().enumerate() {
        match number {
            0 => eprintln!("    {line}"),
            number => eprintln!("{number:>2}  {line}"),
        }
    }
    loop {
        eprint!("Which station? [1-{}] ", stations.len());
        let mut answer = String::new();
        if stdin().lock().read_line(&mut answer).map_err(|_| gave_up())? == 0 {
            return Err(gave_up());
        }
        let number = answer.trim().parse::<usize>().ok();
        if let Some(station) = number.and_then(|number| stations.get(number.wrapping_sub(1))) {
            return Ok(station);
        }
    }
}

/// One line for each station, under a line of headings.
fn table(stations: &[Station]) -> String {
    let mut rows = vec![["NAME", "TEAM", "ADDRESS", "TYPE", "KBIT/S"].map(str::to_owned)];
    rows.extend(stations.iter().map(|station| {
        let addr = station.addrs.first().map_or(String::new(), ToString::to_string);
        let kbit = station.kbit.map_or("-".to_owned(), |kbit| kbit.to_string());
        [station.name.clone(), station.team.clone(), addr, station.content_type.clone(), kbit]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Station {
        name: String,
        team: String,
        addrs: Vec<SocketAddr>,
        content_type: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        kbit: Option<u32>,
        version: u8,
    },
    Gone {
        name: String,
        team: String,
    },
    Summary {
        stations: usize,
    },
}

impl Sighting {
    /// Notes it in `found` and tells it.
    fn into_line(self, found: &mut Vec<Station>) -> Line {
        note(found, self.clone());
        match self {
            Sighting::Found(Station { name, team, addrs, content_type, kbit, version }) => {
                Line::Station { name, team, addrs, content_type, kbit, version }
            }
            Sighting::Gone(Station { name, team, .. }) => Line::Gone { name, team },
        }
    }
}

fn line(start: Instant, line: &Line) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        v: u32,
        t: f64,
        node: &'static str,
        #[serde(flatten)]
        line: &'a Line,
    }
    let t = (start.elapsed().as_secs_f64() * 1e6).round() / 1e6;
    serde_json::to_string(&Head { v: 1, t, node: "stations", line }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(name: &str, team: &str) -> Station {
        Station {
            name: name.into(),
            team: team.into(),
            addrs: vec![SocketAddr::from(([10, 0, 0, 7], 8001))],
            content_type: "audio/mpeg".into(),
            kbit: Some(128),
            version: 1,
        }
    }

    #[test]
    fn a_list_is_a_table() {
        let mut other = station("Äther", "00000002");
        other.kbit = None;
        let expected = "NAME   TEAM      ADDRESS        TYPE        KBIT/S\n\
                        B      00000001  10.0.0.7:8001  audio/mpeg  128\n\
                        Äther  00000002  10.0.0.7:8001  audio/mpeg  -\n";
        assert_eq!(table(&[station("B", "00000001"), other]), expected);
    }

    #[test]
    fn stations_come_and_go() {
        let mut found = Vec::new();
        note(&mut found, Sighting::Found(station("b", "00000001")));
        note(&mut found, Sighting::Found(station("a", "00000002")));
        note(&mut found, Sighting::Found(station("a", "00000003")));
        note(&mut found, Sighting::Found(station("c", "00000001")));
        let names: Vec<&str> = found.iter().map(|station| station.name.as_str()).collect();
        assert_eq!(names, ["a", "a", "c"]);
        note(&mut found, Sighting::Gone(station("", "00000002")));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn an_address_suits_the_socket() {
        let v4 = SocketAddr::from(([0, 0, 0, 0], 0));
        let v6 = SocketAddr::from(([0u16; 8], 0));
        let one = station("a", "00000001");
        assert_eq!(address(&one, &v4), Ok(one.addrs[0]));
        assert!(matches!(address(&one, &v6), Err(Unfound::Failed(_))));
    }

    #[test]
    fn a_team_of_digits_is_no_host() {
        assert!(!may_be_host("83910528"));
        for host in ["radio", "radio.local", "deadbeef", "1e100.net", "10.1"] {
            assert!(may_be_host(host), "{host}");
        }
    }

    #[test]
    fn lines_are_as_promised() {
        let found = Sighting::Found(station("a", "00000001")).into_line(&mut Vec::new());
        let text = line(Instant::now(), &found);
        let tail = "\"node\":\"stations\",\"event\":\"station\",\"name\":\"a\",\"team\":\"00000001\",\
                    \"addrs\":[\"10.0.0.7:8001\"],\"content_type\":\"audio/mpeg\",\"kbit\":128,\
                    \"version\":1}";
        assert!(text.starts_with("{\"v\":1,\"t\":") && text.ends_with(tail), "{text}");
    }
}

//! From what a scenario says to what a lab does: names become indices, moments
//! times, churn a list of who comes and goes.

use p2psp_core::Role;
use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_TEAM};
use toml::Spanned;

use super::{LinkTable, MAX_CHUNKS, MAX_MEMBERS, Moment, Overrides, PairTable, Scenario, Wrong};
use crate::lab::lans::MAX_LANS;
use crate::lab::link::Link;
use crate::lab::plan::{DEFAULT_CHUNK_RATE, DEFAULT_MAX_LOSSES, DEFAULT_ROUNDS, Plan};
use crate::lab::queue::Action;
use crate::lab::rng::Rng;

/// Peers besides the monitor, unless a scenario says otherwise.
const DEFAULT_PEERS: u64 = 9;
/// Members that may be added by hand, unless a scenario says otherwise.
const SPARE_MEMBERS: usize = 16;
/// Datagrams that wait for a link of limited rate, unless a scenario says
/// otherwise.
const DEFAULT_QUEUE: u64 = 100;

pub(super) fn compile(file: &str, scenario: &Scenario, over: &Overrides) -> Result<Plan, Wrong> {
    let chunk_us = scenario
        .chunk_rate
        .map_or((1e6 / DEFAULT_CHUNK_RATE) as u64, |rate| rate.interval_us().max(1));
    let (monitors, peers) = team(scenario, over)?;
    let initial = monitors + peers;
    let chunks = chunks(scenario, over, initial)?;
    let mut cast = Cast::new(monitors, peers, chunk_us);
    let joins = cast.join(scenario)?;
    let seed = over.seed.or(scenario.seed.map(|seed| seed.0)).unwrap_or(1);
    if let Some(churn) = &scenario.churn {
        let span = (
            churn.at.map_or(0, |at| at.micros(chunk_us)),
            churn.until.map_or(u64::from(chunks) * chunk_us, |until| until.micros(chunk_us)),
        );
        let crash = churn.crash.map_or(0.5, |share| share.0);
        cast.churn(span, churn.every.0 * chunk_us, crash, seed, joins)?;
    }
    let size = cast.roles.len();
    let room = (size + SPARE_MEMBERS).min(MAX_TEAM.into());
    let max_team = scenario.max_team.map_or(room as u64, |max| max.0);
    let mut plan = Plan {
        name: scenario.name.clone().unwrap_or_else(|| file.to_owned()),
        seed,
        buffer_chunks: match over.buffer.or(scenario.buffer.map(|buffer| buffer.0 as u32)) {
            Some(buffer) => buffer,
            None => (2 * size as u32).clamp(1, MAX_BUFFER_CHUNKS),
        },
        max_team: (max_team as u16).max(initial.min(MAX_TEAM)),
        max_losses: scenario.max_losses.map_or(DEFAULT_MAX_LOSSES, |losses| losses.0 as u16),
        chunk_us,
        chunks,
        initial,
        join_us: scenario.join_ms.map_or(0, |time| time.micros()),
        link: link(&scenario.link, Link::IDEAL),
        own_links: Vec::new(),
        lans: Vec::new(),
        islands: Vec::new(),
        stop_after_lost: scenario.stop.lost.map(|lost| lost.0),
        stop_at_us: over.stop_at_us.or(scenario.stop.at.map(|at| at.micros(chunk_us))),
        actions: Vec::new(),
        roles: Vec::new(),
    };
    if let Some(latency_us) = over.latency_us {
        plan.link.latency_us = latency_us;
    }
    own_links(scenario, &cast, &mut plan)?;
    plan.lans = lans(scenario, &cast)?;
    cast.act(scenario, &mut plan.islands)?;
    plan.actions = cast.actions;
    plan.roles = cast.roles;
    if let Some(loss) = over.loss {
        plan.lose(loss);
    }
    Ok(plan)
}

/// Monitors and peers from the start.
fn team(scenario: &Scenario, over: &Overrides) -> Result<(u16, u16), Wrong> {
    let monitors = scenario.monitors.map_or(1, |monitors| monitors.0);
    let peers = match over.peers {
        Some(size) => u64::from(size).saturating_sub(monitors),
        None => scenario.peers.map_or(DEFAULT_PEERS, |peers| peers.0),
    };
    if monitors + peers > u64::from(MAX_TEAM) {
        return Err(wrong(None, format!("monitors and peers: at most {MAX_TEAM} in all")));
    }
    Ok((monitors as u16, peers as u16))
}

fn chunks(scenario: &Scenario, over: &Overrides, initial: u16) -> Result<u32, Wrong> {
    if let (Some(chunks), Some(_)) = (&scenario.chunks, scenario.rounds) {
        return Err(wrong(Some(chunks.span()), "give chunks or rounds, not both".to_owned()));
    }
    let of_rounds = |rounds: u64| {
        let chunks = rounds.saturating_mul(u64::from(initial.max(1)));
        chunks.min(MAX_CHUNKS.into()) as u32
    };
    Ok(match (over.rounds, &scenario.chunks, scenario.rounds) {
        (Some(rounds), ..) => of_rounds(rounds.into()),
        (None, Some(chunks), _) => chunks.get_ref().0 as u32,
        (None, None, rounds) => of_rounds(rounds.map_or(DEFAULT_ROUNDS, |rounds| rounds.0)),
    })
}

fn own_links(scenario: &Scenario, cast: &Cast, plan: &mut Plan) -> Result<(), Wrong> {
    for table in &scenario.links {
        let own = link(&table.as_link(), plan.link);
        let from = cast.find_all(&table.from, true)?;
        let to = match &table.to {
            Some(names) => cast.find_all(names, true)?,
            None => (0..=cast.roles.len() as u16).collect(),
        };
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            plan.own_links.push((from, to, own));
            if !table.one_way {
                plan.own_links.push((to, from, own));
            }
        }
    }
    Ok(())
}

/// For each member the number of its LAN; empty if there is none.
fn lans(scenario: &Scenario, cast: &Cast) -> Result<Vec<u8>, Wrong> {
    if scenario.lan.is_empty() {
        return Ok(Vec::new());
    }
    if scenario.lan.len() > MAX_LANS {
        return Err(wrong(None, format!("lan: at most {MAX_LANS} of them")));
    }
    let mut lans = vec![0; cast.roles.len()];
    for (number, table) in (1..).zip(&scenario.lan) {
        for name in table.peers.iter().flatten() {
            let lan = &mut lans[usize::from(cast.find(name, false)?) - 1];
            if *lan != 0 {
                let reason = format!("{} is in LAN {lan} already", name.get_ref());
                return Err(wrong(Some(name.span()), reason));
            }
            *lan = number;
        }
    }
    let rest = (1..).zip(&scenario.lan).find(|(_, table)| table.peers.is_none());
    if let Some((number, _)) = rest {
        lans.iter_mut().filter(|lan| **lan == 0).for_each(|lan| *lan = number);
    }
    Ok(lans)
}

/// Who plays, and what they do when.
struct Cast {
    roles: Vec<Role>,
    initial: usize,
    chunk_us: u64,
    actions: Vec<(u64, Action)>,
}

impl Cast {
    fn new(monitors: u16, peers: u16, chunk_us: u64) -> Cast {
        let mut roles = vec![Role::Monitor; monitors.into()];
        roles.resize(usize::from(monitors) + usize::from(peers), Role::Peer);
        Cast { initial: roles.len(), roles, chunk_us, actions: Vec::new() }
    }

    /// Those who join later, named in order of time; when each does.
    fn join(&mut self, scenario: &Scenario) -> Result<Vec<u64>, Wrong> {
        let mut times = Vec::new();
        for table in &scenario.join {
            let every_us = table.every.map_or(0, |every| every.0) * self.chunk_us;
            let first_us = table.at.micros(self.chunk_us);
            let peers = table.peers.map_or(1, |peers| peers.0);
            times.extend((0..peers).map(|n| first_us.saturating_add(n * every_us)));
        }
        times.sort_unstable();
        for at_us in &times {
            self.add(*at_us)?;
        }
        Ok(times)
    }

    fn add(&mut self, at_us: u64) -> Result<u16, Wrong> {
        if self.roles.len() >= MAX_MEMBERS {
            return Err(wrong(None, format!("more than {MAX_MEMBERS} members in all")));
        }
        self.roles.push(Role::Peer);
        let node = self.roles.len() as u16;
        self.actions.push((at_us, Action::Join(node)));
        Ok(node)
    }

    /// From time to time one who is there goes, and a new one comes.
    fn churn(
        &mut self,
        (start_us, end_us): (u64, u64),
        every_us: u64,
        crash: f64,
        seed: u64,
        joins: Vec<u64>,
    ) -> Result<(), Wrong> {
        let mut rng = Rng::new(seed ^ 0xC4);
        let is_peer = |place: &usize| self.roles[*place] == Role::Peer;
        let mut there: Vec<u16> = (0..self.initial).filter(is_peer).map(|n| n as u16 + 1).collect();
        let mut coming = joins.into_iter().enumerate().peekable();
        let mut at_us = start_us.saturating_add(every_us);
        while at_us < end_us && !there.is_empty() {
            while let Some((n, _)) = coming.next_if(|(_, joins_us)| *joins_us < at_us) {
                there.push((self.initial + n) as u16 + 1);
            }
            let node = there.swap_remove(rng.below(there.len() as u64) as usize);
            let dies = rng.chance(crash);
            let goes = if dies { Action::Crash(node) } else { Action::Leave(node) };
            self.actions.push((at_us, goes));
            there.push(self.add(at_us)?);
            at_us += every_us;
        }
        Ok(())
    }

    /// What is said of members by name.
    fn act(&mut self, scenario: &Scenario, islands: &mut Vec<Vec<bool>>) -> Result<(), Wrong> {
        let chunk_us = self.chunk_us;
        let start = Moment::Chunk(0);
        let leave = scenario.leave.iter().map(|table| (table.at, &table.peers, 0));
        let crash = scenario.crash.iter().map(|table| (table.at, &table.peers, 1));
        let selfish = scenario.selfish.iter();
        let selfish = selfish.map(|table| (table.at.unwrap_or(start), &table.peers, 2));
        for (at, names, what) in leave.chain(crash).chain(selfish) {
            for node in self.find_all(names, false)? {
                let action = [Action::Leave(node), Action::Crash(node), Action::Cheat(node)][what];
                self.actions.push((at.micros(chunk_us), action));
            }
        }
        for (number, table) in scenario.partition.iter().enumerate() {
            let mut island = vec![false; self.roles.len() + 1];
            for node in self.find_all(&table.peers, true)? {
                island[usize::from(node)] = true;
            }
            islands.push(island);
            let at_us = table.at.micros(chunk_us);
            self.actions.push((at_us, Action::Part(number as u16)));
            if let Some(until) = &table.until {
                let until_us = until.get_ref().micros(chunk_us);
                if until_us <= at_us {
                    let reason = "until must be later than at".to_owned();
                    return Err(wrong(Some(until.span()), reason));
                }
                self.actions.push((until_us, Action::Heal(number as u16)));
            }
        }
        Ok(())
    }

    fn find_all(&self, names: &[Spanned<String>], splitter: bool) -> Result<Vec<u16>, Wrong> {
        names.iter().map(|name| self.find(name, splitter)).collect()
    }

    /// The index of a member by its name; of the splitter where it is allowed.
    fn find(&self, name: &Spanned<String>, splitter: bool) -> Result<u16, Wrong> {
        let text = name.get_ref().as_str();
        if splitter && text == "S" {
            return Ok(0);
        }
        let role = match text.chars().next() {
            Some('M') => Some(Role::Monitor),
            Some('P') => Some(Role::Peer),
            _ => None,
        };
        let number = text.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        match number.filter(|number| self.roles.get(*number).copied() == role && role.is_some()) {
            Some(number) => Ok(number as u16 + 1),
            None => Err(wrong(Some(name.span()), self.who_there_is(text, splitter))),
        }
    }

    fn who_there_is(&self, text: &str, splitter: bool) -> String {
        let last = |role, letter: char| {
            let first = self.roles.iter().position(|one| *one == role)?;
            let last = self.roles.iter().rposition(|one| *one == role)?;
            Some(match first == last {
                true => format!("{letter}{first}"),
                false => format!("{letter}{first} to {letter}{last}"),
            })
        };
        let splitter = splitter.then(|| "S".to_owned());
        let all = [splitter, last(Role::Monitor, 'M'), last(Role::Peer, 'P')];
        let all: Vec<String> = all.into_iter().flatten().collect();
        format!("no {text:?} in this scenario: there are {}", all.join(", "))
    }
}

impl PairTable {
    fn as_link(&self) -> LinkTable {
        LinkTable {
            latency_ms: self.latency_ms,
            jitter_ms: self.jitter_ms,
            loss: self.loss,
            burst: self.burst,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_ms: self.reorder_ms,
            rate: self.rate,
            queue: self.queue,
        }
    }
}

/// What a table says, and the rest as in `base`.
fn link(table: &LinkTable, base: Link) -> Link {
    let micros = |time: Option<super::Number<super::Milliseconds>>, base| {
        time.map_or(base, super::Number::<super::Milliseconds>::micros)
    };
    let share = |share: Option<super::Number<super::Share>>, base| share.map_or(base, |one| one.0);
    let reorders = table.reorder.is_some_and(|share| share.0 > 0.0);
    let reorder_us = match reorders && base.reorder_us == 0 {
        true => 10_000,
        false => base.reorder_us,
    };
    Link {
        latency_us: micros(table.latency_ms, base.latency_us),
        jitter_us: micros(table.jitter_ms, base.jitter_us),
        loss: share(table.loss, base.loss),
        burst: table.burst.map_or(base.burst, |burst| burst.0),
        duplicate: share(table.duplicate, base.duplicate),
        reorder: share(table.reorder, base.reorder),
        reorder_us: micros(table.reorder_ms, reorder_us),
        gap_us: table.rate.map_or(base.gap_us, |rate| rate.interval_us()),
        queue: match (table.queue, base.queue) {
            (Some(queue), _) => queue.0,
            (None, 0) => DEFAULT_QUEUE * u64::from(table.rate.is_some()),
            (None, queue) => queue,
        },
    }
}

fn wrong(span: Option<std::ops::Range<usize>>, reason: String) -> Wrong {
    Wrong { span, reason }
}

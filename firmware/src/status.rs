//! How the board is doing: for its LED, its log and its watchdog.

use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_time::{Duration, Instant, Timer};
use p2psp_core::{PeerStats, PlayerState, PlayerStatus};

use crate::audio::Counts;

/// What the board is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// The cable is not in, or there is no address yet.
    NoNetwork,
    /// Looks for the splitter or talks to it.
    Joining,
    /// In the team; not enough has come to play yet.
    Buffering,
    /// Plays.
    Playing,
    /// Has left the team for good.
    Left,
}

/// What is told once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// What the network's end is doing; see [`Snapshot::doing`] for the whole.
    pub state: State,
    /// Whether sound comes out of the DAC.
    pub audible: bool,
    /// Teams joined.
    pub joins: u32,
    /// Attempts to join that have failed; no splitter, or a wrong answer.
    pub failed_joins: u32,
    /// Chunks received.
    pub received: u32,
    /// Chunks sent to neighbours.
    pub sent: u32,
    /// Chunks lost.
    pub lost: u32,
    /// Datagrams turned away.
    pub rejected: u32,
    /// Chunks for which there was no room before the DAC.
    pub overflowed: u32,
    /// Milliseconds of sound that wait before the DAC.
    pub level_ms: u32,
    /// What the play-out has counted.
    pub sound: Counts,
    /// Blocks that came too late for the DAC.
    pub late_blocks: u32,
}

/// The status, shared by all tasks.
pub struct Status {
    snapshot: Mutex<CriticalSectionRawMutex, Cell<Snapshot>>,
    /// Of the network and of the sound, since the watchdog looked last.
    alive: Mutex<CriticalSectionRawMutex, Cell<[bool; 2]>>,
}

impl Status {
    /// At power-on.
    pub const fn new() -> Status {
        let snapshot = Snapshot {
            state: State::NoNetwork,
            audible: false,
            joins: 0,
            failed_joins: 0,
            received: 0,
            sent: 0,
            lost: 0,
            rejected: 0,
            overflowed: 0,
            level_ms: 0,
            sound: Counts { concealed: 0, underruns: 0, dropped: 0, repeated: 0 },
            late_blocks: 0,
        };
        Status {
            snapshot: Mutex::new(Cell::new(snapshot)),
            alive: Mutex::new(Cell::new([false; 2])),
        }
    }

    /// As it is now.
    pub fn get(&self) -> Snapshot {
        self.snapshot.lock(Cell::get)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.lock(|cell| {
            let mut snapshot = cell.get();
            change(&mut snapshot);
            cell.set(snapshot);
        });
    }

    pub(crate) fn count(&self, stats: &PeerStats) {
        let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.update(|snapshot| {
            snapshot.received = short(stats.chunks_received);
            snapshot.sent = short(stats.chunks_sent);
            snapshot.lost = short(stats.chunks_lost);
            snapshot.rejected = short(stats.rejects.total());
        });
    }

    /// The network's task goes round.
    pub(crate) fn network_is_alive(&self) {
        self.mark_alive(0);
    }

    /// The sound's task goes round.
    pub(crate) fn sound_is_alive(&self) {
        self.mark_alive(1);
    }

    #[cfg(test)]
    pub(crate) fn has_live_network(&self) -> bool {
        self.alive.lock(Cell::get)[0]
    }

    fn mark_alive(&self, task: usize) {
        self.alive.lock(|cell| {
            let mut alive = cell.get();
            alive[task] = true;
            cell.set(alive);
        });
    }

    /// Feeds a watchdog each second in which all tasks have gone round. Give
    /// the watchdog 8 seconds: joining may wait for an answer.
    pub async fn guard(&self, mut feed: impl FnMut()) -> ! {
        loop {
            if self.alive.lock(Cell::get) == [true; 2] {
                self.alive.lock(|cell| cell.set([false; 2]));
                feed();
            }
            Timer::after(Duration::from_secs(1)).await;
        }
    }

    /// Shows the state on an LED; see [`State::is_lit`].
    pub async fn show(&self, mut light: impl FnMut(bool)) -> ! {
        loop {
            light(self.get().doing().is_lit(Instant::now().as_millis()));
            Timer::after(Duration::from_millis(50)).await;
        }
    }

    /// Logs one line each second.
    pub async fn report(&self) -> ! {
        loop {
            Timer::after(Duration::from_secs(1)).await;
            let now = self.get();
            info!(
                "{}: joins={} failed_joins={} received={} sent={} lost={} rejected={} \
                 overflowed={} level_ms={} concealed={} underruns={} late_blocks={} dropped={} \
                 repeated={}",
                now.doing().name(),
                now.joins,
                now.failed_joins,
                now.received,
                now.sent,
                now.lost,
                now.rejected,
                now.overflowed,
                now.level_ms,
                now.sound.concealed,
                now.sound.underruns,
                now.late_blocks,
                now.sound.dropped,
                now.sound.repeated
            );
        }
    }
}

impl Snapshot {
    /// What the board is doing: it plays when that can be heard.
    pub fn doing(&self) -> State {
        match self.state {
            State::Playing if !self.audible => State::Buffering,
            state => state,
        }
    }

    /// What the splitter is told of it (3.7).
    pub(crate) fn of_player(&self) -> PlayerStatus {
        PlayerStatus {
            state: match self.doing() {
                State::Playing => PlayerState::Playing,
                _ => PlayerState::Buffering,
            },
            level_ms: u16::try_from(self.level_ms).unwrap_or(u16::MAX),
            concealed: self.sound.concealed,
            underruns: self.sound.underruns,
        }
    }
}

impl Default for Status {
    fn default() -> Status {
        Status::new()
    }
}

impl State {
    /// A short name, for logs.
    pub const fn name(self) -> &'static str {
        match self {
            State::NoNetwork => "no network",
            State::Joining => "joining",
            State::Buffering => "buffering",
            State::Playing => "playing",
            State::Left => "left",
        }
    }

    /// Whether an LED is lit at this time: a short flash each second without
    /// network, five a second while joining, half of each second while
    /// buffering, always while playing.
    pub const fn is_lit(self, millis: u64) -> bool {
        match self {
            State::NoNetwork => millis % 1000 < 100,
            State::Joining => millis % 200 < 100,
            State::Buffering => millis % 1000 < 500,
            State::Playing => true,
            State::Left => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_pattern_of_its_own() {
        let lit = |state: State| (0..1000).step_by(50).filter(|at| state.is_lit(*at)).count();
        assert_eq!(lit(State::NoNetwork), 2);
        assert_eq!(lit(State::Joining), 10);
        assert_eq!(lit(State::Buffering), 10);
        assert_eq!(lit(State::Playing), 20);
        assert_eq!(lit(State::Left), 0);
        assert!(State::Joining.is_lit(850) && !State::Buffering.is_lit(850));
    }

    #[test]
    fn the_splitter_is_told_of_the_sound() {
        let status = Status::new();
        let told = status.get().of_player();
        assert_eq!((told.state, told.level_ms), (PlayerState::Buffering, 0));
        status.update(|now| {
            (now.state, now.audible) = (State::Playing, true);
            now.level_ms = 480;
            now.sound.concealed = 3;
            now.sound.underruns = 1;
        });
        let (state, level_ms) = (PlayerState::Playing, 480);
        let expected = PlayerStatus { state, level_ms, concealed: 3, underruns: 1 };
        assert_eq!(status.get().of_player(), expected);
        status.update(|now| now.level_ms = 65_536);
        assert_eq!(status.get().of_player().level_ms, u16::MAX);
    }

    #[test]
    fn a_board_that_is_silent_does_not_play() {
        let status = Status::new();
        let doing = |state, audible| {
            status.update(|now| (now.state, now.audible) = (state, audible));
            (status.get().doing(), status.get().of_player().state)
        };
        let buffering = (State::Buffering, PlayerState::Buffering);
        assert_eq!(doing(State::Playing, false), buffering);
        assert_eq!(doing(State::Playing, true), (State::Playing, PlayerState::Playing));
        assert_eq!(doing(State::Joining, true).0, State::Joining);
    }

    #[test]
    fn the_watchdog_is_fed_while_all_tasks_go_round() {
        let status = Status::new();
        status.network_is_alive();
        assert_eq!(status.alive.lock(Cell::get), [true, false]);
        status.sound_is_alive();
        assert_eq!(status.alive.lock(Cell::get), [true, true]);
    }
}

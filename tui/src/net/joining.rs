//! How a peer comes to a team, the first time and again: its place in the LAN,
//! and the join dialogue for as long as there is hope.

use std::time::Duration;

use p2psp_core::Rules;
use tokio::time::sleep;

use super::peer::{PeerError, PeerOptions, UNNAMED};
use super::{JoinFailure, Joined, LanError, RulesChoice, Stop, TeamSocket, join};
use crate::observe::{Event, Observer};

/// First and longest pause before joining again.
const REJOIN_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Plays by IMS if that is wished and possible.
pub(super) fn enter_lan(
    options: &PeerOptions,
    socket: &mut TeamSocket,
    observer: &Observer,
) -> Result<(), PeerError> {
    let Some(place) = options.lan.place(options.bind, options.splitter).map_err(PeerError::Lan)?
    else {
        return Ok(());
    };
    match socket.join_group(place) {
        Err(error) if options.lan.rules == RulesChoice::Auto => {
            let message = format!("plays without multicast: {error}");
            observer.report(UNNAMED, &Event::Warning { message });
            Ok(())
        }
        entered => entered.map_err(PeerError::Lan),
    }
}

async fn attempt(options: &PeerOptions, socket: &mut TeamSocket) -> Result<Joined, JoinFailure> {
    let port = socket.local_addr().map_or(0, |addr| addr.port());
    loop {
        let (rules, own) = match socket.lan() {
            Some(lan) => (Rules::Ims, Some(lan.address)),
            None => (Rules::Dbs, None),
        };
        let joined = join(options.splitter, port, options.role, rules, &options.password).await?;
        let seen = joined.welcome.you.ip();
        match own {
            // Known to the team by another address than its subnet knows it
            // by: neighbours could not tell whose multicast they hear.
            Some(own) if own != seen => {
                if options.lan.rules == RulesChoice::Ims {
                    return Err(JoinFailure::Lan(LanError::Elsewhere { seen, own }));
                }
                socket.leave_group();
            }
            _ => return Ok(joined),
        }
    }
}

/// Joins for the first time: what can't be mended by waiting is an error.
pub(super) async fn first_join(
    options: &PeerOptions,
    socket: &mut TeamSocket,
    stop: &mut Stop,
) -> Result<Option<Joined>, PeerError> {
    let mut pauses = Pauses::new();
    loop {
        let failure = tokio::select! {
            () = stop.wait() => return Ok(None),
            joined = attempt(options, socket) => match joined {
                Ok(joined) => return Ok(Some(joined)),
                Err(failure) => failure,
            },
        };
        if !failure.is_passing() {
            return Err(PeerError::Join(failure));
        }
        tokio::select! {
            () = stop.wait() => return Ok(None),
            () = sleep(pauses.next()) => {}
        }
    }
}

/// Joins again, for as long as it takes; `None` when told to stop.
pub(super) async fn rejoin(
    options: &PeerOptions,
    socket: &mut TeamSocket,
    stop: &mut Stop,
    mut warn: impl FnMut(String),
) -> Option<Joined> {
    let mut pauses = Pauses::new();
    loop {
        tokio::select! {
            () = stop.wait() => return None,
            () = sleep(pauses.next()) => {}
        }
        let failure = tokio::select! {
            () = stop.wait() => return None,
            joined = attempt(options, socket) => match joined {
                Ok(joined) => return Some(joined),
                Err(failure) => failure,
            },
        };
        warn(format!("can't join again yet: {failure}"));
    }
}

/// Pauses that grow from the first to the longest.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Pauses {
        Pauses(REJOIN_PAUSES.0)
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(REJOIN_PAUSES.1);
        pause
    }
}

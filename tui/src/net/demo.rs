//! The demo: a splitter, its monitor and some peers in one process, over real
//! loopback sockets. Nothing in it is special to the demo.

use std::net::SocketAddr;
use std::time::Duration;

use p2psp_core::Role;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::peer::{self, PeerError, PeerOptions, PlayerPort};
use super::splitter::{self, SplitterError, SplitterOptions};
use super::{LanOptions, RulesChoice, Stop, Stopper};
use crate::observe::{Event, Observer};

/// How long the splitter may take to stop once its peers have left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a demo failed.
#[derive(Debug)]
pub enum DemoError {
    /// Its splitter.
    Splitter(SplitterError),
    /// A peer.
    Peer(PeerError),
}

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DemoError::Splitter(error) => error.fmt(f),
            DemoError::Peer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DemoError {}

/// Runs a team of a splitter as `options` say and `peers` peers, the first of
/// which serves players at or near `player`, until told to stop.
///
/// # Errors
///
/// [`DemoError`], of the first node that fails.
pub async fn run(
    options: SplitterOptions,
    peers: usize,
    player: SocketAddr,
    observer: Observer,
    mut stop: Stop,
) -> Result<(), DemoError> {
    let (splitter_stopper, splitter_stop) = Stopper::new();
    let (ready, addr) = oneshot::channel();
    let splitter = splitter::run(options, observer.clone(), splitter_stop, Some(ready));
    let mut splitter = tokio::spawn(splitter);
    let Ok(addr) = addr.await else {
        return ended(splitter.await);
    };

    let (peers_stopper, peers_stop) = Stopper::new();
    let mut team = JoinSet::new();
    for _ in 0..peers {
        let options = PeerOptions {
            splitter: addr,
            bind: SocketAddr::new(addr.ip(), 0),
            lan: LanOptions { rules: RulesChoice::Dbs, ..LanOptions::default() },
            player: PlayerPort::Near(player),
            out: None,
            role: Role::Peer,
            password: Vec::new(),
        };
        team.spawn(peer::run(options, observer.clone(), peers_stop.clone()));
    }
    let mut result = Ok(());
    let mut over = false;
    while !over {
        tokio::select! {
            () = stop.wait() => over = true,
            done = &mut splitter => return ended(done),
            Some(done) = team.join_next(), if !team.is_empty() => {
                if let Ok(Err(error)) = done {
                    observer.report("demo", &Event::Warning { message: error.to_string() });
                    result = Err(DemoError::Peer(error));
                    over = true;
                }
            }
        }
    }
    peers_stopper.stop();
    while team.join_next().await.is_some() {}
    splitter_stopper.stop();
    match timeout(PATIENCE, splitter).await {
        Ok(done) => ended(done).and(result),
        Err(_) => result,
    }
}

fn ended<T>(
    done: Result<Result<T, SplitterError>, tokio::task::JoinError>,
) -> Result<(), DemoError> {
    match done {
        Ok(Err(error)) => Err(DemoError::Splitter(error)),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

//! The tokio driver: nodes of the core on real sockets.
//!
//! A splitter and a peer run as one task each ([`splitter::run`],
//! [`peer::run`]); a demo is a splitter with some peers over loopback
//! ([`demo::run`]). Each task owns its node: one mutation, then all its
//! outputs, then the next. Datagrams are received and sent in batches, but the
//! node sees them one by one, in order.

pub mod demo;
mod join;
mod joining;
mod lan;
pub mod peer;
mod pump;
mod socket;
pub mod splitter;
pub mod storage;

use std::time::Duration;

use p2psp_core::Instant;
use tokio::sync::watch;

pub use join::{JoinFailure, Joined, join};
pub use lan::{LanError, LanOptions, LanPlace, RulesChoice, is_near};
pub use socket::{Outbox, TeamSocket};

/// How often a node renews what a screen shows of it.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);

/// The clock that the core's instants come from.
#[derive(Debug, Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    /// The core's time.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The runtime's time at an instant of the core.
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + Duration::from_micros(instant.as_micros()))
    }
}

/// The wish that a node stops in good order; cloned to everyone concerned.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// The other end of [`Stop`]; clones utter the same wish.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// A wish not yet uttered.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    /// Waits until it is uttered, here or by a clone.
    pub async fn stopped(&self) {
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }

    /// Utters it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was uttered.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is uttered. Whoever could utter it being gone counts,
    /// too.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

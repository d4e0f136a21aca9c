//! The means by which the host tests drive the real thing: the binary
//! `p2psp-tui` in processes of its own ([`Program`]) or in a terminal
//! ([`Terminal`]), a real streaming server ([`Icecast`]), boards in QEMU
//! ([`Board`]), real encoders and decoders ([`media`]), players
//! ([`PlayerClient`]).
//!
//! Everything runs on loopback, at ports that the kernel chooses, or in network
//! namespaces ([`Network`]), with files in temporary folders. Nothing sleeps to
//! wait: see [`wait_until`]. What a machine lacks is a panic that names the
//! Debian package.

pub mod board;
pub mod http;
pub mod icecast;
mod link;
pub mod media;
pub mod netns;
pub mod program;
pub mod terminal;
pub mod wait;

pub use board::{Board, Lan};
pub use http::PlayerClient;
pub use icecast::{Feed, Icecast};
pub use media::{Format, Media};
pub use netns::Network;
pub use program::{Program, Signal};
pub use terminal::Terminal;
pub use wait::{PATIENCE, wait_for, wait_until};

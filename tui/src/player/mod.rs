//! What a peer plays, served to any number of players (PROTOCOL.md 6).
//!
//! The peer writes each played chunk once, into a [`Hub`]: a ring of the last
//! bytes, the header of the stream and the places where a decoder can start.
//! Players connect over HTTP ([`serve`]) and read the ring with a cursor each;
//! a [`Sink`] does the same for a file or a pipe. There is no queue per player,
//! so a player that stalls costs nobody anything: when the ring has passed its
//! cursor it is dropped and counted.
//!
//! - `ring`: the bytes and the rules of where a reader begins
//!   and goes on; no I/O, no lock. `places`: the start marks.
//! - `hub`: the handle which the peer and the readers share.
//! - `http`: the HTTP server. `icy`: titles between the bytes.
//! - `sink`: the stream to a file or standard output.

mod http;
mod hub;
mod icy;
mod places;
mod ring;
mod sink;

pub use self::http::{MAX_PLAYERS, bind, serve};
pub use self::hub::{Hub, HubStats, Stream};
pub use self::ring::BURST_BYTES;
pub use self::sink::{Sink, SinkError};

#[cfg(test)]
mod tests;

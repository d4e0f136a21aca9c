//! How many instructions the core spends on a chunk that a peer receives:
//! from the datagram to all that it sends because of it and to play-out.
//!
//! With `-icount shift=0` an instruction takes a nanosecond of QEMU's time:
//! `tests/boards build qemu-mps2-an386`, and then the command in this folder's
//! README.
#![no_std]
#![no_main]
#![allow(dead_code, reason = "the modules are those of the player")]

#[path = "../clock.rs"]
mod clock;
#[path = "../host.rs"]
mod host;

use core::net::SocketAddr;

use p2psp_core::wire::{self, Acquaintance, MAX_DATAGRAM_BYTES, Message, Welcome};
use p2psp_core::{
    ChunkNumber, Instant, Key, Node, NodeId, Peer, Playout, Role, Rules, Storage, Tag, TeamId,
};
use static_cell::ConstStaticCell;

const CHUNK: usize = 1024;
const BUFFER: u32 = 48;
/// Rounds before and while instructions are counted.
const ROUNDS: (u32, u32) = (8, 32);
/// Instructions in a microsecond.
const PER_US: u64 = 1000;
const TEAM: TeamId = TeamId(7);

type Memory = Storage<32, { 2 * BUFFER as usize }, CHUNK>;
static SMALL: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static LARGE: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    host::start_log();
    for (team, memory) in [(8, SMALL.take()), (32, LARGE.take())] {
        log::info!("team of {}: {} instructions a chunk", team, cost(team, memory));
    }
    host::exit(true)
}

fn endpoint(member: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, member as u8 + 1], 4552))
}

fn tag(member: u32) -> Tag {
    Key::new([member as u8 + 1; 16]).splitter_tag()
}

/// Member 0 of a team of `team` is the one that is looked at.
fn cost(team: u32, memory: &mut Memory) -> u64 {
    let mut peer = Peer::new(memory.memory());
    let id = |number| NodeId { role: Role::Peer, number };
    let splitter = SocketAddr::from(([10, 0, 1, 1], 8001));
    let welcome = Welcome {
        id: id(0),
        you: endpoint(0),
        key: Key::new([1; 16]),
        group_tag: Tag::NONE,
        chunk_bytes: CHUNK as u16,
        buffer_chunks: BUFFER,
        max_team: team as u16,
        header_bytes: 0,
        content_type: "audio/mpeg",
        name: "",
    };
    let joined = peer.join(Instant::ZERO, splitter, TEAM, &welcome);
    assert!(joined.is_ok());
    for member in 1..team {
        let one = Acquaintance {
            id: id(member),
            endpoint: endpoint(member),
            rules: Rules::Dbs,
            tag: tag(member),
        };
        assert!(peer.add_member(&one).is_ok());
    }
    peer.admitted(Instant::ZERO);
    let mut out = [0; MAX_DATAGRAM_BYTES];
    drain(&mut peer, &mut out);
    let mut number = 0;
    let mut spent = 0;
    let mut sent = 0;
    for round in 0..ROUNDS.0 + ROUNDS.1 {
        for origin in 0..team {
            let now = Instant::from_micros(u64::from(number) * 10_000);
            let from = if origin == 0 { splitter } else { endpoint(origin) };
            let message = Message::Chunk {
                number: ChunkNumber::new(number),
                origin: endpoint(origin),
                payload: &[number as u8; CHUNK],
            };
            let mut datagram = [0; MAX_DATAGRAM_BYTES];
            let len = match wire::encode(TEAM, tag(origin), message, &mut datagram) {
                Ok(len) => len,
                Err(_) => panic!("a chunk fits"),
            };
            number += 1;
            let before = embassy_time::Instant::now();
            let taken = peer.handle_datagram(now, from, &datagram[..len]);
            let datagrams = drain(&mut peer, &mut out);
            let after = embassy_time::Instant::now();
            assert!(taken.is_ok());
            if round >= ROUNDS.0 {
                spent += (after - before).as_micros();
                sent += datagrams;
            }
        }
    }
    let chunks = ROUNDS.1 * team;
    // As many are sent as in a full mesh: each of mine to each neighbour.
    assert_eq!(sent, ROUNDS.1 * (team - 1));
    spent * PER_US / u64::from(chunks)
}

/// Everything that a driver takes out; how many datagrams.
fn drain(peer: &mut Peer<'_>, out: &mut [u8]) -> u32 {
    let mut datagrams = 0;
    while peer.poll_transmit(out).is_some() {
        datagrams += 1;
    }
    while peer.poll_event().is_some() {}
    while !matches!(peer.next_chunk(), Playout::NotYet) {}
    datagrams
}

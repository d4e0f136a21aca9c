//! What the core costs: one 1 KiB chunk from datagram to all its transmits,
//! at a peer in a full mesh.
//!
//! One iteration is a round: a chunk from the splitter, one from each of the
//! `N - 1` neighbours, and the `N - 1` transmits they release. So time per
//! chunk is that of the iteration divided by `N`.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2psp_core::wire::{self, Acquaintance, MAX_DATAGRAM_BYTES, Message, Welcome};
use p2psp_core::{ChunkNumber, Instant, Key, Node, NodeId, Playout, Role, Rules, TeamId};
use p2psp_tui::net::storage::PeerStorage;

const TEAM: TeamId = TeamId(7);
const CHUNK_BYTES: usize = 1024;
/// Where the chunk number stands in a datagram: after version, team, tag and
/// the kind of message.
const NUMBER_AT: usize = 1 + 4 + 8 + 1;

fn endpoint(member: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (member >> 8) as u8, member as u8], 4000))
}

/// A peer in a full mesh, and one datagram from each of the others.
struct Mesh {
    storage: PeerStorage,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    number: u32,
    transmits: u64,
    played: u64,
}

impl Mesh {
    fn new(size: usize) -> Mesh {
        let key = Key::new([9; 16]);
        let welcome = Welcome {
            id: NodeId { role: Role::Peer, number: 0 },
            you: endpoint(0),
            key,
            group_tag: key.group_tag(),
            chunk_bytes: CHUNK_BYTES as u16,
            buffer_chunks: 2 * size as u32,
            max_team: size as u16,
            header_bytes: 0,
            content_type: "",
            name: "",
        };
        let splitter = SocketAddr::from(([10, 9, 9, 9], 8001));
        let mut storage = PeerStorage::for_team(&welcome);
        let mut peer = storage.peer();
        peer.join(Instant::ZERO, splitter, TEAM, &welcome).expect("fits");
        for member in 1..size {
            let id = NodeId { role: Role::Peer, number: member as u32 };
            let (endpoint, tag) = (endpoint(member), key.tag(endpoint(member)));
            peer.add_member(&Acquaintance { id, endpoint, rules: Rules::Dbs, tag }).expect("fits");
        }
        peer.admitted(Instant::ZERO);
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        while peer.poll_transmit(&mut buf).is_some() {}
        let datagrams = (0..size)
            .map(|member| {
                let (from, tag) = match member {
                    0 => (splitter, key.splitter_tag()),
                    _ => (endpoint(member), key.tag(endpoint(member))),
                };
                let payload = &[member as u8; CHUNK_BYTES];
                let origin = endpoint(member);
                let chunk = Message::Chunk { number: ChunkNumber::ZERO, origin, payload };
                let len = wire::encode(TEAM, tag, chunk, &mut buf).expect("fits");
                (from, buf[..len].to_vec())
            })
            .collect();
        Mesh { storage, datagrams, number: 0, transmits: 0, played: 0 }
    }

    fn round(&mut self) {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let mut peer = self.storage.peer();
        for (from, datagram) in &mut self.datagrams {
            datagram[NUMBER_AT..NUMBER_AT + 4].copy_from_slice(&self.number.to_le_bytes());
            self.number = self.number.wrapping_add(1);
            peer.handle_datagram(Instant::ZERO, *from, datagram).expect("a genuine chunk");
            while let Some(transmit) = peer.poll_transmit(&mut buf) {
                self.transmits += 1;
                black_box(&buf[..transmit.len]);
            }
            while let Playout::Chunk { payload, .. } = peer.next_chunk() {
                self.played += 1;
                black_box(payload);
            }
        }
    }
}

fn mesh(criterion: &mut Criterion) {
    for per in ["chunk", "transmit"] {
        let mut group = criterion.benchmark_group(format!("mesh, per {per}"));
        for size in [8, 64, 512] {
            let mut mesh = Mesh::new(size);
            // Past the start: everything from here on is steady.
            for _ in 0..8 {
                mesh.round();
            }
            let elements = if per == "chunk" { size } else { size - 1 };
            group.throughput(Throughput::Elements(elements as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                let (mut rounds, transmits) = (0, mesh.transmits);
                bencher.iter(|| {
                    rounds += 1;
                    mesh.round();
                });
                let expected = rounds * (size as u64 - 1);
                assert_eq!(mesh.transmits - transmits, expected, "every chunk to everyone");
            });
            assert_eq!(mesh.storage.peer().stats().chunks_lost, 0);
        }
        group.finish();
    }
}

criterion_group!(benches, mesh);
criterion_main!(benches);

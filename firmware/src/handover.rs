//! From the peer to the sound: what is due is pushed to the queue as far as
//! there is room; what finds none stays in the peer's buffer, up to half of
//! `B`.

use embassy_time::{Duration, Instant, Timer};
use p2psp_core::{Peer, Playout};

use crate::audio;
use crate::queue::Queue;
use crate::status::Status;

/// How soon to look again whether the sound has room for the next chunk.
pub(crate) const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);
/// How long the sound of a stream that has ended may go on.
const PLAY_OUT_TIME: Duration = Duration::from_secs(10);

/// What waits in a peer's buffer to be handed over.
pub(crate) struct Due {
    /// Chunks whose turn to be played has come.
    pub(crate) chunks: u32,
    /// How many of them may wait.
    most: u32,
}

impl Due {
    pub(crate) fn of(peer: &Peer<'_>) -> Due {
        let buffer = peer.buffer();
        let due = match (buffer.cursor, buffer.highest) {
            (Some(cursor), Some(highest)) if buffer.playing => {
                i64::from(cursor.distance_to(highest)) + 1 - i64::from(buffer.chunks)
            }
            _ => 0,
        };
        Due { chunks: u32::try_from(due).unwrap_or(0), most: buffer.chunks / 2 }
    }
}

/// Hands over what is due; drops the oldest of what can't wait any longer.
pub(crate) fn hand_over(peer: &mut Peer<'_>, queue: &Queue) {
    let chunk_bytes = usize::from(peer.chunk_bytes());
    loop {
        let due = Due::of(peer);
        queue.set_behind(due.chunks as usize * chunk_bytes, due.most as usize * chunk_bytes);
        let full = !queue.has_room(chunk_bytes);
        // Whether anything is due beside that the peer knows best: a chunk may
        // wait aside, far ahead of all others.
        if full && due.chunks <= due.most {
            return;
        }
        match peer.next_chunk() {
            Playout::Chunk { .. } if full => queue.drop_chunk(),
            Playout::Chunk { number, payload } => {
                let pushed = queue.push(number.get(), payload);
                debug_assert!(pushed, "there was room");
            }
            // Its number will be missing.
            Playout::Lost { .. } => {}
            Playout::NotYet => return,
        }
    }
}

/// Hands over what is left when the stream has ended, if it is played at all.
pub(crate) async fn play_out(peer: &mut Peer<'_>, queue: &Queue, status: &Status) {
    if !queue.stream().is_some_and(|stream| audio::can_play(&stream)) {
        return;
    }
    let chunk_bytes = usize::from(peer.chunk_bytes());
    let until = Instant::now() + PLAY_OUT_TIME;
    queue.set_behind(0, 0);
    while Instant::now() < until {
        status.network_is_alive();
        if !queue.has_room(chunk_bytes) {
            Timer::after(HAND_OVER_PAUSE).await;
            continue;
        }
        match peer.next_chunk() {
            Playout::Chunk { number, payload } => {
                queue.push(number.get(), payload);
            }
            Playout::Lost { .. } => {}
            Playout::NotYet => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    use embassy_futures::block_on;
    use embassy_futures::select::{Either, select};

    use crate::stream::{Content, Stream};
    use p2psp_core::wire::{self, MAX_DATAGRAM_BYTES, Message, Welcome};
    use p2psp_core::{ChunkNumber, Instant, Key, Node, NodeId, Role, Storage, Tag, TeamId};

    const TEAM: TeamId = TeamId(9);
    const KEY: Key = Key::new([5; 16]);
    const CHUNK_BYTES: u16 = 16;
    /// `B`.
    const BUFFER: u32 = 8;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 8001))
    }

    type Memory = Storage<32, 16, 16>;

    /// A peer that the splitter has admitted.
    fn member(memory: &mut Memory) -> Peer<'_> {
        let mut peer = Peer::new(memory.memory());
        let welcome = Welcome {
            id: NodeId { role: Role::Peer, number: 1 },
            you: address(5),
            key: KEY,
            group_tag: Tag::NONE,
            chunk_bytes: CHUNK_BYTES,
            buffer_chunks: BUFFER,
            max_team: 8,
            header_bytes: 0,
            content_type: "",
            name: "",
        };
        peer.join(Instant::ZERO, address(1), TEAM, &welcome).expect("it fits");
        peer.admitted(Instant::ZERO);
        peer
    }

    /// These chunks from the splitter, handed over as they came to a queue with
    /// room for `room` of them: the queue, and the next one to be played.
    fn handed_over(chunks: impl Iterator<Item = u32>, room: usize) -> (Queue, Option<u32>) {
        let ring = vec![0; room * (6 + usize::from(CHUNK_BYTES))];
        let queue = Queue::new(ring.leak());
        queue.begin(Stream::new(Content::Other, &[], 0, CHUNK_BYTES));
        let mut memory = Memory::new();
        let mut peer = member(&mut memory);
        for number in chunks {
            let (number, origin) = (ChunkNumber::new(number), address(5));
            let message = Message::Chunk { number, origin, payload: &[number.get() as u8; 16] };
            let mut datagram = [0; MAX_DATAGRAM_BYTES];
            let len = wire::encode(TEAM, KEY.splitter_tag(), message, &mut datagram);
            let len = len.expect("it fits");
            peer.handle_datagram(Instant::ZERO, address(1), &datagram[..len]).expect("welcome");
            hand_over(&mut peer, &queue);
        }
        let cursor = peer.buffer().cursor.map(ChunkNumber::get);
        (queue, cursor)
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut payload = [0; CHUNK_BYTES as usize];
        while let Some(front) = queue.front() {
            let number = front.offset / u64::from(CHUNK_BYTES);
            assert_eq!(queue.read(&mut payload), payload.len());
            assert_eq!(payload, [number as u8; CHUNK_BYTES as usize]);
            numbers.push(number);
        }
        numbers
    }

    #[test]
    fn chunks_are_handed_over_in_their_turn() {
        let (queue, cursor) = handed_over(0..=12, 16);
        assert_eq!(numbers(&queue), [0, 1, 2, 3, 4]);
        assert_eq!(cursor, Some(5));
    }

    #[test]
    fn what_finds_no_room_waits_and_then_the_oldest_is_dropped() {
        let (queue, cursor) = handed_over(0..=11, 2);
        assert_eq!((cursor, queue.waiting(), queue.dropped()), (Some(2), 4 * 16, 0));
        // Half of B may wait.
        let (queue, cursor) = handed_over(0..=14, 2);
        assert_eq!((cursor, queue.dropped()), (Some(3), 1));
        assert_eq!(numbers(&queue), [0, 1]);
    }

    #[test]
    fn a_chunk_far_ahead_moves_the_others_on() {
        let (queue, cursor) = handed_over((0..=8).chain(2000..=2001), 32);
        assert_eq!(numbers(&queue), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(cursor, Some(2001 - BUFFER + 1));
        let (queue, cursor) = handed_over((0..=8).chain(2000..=2009), 32);
        assert_eq!(numbers(&queue), [0, 1, 2, 3, 4, 5, 6, 7, 8, 2000, 2001]);
        assert_eq!(cursor, Some(2002));
    }

    #[test]
    fn the_network_lives_while_a_stream_is_played_out() {
        // Nobody reads from the queue, and there is no room.
        let played_out = |content| {
            let (queue, status) = (Queue::new(vec![0; 10].leak()), Status::new());
            queue.begin(Stream::new(content, &[], 0, CHUNK_BYTES));
            let mut memory = Memory::new();
            let mut peer = member(&mut memory);
            let soon = Timer::after(Duration::from_millis(30));
            let first = block_on(select(play_out(&mut peer, &queue, &status), soon));
            (matches!(first, Either::First(())), status.has_live_network())
        };
        assert_eq!(played_out(Content::L16 { rate: 8000, channels: 1 }), (false, true));
        // What can't be played is not waited for.
        assert_eq!(played_out(Content::Other), (true, false));
    }
}

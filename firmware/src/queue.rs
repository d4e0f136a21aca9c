//! What the network hands to the sound: chunks in play order, in a ring of
//! bytes.
//!
//! Each chunk lies there with its number: the reader sees by the numbers what
//! was lost. When the ring is full a chunk is dropped, which looks like a loss,
//! and counted. A new stream throws away what is left of the one before.

use core::cell::RefCell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;

use crate::stream::Stream;

/// Bytes before each chunk: number and length.
const RECORD_BYTES: usize = 6;

/// A ring of chunks between two tasks.
#[derive(Debug)]
pub struct Queue {
    ring: Mutex<CriticalSectionRawMutex, RefCell<Ring>>,
}

/// What is at the reader's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Front {
    /// Offset in the stream of the next byte.
    pub offset: u64,
    /// Bytes that follow it in the same chunk.
    pub len: usize,
}

#[derive(Debug)]
struct Ring {
    bytes: &'static mut [u8],
    read: usize,
    used: usize,
    /// Bytes of payload in it.
    payload: usize,
    /// Offset and rest of the chunk that is being read.
    front: Option<Front>,
    stream: Option<Stream>,
    generation: u32,
    dropped: u32,
    /// Bytes that wait before the queue, and that may.
    behind: usize,
    most_behind: usize,
}

impl Queue {
    /// An empty queue in `bytes`, at least three chunks: most of what waits can
    /// wait in the peer's buffer ([`Queue::set_behind`]).
    pub const fn new(bytes: &'static mut [u8]) -> Queue {
        let ring = Ring {
            bytes,
            read: 0,
            used: 0,
            payload: 0,
            front: None,
            stream: None,
            generation: 0,
            dropped: 0,
            behind: 0,
            most_behind: 0,
        };
        Queue { ring: Mutex::new(RefCell::new(ring)) }
    }

    // -- the network's end --

    /// A new stream begins; what is left of the old one is thrown away.
    pub fn begin(&self, stream: Stream) {
        self.with(|ring| {
            ring.clear();
            ring.stream = Some(stream);
            ring.generation = ring.generation.wrapping_add(1);
        });
    }

    /// Appends the chunk `number`; false, and counted, if there is no room.
    pub fn push(&self, number: u32, payload: &[u8]) -> bool {
        self.with(|ring| ring.push(number, payload))
    }

    /// Whether a chunk of so many bytes would fit in.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.with(|ring| RECORD_BYTES + bytes <= ring.bytes.len() - ring.used)
    }

    /// Tells how many bytes wait in the peer's buffer to be pushed, and how
    /// many may at most: they count as waiting to be played, too.
    pub fn set_behind(&self, bytes: usize, most: usize) {
        self.with(|ring| (ring.behind, ring.most_behind) = (bytes, most));
    }

    /// Counts a chunk that was thrown away instead of being pushed.
    pub fn drop_chunk(&self) {
        self.with(|ring| ring.dropped = ring.dropped.saturating_add(1));
    }

    /// Chunks for which there was no room.
    pub fn dropped(&self) -> u32 {
        self.with(|ring| ring.dropped)
    }

    // -- the sound's end --

    /// Counts the streams begun; a change means [`Queue::stream`] is another.
    pub fn generation(&self) -> u32 {
        self.with(|ring| ring.generation)
    }

    /// The stream, once one has begun.
    pub fn stream(&self) -> Option<Stream> {
        self.with(|ring| ring.stream)
    }

    /// Payload that waits, here and behind, in bytes.
    pub fn waiting(&self) -> usize {
        self.with(|ring| ring.payload + ring.behind)
    }

    /// Payload that can wait, here and behind, in bytes, about.
    pub fn capacity(&self) -> usize {
        self.with(|ring| ring.bytes.len() + ring.most_behind)
    }

    /// Where the next byte belongs; `None` if there is none.
    pub fn front(&self) -> Option<Front> {
        self.with(Ring::front)
    }

    /// Reads from the chunk at the front, at most to its end; how much.
    pub fn read(&self, out: &mut [u8]) -> usize {
        self.with(|ring| ring.read(out))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Ring) -> R) -> R {
        self.ring.lock(|ring| f(&mut ring.borrow_mut()))
    }
}

impl Ring {
    fn clear(&mut self) {
        (self.read, self.used, self.payload, self.front) = (0, 0, 0, None);
        (self.behind, self.most_behind) = (0, 0);
    }

    fn push(&mut self, number: u32, payload: &[u8]) -> bool {
        let free = self.bytes.len() - self.used;
        let Ok(len) = u16::try_from(payload.len()) else { return false };
        if payload.is_empty() || RECORD_BYTES + payload.len() > free {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.put(&number.to_le_bytes());
        self.put(&len.to_le_bytes());
        self.put(payload);
        self.payload += payload.len();
        true
    }

    fn front(&mut self) -> Option<Front> {
        if self.front.is_none() && self.used > 0 {
            let (mut number, mut len) = ([0; 4], [0; 2]);
            self.take(&mut number);
            self.take(&mut len);
            let chunk_bytes = self.stream.map_or(0, |stream| u64::from(stream.chunk_bytes));
            self.front = Some(Front {
                offset: u64::from(u32::from_le_bytes(number)) * chunk_bytes,
                len: u16::from_le_bytes(len).into(),
            });
        }
        self.front
    }

    fn read(&mut self, out: &mut [u8]) -> usize {
        let Some(front) = self.front() else { return 0 };
        let len = front.len.min(out.len());
        self.take(&mut out[..len]);
        self.payload -= len;
        let rest = Front { offset: front.offset + len as u64, len: front.len - len };
        self.front = (rest.len > 0).then_some(rest);
        len
    }

    fn put(&mut self, bytes: &[u8]) {
        let at = wrap(self.read + self.used, self.bytes.len());
        let first = bytes.len().min(self.bytes.len() - at);
        self.bytes[at..at + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.used += bytes.len();
    }

    fn take(&mut self, out: &mut [u8]) {
        let first = out.len().min(self.bytes.len() - self.read);
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.bytes[self.read..self.read + first]);
        tail.copy_from_slice(&self.bytes[..tail.len()]);
        self.read = wrap(self.read + out.len(), self.bytes.len());
        self.used -= out.len();
    }
}

fn wrap(at: usize, len: usize) -> usize {
    if at >= len { at - len } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    fn queue(bytes: usize) -> Queue {
        let queue = Queue::new(vec![0; bytes].leak());
        queue.begin(Stream::new(Content::Mp3, &[], 0, 10));
        queue
    }

    #[test]
    fn chunks_come_out_as_they_went_in_with_their_offsets() {
        let queue = queue(40);
        let mut out = [0; 64];
        for number in 0..50_u32 {
            let payload: Vec<u8> = (0..10).map(|byte| (number * 10 + byte) as u8).collect();
            assert!(queue.push(number, &payload));
            assert_eq!(queue.waiting(), 10);
            let offset = u64::from(number) * 10;
            assert_eq!(queue.front(), Some(Front { offset, len: 10 }));
            assert_eq!(queue.read(&mut out[..3]), 3);
            assert_eq!(queue.front(), Some(Front { offset: offset + 3, len: 7 }));
            assert_eq!(queue.read(&mut out[3..]), 7);
            assert_eq!(out[..10], payload[..]);
            assert_eq!((queue.front(), queue.read(&mut out)), (None, 0));
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = queue(40);
        assert!(queue.push(1, &[1; 10]));
        assert!(queue.push(2, &[2; 18]));
        assert!(!queue.push(3, &[3; 1]));
        assert!(!queue.push(3, &[]));
        assert_eq!((queue.dropped(), queue.waiting()), (2, 28));
        let mut out = [0; 10];
        assert_eq!((queue.read(&mut out), out), (10, [1; 10]));
        assert!(queue.push(4, &[4; 10]));
        assert_eq!(queue.front(), Some(Front { offset: 20, len: 18 }));
    }

    #[test]
    fn what_waits_behind_counts() {
        let queue = queue(40);
        assert!(queue.push(1, &[1; 10]));
        queue.set_behind(100, 1000);
        assert_eq!((queue.waiting(), queue.capacity()), (110, 1040));
        assert!(queue.has_room(18) && !queue.has_room(19));
        queue.drop_chunk();
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn a_new_stream_throws_the_old_one_away() {
        let queue = queue(40);
        let before = queue.generation();
        assert!(queue.push(1, &[1; 10]));
        assert_eq!(queue.read(&mut [0; 4]), 4);
        queue.begin(Stream::new(Content::Mp3, &[], 0, 20));
        assert_eq!((queue.front(), queue.waiting()), (None, 0));
        assert_ne!(queue.generation(), before);
        assert!(queue.push(7, &[2; 10]));
        assert_eq!(queue.front(), Some(Front { offset: 140, len: 10 }));
    }
}

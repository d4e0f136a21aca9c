//! The chunk buffer of a peer and its play cursor (4, 6).
//!
//! `2B` slots; chunk `x` lives in slot `x mod 2B`. The play cursor follows the
//! highest number received at distance `B`. All arithmetic is relative to the
//! cursor and its slot, so it needs no division and goes on across the wrap of
//! chunk numbers.

use crate::ChunkNumber;

/// Place in the member table that means "nobody known".
pub(crate) const NOBODY: u16 = u16::MAX;

/// One slot: which chunk is in it, whose, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    number: ChunkNumber,
    origin: u16,
    len: u16,
}

impl Slot {
    /// A slot without a chunk.
    pub const EMPTY: Slot = Slot { number: ChunkNumber::ZERO, origin: NOBODY, len: 0 };
}

/// What the buffer needs besides its slots.
#[derive(Debug, Clone)]
pub(crate) struct BufferState {
    /// `B`, in chunks.
    chunks: u32,
    chunk_bytes: u16,
    /// The next chunk to be played; the first received until one is.
    cursor: ChunkNumber,
    /// The slot of the cursor.
    cursor_slot: u32,
    highest: ChunkNumber,
    phase: Phase,
    /// Chunks stored and not yet played.
    filled: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing received yet.
    Empty,
    /// Waits for chunk `first + B` (6.1).
    Filling,
    Playing,
    /// The stream ended: plays out all there is (7.3).
    Draining,
}

impl BufferState {
    pub(crate) const fn new() -> BufferState {
        BufferState {
            chunks: 1,
            chunk_bytes: 0,
            cursor: ChunkNumber::ZERO,
            cursor_slot: 0,
            highest: ChunkNumber::ZERO,
            phase: Phase::Empty,
            filled: 0,
        }
    }
}

/// What became of a chunk that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In its slot now.
    New,
    /// In its slot now; the `skipped` chunks from `from` on that were not yet
    /// played never will be, for the splitter is far ahead of them.
    Jumped { from: ChunkNumber, skipped: u32 },
    /// It was there already.
    Duplicate,
    /// Its turn is over.
    Late,
    /// So far ahead that it would push out what is not yet played.
    TooFarAhead,
}

/// What the play cursor finds at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This chunk is to be played.
    Chunk { number: ChunkNumber, slot: usize },
    /// This chunk never came.
    Lost { number: ChunkNumber },
    /// It is nobody's turn yet.
    NotYet,
}

/// The buffer: state, slots and payload bytes, borrowed.
#[derive(Debug)]
pub(crate) struct Buffer<'s> {
    state: &'s mut BufferState,
    slots: &'s mut [Slot],
    payload: &'s mut [u8],
}

impl<'s> Buffer<'s> {
    pub(crate) fn new(
        state: &'s mut BufferState,
        slots: &'s mut [Slot],
        payload: &'s mut [u8],
    ) -> Buffer<'s> {
        Buffer { state, slots, payload }
    }

    /// Whether a buffer of `2 chunks` slots of `chunk_bytes` fits in.
    pub(crate) fn fits(&self, chunks: u32, chunk_bytes: u16) -> bool {
        let slots = 2 * chunks as usize;
        slots <= self.slots.len() && slots * usize::from(chunk_bytes) <= self.payload.len()
    }

    /// Empties the buffer and sets `B` and the length of a chunk. They fit.
    pub(crate) fn reset(&mut self, chunks: u32, chunk_bytes: u16) {
        debug_assert!(self.fits(chunks, chunk_bytes));
        *self.state = BufferState { chunks, chunk_bytes, ..BufferState::new() };
        self.slots.fill(Slot::EMPTY);
    }

    /// Stores a chunk (5.1, 5.2). Only a `trusted` number, one that the
    /// splitter itself sent, can move the buffer beyond its slots.
    pub(crate) fn store(
        &mut self,
        number: ChunkNumber,
        origin: u16,
        payload: &[u8],
        trusted: bool,
    ) -> Stored {
        debug_assert!(payload.len() <= usize::from(self.state.chunk_bytes));
        let mut outcome = Stored::New;
        if self.state.phase == Phase::Empty {
            self.begin_at(number);
        }
        let ahead = self.state.cursor.distance_to(number);
        if ahead >= self.slot_count() as i32 {
            if !trusted {
                return Stored::TooFarAhead;
            }
            let from = self.state.cursor;
            let skipped = ahead as u32;
            self.slots.fill(Slot::EMPTY);
            self.state.filled = 0;
            self.begin_at(number);
            outcome = Stored::Jumped { from, skipped };
        } else if ahead < 0 {
            return Stored::Late;
        }
        let place = self.slot_of(number);
        let slot = &mut self.slots[place];
        if slot.len != 0 && slot.number == number {
            return Stored::Duplicate;
        }
        *slot = Slot { number, origin, len: payload.len() as u16 };
        let start = place * usize::from(self.state.chunk_bytes);
        self.payload[start..start + payload.len()].copy_from_slice(payload);
        self.state.filled += 1;
        if self.state.highest.is_before(number) {
            self.state.highest = number;
        }
        let span = self.state.cursor.distance_to(self.state.highest);
        if self.state.phase == Phase::Filling && span >= self.state.chunks as i32 {
            self.state.phase = Phase::Playing;
        }
        outcome
    }

    /// Moves the play cursor one chunk forward if it is its time (6.2, 6.3).
    pub(crate) fn play(&mut self) -> Turn {
        let lead = match self.state.phase {
            Phase::Empty | Phase::Filling => return Turn::NotYet,
            Phase::Playing => self.state.chunks as i32,
            Phase::Draining => 0,
        };
        let number = self.state.cursor;
        if number.distance_to(self.state.highest) < lead {
            return Turn::NotYet;
        }
        let slot = self.state.cursor_slot as usize;
        self.state.cursor = number.next();
        self.state.cursor_slot += 1;
        if self.state.cursor_slot as usize == self.slot_count() {
            self.state.cursor_slot = 0;
        }
        if self.slots[slot].len != 0 && self.slots[slot].number == number {
            self.state.filled -= 1;
            Turn::Chunk { number, slot }
        } else {
            Turn::Lost { number }
        }
    }

    /// No more chunks will come: play out all there is (7.3).
    pub(crate) fn drain(&mut self) {
        if self.state.phase != Phase::Empty {
            self.state.phase = Phase::Draining;
        }
    }

    /// The payload of a slot.
    pub(crate) fn payload(&self, slot: usize) -> &[u8] {
        let start = slot * usize::from(self.state.chunk_bytes);
        &self.payload[start..start + usize::from(self.slots[slot].len)]
    }

    /// Origin and payload of a chunk, as long as its slot was not used again.
    pub(crate) fn get(&self, number: ChunkNumber) -> Option<(u16, &[u8])> {
        let ahead = self.state.cursor.distance_to(number);
        let reach = self.slot_count() as i32;
        if self.state.phase == Phase::Empty || !(-reach..reach).contains(&ahead) {
            return None;
        }
        let place = self.slot_of(number);
        let slot = self.slots[place];
        (slot.len != 0 && slot.number == number).then(|| (slot.origin, self.payload(place)))
    }

    /// Forgets who `origin` was: its place in the table gets free.
    pub(crate) fn forget_origin(&mut self, origin: u16) {
        for slot in self.slots.iter_mut().filter(|slot| slot.origin == origin) {
            slot.origin = NOBODY;
        }
    }

    /// `B`, in chunks.
    pub(crate) fn chunks(&self) -> u32 {
        self.state.chunks
    }

    /// Length of a chunk, in bytes.
    pub(crate) fn chunk_bytes(&self) -> u16 {
        self.state.chunk_bytes
    }

    /// The next chunk to play; `None` before anything came.
    pub(crate) fn cursor(&self) -> Option<ChunkNumber> {
        (self.state.phase != Phase::Empty).then_some(self.state.cursor)
    }

    /// The highest number received.
    pub(crate) fn highest(&self) -> Option<ChunkNumber> {
        (self.state.phase != Phase::Empty).then_some(self.state.highest)
    }

    /// Chunks stored and not yet played.
    pub(crate) fn filled(&self) -> u32 {
        self.state.filled
    }

    /// Whether playing has started.
    pub(crate) fn is_playing(&self) -> bool {
        matches!(self.state.phase, Phase::Playing | Phase::Draining)
    }

    /// Number and origin of the chunk in each slot, in slot order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Option<(ChunkNumber, u16)>> + '_ {
        let used = self.slot_count().min(self.slots.len());
        self.slots[..used].iter().map(|slot| (slot.len != 0).then_some((slot.number, slot.origin)))
    }

    fn begin_at(&mut self, number: ChunkNumber) {
        self.state.cursor = number;
        self.state.cursor_slot = number.get() % self.slot_count() as u32;
        self.state.highest = number;
        self.state.phase = Phase::Filling;
    }

    fn slot_count(&self) -> usize {
        2 * self.state.chunks as usize
    }

    /// The slot of a chunk less than `2B` away from the cursor.
    fn slot_of(&self, number: ChunkNumber) -> usize {
        let count = self.slot_count() as i32;
        let slot = self.state.cursor_slot as i32 + self.state.cursor.distance_to(number);
        let slot = if slot < 0 {
            slot + count
        } else if slot >= count {
            slot - count
        } else {
            slot
        };
        slot as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: u32 = 5;

    struct Memory {
        state: BufferState,
        slots: [Slot; 2 * B as usize],
        payload: [u8; 40],
    }

    fn memory() -> Memory {
        Memory { state: BufferState::new(), slots: [Slot::EMPTY; 10], payload: [0; 40] }
    }

    impl Memory {
        fn buffer(&mut self) -> Buffer<'_> {
            Buffer::new(&mut self.state, &mut self.slots, &mut self.payload)
        }

        fn filling() -> Memory {
            let mut memory = memory();
            memory.buffer().reset(B, 4);
            memory
        }
    }

    fn n(number: u32) -> ChunkNumber {
        ChunkNumber::new(number)
    }

    fn put(buffer: &mut Buffer<'_>, number: u32) -> Stored {
        buffer.store(n(number), 0, &number.to_le_bytes(), false)
    }

    /// Plays all that is due: numbers played as `Ok`, lost as `Err`.
    #[track_caller]
    fn played(buffer: &mut Buffer<'_>, expected: &[Result<u32, u32>]) {
        for one in expected {
            let turn = match buffer.play() {
                Turn::Chunk { number, slot } => {
                    assert_eq!(buffer.payload(slot), number.get().to_le_bytes());
                    Ok(number.get())
                }
                Turn::Lost { number } => Err(number.get()),
                Turn::NotYet => panic!("{one:?} is not due"),
            };
            assert_eq!(turn, *one);
        }
        assert_eq!(buffer.play(), Turn::NotYet);
    }

    #[test]
    fn playing_starts_when_b_chunks_are_there_and_keeps_the_distance() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        assert_eq!(put(&mut buffer, 3), Stored::New);
        assert_eq!(put(&mut buffer, 2), Stored::Late, "before the first");
        for number in [4, 6, 7] {
            assert_eq!(put(&mut buffer, number), Stored::New);
            played(&mut buffer, &[]);
        }
        assert_eq!(put(&mut buffer, 7), Stored::Duplicate);
        assert_eq!(put(&mut buffer, 8), Stored::New);
        assert!(buffer.is_playing());
        played(&mut buffer, &[Ok(3)]);
        assert_eq!(put(&mut buffer, 3), Stored::Late);
        assert_eq!(put(&mut buffer, 10), Stored::New);
        played(&mut buffer, &[Ok(4), Err(5)]);
        assert_eq!(put(&mut buffer, 9), Stored::New, "out of order, in time");
        played(&mut buffer, &[]);
        assert_eq!(buffer.filled(), 5);
        buffer.drain();
        played(&mut buffer, &[Ok(6), Ok(7), Ok(8), Ok(9), Ok(10)]);
        assert_eq!((buffer.filled(), buffer.cursor()), (0, Some(n(11))));
    }

    #[test]
    fn chunk_x_lives_in_slot_x_mod_2b() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 27..32 {
            put(&mut buffer, number);
        }
        let there: [Option<u32>; 10] = core::array::from_fn(|slot| {
            buffer.slots().nth(slot).unwrap().map(|(number, _)| number.get())
        });
        let expected =
            [Some(30), Some(31), None, None, None, None, None, Some(27), Some(28), Some(29)];
        assert_eq!(there, expected);
    }

    #[test]
    fn far_numbers_from_peers_change_nothing_from_the_splitter_they_start_anew() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 0..7 {
            put(&mut buffer, number);
        }
        played(&mut buffer, &[Ok(0), Ok(1)]);
        assert_eq!(put(&mut buffer, 12), Stored::TooFarAhead);
        assert_eq!(put(&mut buffer, 1 << 30), Stored::TooFarAhead);
        assert_eq!(put(&mut buffer, 0u32.wrapping_sub(1 << 30)), Stored::Late);
        played(&mut buffer, &[]);
        let jumped = buffer.store(n(100), 0, &[1], true);
        assert_eq!(jumped, Stored::Jumped { from: n(2), skipped: 98 });
        assert_eq!((buffer.filled(), buffer.is_playing()), (1, false));
        put(&mut buffer, 105);
        assert_eq!(buffer.play(), Turn::Chunk { number: n(100), slot: 0 });
        assert_eq!(buffer.store(n(50), 0, &[1], true), Stored::Late);
    }

    #[test]
    fn the_wrap_of_numbers_is_seamless() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        let first = u32::MAX - 12;
        for step in 0..40u32 {
            assert_eq!(put(&mut buffer, first.wrapping_add(step)), Stored::New);
            if step >= B {
                played(&mut buffer, &[Ok(first.wrapping_add(step - B))]);
            }
            assert_eq!(put(&mut buffer, first.wrapping_add(step)), Stored::Duplicate);
        }
    }

    #[test]
    fn a_chunk_can_be_fetched_until_its_slot_is_used_again() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        assert_eq!(buffer.get(n(0)), None);
        for number in 0..10 {
            buffer.store(n(number), 7, &number.to_le_bytes(), false);
            while buffer.play() != Turn::NotYet {}
        }
        assert_eq!(buffer.get(n(0)), Some((7, &0u32.to_le_bytes()[..])));
        put(&mut buffer, 10);
        assert_eq!(buffer.get(n(0)), None);
        buffer.forget_origin(7);
        assert_eq!(buffer.get(n(1)).unwrap().0, NOBODY);
        assert_eq!(buffer.get(n(500)), None);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut memory = memory();
        let buffer = memory.buffer();
        assert!(buffer.fits(5, 4));
        assert!(!buffer.fits(6, 4), "slots");
        assert!(!buffer.fits(5, 5), "bytes");
    }
}

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
    /// A chunk so far ahead that its slot is still in use; it waits aside
    /// until what is due because of it has been played.
    early: Option<Slot>,
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
            early: None,
        }
    }
}

/// What became of a chunk that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In its slot now.
    New,
    /// It was there already.
    Duplicate,
    /// Its turn is over.
    Late,
    /// So far ahead that it can't be true.
    TooFarAhead,
}

/// What the play cursor finds at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This chunk is to be played.
    Chunk { number: ChunkNumber, slot: usize },
    /// These chunks never came.
    Lost { number: ChunkNumber, chunks: u32 },
    /// It is nobody's turn yet.
    NotYet,
}

/// The buffer: state, slots and payload bytes, borrowed.
#[derive(Debug)]
pub(crate) struct Buffer<'s> {
    state: &'s mut BufferState,
    slots: &'s mut [Slot],
    payload: &'s mut [u8],
    spare: &'s mut [u8],
}

impl<'s> Buffer<'s> {
    pub(crate) fn new(
        state: &'s mut BufferState,
        slots: &'s mut [Slot],
        payload: &'s mut [u8],
        spare: &'s mut [u8],
    ) -> Buffer<'s> {
        Buffer { state, slots, payload, spare }
    }

    /// Whether a buffer of `2 chunks` slots of `chunk_bytes` fits in.
    pub(crate) fn fits(&self, chunks: u32, chunk_bytes: u16) -> bool {
        let slots = 2 * chunks as usize;
        let chunk = usize::from(chunk_bytes);
        slots <= self.slots.len()
            && slots * chunk <= self.payload.len()
            && chunk <= self.spare.len()
    }

    /// Empties the buffer and sets `B` and the length of a chunk. They fit.
    pub(crate) fn reset(&mut self, chunks: u32, chunk_bytes: u16) {
        debug_assert!(self.fits(chunks, chunk_bytes));
        *self.state = BufferState { chunks, chunk_bytes, ..BufferState::new() };
        self.slots.fill(Slot::EMPTY);
    }

    /// Stores a chunk (5.1, 5.2). A peer's chunk may be `reach` chunks ahead
    /// of the highest, or the size of the buffer if that is more; `None`, for
    /// a chunk from the splitter itself, sets no limit.
    pub(crate) fn store(
        &mut self,
        number: ChunkNumber,
        origin: u16,
        payload: &[u8],
        reach: Option<u32>,
    ) -> Stored {
        debug_assert!(payload.len() <= usize::from(self.state.chunk_bytes));
        if self.state.phase == Phase::Empty {
            self.begin_at(number);
        }
        let ahead = self.state.cursor.distance_to(number);
        if ahead < 0 {
            return Stored::Late;
        }
        if self.state.early.is_some_and(|early| early.number == number) {
            return Stored::Duplicate;
        }
        let slot = Slot { number, origin, len: payload.len() as u16 };
        if ahead as usize >= self.slot_count() {
            let beyond = self.state.highest.distance_to(number);
            let reach = reach.map_or(i32::MAX, |reach| reach.max(2 * self.state.chunks) as i32);
            if self.state.early.is_some() || beyond > reach {
                return Stored::TooFarAhead;
            }
            self.spare[..payload.len()].copy_from_slice(payload);
            self.state.early = Some(slot);
            self.state.phase = Phase::Playing;
            return Stored::New;
        }
        let place = self.slot_of(number);
        if self.holds(place, number) {
            return Stored::Duplicate;
        }
        self.slots[place] = slot;
        let start = place * usize::from(self.state.chunk_bytes);
        self.payload[start..start + payload.len()].copy_from_slice(payload);
        self.note_stored(number);
        Stored::New
    }

    /// Moves the play cursor one chunk forward if it is its time (6.2, 6.3);
    /// over a long hole in one step.
    pub(crate) fn play(&mut self) -> Turn {
        let lead = match self.state.phase {
            Phase::Empty | Phase::Filling => return Turn::NotYet,
            Phase::Playing => self.state.chunks as i32,
            Phase::Draining => 0,
        };
        let number = self.state.cursor;
        let newest = self.state.early.map_or(self.state.highest, |early| early.number);
        let due = number.distance_to(newest) - lead;
        if due < 0 {
            return Turn::NotYet;
        }
        let stored = number.distance_to(self.state.highest) >= 0;
        if !stored && due as usize > self.slot_count() {
            // Nothing in the slots can be played or fetched any more, and
            // after several such holes numbers may come round to theirs.
            let used = self.slot_count();
            self.slots[..used].fill(Slot::EMPTY);
            self.advance(due as u32);
            return Turn::Lost { number, chunks: due as u32 };
        }
        let slot = self.state.cursor_slot as usize;
        let held = self.holds(slot, number);
        self.state.filled -= u32::from(held);
        self.advance(1);
        if held { Turn::Chunk { number, slot } } else { Turn::Lost { number, chunks: 1 } }
    }

    /// Before anything is played: moves the play cursor behind the last hole
    /// before the chunk `own`.
    pub(crate) fn skip_holes_before(&mut self, own: ChunkNumber) {
        let ahead = self.state.cursor.distance_to(own);
        if ahead <= 0 || ahead as usize >= self.slot_count() {
            return;
        }
        let holds = |step: u32| {
            let number = self.state.cursor.plus(step);
            self.holds(self.slot_of(number), number)
        };
        let Some(hole) = (0..ahead as u32).rev().find(|step| !holds(*step)) else { return };
        let skipped = (0..hole).filter(|step| holds(*step)).count();
        self.state.filled -= skipped as u32;
        self.advance(hole + 1);
    }

    fn advance(&mut self, chunks: u32) {
        let slots = self.slot_count() as u32;
        self.state.cursor = self.state.cursor.plus(chunks);
        self.state.cursor_slot += chunks % slots;
        if self.state.cursor_slot >= slots {
            self.state.cursor_slot -= slots;
        }
        if let Some(early) = self.state.early
            && (self.state.cursor.distance_to(early.number) as usize) < self.slot_count()
        {
            // Its slot may be the one whose payload the caller is about to
            // read: the next step puts it in its place.
            if chunks == 1 && self.slot_of(early.number) == self.before_cursor() {
                return;
            }
            self.settle_early(early);
        }
    }

    fn settle_early(&mut self, early: Slot) {
        let place = self.slot_of(early.number);
        self.state.early = None;
        self.slots[place] = early;
        let (start, len) = (place * usize::from(self.state.chunk_bytes), usize::from(early.len));
        self.payload[start..start + len].copy_from_slice(&self.spare[..len]);
        self.note_stored(early.number);
    }

    fn before_cursor(&self) -> usize {
        let slot = self.state.cursor_slot as usize;
        slot.checked_sub(1).unwrap_or(self.slot_count() - 1)
    }

    fn note_stored(&mut self, number: ChunkNumber) {
        self.state.filled += 1;
        if self.state.highest.is_before(number) {
            self.state.highest = number;
        }
        let span = self.state.cursor.distance_to(self.state.highest);
        if self.state.phase == Phase::Filling && span >= self.state.chunks as i32 {
            self.state.phase = Phase::Playing;
        }
    }

    /// Whether this very chunk is in the slot.
    fn holds(&self, slot: usize, number: ChunkNumber) -> bool {
        self.slots[slot].len != 0 && self.slots[slot].number == number
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
        if let Some(early) = self.state.early.filter(|early| early.number == number) {
            return Some((early.origin, &self.spare[..usize::from(early.len)]));
        }
        let ahead = self.state.cursor.distance_to(number);
        let reach = self.slot_count() as i32;
        if self.state.phase == Phase::Empty || !(-reach..reach).contains(&ahead) {
            return None;
        }
        let place = self.slot_of(number);
        self.holds(place, number).then(|| (self.slots[place].origin, self.payload(place)))
    }

    /// Forgets who `origin` was: its place in the table gets free.
    pub(crate) fn forget_origin(&mut self, origin: u16) {
        let slots = self.slots.iter_mut().chain(self.state.early.as_mut());
        for slot in slots.filter(|slot| slot.origin == origin) {
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
        spare: [u8; 4],
    }

    fn memory() -> Memory {
        Memory {
            state: BufferState::new(),
            slots: [Slot::EMPTY; 10],
            payload: [0; 40],
            spare: [0; 4],
        }
    }

    impl Memory {
        fn buffer(&mut self) -> Buffer<'_> {
            Buffer::new(&mut self.state, &mut self.slots, &mut self.payload, &mut self.spare)
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
        buffer.store(n(number), 0, &number.to_le_bytes(), Some(0))
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
                Turn::Lost { number, chunks: 1 } => Err(number.get()),
                Turn::Lost { .. } => panic!("a hole"),
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
    fn far_numbers_from_peers_change_nothing() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 0..7 {
            put(&mut buffer, number);
        }
        played(&mut buffer, &[Ok(0), Ok(1)]);
        assert_eq!(put(&mut buffer, 6 + 2 * B + 1), Stored::TooFarAhead);
        assert_eq!(put(&mut buffer, 1 << 30), Stored::TooFarAhead);
        assert_eq!(put(&mut buffer, 0u32.wrapping_sub(1 << 30)), Stored::Late);
        played(&mut buffer, &[]);
    }

    #[test]
    fn a_chunk_ahead_of_the_slots_waits_until_what_is_due_was_played() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in [0, 1, 2, 3, 4, 6] {
            put(&mut buffer, number);
        }
        played(&mut buffer, &[Ok(0), Ok(1)]);
        assert_eq!(put(&mut buffer, 14), Stored::New);
        assert_eq!(put(&mut buffer, 14), Stored::Duplicate);
        assert_eq!(put(&mut buffer, 13), Stored::TooFarAhead, "one at a time");
        assert_eq!(buffer.get(n(14)), Some((0, &14u32.to_le_bytes()[..])));
        played(&mut buffer, &[Ok(2), Ok(3), Ok(4), Err(5), Ok(6), Err(7), Err(8), Err(9)]);
        assert_eq!(put(&mut buffer, 14), Stored::Duplicate);
        assert_eq!(buffer.filled(), 1);
        put(&mut buffer, 15);
        played(&mut buffer, &[Err(10)]);
        buffer.drain();
        played(&mut buffer, &[Err(11), Err(12), Err(13), Ok(14), Ok(15)]);
    }

    #[test]
    fn the_splitter_may_be_any_distance_ahead() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 0..7 {
            put(&mut buffer, number);
        }
        played(&mut buffer, &[Ok(0), Ok(1)]);
        let far = n(1_000_000);
        assert_eq!(buffer.store(far, 0, &far.get().to_le_bytes(), None), Stored::New);
        for number in 2..7 {
            assert!(
                matches!(buffer.play(), Turn::Chunk { number: there, .. } if there == n(number))
            );
        }
        assert_eq!(buffer.play(), Turn::Lost { number: n(7), chunks: 1_000_000 - 5 - 7 });
        assert_eq!(buffer.cursor(), Some(n(1_000_000 - 5)));
        played(&mut buffer, &[Err(1_000_000 - 5)]);
        assert_eq!(put(&mut buffer, 999_999), Stored::New);
        buffer.drain();
        played(
            &mut buffer,
            &[Err(999_996), Err(999_997), Err(999_998), Ok(999_999), Ok(1_000_000)],
        );
    }

    /// Numbers that come round after holes find no old chunk in their slots.
    #[test]
    fn a_hole_leaves_nothing_stale_behind() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 0..10 {
            put(&mut buffer, number);
        }
        for number in [1 << 30, 2 << 30, 3 << 30, 5u32] {
            assert_eq!(buffer.store(n(number), 0, &number.to_le_bytes(), None), Stored::New);
            while buffer.play() != Turn::NotYet {}
        }
        assert_eq!(buffer.cursor(), Some(n(1)));
        assert_eq!(buffer.filled(), 1);
        for number in 1..5 {
            assert_eq!(buffer.get(n(number)), None);
        }
        buffer.drain();
        played(&mut buffer, &[Err(1), Err(2), Err(3), Err(4), Ok(5)]);
        assert_eq!(buffer.filled(), 0);
    }

    /// Between two steps of play, too, the chunk aside is there only once.
    #[test]
    fn a_chunk_aside_is_a_duplicate_until_it_is_in_its_slot() {
        let mut memory = Memory::filling();
        let mut buffer = memory.buffer();
        for number in 0..6 {
            put(&mut buffer, number);
        }
        played(&mut buffer, &[Ok(0)]);
        assert_eq!(put(&mut buffer, 12), Stored::New);
        for number in [1, 2, 3] {
            assert_eq!(put(&mut buffer, 12), Stored::Duplicate);
            assert!(
                matches!(buffer.play(), Turn::Chunk { number: there, .. } if there == n(number))
            );
        }
        assert_eq!(put(&mut buffer, 12), Stored::Duplicate);
        played(&mut buffer, &[Ok(4), Ok(5), Err(6), Err(7)]);
        assert_eq!(buffer.filled(), 1);
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
            buffer.store(n(number), 7, &number.to_le_bytes(), Some(0));
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

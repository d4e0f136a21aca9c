//! What must hold, checked from outside: a second book of what a peer stores,
//! plays and sends, kept without looking into its tables.
//!
//! - no chunk is stored twice, nor after its turn (5.1);
//! - the play cursor moves one by one and never back (6.2); only before it
//!   plays anything a peer may skip what it got while it joined;
//! - what is played are the bytes of the source, less what is lost (6.3), and
//!   nothing is lost that was stored;
//! - a received chunk serves at most one neighbour (5.5);
//! - no chunk is sent to its origin, nor to oneself (5.4);
//! - only chunks from the splitter go to the group of a LAN (9.2);
//! - `pending` names members of the team only (4).

use p2psp_core::ChunkNumber;

use super::CHUNK_BYTES;

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A chunk was stored twice.
    StoredTwice(ChunkNumber),
    /// A chunk was stored whose turn to be played was over.
    StoredLate(ChunkNumber),
    /// A chunk was played or given up out of turn.
    OutOfTurn(ChunkNumber),
    /// A chunk was played that was never stored.
    PlayedUnstored(ChunkNumber),
    /// A chunk was given up that was stored.
    LostThoughStored(ChunkNumber),
    /// A chunk was played with other bytes than the source's.
    OtherBytes(ChunkNumber),
    /// A received chunk served several neighbours.
    ServedSeveral,
    /// A chunk was sent to its origin.
    SentToOrigin(ChunkNumber),
    /// A chunk was sent to its sender.
    SentToOneself(ChunkNumber),
    /// A chunk that came from a peer was sent to the group of a LAN.
    MulticastOfOther(ChunkNumber),
    /// Something is pending for one who is no member.
    PendingForStranger,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::StoredTwice(chunk) => write!(f, "stored chunk {chunk} twice (5.1)"),
            Broken::StoredLate(chunk) => write!(f, "stored chunk {chunk} after its turn (5.1)"),
            Broken::OutOfTurn(chunk) => write!(f, "came to chunk {chunk} out of turn (6.2)"),
            Broken::PlayedUnstored(chunk) => write!(f, "played chunk {chunk}, not stored (6.3)"),
            Broken::LostThoughStored(chunk) => write!(f, "gave up chunk {chunk}, stored (6.3)"),
            Broken::OtherBytes(chunk) => write!(f, "played other bytes as chunk {chunk} (6.3)"),
            Broken::ServedSeveral => write!(f, "served several neighbours for one chunk (5.5)"),
            Broken::SentToOrigin(chunk) => write!(f, "sent chunk {chunk} to its origin (5.4)"),
            Broken::SentToOneself(chunk) => write!(f, "sent chunk {chunk} to itself (5.4)"),
            Broken::MulticastOfOther(chunk) => write!(f, "multicast chunk {chunk} of a peer (9.2)"),
            Broken::PendingForStranger => write!(f, "has chunks pending for no member (4)"),
        }
    }
}

/// The payload of a chunk of the lab's source.
pub(super) fn payload(number: ChunkNumber) -> [u8; CHUNK_BYTES] {
    let mut bytes = [0x5A; CHUNK_BYTES];
    bytes[..4].copy_from_slice(&number.get().to_le_bytes());
    bytes
}

/// The book of one membership.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// The next chunk to be played, once anything came.
    next: Option<ChunkNumber>,
    /// Whether it has come to the turn of any chunk.
    begun: bool,
    /// One bit for each chunk stored and not yet played, at its number modulo
    /// the number of bits.
    stored: Box<[u64]>,
    /// A stored chunk too far ahead for the bits.
    far: Option<ChunkNumber>,
}

impl Ledger {
    /// For a peer whose chunks are at most about `span` apart.
    pub(super) fn new(span: usize) -> Ledger {
        let bits = span.next_power_of_two().max(64);
        Ledger { next: None, begun: false, stored: vec![0; bits / 64].into(), far: None }
    }

    /// Chunks stored and not yet played.
    pub(super) fn waiting(&self) -> u32 {
        let bits: u32 = self.stored.iter().map(|word| word.count_ones()).sum();
        bits + u32::from(self.far.is_some())
    }

    /// How many chunk times its play-out is behind the newest chunk stored.
    pub(super) fn span(&self) -> u32 {
        let Some(next) = self.next else { return 0 };
        let bits = self.stored.len() as u32 * 64;
        let is_stored = |offset: &u32| {
            let (word, bit) = self.place(next.plus(*offset));
            self.stored[word] & bit != 0
        };
        let newest = match self.far {
            Some(far) => u32::try_from(next.distance_to(far)).ok(),
            None => (0..bits).rev().find(is_stored),
        };
        newest.map_or(0, |newest| newest + 1)
    }

    /// How much memory its bits take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.stored)
    }

    pub(super) fn store(&mut self, number: ChunkNumber) -> Result<(), Broken> {
        let next = *self.next.get_or_insert(number);
        let ahead = next.distance_to(number);
        if ahead < 0 {
            return Err(Broken::StoredLate(number));
        }
        let twice = if ahead as usize >= self.stored.len() * 64 {
            self.far.replace(number) == Some(number)
        } else {
            let (word, bit) = self.place(number);
            let twice = self.stored[word] & bit != 0;
            self.stored[word] |= bit;
            twice || self.far == Some(number)
        };
        if twice { Err(Broken::StoredTwice(number)) } else { Ok(()) }
    }

    pub(super) fn play(&mut self, number: ChunkNumber, bytes: &[u8]) -> Result<(), Broken> {
        let stored = self.turn(number)?;
        if !stored {
            return Err(Broken::PlayedUnstored(number));
        }
        if bytes == payload(number) { Ok(()) } else { Err(Broken::OtherBytes(number)) }
    }

    pub(super) fn lose(&mut self, number: ChunkNumber, chunks: u32) -> Result<(), Broken> {
        for offset in 0..chunks {
            let number = number.plus(offset);
            if self.turn(number)? {
                return Err(Broken::LostThoughStored(number));
            }
        }
        Ok(())
    }

    /// It is this chunk's turn; whether it was stored.
    fn turn(&mut self, number: ChunkNumber) -> Result<bool, Broken> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin_at(number);
        }
        if self.next != Some(number) {
            return Err(Broken::OutOfTurn(number));
        }
        self.next = Some(number.next());
        let (word, bit) = self.place(number);
        let stored = self.stored[word] & bit != 0;
        self.stored[word] &= !bit;
        let far = self.far.take_if(|far| *far == number).is_some();
        Ok(stored || far)
    }

    /// Forgets what is skipped before the first chunk that is played.
    fn begin_at(&mut self, number: ChunkNumber) {
        let bits = self.stored.len() * 64;
        while let Some(next) = self.next.filter(|next| next.is_before(number)) {
            if next.distance_to(number) as usize <= bits {
                let (word, bit) = self.place(next);
                self.stored[word] &= !bit;
            }
            self.next = Some(next.next());
        }
    }

    fn place(&self, number: ChunkNumber) -> (usize, u64) {
        let bit = number.get() as usize & (self.stored.len() * 64 - 1);
        (bit / 64, 1 << (bit % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(number: u32) -> ChunkNumber {
        ChunkNumber::new(number)
    }

    #[test]
    fn a_good_book_has_no_complaints() {
        let mut ledger = Ledger::new(64);
        assert_eq!((ledger.waiting(), ledger.span()), (0, 0));
        for number in [7, 9, 8, 500] {
            assert_eq!(ledger.store(n(number)), Ok(()));
        }
        for number in 7..10 {
            assert_eq!(ledger.play(n(number), &payload(n(number))), Ok(()));
        }
        assert_eq!((ledger.waiting(), ledger.span()), (1, 491));
        assert_eq!(ledger.lose(n(10), 490), Ok(()));
        assert_eq!(ledger.play(n(500), &payload(n(500))), Ok(()));
        assert_eq!(ledger.store(n(501)), Ok(()));
    }

    #[test]
    fn what_came_before_the_beginning_may_be_skipped() {
        let mut ledger = Ledger::new(64);
        for number in [3, 5, 9] {
            assert_eq!(ledger.store(n(number)), Ok(()));
        }
        assert_eq!((ledger.waiting(), ledger.span()), (3, 7));
        assert_eq!(ledger.play(n(9), &payload(n(9))), Ok(()));
        assert_eq!(ledger.store(n(8)), Err(Broken::StoredLate(n(8))));
        assert_eq!(ledger.store(n(64 + 3)), Ok(()), "the bit of 3 is free again");
        assert_eq!(ledger.play(n(11), &[]), Err(Broken::OutOfTurn(n(11))), "once only");
    }

    #[test]
    fn each_breach_is_seen() {
        let mut ledger = Ledger::new(64);
        ledger.store(n(7)).unwrap();
        assert_eq!(ledger.store(n(7)), Err(Broken::StoredTwice(n(7))));
        assert_eq!(ledger.store(n(6)), Err(Broken::StoredLate(n(6))));
        assert_eq!(ledger.clone().play(n(6), &[]), Err(Broken::OutOfTurn(n(6))));
        assert_eq!(ledger.clone().play(n(7), &[0]), Err(Broken::OtherBytes(n(7))));
        assert_eq!(ledger.clone().lose(n(7), 1), Err(Broken::LostThoughStored(n(7))));
        ledger.play(n(7), &payload(n(7))).unwrap();
        assert_eq!(ledger.play(n(7), &payload(n(7))), Err(Broken::OutOfTurn(n(7))));
        assert_eq!(ledger.play(n(9), &payload(n(9))), Err(Broken::OutOfTurn(n(9))));
        assert_eq!(ledger.play(n(8), &payload(n(8))), Err(Broken::PlayedUnstored(n(8))));
        ledger.store(n(1000)).unwrap();
        assert_eq!(ledger.store(n(1000)), Err(Broken::StoredTwice(n(1000))));
    }
}

//! Chunk numbers (2.1, 6.4).

use serde::{Deserialize, Serialize};

/// The number of a chunk, in serial-number arithmetic (RFC 1982).
///
/// Numbers wrap after 2^32 chunks, so they have no total order: ask
/// [`ChunkNumber::distance_to`]. On the wire it takes four bytes, so that all
/// chunks of a burst have the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChunkNumber(#[serde(with = "postcard::fixint::le")] u32);

impl ChunkNumber {
    /// The first chunk of a stream.
    pub const ZERO: ChunkNumber = ChunkNumber(0);

    /// The chunk with this number.
    pub const fn new(number: u32) -> ChunkNumber {
        ChunkNumber(number)
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The chunk after this one.
    #[must_use]
    pub const fn next(self) -> ChunkNumber {
        ChunkNumber(self.0.wrapping_add(1))
    }

    /// The chunk `chunks` after this one.
    #[must_use]
    pub const fn plus(self, chunks: u32) -> ChunkNumber {
        ChunkNumber(self.0.wrapping_add(chunks))
    }

    /// How many chunks `other` is after `self`; negative if before. Right
    /// while the two are less than 2^31 chunks apart.
    pub const fn distance_to(self, other: ChunkNumber) -> i32 {
        other.0.wrapping_sub(self.0) as i32
    }

    /// Whether `self` comes before `other`.
    pub const fn is_before(self, other: ChunkNumber) -> bool {
        self.distance_to(other) > 0
    }
}

impl core::fmt::Display for ChunkNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap() {
        let last = ChunkNumber::new(u32::MAX);
        assert_eq!(last.next(), ChunkNumber::ZERO);
        assert!(last.is_before(ChunkNumber::ZERO));
        assert!(!ChunkNumber::ZERO.is_before(last));
        assert!(!last.is_before(last));
        assert_eq!(last.distance_to(ChunkNumber::new(9)), 10);
        assert_eq!(ChunkNumber::new(9).distance_to(last), -10);
        assert_eq!(last.plus(3), ChunkNumber::new(2));
    }
}

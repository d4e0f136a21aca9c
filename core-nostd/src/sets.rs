//! Sets of members as rows of bits: one row for each entry of `forward` (4)
//! and a few for the peer's own book-keeping.
//!
//! A row has one bit for each place of the member table. Work on a set costs
//! its members plus one step for each 32 places.

/// Rows that every peer needs; `forward[self]` is the first.
pub(crate) const FORWARD_SELF: usize = 0;
/// Neighbours that have something pending.
pub(crate) const BUSY: usize = 1;
/// Members to whom a `[hello]` is due.
pub(crate) const GREET: usize = 2;
/// Members to whom a `[goodbye]` is due.
pub(crate) const FAREWELL: usize = 3;
/// Neighbours of the same subnet that are served: by the group, or, if they are
/// in `forward[self]` too, by unicast (9).
pub(crate) const LAN: usize = 4;
/// The first row that can hold `forward[origin]` of another origin; the rows
/// before it hold `forward[self]` and book-keeping.
pub const FIRST_RELAY_SET: usize = 5;

/// Bits in a word of a set.
pub(crate) const WORD_BITS: usize = u32::BITS as usize;

/// Rows of bits over a slice of words.
#[derive(Debug)]
pub(crate) struct Sets<'s> {
    words: &'s mut [u32],
    row_words: usize,
}

impl<'s> Sets<'s> {
    /// Rows of at least `members` bits each, as many as `words` can hold.
    pub(crate) fn new(words: &'s mut [u32], members: usize) -> Sets<'s> {
        Sets { words, row_words: members.div_ceil(WORD_BITS).max(1) }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.words.len() / self.row_words
    }

    /// Adds `member`; tells whether it was new.
    pub(crate) fn insert(&mut self, row: usize, member: usize) -> bool {
        let (word, bit) = self.place(row, member);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Takes `member` out; tells whether it was in.
    pub(crate) fn remove(&mut self, row: usize, member: usize) -> bool {
        let (word, bit) = self.place(row, member);
        let was_in = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        was_in
    }

    /// Whether `member` is in.
    pub(crate) fn contains(&self, row: usize, member: usize) -> bool {
        let (word, bit) = self.place(row, member);
        self.words[word] & bit != 0
    }

    /// Takes everything out of every row.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Takes everything out of one row.
    pub(crate) fn clear_row(&mut self, row: usize) {
        self.row_mut(row).fill(0);
    }

    /// Takes `member` out of every row.
    pub(crate) fn remove_everywhere(&mut self, member: usize) {
        for row in 0..self.rows() {
            self.remove(row, member);
        }
    }

    /// One word of a row, to walk a set while the rest of the peer changes.
    pub(crate) fn word(&self, row: usize, index: usize) -> u32 {
        self.row(row)[index]
    }

    /// Words of a row.
    pub(crate) fn row_words(&self) -> usize {
        self.row_words
    }

    /// The members of a row, in table order.
    pub(crate) fn iter(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        self.row(row)
            .iter()
            .enumerate()
            .flat_map(|(index, word)| Bits(*word).map(move |bit| index * WORD_BITS + bit))
    }

    /// The first member of a row.
    pub(crate) fn first(&self, row: usize) -> Option<usize> {
        self.iter(row).next()
    }

    /// The first member of a row after `last` in circular table order (5.6).
    pub(crate) fn next_after(&self, row: usize, last: usize) -> Option<usize> {
        let start = (last + 1) % (self.row_words * WORD_BITS);
        let (start_word, start_bit) = (start / WORD_BITS, start % WORD_BITS);
        let tail = self.word(row, start_word) & (u32::MAX << start_bit);
        if tail != 0 {
            return Some(start_word * WORD_BITS + tail.trailing_zeros() as usize);
        }
        let later = start_word + 1..self.row_words;
        later.chain(0..start_word + 1).find_map(|index| {
            let word = self.word(row, index);
            (word != 0).then(|| index * WORD_BITS + word.trailing_zeros() as usize)
        })
    }

    fn row(&self, row: usize) -> &[u32] {
        &self.words[row * self.row_words..][..self.row_words]
    }

    fn row_mut(&mut self, row: usize) -> &mut [u32] {
        &mut self.words[row * self.row_words..][..self.row_words]
    }

    fn place(&self, row: usize, member: usize) -> (usize, u32) {
        debug_assert!(member < self.row_words * WORD_BITS, "no such place in the table");
        (row * self.row_words + member / WORD_BITS, 1 << (member % WORD_BITS))
    }
}

/// The set bits of a word, lowest first.
pub(crate) struct Bits(pub(crate) u32);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_after_goes_round() {
        let mut words = [0; 6];
        let mut sets = Sets::new(&mut words, 70);
        assert_eq!(sets.rows(), 2);
        assert_eq!(sets.next_after(0, 5), None);
        for member in [3, 40, 69] {
            assert!(sets.insert(0, member));
            assert!(!sets.insert(0, member));
        }
        let after = |last| sets.next_after(0, last);
        assert_eq!(after(0), Some(3));
        assert_eq!(after(3), Some(40));
        assert_eq!(after(40), Some(69));
        assert_eq!(after(69), Some(3));
        assert_eq!(after(95), Some(3), "the last bit of the row");
        sets.insert(1, 40);
        assert_eq!(sets.next_after(1, 40), Some(40), "back to itself");
        assert_eq!(sets.iter(0).count(), 3);
        sets.remove_everywhere(40);
        assert_eq!(sets.next_after(1, 40), None);
        assert_eq!(sets.first(0), Some(3));
    }
}

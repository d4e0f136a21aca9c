//! The title of what is being played, and the chunk with which it begins
//! (2.6).

use heapless::String;

use crate::ChunkNumber;
use crate::wire::MAX_TEXT_BYTES;

/// What is being played from a chunk on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// The first chunk with anything of it.
    from: ChunkNumber,
    text: String<MAX_TEXT_BYTES>,
}

/// The text is longer than [`MAX_TEXT_BYTES`], or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTitle;

impl Title {
    /// The title `text` from chunk `from` on.
    ///
    /// # Errors
    ///
    /// [`BadTitle`]: it is too long, or could do harm on a terminal.
    pub fn new(from: ChunkNumber, text: &str) -> Result<Title, BadTitle> {
        if !is_legal(text) {
            return Err(BadTitle);
        }
        Ok(Title { from, text: text.try_into().map_err(|_| BadTitle)? })
    }

    /// The first chunk with anything of it.
    pub fn from(&self) -> ChunkNumber {
        self.from
    }

    /// The text; may be empty: nothing is known of what comes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a title from chunk `from` on comes after this one, or is this
    /// one renamed.
    pub(crate) fn gives_way_to(&self, from: ChunkNumber, text: &str) -> bool {
        self.from.is_before(from) || (self.from == from && self.text != text)
    }
}

/// Whether `text` may be a title.
pub(crate) fn is_legal(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_short_and_printable() {
        let from = ChunkNumber::new(7);
        let long = [b'x'; MAX_TEXT_BYTES + 1];
        let long = core::str::from_utf8(&long).unwrap();
        assert!(Title::new(from, &long[1..]).is_ok());
        for bad in [long, "a\nb", "\u{1b}[2J", "\u{7f}", "\0", "\u{9b}2J"] {
            assert_eq!(Title::new(from, bad), Err(BadTitle), "{bad:?}");
        }
        let title = Title::new(from, "Ä – b").unwrap();
        assert_eq!((title.from(), title.text()), (from, "Ä – b"));
    }

    #[test]
    fn the_newer_title_holds() {
        let title = Title::new(ChunkNumber::ZERO, "a").unwrap();
        assert!(title.gives_way_to(ChunkNumber::new(1), "b"));
        assert!(title.gives_way_to(ChunkNumber::ZERO, "b"));
        assert!(!title.gives_way_to(ChunkNumber::ZERO, "a"));
        assert!(!title.gives_way_to(ChunkNumber::new(u32::MAX), "b"));
    }
}

//! Takes out what an Icecast server puts between the bytes of a stream when
//! it is asked for titles: after every so many bytes a length and a block.

use bytes::{Buf, Bytes};

use super::title;

/// The unit in which a block tells its length.
const BLOCK_UNIT: usize = 16;

/// Stands between the bytes that come and those of the stream.
#[derive(Debug)]
pub(super) struct Icy {
    interval: usize,
    state: State,
    /// Came and not yet looked at.
    held: Bytes,
    block: Vec<u8>,
    title: Option<String>,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the stream come first.
    Stream(usize),
    Length,
    /// So many bytes of the block come first.
    Block(usize),
}

impl Icy {
    /// `interval`: bytes of the stream between two blocks, as the server says.
    pub(super) fn new(interval: usize) -> Icy {
        let state = State::Stream(interval);
        Icy { interval, state, held: Bytes::new(), block: Vec::new(), title: None }
    }

    /// The next bytes as they come. All before them were taken.
    pub(super) fn push(&mut self, bytes: Bytes) {
        debug_assert!(self.held.is_empty());
        self.held = bytes;
    }

    /// The next bytes of the stream, if any came.
    pub(super) fn pull(&mut self) -> Option<Bytes> {
        while !self.held.is_empty() {
            match self.state {
                State::Stream(0) => self.state = State::Length,
                State::Stream(left) => {
                    let bytes = self.held.split_to(left.min(self.held.len()));
                    self.state = State::Stream(left - bytes.len());
                    return Some(bytes);
                }
                State::Length => {
                    let length = BLOCK_UNIT * usize::from(self.held.get_u8());
                    self.state = match length {
                        0 => State::Stream(self.interval),
                        length => State::Block(length),
                    };
                }
                State::Block(left) => {
                    let bytes = self.held.split_to(left.min(self.held.len()));
                    self.block.extend_from_slice(&bytes);
                    self.state = State::Block(left - bytes.len());
                    if left == bytes.len() {
                        self.title = title::of_icy(&self.block).or(self.title.take());
                        self.block.clear();
                        self.state = State::Stream(self.interval);
                    }
                }
            }
        }
        None
    }

    /// A title, told once: that of the bytes pulled last and those after them.
    pub(super) fn title(&mut self) -> Option<String> {
        self.title.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_out_and_titles_found_whatever_the_cuts() {
        let mut block = b"StreamTitle='One';".to_vec();
        block.resize(32, 0);
        let wire = [&b"abcd\x02"[..], &block, b"efgh\0ijkl\x01StreamTitle='';\0mn"].concat();
        for cut in 1..wire.len() {
            let mut icy = Icy::new(4);
            let mut stream = Vec::new();
            let mut titles = Vec::new();
            for piece in wire.chunks(cut) {
                icy.push(Bytes::copy_from_slice(piece));
                while let Some(bytes) = icy.pull() {
                    titles.extend(icy.title().map(|title| (stream.len(), title)));
                    stream.extend(bytes);
                }
            }
            assert_eq!(stream, b"abcdefghijklmn", "{cut}");
            assert_eq!(titles, [(4, "One".to_owned()), (12, String::new())], "{cut}");
        }
    }

    #[test]
    fn a_block_as_long_as_can_be_is_cut() {
        let mut block = b"StreamTitle='".to_vec();
        block.resize(255 * BLOCK_UNIT, b'x');
        let mut icy = Icy::new(1);
        icy.push([&b"a\xff"[..], &block, b"b"].concat().into());
        assert_eq!(icy.pull().as_deref(), Some(&b"a"[..]));
        assert_eq!(icy.pull().as_deref(), Some(&b"b"[..]));
        assert_eq!(icy.title(), Some("x".repeat(255)));
    }
}

//! Titles between the bytes, for players that ask for them: after every
//! [`INTERVAL_BYTES`] of the answer's body a length and a block, empty unless
//! the title has changed.

use bytes::BufMut;

/// Bytes of the body between two blocks: half a second of an ordinary radio,
/// so that the title changes when the sound does.
pub(super) const INTERVAL_BYTES: usize = 8192;

/// The unit in which a block tells its length; 255 of them at most.
const BLOCK_UNIT: usize = 16;

/// Puts titles between the bytes for one player.
#[derive(Debug)]
pub(super) struct Interleaver {
    /// Bytes until the next block.
    left: usize,
    told: String,
}

impl Interleaver {
    /// Before the first byte of the body.
    pub(super) fn new() -> Interleaver {
        Interleaver { left: INTERVAL_BYTES, told: String::new() }
    }

    /// Writes `bytes` to `out`, with blocks between. `title` tells what holds
    /// for the byte so many bytes before the end of `bytes`.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        mut title: impl FnMut(usize) -> String,
        out: &mut Vec<u8>,
    ) {
        let mut rest = bytes;
        while self.left <= rest.len() {
            let (before, after) = rest.split_at(self.left);
            out.put_slice(before);
            let title = title(after.len());
            if title == self.told {
                out.put_u8(0);
            } else {
                put_block(&title, out);
                self.told = title;
            }
            (rest, self.left) = (after, INTERVAL_BYTES);
        }
        out.put_slice(rest);
        self.left -= rest.len();
    }
}

fn put_block(title: &str, out: &mut Vec<u8>) {
    // Where a title holds what ends it, it would end there.
    let title = title.replace("';", "' ;");
    let text = format!("StreamTitle='{title}';");
    let units = text.len().div_ceil(BLOCK_UNIT);
    debug_assert!(units <= 255, "titles have at most 255 bytes");
    out.put_u8(units as u8);
    out.put_slice(text.as_bytes());
    out.put_bytes(0, units * BLOCK_UNIT - text.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_at_the_interval_and_only_when_the_title_changes() {
        let stream: Vec<u8> = (0..5 * INTERVAL_BYTES + 9).map(|n| n as u8).collect();
        // The title changes within the third part.
        let change = 2 * INTERVAL_BYTES + 100;
        for cut in [1, 1000, INTERVAL_BYTES, stream.len()] {
            let mut icy = Interleaver::new();
            let mut out = Vec::new();
            let mut done = 0;
            for piece in stream.chunks(cut) {
                done += piece.len();
                let title = |back: usize| {
                    let text = if done - back < change { "A" } else { "It's; me';" };
                    text.to_owned()
                };
                icy.write(piece, title, &mut out);
            }
            let mut rest = &out[..];
            let mut blocks = Vec::new();
            let mut body = Vec::new();
            while rest.len() > INTERVAL_BYTES {
                body.extend_from_slice(&rest[..INTERVAL_BYTES]);
                let length = BLOCK_UNIT * usize::from(rest[INTERVAL_BYTES]);
                let after = &rest[INTERVAL_BYTES + 1..];
                let text = String::from_utf8(after[..length].to_vec()).unwrap();
                blocks.push(text.trim_end_matches('\0').to_owned());
                rest = &after[length..];
            }
            body.extend_from_slice(rest);
            assert!(body == stream, "{cut}");
            let expected = ["StreamTitle='A';", "", "StreamTitle='It's; me' ;';", "", ""];
            assert_eq!(blocks, expected, "{cut}");
        }
    }

    #[test]
    fn the_longest_title_fits() {
        let mut out = Vec::new();
        put_block(&"';".repeat(127), &mut out);
        assert_eq!(out.len(), 1 + BLOCK_UNIT * usize::from(out[0]));
    }
}

//! How samples lie in a stream: from the header of WAV, or from a content
//! type.

use crate::stream::{Content, Stream};

/// A stream of samples or of their differences, in blocks of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Layout {
    /// How a block is coded.
    pub coding: Coding,
    /// Sample frames a second.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Length of a block, in bytes.
    pub block_bytes: u16,
}

/// A coding of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Coding {
    /// One sample frame, 16 bits a sample, least significant byte first.
    Pcm16Le,
    /// The same, most significant byte first.
    Pcm16Be,
    /// IMA-ADPCM as in WAV: 4 bits a sample.
    ImaAdpcm,
}

/// Format tags of WAV.
const TAG_PCM: u16 = 1;
const TAG_IMA_ADPCM: u16 = 0x11;
const TAG_EXTENSIBLE: u16 = 0xfffe;

/// Rates that make sense.
const RATES: core::ops::RangeInclusive<u32> = 4_000..=192_000;

/// A WAV header, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavHeader {
    /// What is in it.
    pub layout: Layout,
    /// Its length, to the first byte of data, if that is known.
    pub bytes: Option<usize>,
}

impl Layout {
    /// The layout of a stream; `None` if it is no such stream or none that is
    /// decoded here.
    pub fn of(stream: &Stream) -> Option<Layout> {
        match stream.content {
            Content::Wav => parse_wav(stream.header()).map(|header| header.layout),
            Content::L16 { rate, channels } => Some(Layout {
                coding: Coding::Pcm16Be,
                rate,
                channels,
                block_bytes: 2 * u16::from(channels),
            })
            .filter(Layout::is_sound),
            Content::Mp3 | Content::Other => None,
        }
    }

    /// Sample frames in a block.
    pub fn frames_per_block(&self) -> u32 {
        let channels = u32::from(self.channels);
        match self.coding {
            Coding::Pcm16Le | Coding::Pcm16Be => 1,
            Coding::ImaAdpcm => (u32::from(self.block_bytes) - 4 * channels) * 2 / channels + 1,
        }
    }

    fn is_sound(&self) -> bool {
        let channels = u16::from(self.channels);
        let block = match self.coding {
            Coding::Pcm16Le | Coding::Pcm16Be => self.block_bytes == 2 * channels,
            Coding::ImaAdpcm => {
                self.block_bytes > 4 * channels && self.block_bytes.is_multiple_of(4 * channels)
            }
        };
        (1..=2).contains(&channels) && RATES.contains(&self.rate) && block
    }
}

/// Reads a WAV header from the beginning of it; `None` if `bytes` is none, too
/// short for the format to be in it, or of a format that is not played here.
pub fn parse_wav(bytes: &[u8]) -> Option<WavHeader> {
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut layout = None;
    let mut at = 12_usize;
    while let Some(&[a, b, c, d, e, f, g, h]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let len = usize::try_from(u32::from_le_bytes([e, f, g, h])).ok()?;
        at += 8;
        match &[a, b, c, d] {
            b"data" => {
                return layout.map(|layout| WavHeader { layout, bytes: Some(at) });
            }
            b"fmt " => layout = Some(parse_format(bytes.get(at..)?, len)?),
            _ => {}
        }
        let Some(next) = len.checked_add(len % 2).and_then(|len| at.checked_add(len)) else {
            break;
        };
        at = next;
    }
    layout.map(|layout| WavHeader { layout, bytes: None })
}

fn parse_format(bytes: &[u8], len: usize) -> Option<Layout> {
    let u16_at = |at: usize| {
        bytes
            .get(at..at + 2)
            .filter(|_| at + 2 <= len)
            .map(|two| u16::from_le_bytes([two[0], two[1]]))
    };
    let tag = match u16_at(0)? {
        TAG_EXTENSIBLE => u16_at(24)?,
        tag => tag,
    };
    let (channels, block_bytes, bits) = (u16_at(2)?, u16_at(12)?, u16_at(14)?);
    let rate = u32::from(u16_at(4)?) | u32::from(u16_at(6)?) << 16;
    let coding = match (tag, bits) {
        (TAG_PCM, 16) => Coding::Pcm16Le,
        (TAG_IMA_ADPCM, 4) => Coding::ImaAdpcm,
        _ => return None,
    };
    let layout = Layout { coding, rate, channels: u8::try_from(channels).ok()?, block_bytes };
    layout.is_sound().then_some(layout)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing;

    /// The header of a WAV file of endless length.
    pub(crate) fn header(tag: u16, channels: u16, rate: u32, block: u16, bits: u16) -> Vec<u8> {
        let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
        header.extend(tag.to_le_bytes());
        header.extend(channels.to_le_bytes());
        header.extend(rate.to_le_bytes());
        header.extend((rate * u32::from(block)).to_le_bytes());
        header.extend(block.to_le_bytes());
        header.extend(bits.to_le_bytes());
        header.extend(b"data\xff\xff\xff\xff");
        header
    }

    #[test]
    fn headers_are_read() {
        let pcm = Layout { coding: Coding::Pcm16Le, rate: 48_000, channels: 2, block_bytes: 4 };
        let whole = header(1, 2, 48_000, 4, 16);
        assert_eq!(parse_wav(&whole), Some(WavHeader { layout: pcm, bytes: Some(44) }));
        assert_eq!(parse_wav(&whole[..40]), Some(WavHeader { layout: pcm, bytes: None }));
        assert_eq!(parse_wav(&whole[..30]), None);
        let adpcm = parse_wav(&header(0x11, 2, 44_100, 2048, 4)).expect("is played").layout;
        assert_eq!((adpcm.coding, adpcm.frames_per_block()), (Coding::ImaAdpcm, 2041));
        let mono = parse_wav(&header(0x11, 1, 22_050, 512, 4)).expect("is played").layout;
        assert_eq!(mono.frames_per_block(), 1017);
    }

    #[test]
    fn what_is_not_played_is_told() {
        for (tag, channels, rate, block, bits) in [
            (1, 6, 48_000, 12, 16),
            (1, 0, 48_000, 4, 16),
            (1, 2, 48_000, 6, 24),
            (1, 2, 48_000, 8, 16),
            (1, 2, 0, 4, 16),
            (3, 2, 48_000, 8, 32),
            (0x11, 2, 48_000, 8, 4),
            (0x11, 2, 48_000, 2044, 4),
            (0x55, 2, 48_000, 1, 0),
        ] {
            let header = header(tag, channels, rate, block, bits);
            assert_eq!(parse_wav(&header), None, "{tag} {channels} {rate} {block} {bits}");
        }
        assert_eq!(parse_wav(b"RIFF\0\0\0\0AVI LIST"), None);
        assert_eq!(parse_wav(b""), None);
    }

    #[test]
    fn other_parts_of_a_header_are_passed_over() {
        let plain = header(1, 1, 8_000, 2, 16);
        let mut odd = plain[..12].to_vec();
        odd.extend(b"LIST\x03\0\0\0abc\0");
        odd.extend(&plain[12..36]);
        odd.extend(b"fact\x04\0\0\0\0\0\0\0");
        odd.extend(&plain[36..]);
        assert_eq!(parse_wav(&odd).and_then(|header| header.bytes), Some(44 + 12 + 12));
        // A length that leads nowhere.
        odd[16..20].copy_from_slice(&[0xff; 4]);
        assert_eq!(parse_wav(&odd), None);
    }

    #[test]
    fn random_headers_do_no_harm() {
        let mut random = testing::random(1);
        for _ in 0..20_000 {
            let mut bytes = header(1, 2, 48_000, 4, 16);
            for _ in 0..3 {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            if let Some(WavHeader { layout, .. }) = parse_wav(&bytes) {
                assert!(layout.is_sound() && layout.frames_per_block() > 0, "{layout:?}");
            }
        }
    }
}

//! ADTS frame headers (ISO 13818-7, 14496-3): AAC that needs no other header.

use super::frames::Frame;

/// Length of a frame header without its optional CRC.
pub(super) const HEADER_BYTES: usize = 7;

/// Samples a second by index.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The frame whose header `bytes` begins with.
pub(super) fn parse(bytes: &[u8]) -> Option<Frame> {
    let header: [u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
    if header[0] != 0xff || header[1] & 0xf6 != 0xf0 {
        return None;
    }
    let rate = *RATES.get(usize::from((header[2] >> 2) & 0xf))?;
    let length = usize::from(header[3] & 3) << 11
        | usize::from(header[4]) << 3
        | usize::from(header[5] >> 5);
    let crc_bytes = if header[1] & 1 == 0 { 2 } else { 0 };
    if length <= HEADER_BYTES + crc_bytes {
        return None;
    }
    Some(Frame {
        length,
        samples: 1024 * (u32::from(header[6] & 3) + 1),
        rate,
        // Version, profile, rate and channels.
        kind: u32::from(header[1] & 0x08) << 16
            | u32::from(header[2] & 0xfd) << 8
            | u32::from(header[3] & 0xc0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_length_and_duration() {
        // AAC-LC, 44.1 kHz, stereo, 371 bytes
        let header = [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc];
        let frame = parse(&header).expect("a frame");
        assert_eq!((frame.length, frame.samples, frame.rate), (371, 1024, 44_100));
        let mut two_blocks = header;
        two_blocks[6] |= 1;
        assert_eq!(parse(&two_blocks).map(|f| f.samples), Some(2048));
        let mut layer = header;
        layer[1] |= 2;
        assert_eq!(parse(&layer), None);
        let mut rate = header;
        rate[2] = 0x74;
        assert_eq!(parse(&rate), None);
        let mut short = header;
        (short[4], short[5]) = (0, 0xff);
        assert_eq!(parse(&short), None);
    }
}

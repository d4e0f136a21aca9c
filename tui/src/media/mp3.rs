//! MPEG-1, 2 and 2.5 audio frame headers (ISO 11172-3, 13818-3). Free-format
//! frames do not tell their length and are not recognised.

use super::frames::Frame;

/// Length of a frame header.
pub(super) const HEADER_BYTES: usize = 4;

/// Bit rates in kbit/s by table and index; 0 is free format, 15 forbidden.
const KBITS: [[u16; 15]; 5] = [
    // MPEG-1 layer I, II, III
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    // MPEG-2 and 2.5 layer I; layers II and III
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Samples a second of MPEG-1; MPEG-2 has half, 2.5 a quarter of it.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// The frame whose header `bytes` begins with.
pub(super) fn parse(bytes: &[u8]) -> Option<Frame> {
    let header: [u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
    if header[0] != 0xff || header[1] & 0xe0 != 0xe0 {
        return None;
    }
    let halvings = match (header[1] >> 3) & 3 {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return None,
    };
    let mpeg1 = halvings == 0;
    let layer = match (header[1] >> 1) & 3 {
        3 => 1,
        2 => 2,
        1 => 3,
        _ => return None,
    };
    let reserved_emphasis = header[3] & 3 == 2;
    if reserved_emphasis {
        return None;
    }
    let table = match (mpeg1, layer) {
        (true, layer) => layer - 1,
        (false, 1) => 3,
        (false, _) => 4,
    };
    let kbit = *KBITS[table].get(usize::from(header[2] >> 4))?;
    if kbit == 0 {
        return None;
    }
    let rate = RATES.get(usize::from((header[2] >> 2) & 3))? >> halvings;
    let padding = u32::from((header[2] >> 1) & 1);
    let samples = match (layer, mpeg1) {
        (1, _) => 384,
        (3, false) => 576,
        _ => 1152,
    };
    let bits = u32::from(kbit) * 1000;
    let length = if layer == 1 {
        (12 * bits / rate + padding) * 4
    } else {
        samples / 8 * bits / rate + padding
    };
    Some(Frame {
        length: length as usize,
        samples,
        rate,
        kind: u32::from(header[1] & 0x1e) << 8 | u32::from(header[2] & 0x0c),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_length_and_duration() {
        let cases = [
            // MPEG-1 layer III, 128 kbit/s, 44.1 kHz, without and with padding
            ([0xff, 0xfb, 0x90, 0x00], Some((417, 1152, 44_100))),
            ([0xff, 0xfb, 0x92, 0x00], Some((418, 1152, 44_100))),
            // MPEG-1 layer II, 384 kbit/s, 48 kHz
            ([0xff, 0xfd, 0xe4, 0x00], Some((1152, 1152, 48_000))),
            // MPEG-1 layer I, 32 kbit/s, 32 kHz
            ([0xff, 0xff, 0x18, 0x00], Some((48, 384, 32_000))),
            // MPEG-2 layer III, 64 kbit/s, 22.05 kHz
            ([0xff, 0xf3, 0x80, 0x00], Some((208, 576, 22_050))),
            // MPEG-2.5 layer III, 8 kbit/s, 8 kHz
            ([0xff, 0xe3, 0x18, 0x00], Some((72, 576, 8_000))),
            // free format, forbidden rate index, layer, version, emphasis
            ([0xff, 0xfb, 0x00, 0x00], None),
            ([0xff, 0xfb, 0xf0, 0x00], None),
            ([0xff, 0xfb, 0x9c, 0x00], None),
            ([0xff, 0xf9, 0x90, 0x00], None),
            ([0xff, 0xeb, 0x90, 0x00], None),
            ([0xff, 0xfb, 0x90, 0x02], None),
            ([0xfe, 0xfb, 0x90, 0x00], None),
        ];
        for (header, expected) in cases {
            let found = parse(&header).map(|f| (f.length, f.samples, f.rate));
            assert_eq!(found, expected, "{header:02x?}");
        }
        assert_eq!(parse(&[0xff, 0xfb, 0x90]), None);
    }
}

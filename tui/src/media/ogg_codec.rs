//! What the first packet of a logical Ogg stream says of its codec.

/// What is needed of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Codec {
    /// Granule positions a second; 0 if they do not count samples.
    pub(super) rate: u32,
    /// Samples at the beginning that are not played.
    pub(super) pre_skip: u16,
}

/// Which pages of a logical stream are its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Headers {
    /// Those of so many packets more.
    Packets(u32),
    /// All up to the first with a granule position above 0.
    UntilData,
}

/// The codec whose first packet is `packet`, and its header packets with it.
pub(super) fn identify(packet: &[u8]) -> (Codec, Headers) {
    let sound = |rate: Option<u32>| Codec { rate: rate.unwrap_or(0), pre_skip: 0 };
    if packet.starts_with(b"\x01vorbis") {
        (sound(le32(packet, 12)), Headers::Packets(3))
    } else if packet.starts_with(b"OpusHead") {
        let pre_skip = packet.get(10..12).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        let codec = Codec { rate: 48_000, pre_skip };
        (codec, Headers::Packets(2))
    } else if packet.starts_with(b"\x80theora") {
        (sound(None), Headers::Packets(3))
    } else if packet.starts_with(b"Speex   ") {
        let extra = le32(packet, 68).unwrap_or(0);
        (sound(le32(packet, 36)), Headers::Packets(extra.saturating_add(2)))
    } else if packet.starts_with(b"\x7fFLAC") {
        let further = packet.get(7..9).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let headers = match further {
            0 => Headers::UntilData,
            further => Headers::Packets(u32::from(further) + 1),
        };
        // After the mapping header (9), "fLaC" (4) and a block header (4):
        // STREAMINFO, with the rate in 20 bits at byte 10.
        let rate = packet.get(27..30).map(|b| u32::from_be_bytes([0, b[0], b[1], b[2]]) >> 4);
        (sound(rate), headers)
    } else {
        (sound(None), Headers::UntilData)
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_told_apart() {
        let mut vorbis = b"\x01vorbis\0\0\0\0\x02".to_vec();
        vorbis.extend(44_100u32.to_le_bytes());
        let mut opus = b"OpusHead\x01\x02".to_vec();
        opus.extend(312u16.to_le_bytes());
        let mut speex = b"Speex   ".to_vec();
        speex.resize(80, 0);
        speex[36..40].copy_from_slice(&16_000u32.to_le_bytes());
        speex[68] = 1;
        let mut flac = b"\x7fFLAC\x01\0\0\x02fLaC\0\0\0\x22".to_vec();
        flac.extend([0; 10]);
        flac.extend([0x0a, 0xc4, 0x42]);
        let cases: [(&[u8], u32, u16, Headers); 8] = [
            (&vorbis, 44_100, 0, Headers::Packets(3)),
            (&opus, 48_000, 312, Headers::Packets(2)),
            (b"\x80theora", 0, 0, Headers::Packets(3)),
            (&speex, 16_000, 0, Headers::Packets(3)),
            (&flac, 44_100, 0, Headers::Packets(3)),
            (b"\x7fFLAC\x01\0\0\0", 0, 0, Headers::UntilData),
            (b"fishead\0", 0, 0, Headers::UntilData),
            (b"", 0, 0, Headers::UntilData),
        ];
        for (packet, rate, pre_skip, headers) in cases {
            let codec = Codec { rate, pre_skip };
            assert_eq!(identify(packet), (codec, headers), "{packet:02x?}");
        }
    }
}

//! What a joiner learns about the stream: how to decode it.

/// Bytes of a stream header that are kept. The format of a WAV stream stands
/// at its beginning; what else is in its header is for other players.
const KEPT_HEADER_BYTES: usize = 128;

/// A stream, as the splitter has described it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// What is in it.
    pub content: Content,
    /// Length of its header, in bytes: the stream begins with it.
    pub header_bytes: u32,
    /// Length of a chunk, in bytes.
    pub chunk_bytes: u16,
    header: [u8; KEPT_HEADER_BYTES],
    kept: u8,
}

/// A kind of stream, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Content {
    /// `audio/wav`: the header says what is in it.
    Wav,
    /// `audio/L16`: 16-bit samples, most significant byte first (RFC 2586).
    L16 {
        /// Sample frames a second.
        rate: u32,
        /// 1 or 2.
        channels: u8,
    },
    /// `audio/mpeg`.
    Mp3,
    /// Nothing that is decoded here.
    Other,
}

impl Stream {
    /// A stream whose header begins with `header` and is `header_bytes` long.
    pub fn new(content: Content, header: &[u8], header_bytes: u32, chunk_bytes: u16) -> Stream {
        let mut stream =
            Stream { content, header_bytes, chunk_bytes, header: [0; KEPT_HEADER_BYTES], kept: 0 };
        stream.append_header(header);
        stream
    }

    /// Takes the next part of the header; only its beginning is kept.
    pub fn append_header(&mut self, part: &[u8]) {
        let kept = usize::from(self.kept);
        let more = part.len().min(KEPT_HEADER_BYTES - kept);
        self.header[kept..kept + more].copy_from_slice(&part[..more]);
        self.kept += more as u8;
    }

    /// The beginning of the header.
    pub fn header(&self) -> &[u8] {
        &self.header[..self.kept.into()]
    }
}

impl Content {
    /// The kind that a content type names.
    pub fn of(content_type: &str) -> Content {
        let mut parts = content_type.split(';').map(str::trim);
        let essence = parts.next().unwrap_or("");
        let is = |names: &[&str]| names.iter().any(|name| essence.eq_ignore_ascii_case(name));
        if is(&["audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"]) {
            Content::Wav
        } else if is(&["audio/mpeg", "audio/mp3", "audio/x-mpeg", "audio/mpeg3"]) {
            Content::Mp3
        } else if is(&["audio/L16"]) {
            Content::l16(parts)
        } else {
            Content::Other
        }
    }

    fn l16<'a>(parameters: impl Iterator<Item = &'a str>) -> Content {
        let (mut rate, mut channels) = (44_100, 1);
        for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
            let Ok(value) = value.trim().parse::<u32>() else { return Content::Other };
            match name.trim() {
                name if name.eq_ignore_ascii_case("rate") => rate = value,
                name if name.eq_ignore_ascii_case("channels") => channels = value,
                _ => {}
            }
        }
        match channels {
            1 | 2 if rate > 0 => Content::L16 { rate, channels: channels as u8 },
            _ => Content::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        let cases = [
            ("audio/wav", Content::Wav),
            ("Audio/X-WAV; codecs=1", Content::Wav),
            ("audio/mpeg", Content::Mp3),
            ("audio/L16", Content::L16 { rate: 44_100, channels: 1 }),
            ("audio/l16; rate=48000;channels=2", Content::L16 { rate: 48_000, channels: 2 }),
            ("audio/L16;rate=0", Content::Other),
            ("audio/L16;channels=6", Content::Other),
            ("audio/L16;rate=x", Content::Other),
            ("audio/ogg", Content::Other),
            ("", Content::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(Content::of(text), expected, "{text}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_header_is_kept() {
        let mut stream = Stream::new(Content::Wav, &[1; 100], 300, 1024);
        stream.append_header(&[2; 100]);
        stream.append_header(&[3; 100]);
        assert_eq!(stream.header(), [[1; 100].as_slice(), &[2; 28]].concat());
        assert_eq!(stream.header_bytes, 300);
    }
}

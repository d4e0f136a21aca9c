//! What the header of a stream calls itself: Vorbis comments in Ogg (Vorbis,
//! Opus, Theora, FLAC) and in native FLAC.

use super::Format;

/// Comments that are looked at.
const MAX_COMMENTS: u32 = 1024;

/// Names of the comment packet of a codec, in front of the comments.
const COMMENT_PACKETS: [&[u8]; 3] = [b"\x03vorbis", b"OpusTags", b"\x81theora"];

/// Bytes of an Ogg page before its lacing table.
const PAGE_HEADER_BYTES: usize = 27;

/// FLAC's number of the metadata block with the comments.
const FLAC_COMMENTS: u8 = 4;

/// Artist and title that a header names, as far as it does.
pub fn title_in_header(format: Format, header: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let found = match format {
        Format::Ogg => in_packets(&bodies(header)),
        Format::Flac => flac_comments(header.get(4..)?).map(fields),
        _ => None,
    };
    found.filter(|(artist, title)| artist.is_some() || title.is_some())
}

/// What tells the codec of an Ogg stream: chains of one stream have to agree
/// in it.
pub fn chain_codec(header: &[u8]) -> Vec<u8> {
    let bodies = bodies(header);
    bodies.iter().copied().take(8).take_while(|byte| *byte != 0).collect()
}

fn in_packets(bodies: &[u8]) -> Option<(Option<String>, Option<String>)> {
    if bodies.starts_with(b"\x7fFLAC") {
        // After the mapping header comes a block header and STREAMINFO.
        let blocks = bodies.get(13 + 4 + 34..)?;
        return flac_comments(blocks).map(fields);
    }
    COMMENT_PACKETS.iter().find_map(|name| {
        let at = bodies.windows(name.len()).position(|window| window == *name)?;
        Some(fields(&bodies[at + name.len()..]))
    })
}

/// The bodies of all pages of a header, one after the other.
fn bodies(pages: &[u8]) -> Vec<u8> {
    let mut bodies = Vec::new();
    let mut rest = pages;
    while rest.starts_with(b"OggS") && rest.len() > PAGE_HEADER_BYTES {
        let segments = usize::from(rest[PAGE_HEADER_BYTES - 1]);
        let begin = PAGE_HEADER_BYTES + segments;
        let Some(lacing) = rest.get(PAGE_HEADER_BYTES..begin) else { break };
        let end = begin + lacing.iter().map(|lace| usize::from(*lace)).sum::<usize>();
        let Some(body) = rest.get(begin..end) else { break };
        bodies.extend_from_slice(body);
        rest = &rest[end..];
    }
    bodies
}

/// The comments in a row of FLAC's metadata blocks.
fn flac_comments(mut blocks: &[u8]) -> Option<&[u8]> {
    loop {
        let (header, rest) = blocks.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let kind = header[0] & 0x7f;
        if kind == FLAC_COMMENTS {
            return Some(&rest[..length.min(rest.len())]);
        }
        if header[0] & 0x80 != 0 {
            return None;
        }
        blocks = rest.get(length..)?;
    }
}

/// ARTIST and TITLE of a block of comments.
fn fields(comments: &[u8]) -> (Option<String>, Option<String>) {
    let mut found = (None, None);
    let Some((_vendor, mut rest)) = counted(comments) else { return found };
    let Some((count, after)) = number(rest) else { return found };
    rest = after;
    for _ in 0..count.min(MAX_COMMENTS) {
        let Some((comment, after)) = counted(rest) else { break };
        rest = after;
        let Some(equals) = comment.iter().position(|byte| *byte == b'=') else { continue };
        let value = || Some(String::from_utf8_lossy(&comment[equals + 1..]).into_owned());
        match &comment[..equals] {
            name if name.eq_ignore_ascii_case(b"ARTIST") && found.0.is_none() => found.0 = value(),
            name if name.eq_ignore_ascii_case(b"TITLE") && found.1.is_none() => found.1 = value(),
            _ => {}
        }
    }
    found
}

/// A length and as many bytes.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(length as usize)
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comments(all: &[&str]) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, b'a', b'b', b'c'];
        bytes.extend((all.len() as u32).to_le_bytes());
        for comment in all {
            bytes.extend((comment.len() as u32).to_le_bytes());
            bytes.extend(comment.as_bytes());
        }
        bytes
    }

    fn page(body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\0".to_vec();
        page.resize(PAGE_HEADER_BYTES - 1, 0);
        let lacing: Vec<u8> = body.chunks(255).map(|part| part.len() as u8).collect();
        page.push(lacing.len() as u8);
        page.extend(lacing);
        page.extend(body);
        page
    }

    fn some(artist: &str, title: &str) -> Option<(Option<String>, Option<String>)> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some((text(artist), text(title)))
    }

    #[test]
    fn titles_are_found_in_every_codec() {
        let block = comments(&["x", "title=Töne", "ARTIST=Wir", "TITLE=second"]);
        let ogg = |name: &[u8], first: &[u8]| {
            [page(&[first, &[0; 20]].concat()), page(&[name, &block[..]].concat())].concat()
        };
        for (name, first) in [
            (&b"\x03vorbis"[..], &b"\x01vorbis"[..]),
            (b"OpusTags", b"OpusHead"),
            (b"\x81theora", b"\x80theora"),
        ] {
            let header = ogg(name, first);
            assert_eq!(title_in_header(Format::Ogg, &header), some("Wir", "Töne"), "{name:?}");
            assert!(first.starts_with(&chain_codec(&header)) && !chain_codec(&header).is_empty());
        }
        let blocks = [&[0, 0, 0, 34][..], &[7; 34], &[0x84, 0, 0, block.len() as u8], &block];
        let flac = [&b"fLaC"[..], &blocks.concat()].concat();
        assert_eq!(title_in_header(Format::Flac, &flac), some("Wir", "Töne"));
        let mapped = [&b"\x7fFLAC\x01\0\0\x01fLaC"[..], &blocks.concat()].concat();
        assert_eq!(title_in_header(Format::Ogg, &page(&mapped)), some("Wir", "Töne"));
    }

    #[test]
    fn what_is_cut_off_or_nonsense_gives_nothing() {
        let block = comments(&["TITLE=x"]);
        let whole = page(&[&b"OpusTags"[..], &block].concat());
        for cut in 0..whole.len() {
            assert_eq!(title_in_header(Format::Ogg, &whole[..cut]), None, "{cut}");
        }
        assert_eq!(title_in_header(Format::Ogg, &whole), some("", "x"));
        let endless = page(b"OpusTags\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(title_in_header(Format::Ogg, &endless), None);
        assert_eq!(title_in_header(Format::Flac, b"fLaC\x04\xff\xff\xff"), None);
        assert_eq!(title_in_header(Format::Mp3, &whole), None);
    }
}

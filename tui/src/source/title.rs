//! Titles: from tags of files, from what a server puts between the bytes, or
//! from the name of a file. Whatever they come from, what goes on is clean.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use id3::TagLike;
use p2psp_core::wire::MAX_TEXT_BYTES;

use crate::media::{Format, title_in_header};

/// As much of a file as is looked through for its tag.
const MAX_TAG_BYTES: u64 = 4 << 20;

/// Length of an ID3v1 tag, which stands at the end of a file.
pub(super) const ID3V1_BYTES: u64 = 128;

/// A title as it may go on the wire and on a screen: in one line, without
/// control characters, at most 255 bytes long.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::new();
    let printable = text.split(|c: char| c.is_control() || c.is_whitespace());
    for word in printable.filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
        if clean.len() > MAX_TEXT_BYTES {
            break;
        }
    }
    let mut end = clean.len().min(MAX_TEXT_BYTES);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.truncate(end);
    clean.truncate(clean.trim_end().len());
    clean
}

/// "Artist - Title", or whichever there is.
fn joined(artist: Option<&str>, title: Option<&str>) -> Option<String> {
    let [artist, title] = [artist, title].map(|text| clean(text.unwrap_or("")));
    match (artist.is_empty(), title.is_empty()) {
        (_, true) => None,
        (true, false) => Some(title),
        (false, false) => Some(clean(&format!("{artist} - {title}"))),
    }
}

/// The title that the header of a stream tells.
pub(super) fn of_header(format: Format, header: &[u8]) -> Option<String> {
    let (artist, title) = title_in_header(format, header)?;
    joined(artist.as_deref(), title.as_deref())
}

/// The title in the ID3 tags of a file.
pub(super) fn of_tags(file: &mut (impl Read + Seek)) -> Option<String> {
    id3v2(file).or_else(|| id3v1(file))
}

fn id3v2(file: &mut (impl Read + Seek)) -> Option<String> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut begin = [0; 3];
    file.read_exact(&mut begin).ok()?;
    if &begin != b"ID3" {
        return None;
    }
    let mut bytes = begin.to_vec();
    file.take(MAX_TAG_BYTES).read_to_end(&mut bytes).ok()?;
    // Of a damaged tag, what was read of it.
    let tag = match id3::Tag::read_from2(Cursor::new(bytes)) {
        Ok(tag) => tag,
        Err(error) => error.partial_tag?,
    };
    joined(tag.artist(), tag.title())
}

fn id3v1(file: &mut (impl Read + Seek)) -> Option<String> {
    let tag = id3::v1::Tag::read_from(file).ok()?;
    joined(Some(&tag.artist), Some(&tag.title))
}

/// The title of a file that tells none: its name.
pub(super) fn of_name(path: &Path) -> String {
    clean(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// The title in a block of metadata of an Icecast server:
/// `StreamTitle='…';StreamUrl='…';` and zeros.
pub(super) fn of_icy(block: &[u8]) -> Option<String> {
    let end = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = match std::str::from_utf8(&block[..end]) {
        Ok(text) => text.to_owned(),
        // Old servers: Latin-1.
        Err(_) => block[..end].iter().map(|byte| char::from(*byte)).collect(),
    };
    let title = text.split_once("StreamTitle='")?.1;
    // A title may hold quotes and semicolons itself.
    let title = match title.split_once("';Stream") {
        Some((title, _)) => title,
        None => title.strip_suffix(';').unwrap_or(title).strip_suffix('\'').unwrap_or(title),
    };
    Some(clean(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_cleaned_and_cut() {
        let cases = [
            ("  a\tb \r\n c ", "a b c"),
            ("\u{1b}[2Jx\u{7}\u{9b}1m", "[2Jx 1m"),
            ("\0\0", ""),
            ("Für Elise", "Für Elise"),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        assert_eq!(clean(&"x".repeat(10_240)), "x".repeat(255));
        assert_eq!(clean(&"ü".repeat(5000)), "ü".repeat(127), "in whole letters");
        assert_eq!(clean(&"ab ".repeat(5000)).len(), 254, "no space at the end");
    }

    #[test]
    fn blocks_of_a_server_are_read() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"StreamTitle='A - B';StreamUrl='http://x/';\0\0", Some("A - B")),
            (b"StreamTitle='It's; that';\0", Some("It's; that")),
            (b"StreamTitle='It's; that';StreamUrl='';", Some("It's; that")),
            (b"StreamTitle='';", Some("")),
            (b"StreamTitle='f\xfcr'", Some("für")),
            (b"StreamTitle='torn", Some("torn")),
            (b"StreamUrl='x';", None),
            (b"", None),
        ];
        for (block, expected) in cases {
            assert_eq!(of_icy(block).as_deref(), expected, "{}", String::from_utf8_lossy(block));
        }
    }

    #[test]
    fn tags_are_read() {
        let mut tag = id3::Tag::new();
        tag.set_artist("Wir");
        tag.set_title("Ein\u{1b}[2J Lied");
        for version in [id3::Version::Id3v22, id3::Version::Id3v23, id3::Version::Id3v24] {
            let mut file = Vec::new();
            tag.write_to(&mut file, version).unwrap();
            file.extend([0xff; 1000]);
            let title = of_tags(&mut Cursor::new(file));
            assert_eq!(title.as_deref(), Some("Wir - Ein [2J Lied"), "{version}");
        }
        let mut old = vec![0; 500];
        old.extend(b"TAG");
        old.extend(b"Song                          ");
        old.extend([0; 95]);
        assert_eq!(of_tags(&mut Cursor::new(old)).as_deref(), Some("Song"));
        for hostile in
            [&b"ID3\x04\0\0\x7f\x7f\x7f\x7fTIT2\x7f\x7f\x7f\x7f"[..], b"ID3", b"", b"TAG"]
        {
            assert_eq!(of_tags(&mut Cursor::new(hostile)), None);
        }
        assert_eq!(of_name(Path::new("/m/01 Song.mp3")), "01 Song");
    }
}

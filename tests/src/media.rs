//! Test streams, made and judged by ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait::required;

/// What a test stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MP3 of a constant 128 kbit/s.
    Mp3,
    /// Vorbis in Ogg.
    Ogg,
    /// Small pictures and sound in an MPEG transport stream.
    MpegTs,
    /// 16 bit, mono, 16 kHz, as a file.
    Wav,
    /// IMA-ADPCM, mono, 32 kHz, as a WAV file: 128 kbit/s.
    Adpcm,
}

/// A file with a test stream, in a folder of its own.
#[derive(Debug)]
pub struct Media {
    path: PathBuf,
    _folder: TempDir,
}

impl Format {
    /// The content type that a server declares.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Mp3 => "audio/mpeg",
            Format::Ogg => "application/ogg",
            Format::MpegTs => "video/mp2t",
            Format::Wav | Format::Adpcm => "audio/wav",
        }
    }

    /// Ending of the names of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Mp3 => "mp3",
            Format::Ogg => "ogg",
            Format::MpegTs => "ts",
            Format::Wav | Format::Adpcm => "wav",
        }
    }

    /// What makes ffmpeg write it, and nothing besides (no tags, no index).
    pub fn muxer(self) -> &'static [&'static str] {
        match self {
            Format::Mp3 => &["-f", "mp3", "-write_xing", "0", "-id3v2_version", "0"],
            Format::Ogg => &["-f", "ogg", "-page_duration", "200000"],
            Format::MpegTs => &["-f", "mpegts", "-mpegts_flags", "+resend_headers"],
            Format::Wav | Format::Adpcm => &["-f", "wav"],
        }
    }

    /// Noise: no part of the stream is like another.
    fn input(self) -> Vec<String> {
        let noise = |rate: u32| format!("anoisesrc=color=pink:seed=7:amplitude=0.3:r={rate}");
        let mut input = Vec::new();
        let mut add =
            |source: String| input.extend(["-f".into(), "lavfi".into(), "-i".into(), source]);
        match self {
            Format::Mp3 | Format::Ogg => add(noise(44_100)),
            Format::Wav => add(noise(16_000)),
            Format::Adpcm => add(noise(32_000)),
            Format::MpegTs => {
                add("testsrc=size=160x120:rate=10".to_owned());
                add(noise(44_100));
            }
        }
        input
    }

    fn encoder(self) -> &'static [&'static str] {
        match self {
            Format::Mp3 => &["-c:a", "libmp3lame", "-b:a", "128k", "-ac", "2"],
            Format::Ogg => &["-c:a", "libvorbis", "-q:a", "3", "-ac", "2"],
            Format::MpegTs => &[
                "-c:v",
                "mpeg2video",
                "-b:v",
                "150k",
                "-g",
                "10",
                "-bf",
                "0",
                "-r",
                "25",
                "-c:a",
                "mp2",
                "-b:a",
                "96k",
                "-ac",
                "1",
            ],
            Format::Wav => &["-c:a", "pcm_s16le", "-ac", "1"],
            Format::Adpcm => &["-c:a", "adpcm_ima_wav", "-ac", "1"],
        }
    }
}

impl Media {
    /// Makes `seconds` of a stream.
    ///
    /// # Panics
    ///
    /// If ffmpeg is not installed or fails.
    pub fn make(format: Format, seconds: u32) -> Media {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("stream").with_extension(format.extension());
        let seconds = seconds.to_string();
        let mut command = required("ffmpeg", "ffmpeg");
        command.args(["-nostdin", "-v", "error"]).args(format.input());
        command.args(["-t", &seconds, "-map_metadata", "-1", "-fflags", "+bitexact"]);
        command.args(format.encoder()).args(format.muxer()).arg(&path);
        let output = command.output().expect("ffmpeg can be executed");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ffmpeg makes no {format:?}: {text}");
        Media { path, _folder: folder }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path as an argument.
    pub fn arg(&self) -> &str {
        self.path.to_str().expect("temporary folders have plain names")
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("our own file")
    }

    /// The samples of its sound as ffmpeg decodes them, those of a frame after
    /// one another.
    ///
    /// # Panics
    ///
    /// If ffmpeg fails.
    pub fn decoded(&self) -> Vec<i16> {
        let mut ffmpeg = required("ffmpeg", "ffmpeg");
        ffmpeg.args(["-nostdin", "-v", "error", "-i", self.arg(), "-f", "s16le", "-"]);
        let output = ffmpeg.output().expect("ffmpeg can be executed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
    }
}

/// What a decoder said to a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// All complaints; empty if there were none.
    pub complaints: String,
    /// How much sound there was, in seconds.
    pub seconds: f64,
}

/// Decodes all of `bytes`, up to the last whole frame ([`whole`]).
pub fn decode(format: Format, bytes: &[u8]) -> Decoded {
    const RATE: usize = 8000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("got").with_extension(format.extension());
    std::fs::write(&path, whole(format, bytes)).expect("our own folder");
    let output = required("ffmpeg", "ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&path)
        .args(["-f", "s16le", "-ac", "1", "-ar", &RATE.to_string(), "-"])
        .args(
            (format == Format::MpegTs)
                .then_some(["-map", "0:v", "-f", "null", "-"])
                .iter()
                .flatten(),
        )
        .output()
        .expect("ffmpeg can be executed");
    let mut complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        complaints.push_str("(failed)");
    }
    Decoded { complaints, seconds: output.stdout.len() as f64 / (2 * RATE) as f64 }
}

/// How long an ffmpeg that is started now takes until it puts out the first
/// sound of what `url` plays.
///
/// # Panics
///
/// If it ends without.
pub fn time_to_sound(url: &str) -> Duration {
    use std::io::Read;
    let started = Instant::now();
    let mut child = required("ffmpeg", "ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", url, "-vn", "-f", "s16le", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ffmpeg can be executed");
    let first = child.stdout.take().expect("piped").read_exact(&mut [0; 1]);
    let took = started.elapsed();
    let _ = child.kill();
    let _ = child.wait();
    first.expect("ffmpeg plays");
    took
}

/// `bytes` without what was cut off in the middle at the end: up to the last
/// whole frame, page or, for each of its streams, packet.
pub fn whole(format: Format, bytes: &[u8]) -> Vec<u8> {
    match format {
        Format::Mp3 => bytes[..mp3_whole(bytes)].to_vec(),
        Format::Ogg => bytes[..ogg_pages(bytes).last().map_or(0, |page| page.end)].to_vec(),
        Format::MpegTs => ts_whole(bytes),
        Format::Wav => bytes[..bytes.len() & !1].to_vec(),
        // The last block may be short.
        Format::Adpcm => bytes.to_vec(),
    }
}

/// End of the last whole frame of an MP3 of the kind that is made here
/// (MPEG-1 layer III), which has to begin with a frame.
fn mp3_whole(bytes: &[u8]) -> usize {
    const KBIT: [usize; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
    const HZ: [usize; 3] = [44_100, 48_000, 32_000];
    let mut at = 0;
    while let [0xff, 0xfa | 0xfb, rates, ..] = bytes[at..] {
        let kbit = KBIT[usize::from(rates >> 4)];
        let Some(hz) = HZ.get(usize::from(rates >> 2 & 3)) else { break };
        let len = 144_000 * kbit / hz + usize::from(rates >> 1 & 1);
        if len == 0 || at + len > bytes.len() {
            break;
        }
        at += len;
    }
    at
}

/// A page of Ogg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OggPage {
    /// Where it ends.
    pub end: usize,
    /// Its granule position: 0 in headers.
    pub granule: u64,
}

/// The whole pages that `bytes` begins with.
pub fn ogg_pages(bytes: &[u8]) -> Vec<OggPage> {
    let mut pages = Vec::new();
    let mut at = 0;
    while let Some(page) = bytes.get(at..).filter(|page| page.starts_with(b"OggS")) {
        let Some(segments) = page.get(26).map(|count| usize::from(*count)) else { break };
        let Some(lengths) = page.get(27..27 + segments) else { break };
        let len = 27 + segments + lengths.iter().map(|len| usize::from(*len)).sum::<usize>();
        if len > page.len() {
            break;
        }
        let granule = u64::from_le_bytes(page[6..14].try_into().expect("8 bytes"));
        at += len;
        pages.push(OggPage { end: at, granule });
    }
    pages
}

/// Length of the header pages that an Ogg stream begins with.
pub fn ogg_header_len(bytes: &[u8]) -> usize {
    let pages = ogg_pages(bytes);
    pages.iter().take_while(|page| page.granule == 0).last().map_or(0, |page| page.end)
}

/// Packets of a transport stream without the last, unfinished unit of each of
/// its streams.
fn ts_whole(bytes: &[u8]) -> Vec<u8> {
    const PACKET: usize = 188;
    let packets: Vec<&[u8]> = bytes.chunks_exact(PACKET).collect();
    let pid = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
    let mut last_unit = std::collections::HashMap::new();
    for (index, packet) in packets.iter().enumerate() {
        if packet[1] & 0x40 != 0 {
            last_unit.insert(pid(packet), index);
        }
    }
    let is_whole = |(index, packet): &(usize, &[u8])| {
        last_unit.get(&pid(packet)).is_none_or(|last| index < last)
    };
    packets
        .into_iter()
        .enumerate()
        .filter(is_whole)
        .flat_map(|(_, packet)| packet.to_vec())
        .collect()
}

/// Where `part` is in `all`; `None` if it is not, or empty.
pub fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    let key = part.get(..part.len().min(64)).filter(|key| !key.is_empty())?;
    let mut from = 0;
    loop {
        let next = all.get(from..)?.windows(key.len()).position(|window| window == key)?;
        let at = from + next;
        if all[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let all: Vec<u8> = (0..2000_u32).flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(find(&all, &all[400..3000]), Some(400));
        assert_eq!(find(&all, &[&all[400..800], &all[804..1000]].concat()), None);
        assert_eq!(find(&all, b""), None);
    }

    #[test]
    fn what_is_made_decodes_and_is_cut_well() {
        for format in [Format::Mp3, Format::Ogg, Format::MpegTs, Format::Wav] {
            let bytes = Media::make(format, 3).bytes();
            let all = decode(format, &bytes);
            assert_eq!(all.complaints, "", "{format:?}");
            assert!((2.5..3.5).contains(&all.seconds), "{format:?}: {}", all.seconds);
            let cut = decode(format, &bytes[..bytes.len() * 2 / 3 + 1]);
            assert_eq!(cut.complaints, "", "{format:?}");
            assert!((1.0..2.5).contains(&cut.seconds), "{format:?}: {}", cut.seconds);
        }
    }
}

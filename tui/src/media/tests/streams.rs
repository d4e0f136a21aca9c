//! Small streams of every format, and where a decoder may start in them.

use super::super::flac::crc8;
use super::super::mpegts::PACKET_BYTES;
use super::super::{Format, matroska};
use super::Chance;

/// A stream and what is true of it.
pub(super) struct Stream {
    pub(super) format: Format,
    pub(super) bytes: Vec<u8>,
    pub(super) header: Vec<u8>,
    pub(super) starts: Vec<u64>,
}

impl Stream {
    fn new(format: Format) -> Stream {
        Stream { format, bytes: Vec::new(), header: Vec::new(), starts: Vec::new() }
    }

    fn put_start(&mut self, bytes: &[u8]) {
        self.starts.push(self.bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn put_header(&mut self, bytes: &[u8]) {
        self.header.extend_from_slice(bytes);
        self.bytes.extend_from_slice(bytes);
    }
}

/// One of each, with `units` frames, pages, packets or clusters.
pub(super) fn all(units: usize) -> Vec<Stream> {
    vec![
        mp3(units),
        adts(units),
        ogg(units),
        flac(units),
        wav(units * 480),
        mpegts(units),
        matroska(units),
    ]
}

/// Sound that holds no frame sync by chance.
fn sound(chance: &mut Chance, count: usize) -> Vec<u8> {
    chance.bytes(count).iter().map(|byte| byte & 0x7f).collect()
}

/// 128 kbit/s, 44.1 kHz, every other frame padded; a tag first.
pub(super) fn mp3(frames: usize) -> Stream {
    let mut stream = Stream::new(Format::Mp3);
    let mut chance = Chance::new(1);
    stream.bytes.extend(b"ID3\x04\0\0\0\0\x01\x00");
    stream.bytes.extend(sound(&mut chance, 128));
    for index in 0..frames {
        let padding = index % 2;
        let mut frame = vec![0xff, 0xfb, 0x90 | (padding as u8) << 1, 0];
        frame.extend(sound(&mut chance, 413 + padding));
        stream.put_start(&frame);
    }
    stream
}

/// 44.1 kHz, frames of 371 bytes.
pub(super) fn adts(frames: usize) -> Stream {
    let mut stream = Stream::new(Format::Adts);
    let mut chance = Chance::new(2);
    for _ in 0..frames {
        let mut frame = vec![0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc];
        frame.extend(sound(&mut chance, 364));
        stream.put_start(&frame);
    }
    stream
}

/// An Ogg page; every packet but the last must end in it.
pub(super) fn page(flags: u8, granule: i64, serial: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
    }
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(serial.to_le_bytes());
    page.extend([0; 8]);
    page.push(u8::try_from(lacing.len()).expect("a page of at most 255 segments"));
    page.extend(lacing);
    page.extend(packets.concat());
    page
}

/// The header pages of a Vorbis stream.
pub(super) fn vorbis_headers(serial: u32, rate: u32) -> [Vec<u8>; 2] {
    let mut first = b"\x01vorbis\0\0\0\0\x02".to_vec();
    first.extend(rate.to_le_bytes());
    first.extend([0; 14]);
    let comment = b"\x03vorbis comment".as_slice();
    let setup = [5; 3000];
    [page(2, 0, serial, &[&first]), page(0, 0, serial, &[comment, &setup])]
}

/// The header pages of an Opus stream.
pub(super) fn opus_headers(serial: u32) -> [Vec<u8>; 2] {
    let mut first = b"OpusHead\x01\x02".to_vec();
    first.extend(312u16.to_le_bytes());
    first.extend([0; 7]);
    [page(2, 0, serial, &[&first]), page(0, 0, serial, &[b"OpusTags"])]
}

/// Vorbis at 44.1 kHz, 0.1 s a page.
pub(super) fn ogg(pages: usize) -> Stream {
    let mut stream = Stream::new(Format::Ogg);
    for header in vorbis_headers(7, 44_100) {
        stream.put_header(&header);
    }
    let mut chance = Chance::new(3);
    for index in 1..=pages {
        let packet = sound(&mut chance, 600);
        let granule = index as i64 * 4410;
        stream.put_start(&page(0, granule, 7, &[&packet, &packet]));
    }
    stream
}

/// A FLAC frame of 4096 samples at 44.1 kHz with a number below 2048.
pub(super) fn flac_frame(number: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf8, 0xc9, 0x18];
    if number < 0x80 {
        frame.push(number as u8);
    } else {
        frame.extend([0xc0 | (number >> 6) as u8, 0x80 | (number & 0x3f) as u8]);
    }
    frame.push(crc8(&frame));
    frame.extend(body);
    frame
}

/// STREAMINFO for 44.1 kHz stereo, as the first metadata block.
pub(super) fn flac_stream_info(last: bool) -> Vec<u8> {
    let mut block = vec![if last { 0x80 } else { 0 }, 0, 0, 34];
    block.extend([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    block.extend([0x0a, 0xc4, 0x42, 0xf0, 0, 0, 0, 0]);
    block.extend([0; 16]);
    block
}

/// 4096 samples a frame at 44.1 kHz.
pub(super) fn flac(frames: usize) -> Stream {
    let mut stream = Stream::new(Format::Flac);
    stream.put_header(b"fLaC");
    stream.put_header(&flac_stream_info(false));
    stream.put_header(&[0x84, 0, 0, 5, b'v', b'e', b'n', b'd', b'r']);
    let mut chance = Chance::new(4);
    for number in 0..frames {
        let body = sound(&mut chance, 1500);
        stream.put_start(&flac_frame(number as u16, &body));
    }
    // The last frame can't be seen before 16 bytes of it are there.
    stream
}

/// 48 kHz, stereo, 16 bit, with a LIST chunk of odd length before the data.
pub(super) fn wav(frames: usize) -> Stream {
    let mut stream = Stream::new(Format::Wav);
    stream.put_header(b"RIFF\xff\xff\xff\xffWAVE");
    stream.put_header(b"LIST\x05\0\0\0hello\0");
    stream.put_header(b"fmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0");
    stream.put_header(b"data\xff\xff\xff\xff");
    let data = sound(&mut Chance::new(5), frames * 4);
    for grid in data.chunks(1920) {
        stream.put_start(grid);
    }
    stream
}

/// A transport packet, with a PCR in ticks of 27 MHz if given.
pub(super) fn packet(pid: u16, pcr: Option<u64>, filling: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x47, (pid >> 8) as u8, pid as u8, 0x10];
    if let Some(ticks) = pcr {
        let (base, extension) = (ticks / 300, ticks % 300);
        packet[3] = 0x30;
        packet.extend([7, 0x10]);
        packet.extend(((base >> 1) as u32).to_be_bytes());
        packet.push((base << 7) as u8 | 0x7e | (extension >> 8) as u8);
        packet.push(extension as u8);
    }
    packet.extend(filling);
    packet.resize(PACKET_BYTES, 0xff);
    packet
}

/// A PCR every ten packets and 20 ms; it wraps after five of them.
pub(super) fn mpegts(packets: usize) -> Stream {
    let mut stream = Stream::new(Format::MpegTs);
    let mut chance = Chance::new(6);
    let wrap = (1u64 << 33) * 300;
    for index in 0..packets {
        let step = (index / 10) as u64 * 540_000;
        let pcr = (index % 10 == 0).then_some((wrap - 2_700_000 + step) % wrap);
        let filling: Vec<u8> = sound(&mut chance, 150).iter().map(|b| b | 0x80).collect();
        stream.put_start(&packet(256, pcr, &filling));
    }
    stream
}

/// An element with a length of four bytes.
pub(super) fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let length = 0x1000_0000 | content.len() as u32;
    [id, &length.to_be_bytes(), content].concat()
}

/// Clusters of known and unknown length, 0.2 s each with two blocks.
pub(super) fn matroska(clusters: usize) -> Stream {
    let mut stream = Stream::new(Format::Matroska);
    stream.put_header(&element(&[0x1a, 0x45, 0xdf, 0xa3], b"\x42\x82\x84webm"));
    stream.put_header(&[0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]);
    let scale = element(&[0x2a, 0xd7, 0xb1], &[0x0f, 0x42, 0x40]);
    stream.put_header(&element(&[0x15, 0x49, 0xa9, 0x66], &scale));
    stream.put_header(&element(&[0x16, 0x54, 0xae, 0x6b], &[0xae; 40]));
    let mut chance = Chance::new(7);
    for index in 0..clusters {
        let at = 5000 + index as u32 * 200;
        let mut content = element(&[0xe7], &at.to_be_bytes());
        for relative in [0u8, 100] {
            let mut block = vec![0x81, 0, relative, 0x80];
            block.extend(sound(&mut chance, 900));
            content.extend(element(&[0xa3], &block));
        }
        let id = matroska::CLUSTER.to_be_bytes();
        let cluster = if index % 2 == 0 {
            element(&id, &content)
        } else {
            [&id, [0xff].as_slice(), &content].concat()
        };
        stream.put_start(&cluster);
    }
    stream
}

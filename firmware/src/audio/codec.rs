//! Decoders: bytes in, frames out, a step at a time.
//!
//! A decoder looks at the beginning of what has come and says how much of it
//! it has used and how many frames came out; nothing of both means that it
//! needs more.

use audio_codec_algorithms::{AdpcmImaState, decode_adpcm_ima};

use super::format::{Coding, Layout};
use crate::dac::Frame;

/// Frames that one step may make.
pub(super) const STAGE_FRAMES: usize = if cfg!(feature = "mp3") { 1152 } else { 64 };

/// Bytes that a step may need to see.
pub(super) const WINDOW_BYTES: usize = if cfg!(feature = "mp3") { 4096 } else { 512 };

/// Bytes that a decoder of blocks needs to see at most.
pub(super) const MAX_UNIT_BYTES: usize = 8;

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes used.
    pub consumed: usize,
    /// Frames made.
    pub frames: usize,
    /// Frames that should have been made but could not.
    pub missing: usize,
}

impl Step {
    const NEEDS_MORE: Step = Step { consumed: 0, frames: 0, missing: 0 };
}

/// The decoder of blocks of samples.
#[derive(Debug)]
pub(super) struct Blocks {
    pub layout: Layout,
    /// Bytes of the block at hand that were used.
    at: u16,
    states: [AdpcmImaState; 2],
}

impl Blocks {
    pub(super) fn new(layout: Layout) -> Blocks {
        let state = || AdpcmImaState { predictor: 0, step_index: 0 };
        Blocks { layout, at: 0, states: [state(), state()] }
    }

    /// After a gap; the next byte is the first of a block.
    pub(super) fn restart(&mut self) {
        self.at = 0;
    }

    pub(super) fn step(&mut self, bytes: &[u8], out: &mut [Frame]) -> Step {
        match self.layout.coding {
            Coding::Pcm16Le => self.pcm(bytes, out, i16::from_le_bytes),
            Coding::Pcm16Be => self.pcm(bytes, out, i16::from_be_bytes),
            Coding::ImaAdpcm => self.adpcm(bytes, out),
        }
    }

    fn pcm(&self, bytes: &[u8], out: &mut [Frame], sample: fn([u8; 2]) -> i16) -> Step {
        let (mut consumed, mut frames) = (0, 0);
        if self.layout.channels == 1 {
            for (two, frame) in bytes.as_chunks::<2>().0.iter().zip(out) {
                *frame = [sample(*two); 2];
                (consumed, frames) = (consumed + 2, frames + 1);
            }
        } else {
            for (four, frame) in bytes.as_chunks::<4>().0.iter().zip(out) {
                let [a, b, c, d] = *four;
                *frame = [sample([a, b]), sample([c, d])];
                (consumed, frames) = (consumed + 4, frames + 1);
            }
        }
        Step { consumed, frames, missing: 0 }
    }

    /// The beginning of a block is a sample and a step index a channel; then
    /// come eight samples a channel in four bytes each.
    fn adpcm(&mut self, bytes: &[u8], out: &mut [Frame]) -> Step {
        let channels = usize::from(self.layout.channels);
        let unit = 4 * channels;
        let mut step = Step::NEEDS_MORE;
        for unit_bytes in bytes.chunks_exact(unit) {
            let words = unit_bytes.as_chunks::<4>().0;
            let frames = if self.at == 0 { 1 } else { 8 };
            let Some(out) = out.get_mut(step.frames..step.frames + frames) else { break };
            for (channel, word) in words.iter().enumerate() {
                let state = &mut self.states[channel];
                if self.at == 0 {
                    state.predictor = i16::from_le_bytes([word[0], word[1]]);
                    state.step_index = word[2].min(88);
                    out[0][channel] = state.predictor;
                } else {
                    for (index, frame) in out.iter_mut().enumerate() {
                        let nibble = word[index / 2] >> (4 * (index % 2)) & 0xf;
                        frame[channel] = decode_adpcm_ima(nibble, state);
                    }
                }
            }
            if channels == 1 {
                out.iter_mut().for_each(|frame| frame[1] = frame[0]);
            }
            step.frames += frames;
            step.consumed += unit;
            self.at += unit as u16;
            if self.at >= self.layout.block_bytes {
                self.at = 0;
            }
        }
        step
    }
}

/// What is known of an MP3 stream besides the state of its decoder.
#[cfg(feature = "mp3")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mp3 {
    /// Sample frames a second; 0 until a frame was decoded.
    pub rate: u32,
    /// Sample frames of a byte, times 65,536, smoothed.
    pub frames_per_byte: u32,
    /// Whether the window begins with a frame, as far as one can know.
    synced: bool,
}

/// The longest MP3 frame and the header of the one behind it: what has to be
/// seen to be sure of a frame.
#[cfg(feature = "mp3")]
const SURE_BYTES: usize = 2 * 1442 + 4;

#[cfg(feature = "mp3")]
impl Mp3 {
    /// After a gap: what the decoder remembers is of no use.
    pub(super) fn restart(&mut self, decoder: &mut nanomp3::Decoder, stage: &mut [Frame]) {
        // Bytes without a frame make it forget everything.
        let _ = decoder.decode(&[0; 16], stage.as_flattened_mut());
        self.synced = false;
    }

    /// As the other decoders; `all` says that nothing more will come behind
    /// `bytes`.
    pub(super) fn step(
        &mut self,
        decoder: &mut nanomp3::Decoder,
        bytes: &[u8],
        stage: &mut [Frame],
        all: bool,
    ) -> Step {
        let whole = match mp3_frame_bytes(bytes) {
            // The header behind it has to be seen, too.
            Some(frame) if self.synced => bytes.len() >= frame + 4,
            _ => bytes.len() >= SURE_BYTES,
        };
        let last = all && bytes.len() > 4;
        if !(whole || last) {
            return Step::NEEDS_MORE;
        }
        let (consumed, decoded) = decoder.decode(bytes, stage.as_flattened_mut());
        let known = match &decoded {
            Ok(info) => Some(info),
            Err(error) => error.frame_info(),
        };
        let Some(info) = known else {
            self.synced = false;
            return Step { consumed: consumed.max(1), frames: 0, missing: 0 };
        };
        self.synced = true;
        self.rate = info.sample_rate;
        let frames = info.samples_produced;
        if frames == 0 {
            let missing = if info.sample_rate >= 32_000 { 1152 } else { 576 };
            return Step { consumed, frames: 0, missing };
        }
        if info.channels == nanomp3::Channels::Mono {
            let samples = stage.as_flattened_mut();
            for at in (0..frames).rev() {
                let sample = samples[at];
                samples[2 * at] = sample;
                samples[2 * at + 1] = sample;
            }
        }
        self.note_ratio(frames, consumed);
        Step { consumed, frames, missing: 0 }
    }

    fn note_ratio(&mut self, frames: usize, bytes: usize) {
        let ratio = ((frames as u64) << 16) / (bytes as u64).max(1);
        let ratio = u32::try_from(ratio).unwrap_or(u32::MAX);
        self.frames_per_byte = match self.frames_per_byte {
            0 => ratio,
            old => (old - old / 16).saturating_add(ratio / 16),
        };
    }
}

/// The length of the MPEG layer III frame that `bytes` begins with.
#[cfg(feature = "mp3")]
fn mp3_frame_bytes(bytes: &[u8]) -> Option<usize> {
    const KBIT: [[u16; 16]; 2] = [
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
    ];
    const RATES: [u32; 4] = [44_100, 48_000, 32_000, 0];
    let &[0xff, b, c, _] = bytes.first_chunk()? else { return None };
    let (version, layer) = (b >> 3 & 3, b >> 1 & 3);
    if b & 0xe0 != 0xe0 || version == 1 || layer != 1 {
        return None;
    }
    let mpeg1 = version == 3;
    let rate = RATES[usize::from(c >> 2 & 3)] >> [2, 0, 1, 0][usize::from(version)];
    let kbit = u32::from(KBIT[usize::from(mpeg1)][usize::from(c >> 4)]);
    if rate == 0 || kbit == 0 {
        return None;
    }
    let bytes = if mpeg1 { 144_000 } else { 72_000 } * kbit / rate;
    Some(bytes as usize + usize::from(c >> 1 & 1))
}

#[cfg(test)]
mod tests {
    use super::super::format::{parse_wav, tests::header};
    use super::*;
    use audio_codec_algorithms::{decode_adpcm_ima_ms, encode_adpcm_ima_ms};

    fn blocks(tag: u16, channels: u16, block: u16, bits: u16) -> Blocks {
        let header = header(tag, channels, 44_100, block, bits);
        Blocks::new(parse_wav(&header).expect("a known format").layout)
    }

    /// Decodes with inputs and outputs of these lengths.
    fn decode(blocks: &mut Blocks, mut bytes: &[u8], input: usize, output: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut out = vec![[0; 2]; output];
        loop {
            let step = blocks.step(&bytes[..bytes.len().min(input)], &mut out);
            if step.consumed == 0 {
                return frames;
            }
            frames.extend_from_slice(&out[..step.frames]);
            bytes = &bytes[step.consumed..];
        }
    }

    #[test]
    fn pcm_comes_out_as_it_is() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1001).collect();
        let stereo: Vec<Frame> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| [i16::from_le_bytes([b[0], b[1]]), i16::from_le_bytes([b[2], b[3]])])
            .collect();
        assert_eq!(decode(&mut blocks(1, 2, 4, 16), &bytes, 63, 5), stereo);
        let mono: Vec<Frame> =
            bytes.as_chunks::<2>().0.iter().map(|b| [i16::from_le_bytes(*b); 2]).collect();
        assert_eq!(decode(&mut blocks(1, 1, 2, 16), &bytes, 63, 64), mono);
        let l16 = Layout { coding: Coding::Pcm16Be, rate: 8_000, channels: 1, block_bytes: 2 };
        assert_eq!(decode(&mut Blocks::new(l16), &[1, 2, 3, 4], 4, 9), [[0x102; 2], [0x304; 2]]);
    }

    #[test]
    fn adpcm_is_what_the_reference_decoder_makes() {
        for channels in [1_u16, 2] {
            let (block, per_block) = (512 * channels, 1017);
            let samples: Vec<i16> = (0..3 * per_block * usize::from(channels))
                .map(|at| ((at * at) as f32 * 0.001).sin().mul_add(20_000.0, 0.0) as i16)
                .collect();
            let mut states = vec![AdpcmImaState::new(); channels.into()];
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for samples in samples.chunks(per_block * usize::from(channels)) {
                let mut encoded = vec![0; block.into()];
                encode_adpcm_ima_ms(samples, &mut states, &mut encoded).expect("lengths match");
                let mut decoded = vec![0; samples.len()];
                decode_adpcm_ima_ms(&encoded, channels == 2, &mut decoded).expect("they match");
                bytes.extend(encoded);
                expected.extend(decoded.chunks(channels.into()).map(|frame| match frame {
                    [left, right] => [*left, *right],
                    mono => [mono[0]; 2],
                }));
            }
            for (input, output) in [(512, 64), (9, 8), (8 * 3 + 1, 17)] {
                let decoded = decode(&mut blocks(0x11, channels, block, 4), &bytes, input, output);
                assert_eq!(decoded.len(), 3 * per_block);
                assert_eq!(decoded, expected, "{channels} channels, {input} bytes at a time");
            }
        }
    }

    #[cfg(feature = "mp3")]
    #[test]
    fn mp3_frame_lengths() {
        for (header, expected) in [
            ([0xff, 0xfb, 0x90, 0x64], Some(417)),
            ([0xff, 0xfb, 0x92, 0x64], Some(418)),
            ([0xff, 0xfb, 0xe4, 0x64], Some(960)),
            ([0xff, 0xf3, 0x84, 0x64], Some(192)),
            ([0xff, 0xfb, 0xf0, 0x64], None),
            ([0xff, 0xfb, 0x9c, 0x64], None),
            ([0xff, 0xfd, 0x90, 0x64], None),
            ([0xfe, 0xfb, 0x90, 0x64], None),
        ] {
            assert_eq!(mp3_frame_bytes(&header), expected, "{header:x?}");
        }
        assert_eq!(mp3_frame_bytes(&[0xff, 0xfb]), None);
    }
}

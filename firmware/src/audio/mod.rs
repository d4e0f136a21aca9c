//! From chunks to blocks for the DAC.
//!
//! [`Playback`] takes what the network hands over, finds where blocks or
//! frames begin, decodes, and fills one block at a time. Playing starts when
//! enough waits ([`Settings::depth_ms`]); [`Drift`] keeps it at that depth.
//! Where chunks are missing it fades out, is silent for as long as they would
//! have lasted, and fades in again, so that nothing clicks and nothing old is
//! heard; the same when the queue runs dry. All of it is counted.

mod codec;
mod drift;
mod format;

pub use drift::{Correction, Drift};
pub use format::{Coding, Layout, WavHeader, parse_wav};

use codec::{Blocks, MAX_UNIT_BYTES, STAGE_FRAMES, Step, WINDOW_BYTES};

use crate::dac::{BLOCK_FRAMES, Frame};
use crate::queue::{Front, Queue};
use crate::stream::{Content, Stream};

/// Frames of a fade-in.
const FADE_IN_FRAMES: u16 = 256;
/// A fade-out takes this part off each frame: it is over in 10 ms.
const FADE_OUT_PART: i32 = 64;
/// The longest silence for lost chunks; after more the sound goes on at once.
const MAX_SILENCE_S: u32 = 2;
/// Steps of decoding that may fail in a row before a block is given up.
const MAX_IDLE_STEPS: u32 = 10_000;

/// What a user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How much sound waits when playing starts, in milliseconds; at most half
    /// of what can wait.
    pub depth_ms: u16,
    /// Loudness, [`FULL_VOLUME`] leaving the samples as they are.
    pub volume: u16,
}

/// The volume that changes nothing; more is cut to it.
pub const FULL_VOLUME: u16 = 256;

/// What has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Gaps in the stream that were concealed.
    pub concealed: u32,
    /// Times that nothing was there to be played.
    pub underruns: u32,
    /// Frames left out because the DAC is slower than the source.
    pub dropped: u32,
    /// Frames played twice because it is faster.
    pub repeated: u32,
}

/// Memory of a [`Playback`]. Put it into a `static`: it is all zeros.
pub struct Memory {
    /// Read from the queue and not yet decoded.
    window: [u8; WINDOW_BYTES],
    /// Decoded and not yet played.
    stage: [Frame; STAGE_FRAMES],
    #[cfg(feature = "mp3")]
    mp3: nanomp3::Decoder,
}

impl Memory {
    /// Empty.
    pub const fn new() -> Memory {
        Memory {
            window: [0; WINDOW_BYTES],
            stage: [[0; 2]; STAGE_FRAMES],
            #[cfg(feature = "mp3")]
            mp3: nanomp3::Decoder::new(),
        }
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

/// Decodes and plays one stream after the other.
pub struct Playback<'m> {
    memory: &'m mut Memory,
    settings: Settings,
    generation: u32,
    codec: Codec,
    phase: Phase,
    /// Frames a second; 0 until known.
    rate: u32,
    /// The rate of what is on the stage, if that is another.
    next_rate: Option<u32>,
    chunk_bytes: u16,
    /// Offset in the stream where blocks begin.
    data_from: u64,
    /// Bytes in the window.
    filled: usize,
    /// Offset in the stream of the first byte in the window.
    position: Option<u64>,
    /// Bytes to be passed over before the next block begins.
    skip: u64,
    /// What is on the stage, from here to there.
    stage_at: usize,
    stage_to: usize,
    /// Frames of silence to be played before what is decoded.
    silence: u32,
    /// It has been silent since there was nothing to play.
    dry: bool,
    /// The last frame played, from which to fade out.
    last: Frame,
    /// Frames until the sound is at its volume again.
    fading_in: u16,
    drift: Drift,
    counts: Counts,
}

#[derive(Debug)]
enum Codec {
    None,
    Blocks(Blocks),
    #[cfg(feature = "mp3")]
    Mp3(codec::Mp3),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No stream, or none that can be decoded.
    Idle,
    /// Waits for enough to start with.
    Filling,
    Playing,
}

/// What a step towards the next frames has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advance {
    /// Something has changed: look again.
    Again,
    /// The frames that come next are of another rate.
    NewRate(u32),
    /// Nothing can be decoded before more comes.
    Dry,
}

impl<'m> Playback<'m> {
    /// Nothing to play yet.
    pub const fn new(memory: &'m mut Memory, settings: Settings) -> Playback<'m> {
        Playback {
            memory,
            settings,
            generation: 0,
            codec: Codec::None,
            phase: Phase::Idle,
            rate: 0,
            next_rate: None,
            chunk_bytes: 0,
            data_from: 0,
            filled: 0,
            position: None,
            skip: 0,
            stage_at: 0,
            stage_to: 0,
            silence: 0,
            dry: false,
            last: [0; 2],
            fading_in: 0,
            drift: Drift::new(0, 0),
            counts: Counts { concealed: 0, underruns: 0, dropped: 0, repeated: 0 },
        }
    }

    /// Changes the volume from the next block on.
    pub fn set_volume(&mut self, volume: u16) {
        self.settings.volume = volume;
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether sound is played now, rather than waited for.
    pub fn is_playing(&self) -> bool {
        self.phase == Phase::Playing
    }

    /// Milliseconds of sound that wait to be played.
    pub fn level_ms(&self, queue: &Queue) -> u32 {
        match self.rate {
            0 => 0,
            rate => (u64::from(self.level(queue)) * 1000 / u64::from(rate)) as u32,
        }
    }

    /// Fills the next block and says its rate; `None` while there is nothing
    /// to play and never was.
    pub fn next_block(&mut self, queue: &Queue, block: &mut [Frame; BLOCK_FRAMES]) -> Option<u32> {
        if queue.generation() != self.generation {
            self.begin(queue);
        }
        self.rate = self.next_rate.take().unwrap_or(self.rate);
        if self.phase == Phase::Filling && self.is_deep_enough(queue) {
            self.phase = Phase::Playing;
            self.pass_awaited_gap(queue);
            let step = self.frames_of(self.chunk_bytes.into());
            self.drift = Drift::new(self.depth(queue), step);
        }
        if self.phase == Phase::Playing {
            self.play(queue, block);
        } else if self.rate == 0 {
            return None;
        } else {
            block.iter_mut().for_each(|frame| *frame = self.fade_out());
        }
        self.apply_volume(block);
        Some(self.rate)
    }

    fn begin(&mut self, queue: &Queue) {
        self.generation = queue.generation();
        let Some(stream) = queue.stream() else { return };
        self.filled = 0;
        self.position = None;
        (self.stage_at, self.stage_to, self.silence, self.dry) = (0, 0, 0, false);
        self.next_rate = None;
        self.chunk_bytes = stream.chunk_bytes;
        self.data_from = stream.header_bytes.into();
        self.codec = Codec::of(&stream);
        self.phase = match self.codec {
            Codec::None => Phase::Idle,
            _ => Phase::Filling,
        };
        if let Codec::Blocks(blocks) = &self.codec {
            self.rate = blocks.layout.rate;
        }
        if self.last != [0; 2] {
            self.fading_in = FADE_IN_FRAMES;
        }
    }

    /// A block of sound, with one frame more or less when the clocks ask for
    /// it.
    fn play(&mut self, queue: &Queue, block: &mut [Frame; BLOCK_FRAMES]) {
        let level = self.level(queue);
        match self.drift.observe(level) {
            Correction::None => self.produce(queue, block),
            Correction::Drop => {
                self.counts.dropped += 1;
                let mut dropped = [[0; 2]];
                self.produce(queue, block);
                self.produce(queue, &mut dropped);
                let place = smoothest(block);
                block.copy_within(place + 1.., place);
                block[BLOCK_FRAMES - 1] = dropped[0];
            }
            Correction::Repeat => {
                self.counts.repeated += 1;
                self.produce(queue, &mut block[..BLOCK_FRAMES - 1]);
                let place = smoothest(&block[..BLOCK_FRAMES - 1]);
                block.copy_within(place..BLOCK_FRAMES - 1, place + 1);
            }
        }
    }

    /// Fills `out` with what comes next; with silence when nothing does.
    fn produce(&mut self, queue: &Queue, out: &mut [Frame]) {
        let mut idle_steps = 0;
        let mut frames = out.iter_mut();
        while !frames.as_slice().is_empty() {
            if self.silence > 0 {
                let len = (self.silence as usize).min(frames.len());
                self.silence -= len as u32;
                frames.by_ref().take(len).for_each(|frame| *frame = self.fade_out());
                self.fading_in = FADE_IN_FRAMES;
            } else if self.stage_at < self.stage_to {
                for frame in frames.by_ref().take(self.stage_to - self.stage_at) {
                    *frame = self.fade_in(self.memory.stage[self.stage_at]);
                    self.stage_at += 1;
                }
            } else {
                idle_steps += 1;
                match self.advance(queue) {
                    Advance::Again if idle_steps < MAX_IDLE_STEPS => continue,
                    Advance::NewRate(rate) => {
                        if self.last != [0; 2] {
                            self.fading_in = FADE_IN_FRAMES;
                        }
                        if frames.len() == BLOCK_FRAMES {
                            self.rate = rate;
                            continue;
                        }
                        // What is in this block already is of the old rate.
                        self.next_rate = Some(rate);
                    }
                    Advance::Again | Advance::Dry => {
                        self.counts.underruns += 1;
                        self.dry = true;
                        self.phase = Phase::Filling;
                        self.fading_in = FADE_IN_FRAMES;
                    }
                }
                frames.by_ref().for_each(|frame| *frame = self.fade_out());
            }
        }
    }

    /// Decodes the next frames onto the stage, or finds out why not.
    fn advance(&mut self, queue: &Queue) -> Advance {
        let gap = self.refill(queue);
        if self.skip > 0 && self.filled > 0 {
            let skipped = self.skip.min(self.filled as u64);
            self.skip -= skipped;
            self.consume(skipped as usize);
            return Advance::Again;
        }
        let step = self.step(gap.is_some());
        if step.consumed > 0 {
            self.consume(step.consumed);
            (self.stage_at, self.stage_to) = (0, step.frames);
            if self.last != [0; 2] || self.fading_in > 0 {
                self.silence += step.missing as u32;
            }
            return match self.codec.rate() {
                rate if rate != self.rate && step.frames > 0 => Advance::NewRate(rate),
                _ => Advance::Again,
            };
        }
        match gap {
            Some(front) => {
                self.skip_gap(front);
                Advance::Again
            }
            None => Advance::Dry,
        }
    }

    /// Reads into the window what follows what is there; what comes instead,
    /// if it does not follow.
    fn refill(&mut self, queue: &Queue) -> Option<Front> {
        while self.filled < WINDOW_BYTES {
            let front = queue.front()?;
            match self.position {
                None => self.start_at(front.offset),
                Some(position) if position + self.filled as u64 != front.offset => {
                    return Some(front);
                }
                Some(_) => {}
            }
            let chunk_begins = front.offset.is_multiple_of(u64::from(self.chunk_bytes).max(1));
            let may_change =
                chunk_begins && self.skip == 0 && matches!(self.codec, Codec::Blocks(_));
            if may_change && self.filled >= MAX_UNIT_BYTES {
                // What is of the old format comes first.
                return None;
            }
            let held = self.filled;
            self.filled += queue.read(&mut self.memory.window[held..]);
            if may_change && self.memory.window[held..self.filled].starts_with(b"RIFF") {
                self.change_format(held, front.offset);
            }
        }
        None
    }

    /// A WAV header in mid-stream, at `offset` and at `at` in the window: what
    /// follows is of another format.
    fn change_format(&mut self, at: usize, offset: u64) {
        let Codec::Blocks(blocks) = &mut self.codec else { return };
        if let Some(header) = parse_wav(&self.memory.window[at..self.filled])
            && let Some(bytes) = header.bytes
        {
            *blocks = Blocks::new(header.layout);
            self.data_from = offset + bytes as u64;
            self.skip = (at + bytes) as u64;
        }
    }

    fn step(&mut self, all: bool) -> Step {
        let bytes = &self.memory.window[..self.filled];
        let _ = all;
        match &mut self.codec {
            Codec::None => Step { consumed: bytes.len(), frames: 0, missing: 0 },
            Codec::Blocks(blocks) => blocks.step(bytes, &mut self.memory.stage),
            #[cfg(feature = "mp3")]
            Codec::Mp3(mp3) => mp3.step(&mut self.memory.mp3, bytes, &mut self.memory.stage, all),
        }
    }

    /// Chunks are missing: silence in their place, and then from `front` on.
    fn skip_gap(&mut self, front: Front) {
        let from = self.position.unwrap_or(front.offset);
        self.counts.concealed += 1;
        self.start_at(front.offset);
        let lost = (front.offset + self.skip).saturating_sub(from);
        let frames = self.frames_of(lost).min(MAX_SILENCE_S * self.rate);
        self.silence = self.silence.saturating_add(frames);
    }

    /// What was waited for has turned out to be lost: it has been silent for as
    /// long already.
    fn pass_awaited_gap(&mut self, queue: &Queue) {
        let awaited = self.position.map(|position| position + self.filled as u64);
        if core::mem::take(&mut self.dry)
            && let Some(front) = queue.front()
            && awaited.is_some_and(|awaited| awaited != front.offset)
        {
            self.counts.concealed += 1;
            self.start_at(front.offset);
        }
    }

    /// The window is empty, and the next byte that comes is that at `offset`.
    fn start_at(&mut self, offset: u64) {
        self.filled = 0;
        self.position = Some(offset);
        self.skip = match (&mut self.codec, offset.checked_sub(self.data_from)) {
            (_, None) => self.data_from - offset,
            (Codec::Blocks(blocks), Some(at)) => {
                let block = u64::from(blocks.layout.block_bytes);
                at.next_multiple_of(block) - at
            }
            (_, Some(_)) => 0,
        };
        match &mut self.codec {
            Codec::None => {}
            Codec::Blocks(blocks) => blocks.restart(),
            #[cfg(feature = "mp3")]
            Codec::Mp3(mp3) => mp3.restart(&mut self.memory.mp3, &mut self.memory.stage),
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.memory.window.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
        self.position = self.position.map(|position| position + bytes as u64);
    }

    // -- levels, in frames --

    fn level(&self, queue: &Queue) -> u32 {
        let bytes = (self.filled + queue.waiting()) as u64;
        let staged = (self.stage_to - self.stage_at) as u32 + self.silence;
        self.frames_of(bytes.saturating_sub(self.skip)) + staged
    }

    fn frames_of(&self, bytes: u64) -> u32 {
        let frames = bytes.saturating_mul(self.codec.frames_per_byte().into()) >> 16;
        u32::try_from(frames).unwrap_or(u32::MAX / 2)
    }

    fn depth(&self, queue: &Queue) -> u32 {
        let wanted = u64::from(self.settings.depth_ms) * u64::from(self.rate) / 1000;
        self.frames_of(queue.capacity() as u64 / 2).min(wanted as u32)
    }

    /// Whether enough waits to start with.
    fn is_deep_enough(&mut self, queue: &Queue) -> bool {
        // The rate of some streams is known when a frame has been decoded.
        while (self.codec.rate() == 0 || self.rate == 0) && self.stage_at == self.stage_to {
            match self.advance(queue) {
                Advance::Again => {}
                Advance::NewRate(rate) => self.rate = rate,
                Advance::Dry => return false,
            }
        }
        self.codec.rate() != 0 && self.level(queue) >= self.depth(queue).max(1)
    }

    // -- loudness --

    /// A frame on the way from the last one to silence.
    fn fade_out(&mut self) -> Frame {
        self.last = self.last.map(|sample| {
            let sample = i32::from(sample);
            (sample - sample / FADE_OUT_PART - sample.signum()) as i16
        });
        self.last
    }

    fn fade_in(&mut self, frame: Frame) -> Frame {
        self.last = frame;
        if self.fading_in > 0 {
            let gain = i32::from(FADE_IN_FRAMES - self.fading_in);
            self.fading_in -= 1;
            self.last =
                frame.map(|sample| (i32::from(sample) * gain / i32::from(FADE_IN_FRAMES)) as i16);
        }
        self.last
    }

    fn apply_volume(&self, block: &mut [Frame]) {
        let volume = i32::from(self.settings.volume.min(FULL_VOLUME));
        if volume < i32::from(FULL_VOLUME) {
            for sample in block.as_flattened_mut() {
                *sample = (i32::from(*sample) * volume / i32::from(FULL_VOLUME)) as i16;
            }
        }
    }
}

impl Codec {
    fn of(stream: &Stream) -> Codec {
        match stream.content {
            #[cfg(feature = "mp3")]
            Content::Mp3 => Codec::Mp3(codec::Mp3::default()),
            #[cfg(not(feature = "mp3"))]
            Content::Mp3 => Codec::None,
            Content::Wav | Content::L16 { .. } | Content::Other => {
                Layout::of(stream).map_or(Codec::None, |layout| Codec::Blocks(Blocks::new(layout)))
            }
        }
    }

    fn rate(&self) -> u32 {
        match self {
            Codec::None => 0,
            Codec::Blocks(blocks) => blocks.layout.rate,
            #[cfg(feature = "mp3")]
            Codec::Mp3(mp3) => mp3.rate,
        }
    }

    /// Times 65,536.
    fn frames_per_byte(&self) -> u32 {
        match self {
            Codec::None => 0,
            Codec::Blocks(blocks) => {
                (blocks.layout.frames_per_block() << 16) / u32::from(blocks.layout.block_bytes)
            }
            #[cfg(feature = "mp3")]
            Codec::Mp3(mp3) => mp3.frames_per_byte,
        }
    }
}

/// The frame that differs least from the next: it may be left out or repeated.
fn smoothest(frames: &[Frame]) -> usize {
    let step = |pair: &[Frame]| {
        let [a, b] = [pair[0], pair[1]];
        (0..2).map(|ear| i32::from(a[ear]).abs_diff(b[ear].into())).sum::<u32>()
    };
    let pairs = frames.windows(2).enumerate();
    pairs.min_by_key(|(_, pair)| step(pair)).map_or(0, |(place, _)| place)
}

/// Whether a stream can be played by this build; what to tell the user if not.
pub fn can_play(stream: &Stream) -> bool {
    !matches!(Codec::of(stream), Codec::None)
}

#[cfg(test)]
mod tests;

//! Music that is made here: a soft, endless tune of chords and broken chords,
//! so that a team can be tried with nothing installed.
//!
//! Every tone is a decaying sine, computed by a recurrence: two
//! multiplications a sample. The tune follows from a fixed seed.

use std::f64::consts::TAU;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::pace::Schedule;
use super::{Origin, Source, SourceInfo, SourceItem};
use crate::media::Format;

/// Sample frames a second.
const RATE: u32 = 48_000;

/// Two channels of 16 bits.
const FRAME_BYTES: usize = 4;

/// Sample frames of a piece: 20 ms.
const PIECE_FRAMES: usize = 960;

/// Pieces of a step of the tune: 0.3 s.
const STEP_PIECES: u64 = 15;

/// Steps of a bar; a bar has one chord.
const BAR_STEPS: u64 = 16;

/// Bars until the tune moves to another key.
const KEY_BARS: u64 = 8;

/// A tone quieter than this is over.
const SILENCE: f64 = 1e-4;

/// Tones that sound at once; a further one is left out.
const MAX_TONES: usize = 48;

const SEED: u64 = 0x7032_7073_7021;

/// Chords as semitones above the key: bass, then four tones.
const CHORDS: [[i32; 5]; 6] = [
    [-12, 0, 4, 7, 11],
    [-15, -3, 0, 4, 7],
    [-19, -7, 0, 4, 9],
    [-17, -5, 2, 7, 11],
    [-10, 2, 5, 9, 12],
    [-20, -8, 4, 7, 11],
];

/// Keys as semitones above middle C.
const KEYS: [i32; 4] = [0, -3, 2, -5];

/// How a tone sounds.
#[derive(Debug, Clone, Copy)]
struct Timbre {
    level: f64,
    attack_s: f64,
    decay_s: f64,
}

const PLUCK: Timbre = Timbre { level: 0.10, attack_s: 0.008, decay_s: 0.5 };
const SPARKLE: Timbre = Timbre { level: 0.025, attack_s: 0.006, decay_s: 0.2 };
const PAD: Timbre = Timbre { level: 0.05, attack_s: 0.9, decay_s: 1.8 };
const BASS: Timbre = Timbre { level: 0.09, attack_s: 0.03, decay_s: 1.2 };

/// The tune as a stream in real time.
#[derive(Debug)]
pub(super) struct Music {
    schedule: Schedule,
    synth: Synth,
    piece: u64,
}

/// Starts the tune.
pub(super) fn open() -> Source {
    let info = SourceInfo {
        content_type: Format::Wav.content_type().to_owned(),
        format: Format::Wav,
        name: Some("P2PSP music".to_owned()),
        rate_bytes_per_s: Some(f64::from(RATE) * FRAME_BYTES as f64),
    };
    let music = Music { schedule: Schedule::default(), synth: Synth::new(SEED), piece: 0 };
    let origin = Origin::Music(Box::new(music));
    Source::new(info, header().to_vec(), false, origin)
}

impl Music {
    /// The next 20 ms when they are due; the first with the header.
    pub(super) async fn next(&mut self) -> SourceItem {
        let micros = self.piece.saturating_mul(PIECE_FRAMES as u64 * 1_000_000 / u64::from(RATE));
        sleep_until(self.schedule.due(Instant::now(), micros)).await;
        let mut bytes = BytesMut::with_capacity(PIECE_FRAMES * FRAME_BYTES + 64);
        if self.piece == 0 {
            bytes.extend_from_slice(&header());
        }
        self.piece += 1;
        bytes.extend_from_slice(&self.synth.piece());
        SourceItem::Data(bytes.freeze())
    }
}

/// A WAV header of a stream without end.
fn header() -> [u8; 44] {
    let mut header = *b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0........\x04\0\x10\0data\xff\xff\xff\xff";
    header[24..28].copy_from_slice(&RATE.to_le_bytes());
    header[28..32].copy_from_slice(&(RATE * FRAME_BYTES as u32).to_le_bytes());
    header
}

/// Writes the tune and plays it.
#[derive(Debug)]
struct Synth {
    chance: u64,
    pieces: u64,
    key: i32,
    chord: [i32; 5],
    /// Where the broken chord is.
    position: usize,
    tones: Vec<Tone>,
}

/// A decaying sine, y(n) = level · decay^n · sin(n·w), by
/// y(n) = 2·decay·cos(w)·y(n-1) - decay²·y(n-2).
#[derive(Debug)]
struct Tone {
    latest: f64,
    before: f64,
    factor: f64,
    decay_squared: f64,
    rise: f64,
    rise_step: f64,
    left: f64,
    right: f64,
    frames_left: usize,
}

impl Synth {
    fn new(seed: u64) -> Synth {
        Synth {
            chance: seed | 1,
            pieces: 0,
            key: KEYS[0],
            chord: CHORDS[0],
            position: 1,
            tones: Vec::with_capacity(MAX_TONES),
        }
    }

    /// The next 20 ms as little-endian samples.
    fn piece(&mut self) -> Bytes {
        if self.pieces.is_multiple_of(STEP_PIECES) {
            self.step(self.pieces / STEP_PIECES);
        }
        self.pieces += 1;
        let mut mix = [[0.0; 2]; PIECE_FRAMES];
        for tone in &mut self.tones {
            tone.add_to(&mut mix);
        }
        self.tones.retain(|tone| tone.frames_left > 0);
        let mut bytes = BytesMut::with_capacity(PIECE_FRAMES * FRAME_BYTES);
        for sample in mix.as_flattened() {
            bytes.put_i16_le((sample.clamp(-0.7, 0.7) * 32_767.0) as i16);
        }
        bytes.freeze()
    }

    /// Begins the tones of a step of the tune.
    fn step(&mut self, step: u64) {
        if step.is_multiple_of(BAR_STEPS * KEY_BARS) && step > 0 {
            self.key = KEYS[self.below(KEYS.len())];
        }
        if step.is_multiple_of(BAR_STEPS) {
            if step > 0 {
                self.chord = CHORDS[self.below(CHORDS.len())];
            }
            let [bass, tones @ ..] = self.chord;
            self.begin(bass, BASS, 0.0);
            for (tone, pan) in tones.into_iter().zip([-0.6, 0.6, -0.2]) {
                self.begin(tone, PAD, pan);
            }
        }
        // The broken chord wanders over two octaves, and rests at times.
        let reach = 8;
        let stride = 1 + self.below(3);
        self.position = (self.position + stride) % reach;
        let weak = step % 2 == 1;
        if weak && self.below(4) == 0 {
            return;
        }
        let octave = 12 * (self.position / 4) as i32;
        let semitone = self.chord[1 + self.position % 4] + octave;
        let pan = self.position as f64 / reach as f64 - 0.5;
        self.begin(semitone, PLUCK, pan);
        self.begin(semitone + 12, SPARKLE, -pan);
    }

    /// A tone `semitone` above the key; `pan` from -1 (left) to 1.
    fn begin(&mut self, semitone: i32, timbre: Timbre, pan: f64) {
        if self.tones.len() < MAX_TONES {
            let above_a = f64::from(self.key + semitone - 9);
            let hertz = 440.0 * (above_a / 12.0).exp2();
            self.tones.push(Tone::new(hertz, timbre, pan));
        }
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 33) as usize % end
    }
}

impl Tone {
    fn new(hertz: f64, timbre: Timbre, pan: f64) -> Tone {
        let rate = f64::from(RATE);
        let angle = TAU * hertz / rate;
        let decay = (-1.0 / (timbre.decay_s * rate)).exp();
        let seconds = timbre.decay_s * (timbre.level / SILENCE).ln();
        Tone {
            latest: 0.0,
            before: -timbre.level * angle.sin() / decay,
            factor: 2.0 * decay * angle.cos(),
            decay_squared: decay * decay,
            rise: 0.0,
            rise_step: 1.0 / (timbre.attack_s * rate),
            left: (1.0 - pan).min(1.0),
            right: (1.0 + pan).min(1.0),
            frames_left: (seconds * rate) as usize,
        }
    }

    fn add_to(&mut self, mix: &mut [[f64; 2]]) {
        for frame in mix.iter_mut().take(self.frames_left) {
            let sample = self.latest * self.rise;
            frame[0] += sample * self.left;
            frame[1] += sample * self.right;
            let next = self.factor * self.latest - self.decay_squared * self.before;
            self.before = self.latest;
            self.latest = next;
            self.rise = (self.rise + self.rise_step).min(1.0);
        }
        self.frames_left = self.frames_left.saturating_sub(mix.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Scanner, wav_block_bytes};

    fn samples(seed: u64, pieces: usize) -> Vec<i16> {
        let mut synth = Synth::new(seed);
        let bytes: Vec<u8> = (0..pieces).flat_map(|_| synth.piece()).collect();
        bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
    }

    #[test]
    fn the_tune_is_soft_without_clicks_and_always_the_same() {
        // Half a minute.
        let tune = samples(SEED, 1500);
        let peak = tune.iter().map(|s| s.unsigned_abs()).max().expect("sound");
        assert!((3000..22_900).contains(&peak), "{peak}");
        // The steepest that sines of this level can be.
        let step = |channel: usize| {
            let left = tune[channel..].iter().step_by(2);
            let right = tune[channel + 2..].iter().step_by(2);
            left.zip(right).map(|(a, b)| a.abs_diff(*b)).max()
        };
        assert!(step(0) < Some(1500) && step(1) < Some(1500), "{:?}", step(0));
        // Never silent for a second after the first.
        for second in tune.chunks_exact(2 * RATE as usize).skip(1) {
            assert!(second.iter().any(|sample| sample.unsigned_abs() > 500));
        }
        let again = samples(SEED, 200);
        assert!(tune[..again.len()] == again);
        assert!(samples(7, 200) != again);
    }

    #[test]
    fn the_number_of_tones_is_bounded() {
        let mut synth = Synth::new(SEED);
        for _ in 0..3000 {
            synth.piece();
            assert!(synth.tones.len() < MAX_TONES, "none is left out");
        }
    }

    #[test]
    fn the_header_says_what_follows() {
        let mut scanner = Scanner::new(Format::Wav);
        scanner.push(&header());
        assert!(scanner.header_complete());
        assert_eq!(scanner.header(), header());
        assert_eq!(wav_block_bytes(&header()), Some(FRAME_BYTES));
    }
}

//! The clocks of the splitter's source and of the DAC drift apart. What waits
//! to be played is kept at its depth: when it has strayed by more than a
//! quarter, single frames are dropped or repeated until it is back.

/// Blocks for each of which the mean level follows by this part.
const SMOOTHING: i64 = 256;

/// One correction in so many blocks: 0.1 % of the frames, far more than
/// crystals are wrong by, and far less than one hears.
const BLOCKS_PER_CORRECTION: u8 = 4;

/// What to do with the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Play it as it is.
    None,
    /// Leave out one frame.
    Drop,
    /// Play one frame twice.
    Repeat,
}

/// Watches the level.
#[derive(Debug)]
pub struct Drift {
    /// Frames that should wait.
    depth: i64,
    /// How far from it is far.
    band: i64,
    /// Mean level, times [`SMOOTHING`].
    mean: i64,
    correcting: Correction,
    countdown: u8,
}

impl Drift {
    /// Nothing is known yet; `depth` frames are to wait, of which `step` come
    /// or go at a time.
    pub const fn new(depth: u32, step: u32) -> Drift {
        let depth = depth as i64;
        Drift {
            depth,
            band: depth / 4 + step as i64,
            mean: depth * SMOOTHING,
            correcting: Correction::None,
            countdown: 0,
        }
    }

    /// Before each block: `level` frames wait now.
    pub fn observe(&mut self, level: u32) -> Correction {
        self.mean += i64::from(level) - self.mean / SMOOTHING;
        let error = self.mean / SMOOTHING - self.depth;
        self.correcting = match self.correcting {
            Correction::Drop if error > 0 => Correction::Drop,
            Correction::Repeat if error < 0 => Correction::Repeat,
            _ if error > self.band => Correction::Drop,
            _ if error < -self.band => Correction::Repeat,
            _ => Correction::None,
        };
        self.countdown = self.countdown.saturating_sub(1);
        if self.correcting == Correction::None || self.countdown > 0 {
            return Correction::None;
        }
        self.countdown = BLOCKS_PER_CORRECTION;
        self.correcting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dac::BLOCK_FRAMES;

    /// Plays an hour at 48 kHz while the source is faster by `ppm`, in steps
    /// of a chunk; lowest level, highest level, frames dropped and repeated.
    fn hour(ppm: i64, depth: u32, chunk: u32) -> (i64, i64, u32, u32) {
        let mut drift = Drift::new(depth, chunk);
        let mut level = i64::from(depth);
        let (mut due, mut dropped, mut repeated) = (0_i64, 0, 0);
        let (mut lowest, mut highest) = (level, level);
        for _ in 0..48_000 * 3600 / BLOCK_FRAMES {
            due += BLOCK_FRAMES as i64 * (1_000_000 + ppm);
            while due >= i64::from(chunk) * 1_000_000 {
                due -= i64::from(chunk) * 1_000_000;
                level += i64::from(chunk);
            }
            let taken = match drift.observe(level.max(0) as u32) {
                Correction::None => BLOCK_FRAMES,
                Correction::Drop => {
                    dropped += 1;
                    BLOCK_FRAMES + 1
                }
                Correction::Repeat => {
                    repeated += 1;
                    BLOCK_FRAMES - 1
                }
            };
            level -= taken as i64;
            (lowest, highest) = (lowest.min(level), highest.max(level));
        }
        (lowest, highest, dropped, repeated)
    }

    #[test]
    fn an_hour_without_drift_is_left_alone() {
        for chunk in [256, 3072] {
            let (lowest, highest, dropped, repeated) = hour(0, 9_600, chunk);
            assert_eq!((dropped, repeated), (0, 0));
            assert!(lowest > 6_000 && highest < 13_000, "{lowest} {highest}");
        }
    }

    #[test]
    fn an_hour_of_drift_is_followed_with_single_frames() {
        // 200 ppm of an hour at 48 kHz, less what the band lets stand.
        let drifted = 48_000 * 3600 / 5_000;
        for (depth, chunk) in [(9_600, 256), (9_600, 3072), (4_800, 1024)] {
            let (lowest, highest, dropped, repeated) = hour(200, depth, chunk);
            assert!(lowest > 0 && highest < 2 * i64::from(depth), "{lowest} {highest}");
            assert_eq!(repeated, 0);
            assert!((drifted - 6_000..=drifted + 100).contains(&dropped), "{dropped} of {drifted}");
            let (lowest, highest, dropped, repeated) = hour(-200, depth, chunk);
            assert!(lowest > 0 && highest < 2 * i64::from(depth), "{lowest} {highest}");
            assert_eq!(dropped, 0);
            assert!((drifted - 6_000..=drifted + 100).contains(&repeated), "{repeated}");
        }
    }
}

//! Media time from what formats carry: counts of samples, or time stamps that
//! start anywhere, jump and wrap.

/// A step of the time stamps beyond this is a splice, not elapsed time.
const MAX_STEP_US: i64 = 10_000_000;

/// A step back within this is reordering (video frames are sent in decoding
/// order, streams are interleaved), not a splice.
const MAX_REORDER_US: i64 = 5_000_000;

/// Adds up samples without rounding errors that grow.
#[derive(Debug, Default)]
pub(super) struct SampleClock {
    base_us: u64,
    samples: u64,
    rate: u32,
}

impl SampleClock {
    /// Media time so far, in microseconds.
    pub(super) fn micros(&self) -> u64 {
        self.base_us.saturating_add(micros(self.samples, self.rate))
    }

    /// `samples` more at `rate` samples a second; rate 0 adds nothing.
    pub(super) fn add(&mut self, samples: u64, rate: u32) {
        if rate != self.rate {
            self.base_us = self.micros();
            self.samples = 0;
            self.rate = rate;
        }
        self.samples = self.samples.saturating_add(samples);
    }
}

/// Turns time stamps into time elapsed.
#[derive(Debug, Default)]
pub(super) struct StampClock {
    latest_us: Option<i64>,
    elapsed_us: u64,
}

impl StampClock {
    /// Time elapsed at the stamp `at_us`; `None` for a stamp out of order.
    /// The first stamp, and the first after a splice, elapses nothing.
    pub(super) fn at(&mut self, at_us: i64) -> Option<u64> {
        match self.latest_us.map(|latest| at_us.saturating_sub(latest)) {
            Some(step @ 0..=MAX_STEP_US) => {
                self.elapsed_us = self.elapsed_us.saturating_add(step.unsigned_abs());
            }
            Some(step) if (-MAX_REORDER_US..0).contains(&step) => return None,
            _ => {}
        }
        self.latest_us = Some(at_us);
        Some(self.elapsed_us)
    }

    /// The next stamp starts anew; what has elapsed stays.
    pub(super) fn splice(&mut self) {
        self.latest_us = None;
    }

    /// The next stamp is counted from `at_us`. Returns the time elapsed.
    pub(super) fn splice_at(&mut self, at_us: i64) -> u64 {
        self.latest_us = Some(at_us);
        self.elapsed_us
    }
}

/// `samples` at `rate` a second in microseconds; 0 for rate 0.
pub(super) fn micros(samples: u64, rate: u32) -> u64 {
    if rate == 0 {
        return 0;
    }
    let micros = u128::from(samples) * 1_000_000 / u128::from(rate);
    u64::try_from(micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_do_not_drift() {
        let mut clock = SampleClock::default();
        for _ in 0..44_100 {
            clock.add(1152, 44_100);
        }
        assert_eq!(clock.micros(), 1_152_000_000);
        clock.add(48_000, 48_000);
        assert_eq!(clock.micros(), 1_153_000_000);
        clock.add(7, 0);
        assert_eq!(clock.micros(), 1_153_000_000);
    }

    #[test]
    fn stamps_start_anywhere_reorder_and_splice() {
        let mut clock = StampClock::default();
        let cases = [
            (90_000_000, Some(0)),
            (90_040_000, Some(40_000)),
            (90_020_000, None),
            (90_080_000, Some(80_000)),
            (500_000_000, Some(80_000)),
            (500_040_000, Some(120_000)),
            (0, Some(120_000)),
            (i64::MAX, Some(120_000)),
            (i64::MIN, Some(120_000)),
        ];
        for (stamp, expected) in cases {
            assert_eq!(clock.at(stamp), expected, "{stamp}");
        }
    }
}

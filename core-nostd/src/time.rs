//! Time as the core sees it: a number that the driver hands in.

use core::time::Duration;

/// Microseconds since an arbitrary start that the driver chooses.
///
/// Arithmetic saturates: a far deadline is never in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The driver's start of time.
    pub const ZERO: Instant = Instant(0);

    /// `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(micros))
    }
}

/// The earlier of two deadlines; `None` means "no deadline" and never wins.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO.since(late), Duration::ZERO);
    }

    #[test]
    fn no_deadline_never_wins() {
        let one = Instant::from_micros(1);
        assert_eq!(earlier(None, Some(one)), Some(one));
        assert_eq!(earlier(Some(one), None), Some(one));
        assert_eq!(earlier(Some(one), Some(Instant::ZERO)), Some(Instant::ZERO));
        assert_eq!(earlier(None, None), None);
    }
}

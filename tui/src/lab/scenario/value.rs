//! The values that a scenario can hold. What is parsed is legal; what is not
//! says what would be.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Longest time that can be written, in milliseconds.
const MAX_MS: f64 = 600_000.0;
/// Longest virtual time, in seconds.
const MAX_SECONDS: f64 = 1e9;
/// Most datagrams or chunks a second.
const MAX_RATE: f64 = 1e6;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Number<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                u64::try_from(value)
                    .ok()
                    .filter(|number| (MIN..=MAX).contains(number))
                    .map(Whole)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// What a number with a fraction means, and how large it may be.
pub trait Quantity {
    /// What may be written.
    const EXPECTED: &'static str;
    /// Whether this is legal.
    fn allows(value: f64) -> bool;
}

/// A number with or without a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number<Q>(pub f64, PhantomData<Q>);

/// A probability or share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share;

impl Quantity for Share {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn allows(value: f64) -> bool {
        (0.0..=1.0).contains(&value)
    }
}

/// A time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Milliseconds;

impl Quantity for Milliseconds {
    const EXPECTED: &'static str = "a number of milliseconds from 0 to 600000";

    fn allows(value: f64) -> bool {
        (0.0..=MAX_MS).contains(&value)
    }
}

impl Number<Milliseconds> {
    /// The same in microseconds.
    pub fn micros(self) -> u64 {
        (self.0 * 1e3).round() as u64
    }
}

/// So many a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerSecond;

impl Quantity for PerSecond {
    const EXPECTED: &'static str = "a number from 0.001 to 1000000 a second";

    fn allows(value: f64) -> bool {
        (0.001..=MAX_RATE).contains(&value)
    }
}

impl Number<PerSecond> {
    /// From one to the next, in microseconds.
    pub fn interval_us(self) -> u64 {
        (1e6 / self.0).round() as u64
    }
}

/// The length of a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurstLength;

impl Quantity for BurstLength {
    const EXPECTED: &'static str = "a number of datagrams from 1 to 10000";

    fn allows(value: f64) -> bool {
        (1.0..=10_000.0).contains(&value)
    }
}

impl<'de, Q: Quantity> Deserialize<'de> for Number<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fraction<Q>(PhantomData<Q>);
        impl<Q: Quantity> Visitor<'_> for Fraction<Q> {
            type Value = Number<Q>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Q::EXPECTED)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                match Q::allows(value) {
                    true => Ok(Number(value, PhantomData)),
                    false => Err(E::invalid_value(de::Unexpected::Float(value), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_any(Fraction(PhantomData))
    }
}

/// A moment of the run: a chunk number, or a time like `"1.5s"` or `"200ms"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// Just before this chunk is cut.
    Chunk(u32),
    /// So many microseconds after chunk 0.
    Micros(u64),
}

impl Moment {
    /// In microseconds after chunk 0.
    pub fn micros(self, chunk_us: u64) -> u64 {
        match self {
            Moment::Chunk(chunk) => u64::from(chunk) * chunk_us,
            Moment::Micros(micros) => micros,
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct When;
        impl Visitor<'_> for When {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chunk number, or a time like \"1.5s\" or \"200ms\"")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Moment, E> {
                u32::try_from(value)
                    .ok()
                    .filter(|chunk| *chunk <= super::MAX_CHUNKS)
                    .map(Moment::Chunk)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Moment, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                let seconds = match text.strip_suffix("ms") {
                    Some(number) => number.trim().parse::<f64>().map(|ms| ms / 1e3).ok(),
                    None => text.strip_suffix('s').and_then(|number| number.trim().parse().ok()),
                };
                seconds
                    .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
                    .map(|seconds: f64| Moment::Micros((seconds * 1e6).round() as u64))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(When)
    }
}

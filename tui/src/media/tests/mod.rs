//! The scanner as a whole, over streams made here.

mod formats;
mod robustness;
mod streams;

use super::{Format, Mark, Scanner};

/// A reproducible source of chance (xorshift64*).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// All marks of a stream pushed in one piece.
pub(super) fn scan(format: Format, bytes: &[u8]) -> (Scanner, Vec<Mark>) {
    let mut scanner = Scanner::new(format);
    scanner.push(bytes);
    let marks = drain(&mut scanner);
    (scanner, marks)
}

pub(super) fn drain(scanner: &mut Scanner) -> Vec<Mark> {
    std::iter::from_fn(|| scanner.poll_mark()).collect()
}

pub(super) fn starts(marks: &[Mark]) -> Vec<u64> {
    marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Start { offset } => Some(*offset),
            Mark::Time { .. } => None,
        })
        .collect()
}

pub(super) fn times(marks: &[Mark]) -> Vec<(u64, u64)> {
    marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Time { offset, micros } => Some((*offset, *micros)),
            Mark::Start { .. } => None,
        })
        .collect()
}

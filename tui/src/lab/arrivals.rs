//! When the last chunks came to a member.

use p2psp_core::ChunkNumber;

/// Chunks that are kept in mind, the latest ones.
pub const ARRIVALS: usize = 64;

/// From the moment that a chunk was cut to that a member stored it, for the
/// last [`ARRIVALS`] chunk numbers.
#[derive(Debug, Clone)]
pub struct Arrivals([Option<Arrival>; ARRIVALS]);

#[derive(Debug, Clone, Copy)]
struct Arrival {
    chunk: ChunkNumber,
    delay_us: u32,
}

impl Arrivals {
    pub(super) const fn new() -> Arrivals {
        Arrivals([None; ARRIVALS])
    }

    pub(super) fn note(&mut self, chunk: ChunkNumber, delay_us: u64) {
        let delay_us = u32::try_from(delay_us).unwrap_or(u32::MAX);
        self.0[chunk.get() as usize % ARRIVALS] = Some(Arrival { chunk, delay_us });
    }

    /// How long this chunk took, in microseconds; `None` if it has not come or
    /// is too long ago.
    pub fn delay_us(&self, chunk: ChunkNumber) -> Option<u64> {
        let arrival = self.0[chunk.get() as usize % ARRIVALS]?;
        (arrival.chunk == chunk).then_some(arrival.delay_us.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_chunks_take_the_place_of_earlier_ones() {
        let n = ChunkNumber::new;
        let mut arrivals = Arrivals::new();
        arrivals.note(n(3), 40);
        assert_eq!((arrivals.delay_us(n(3)), arrivals.delay_us(n(4))), (Some(40), None));
        arrivals.note(n(3 + ARRIVALS as u32), u64::MAX);
        assert_eq!(arrivals.delay_us(n(3)), None);
        assert_eq!(arrivals.delay_us(n(3 + ARRIVALS as u32)), Some(u32::MAX.into()));
    }
}

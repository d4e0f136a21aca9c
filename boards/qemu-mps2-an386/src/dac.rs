//! The DAC of a machine that has none: a clock, and a file on the host.

use embassy_time::{Duration, Instant, Timer};
use p2psp_firmware::dac::{BLOCK_FRAMES, Dac, Frame, Underrun, UnsupportedRate};

use crate::host::File;

/// Blocks that it holds: as the STM32 boards do, three in a queue and as many
/// in the memory of the DMA. (Those with an RP hold four in all.)
const HELD_BLOCKS: u64 = 6;

/// Plays at the right speed and writes what it plays to a file: frames of two
/// 16-bit samples, least significant byte first.
///
/// When the host lets the emulation stall, blocks come late; it tells so and
/// then takes them faster until it has caught up: the clock that it goes by is
/// the host's, which has not stalled.
pub struct HostDac {
    file: Option<File>,
    rate: u32,
    started: Instant,
    frames: u64,
}

impl HostDac {
    /// Writes to `file`, if there is one.
    pub fn new(file: Option<File>) -> HostDac {
        HostDac { file, rate: 0, started: Instant::from_ticks(0), frames: 0 }
    }

    /// When this frame is played.
    fn time_of(&self, frame: u64) -> Instant {
        self.started + Duration::from_micros(frame * 1_000_000 / u64::from(self.rate))
    }
}

impl Dac for HostDac {
    async fn start(&mut self, rate: u32) -> Result<(), UnsupportedRate> {
        self.rate = rate;
        self.started = Instant::now();
        self.frames = 0;
        Ok(())
    }

    async fn play(&mut self, block: &[Frame]) -> Result<(), Underrun> {
        let late = self.frames > 0 && self.time_of(self.frames) < Instant::now();
        if let Some(file) = &mut self.file {
            // Both samples of a frame are in one piece, on this machine in the
            // order that the file has.
            let samples = block.as_flattened();
            // SAFETY: any samples are bytes, two for each.
            let bytes = unsafe {
                core::slice::from_raw_parts(samples.as_ptr().cast(), size_of_val(samples))
            };
            file.write(bytes);
        }
        self.frames += block.len() as u64;
        let held = (HELD_BLOCKS - 1) * BLOCK_FRAMES as u64;
        Timer::at(self.time_of(self.frames.saturating_sub(held))).await;
        if late { Err(Underrun) } else { Ok(()) }
    }
}

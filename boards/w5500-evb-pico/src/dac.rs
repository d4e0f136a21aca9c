//! An I2S DAC behind a state machine of the PIO and DMA.
//!
//! Blocks go through a channel of two, so that one is made while the other is
//! played; between two the FIFO plays on.

use embassy_rp::pac;
use embassy_rp::peripherals::PIO0;
use embassy_rp::pio_programs::i2s::PioI2sOut;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::zerocopy_channel::{Receiver, Sender};
use p2psp_firmware::dac::{BLOCK_FRAMES, Dac, Frame, Underrun, UnsupportedRate};

/// Clock of the processor and so of the PIO, in Hz.
pub const SYSTEM_HZ: u64 = super::SYSTEM_HZ;
/// Cycles of the state machine for a frame: two for each of 32 bits.
const CYCLES_PER_FRAME: u64 = 64;
/// What the clock may be wrong by, in millionths: a tenth of what the play-out
/// can follow.
const MAX_ERROR_PPM: u64 = 100;
/// Rates that are played.
const RATES: [u32; 6] = [16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// A block as the FIFO takes it: left in the upper half of each word.
pub type Words = [u32; BLOCK_FRAMES];

/// The DAC.
pub struct I2s<'a> {
    /// Blocks on their way.
    pub blocks: Sender<'a, NoopRawMutex, Words>,
    /// Whether anything was played yet.
    pub started: bool,
}

/// The clock divider for a rate, in parts of 256.
const fn divider(rate: u32) -> u64 {
    let cycles = rate as u64 * CYCLES_PER_FRAME;
    (SYSTEM_HZ * 256 + cycles / 2) / cycles
}

/// By how many millionths the divider misses the rate.
const fn error_ppm(rate: u32) -> u64 {
    let exact = SYSTEM_HZ * 256;
    let real = divider(rate) * rate as u64 * CYCLES_PER_FRAME;
    exact.abs_diff(real) * 1_000_000 / exact
}

const _: () = {
    let mut at = 0;
    while at < RATES.len() {
        assert!(error_ppm(RATES[at]) <= MAX_ERROR_PPM, "the I2S clock is too far off");
        at += 1;
    }
};

impl Dac for I2s<'_> {
    async fn start(&mut self, rate: u32) -> Result<(), UnsupportedRate> {
        if !RATES.contains(&rate) {
            return Err(UnsupportedRate(rate));
        }
        pac::PIO0.sm(0).clkdiv().write(|w| w.0 = (divider(rate) as u32) << 8);
        Ok(())
    }

    async fn play(&mut self, block: &[Frame]) -> Result<(), Underrun> {
        // The one before is with the DMA and not among these.
        let late = self.started && self.blocks.is_empty();
        let words = self.blocks.send().await;
        for (word, [left, right]) in words.iter_mut().zip(block) {
            *word = (*left as u16 as u32) << 16 | *right as u16 as u32;
        }
        self.blocks.send_done();
        self.started = true;
        if late { Err(Underrun) } else { Ok(()) }
    }
}

/// Moves blocks to the DAC, for ever.
pub async fn feed(
    mut blocks: Receiver<'_, NoopRawMutex, Words>,
    mut i2s: PioI2sOut<'_, PIO0, 0>,
) -> ! {
    i2s.start();
    loop {
        let words = blocks.receive().await;
        i2s.write(words).await;
        blocks.receive_done();
    }
}

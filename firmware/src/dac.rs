//! What a board has to play sound with.

/// One sample for each ear: left, right.
pub type Frame = [i16; 2];

/// Frames in a block: what is handed to a DAC at a time.
pub const BLOCK_FRAMES: usize = 256;

/// The DAC had nothing to play before this block came. It has played silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Underrun;

/// The DAC can't be clocked at this rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnsupportedRate(pub u32);

/// A digital-to-analogue converter with its clock, mostly an I2S chip behind
/// DMA. It holds at least two blocks, so that one can be made while the other
/// is played.
#[allow(async_fn_in_trait)]
pub trait Dac {
    /// Prepares to play `rate` frames a second, from the next block on.
    ///
    /// # Errors
    ///
    /// [`UnsupportedRate`]; then nothing is played until another rate comes.
    async fn start(&mut self, rate: u32) -> Result<(), UnsupportedRate>;

    /// Hands over a block of [`BLOCK_FRAMES`]; returns when there is room for
    /// the next.
    ///
    /// # Errors
    ///
    /// [`Underrun`] if the block came too late; it is played all the same.
    async fn play(&mut self, block: &[Frame]) -> Result<(), Underrun>;
}

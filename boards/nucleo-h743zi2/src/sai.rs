//! An I2S DAC at the SAI.
//!
//! A task that may interrupt all others keeps the ring of the DMA filled, so
//! that decoding never makes a gap and nothing old is ever heard: when a block
//! is late it fills in silence.

use embassy_stm32::Peri;
use embassy_stm32::peripherals::{PE4, PE5, PE6, SAI1};
use embassy_stm32::sai::{self, BitOrder, Config, DataSize, Sai, SlotSize, word};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use embassy_time::{Duration, with_timeout};
use p2psp_firmware::dac::{BLOCK_FRAMES, Dac, Frame, Underrun, UnsupportedRate};

use crate::{Irqs, SaiDma, clock};

/// Blocks that wait; as many more are in the ring of the DMA.
pub const BLOCKS: usize = 3;

/// Samples in a block: two for each frame.
const BLOCK_SAMPLES: usize = 2 * BLOCK_FRAMES;

/// Of the DMA, in samples.
pub type Ring = [u16; 4 * BLOCK_SAMPLES];

/// Samples, left and right in turn, and at which rate to play them.
pub struct Block {
    rate: u32,
    samples: [u16; BLOCK_SAMPLES],
}

impl Block {
    /// Silence.
    pub const fn new() -> Block {
        Block { rate: 0, samples: [0; BLOCK_SAMPLES] }
    }
}

type Blocks = Channel<'static, CriticalSectionRawMutex, Block>;

/// The end that is given to the sound.
pub struct I2s {
    rate: u32,
    blocks: Sender<'static, CriticalSectionRawMutex, Block>,
}

/// The end that feeds the DMA.
pub struct Feeder {
    sai: Peri<'static, SAI1>,
    dma: Peri<'static, SaiDma>,
    word_clock: Peri<'static, PE4>,
    bit_clock: Peri<'static, PE5>,
    data: Peri<'static, PE6>,
    ring: &'static mut Ring,
    blocks: Receiver<'static, CriticalSectionRawMutex, Block>,
}

/// A block was missing.
static LATE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Both ends.
pub fn new(
    sai: Peri<'static, SAI1>,
    dma: Peri<'static, SaiDma>,
    (word_clock, bit_clock, data): (Peri<'static, PE4>, Peri<'static, PE5>, Peri<'static, PE6>),
    ring: &'static mut Ring,
    blocks: &'static mut Blocks,
) -> (I2s, Feeder) {
    let (sender, receiver) = blocks.split();
    (
        I2s { rate: 0, blocks: sender },
        Feeder { sai, dma, word_clock, bit_clock, data, ring, blocks: receiver },
    )
}

impl Dac for I2s {
    async fn start(&mut self, rate: u32) -> Result<(), UnsupportedRate> {
        self.rate = rate;
        clock::divider(rate).map(|_| ()).ok_or(UnsupportedRate(rate))
    }

    async fn play(&mut self, block: &[Frame]) -> Result<(), Underrun> {
        let next = self.blocks.send().await;
        next.rate = self.rate;
        for (sample, played) in next.samples.iter_mut().zip(block.as_flattened()) {
            *sample = played.cast_unsigned();
        }
        self.blocks.send_done();
        LATE.try_take().map_or(Ok(()), |()| Err(Underrun))
    }
}

impl Feeder {
    /// Plays for ever.
    pub async fn run(mut self) -> ! {
        loop {
            let rate = self.blocks.receive().await.rate;
            self.play(rate).await;
        }
    }

    /// Plays until a block of another rate comes, or the ring has run dry.
    async fn play(&mut self, rate: u32) {
        static SILENCE: [u16; BLOCK_SAMPLES] = [0; BLOCK_SAMPLES];
        let Some(divider) = clock::divider(rate) else {
            self.blocks.receive_done();
            return;
        };
        clock::select(rate);
        self.ring.fill(0);
        let (block_a, _) = sai::split_subblocks(self.sai.reborrow());
        let mut sai = Sai::new_asynchronous(
            block_a,
            self.bit_clock.reborrow(),
            self.data.reborrow(),
            self.word_clock.reborrow(),
            self.dma.reborrow(),
            &mut self.ring[..],
            Irqs,
            config(divider),
        );
        // The ring holds enough for twice this wait.
        let wait = Duration::from_micros(BLOCK_FRAMES as u64 * 1_000_000 / u64::from(rate));
        loop {
            let written = match with_timeout(wait, self.blocks.receive()).await {
                Ok(block) if block.rate != rate => return,
                Ok(block) => {
                    let written = sai.write(&block.samples).await;
                    if written.is_ok() {
                        self.blocks.receive_done();
                    }
                    written
                }
                Err(_) => {
                    LATE.signal(());
                    sai.write(&SILENCE).await
                }
            };
            if written.is_err() {
                LATE.signal(());
                return;
            }
        }
    }
}

/// I2S, 32 bits for each sample of 16.
fn config(divider: sai::MasterClockDivider) -> Config {
    let mut config = Config::default();
    config.bit_order = BitOrder::MsbFirst;
    config.data_size = DataSize::Data16;
    config.slot_size = SlotSize::Channel32;
    config.frame_length = 64;
    config.frame_sync_active_level_length = word::U7(32);
    config.master_clock_divider = divider;
    config.nodiv = clock::WITHOUT_MASTER_CLOCK;
    config
}

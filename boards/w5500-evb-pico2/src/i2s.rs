//! An I2S DAC at a state machine of the PIO.
//!
//! A task that may interrupt all others hands one block after the other to the
//! DMA, so that decoding never makes a gap. The state machine holds 8 frames
//! meanwhile.

use embassy_rp::Peri;
use embassy_rp::dma;
use embassy_rp::peripherals::PIO0;
use embassy_rp::pio::program::pio_asm;
use embassy_rp::pio::{
    Common, Config, Direction, FifoJoin, PioPin, ShiftConfig, ShiftDirection, StateMachine,
};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use fixed::FixedU32;
use fixed::types::extra::U8;
use p2psp_firmware::dac::{BLOCK_FRAMES, Dac, Frame, Underrun, UnsupportedRate};

/// Blocks that are held: one is played, the others wait.
pub const BLOCKS: usize = 4;

/// Cycles of the state machine for each frame: two for each of 64 bits.
const CYCLES_PER_FRAME: u64 = 128;
/// What a rate may be wrong by. The play-out follows twice as much, which
/// leaves the rest to the crystals.
const MAX_ERROR_PPM: u64 = 100;

/// Frames for the state machine, and at which rate to play them.
pub struct Block {
    rate: u32,
    frames: [u32; BLOCK_FRAMES],
}

impl Block {
    /// Silence.
    pub const fn new() -> Block {
        Block { rate: 0, frames: [0; BLOCK_FRAMES] }
    }
}

type Blocks = Channel<'static, CriticalSectionRawMutex, Block>;

/// The end that is given to the sound.
pub struct I2s {
    sys_hz: u32,
    rate: u32,
    blocks: Sender<'static, CriticalSectionRawMutex, Block>,
}

/// The end that feeds the DMA.
pub struct Feeder {
    sys_hz: u32,
    machine: StateMachine<'static, PIO0, 0>,
    dma: dma::Channel<'static>,
    blocks: Receiver<'static, CriticalSectionRawMutex, Block>,
}

/// A block was missing.
static LATE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Sets the state machine up. The pin of the word clock is the one after that
/// of the bit clock.
pub fn new(
    common: &mut Common<'static, PIO0>,
    mut machine: StateMachine<'static, PIO0, 0>,
    dma: dma::Channel<'static>,
    data: Peri<'static, impl PioPin>,
    bit_clock: Peri<'static, impl PioPin>,
    word_clock: Peri<'static, impl PioPin>,
    blocks: &'static mut Blocks,
    sys_hz: u32,
) -> (I2s, Feeder) {
    // Each half of a frame has 32 bits: one of silence, since I2S puts the
    // first bit of a sample behind the edge of the word clock, 16 of the
    // sample, 15 of silence. Side-set: word clock, bit clock.
    let program = pio_asm!(
        ".side_set 2",
        ".wrap_target",
        "    set x, 15        side 0b00",
        "    nop              side 0b01",
        "left:",
        "    out pins, 1      side 0b00",
        "    jmp x-- left     side 0b01",
        "    set pins, 0      side 0b00",
        "    set x, 13        side 0b01",
        "left_rest:",
        "    nop              side 0b00",
        "    jmp x-- left_rest side 0b01",
        "    set x, 15        side 0b10",
        "    nop              side 0b11",
        "right:",
        "    out pins, 1      side 0b10",
        "    jmp x-- right    side 0b11",
        "    set pins, 0      side 0b10",
        "    set x, 13        side 0b11",
        "right_rest:",
        "    nop              side 0b10",
        "    jmp x-- right_rest side 0b11",
        ".wrap",
    );
    let program = common.load_program(&program.program);
    let data = common.make_pio_pin(data);
    let bit_clock = common.make_pio_pin(bit_clock);
    let word_clock = common.make_pio_pin(word_clock);
    let mut config = Config::default();
    config.use_program(&program, &[&bit_clock, &word_clock]);
    config.set_out_pins(&[&data]);
    config.set_set_pins(&[&data]);
    config.shift_out =
        ShiftConfig { threshold: 32, direction: ShiftDirection::Left, auto_fill: true };
    config.fifo_join = FifoJoin::TxOnly;
    config.clock_divider = divider(sys_hz, 48_000);
    machine.set_config(&config);
    machine.set_pin_dirs(Direction::Out, &[&data, &bit_clock, &word_clock]);
    let (sender, receiver) = blocks.split();
    (I2s { sys_hz, rate: 0, blocks: sender }, Feeder { sys_hz, machine, dma, blocks: receiver })
}

impl Dac for I2s {
    async fn start(&mut self, rate: u32) -> Result<(), UnsupportedRate> {
        if !(8_000..=192_000).contains(&rate) || error_ppm(self.sys_hz, rate) > MAX_ERROR_PPM {
            return Err(UnsupportedRate(rate));
        }
        self.rate = rate;
        Ok(())
    }

    async fn play(&mut self, block: &[Frame]) -> Result<(), Underrun> {
        let next = self.blocks.send().await;
        next.rate = self.rate;
        for (word, [left, right]) in next.frames.iter_mut().zip(block) {
            *word = u32::from(left.cast_unsigned()) << 16 | u32::from(right.cast_unsigned());
        }
        self.blocks.send_done();
        LATE.try_take().map_or(Ok(()), |()| Err(Underrun))
    }
}

impl Feeder {
    /// Plays for ever; silence when there is no block.
    pub async fn run(mut self) -> ! {
        static SILENCE: [u32; 32] = [0; 32];
        self.machine.set_enable(true);
        let mut rate = 0;
        loop {
            match self.blocks.try_receive() {
                Some(block) => {
                    if block.rate != rate {
                        rate = block.rate;
                        self.machine.set_clock_divider(divider(self.sys_hz, rate));
                    }
                    self.machine.tx().dma_push(&mut self.dma, &block.frames, false).await;
                    self.blocks.receive_done();
                }
                None => {
                    if rate != 0 {
                        LATE.signal(());
                    }
                    self.machine.tx().dma_push(&mut self.dma, &SILENCE, false).await;
                }
            }
        }
    }
}

// -- clocks --

/// The nearest that the state machine has to the rate.
const fn divider(sys_hz: u32, rate: u32) -> FixedU32<U8> {
    FixedU32::from_bits(divider_bits(sys_hz, rate) as u32)
}

const fn divider_bits(sys_hz: u32, rate: u32) -> u64 {
    let cycles = rate as u64 * CYCLES_PER_FRAME;
    ((sys_hz as u64 * 256) + cycles / 2) / cycles
}

/// How far the rate that comes out is from the one asked for.
pub const fn error_ppm(sys_hz: u32, rate: u32) -> u64 {
    let got = sys_hz as u64 * 256 * 1_000_000 / (divider_bits(sys_hz, rate) * CYCLES_PER_FRAME);
    (got.abs_diff(rate as u64 * 1_000_000)) / rate as u64
}

/// For a board's assertion: whether all usual rates can be clocked.
pub const fn has_usual_rates(sys_hz: u32) -> bool {
    let rates = [48_000, 44_100, 32_000, 24_000, 22_050, 16_000];
    let mut at = 0;
    while at < rates.len() {
        if error_ppm(sys_hz, rates[at]) > MAX_ERROR_PPM {
            return false;
        }
        at += 1;
    }
    true
}

//! The P2PSP radio on the WIZnet W5500-EVB-Pico. Wiring: README.md.
#![no_std]
#![no_main]

mod dac;

use core::net::{Ipv4Addr, SocketAddr};

use defmt_rtt as _;
use embassy_executor::{Spawner, task};
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::clocks::RoscRng;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, DMA_CH2, PIO0, SPI0};
use embassy_rp::pio::Pio;
use embassy_rp::pio_programs::i2s::{PioI2sOut, PioI2sOutProgram};
use embassy_rp::spi::{Async, Config as SpiConfig, Spi};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, dma, pio};
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_time::{Delay, Duration};
use embedded_hal_bus::spi::ExclusiveDevice;
use p2psp_core::Lan;
use p2psp_firmware::audio::{self, FULL_VOLUME, Playback};
use p2psp_firmware::member::{self, Buffers, Leave};
use p2psp_firmware::memory::{Payload, Tables};
use p2psp_firmware::queue::Queue;
use p2psp_firmware::sound;
use p2psp_firmware::status::Status;
use panic_probe as _;
use static_cell::{ConstStaticCell, StaticCell};

use dac::{I2s, Words};

// -- what you may want to change --

/// Where the splitter is.
const SPLITTER: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 168, 1, 10)), 8001);
/// The address of the Ethernet interface: unique in your network.
const MAC: [u8; 6] = [0x02, 0x50, 0x32, 0x50, 0x53, 0x01];
const SOUND: audio::Settings = audio::Settings { depth_ms: 500, volume: FULL_VOLUME };

// -- memory --

/// Clock of the processor after reset, in Hz.
const SYSTEM_HZ: u64 = 125_000_000;
/// Slots of the buffer: 1.5 s at 128 kbit/s.
const SLOTS: usize = 48;

static TABLES: ConstStaticCell<Tables<1, SLOTS>> = ConstStaticCell::new(Tables::new());
static PAYLOAD: ConstStaticCell<Payload<SLOTS, 1024>> = ConstStaticCell::new(Payload::new());
static QUEUE_BYTES: ConstStaticCell<[u8; 8192]> = ConstStaticCell::new([0; 8192]);
static BUFFERS: ConstStaticCell<Buffers<5120, 2560>> = ConstStaticCell::new(Buffers::new());
static RESOURCES: ConstStaticCell<StackResources<5>> = ConstStaticCell::new(StackResources::new());
static SOUND_MEMORY: ConstStaticCell<audio::Memory> = ConstStaticCell::new(audio::Memory::new());
static WORDS: ConstStaticCell<[Words; 2]> = ConstStaticCell::new([[0; 256]; 2]);
static DEVICE: StaticCell<State<4, 4>> = StaticCell::new();
static BLOCKS: StaticCell<Channel<'static, NoopRawMutex, Words>> = StaticCell::new();
static CHUNKS: StaticCell<Queue> = StaticCell::new();
static STATUS: Status = Status::new();
static LEAVE: Leave = Leave::new();

bind_interrupts!(struct Irqs {
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>,
        dma::InterruptHandler<DMA_CH2>;
});

// -- tasks --

type Chip = embassy_net_wiznet::Runner<
    'static,
    W5500,
    ExclusiveDevice<Spi<'static, SPI0, Async>, Output<'static>, Delay>,
    Input<'static>,
    Output<'static>,
>;

#[task]
async fn ethernet(chip: Chip) -> ! {
    chip.run().await
}

#[task]
async fn network(mut runner: Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

#[task]
async fn team(stack: Stack<'static>, queue: &'static Queue) {
    let peer = TABLES.take().peer(PAYLOAD.take());
    let settings =
        member::Settings { splitter: SPLITTER, port: 4552, group: Some(Lan::DEFAULT_GROUP) };
    let buffers = BUFFERS.take().slices();
    member::run(stack, settings, peer, buffers, queue, &STATUS, &LEAVE).await;
}

#[task]
async fn play(queue: &'static Queue, blocks: Sender<'static, NoopRawMutex, Words>) -> ! {
    let mut playback = Playback::new(SOUND_MEMORY.take(), SOUND);
    sound::run(&mut playback, queue, &STATUS, &mut I2s { blocks, started: false }).await
}

#[task]
async fn feed(
    blocks: Receiver<'static, NoopRawMutex, Words>,
    i2s: PioI2sOut<'static, PIO0, 0>,
) -> ! {
    dac::feed(blocks, i2s).await
}

#[task]
async fn report() -> ! {
    STATUS.report().await
}

#[task]
async fn light(mut led: Output<'static>) -> ! {
    STATUS.show(|lit| led.set_level(if lit { Level::High } else { Level::Low })).await
}

#[task]
async fn guard(mut watchdog: Watchdog) -> ! {
    watchdog.start(Duration::from_secs(8));
    STATUS.guard(|| watchdog.feed(Duration::from_secs(8))).await
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(Default::default());

    // The W5500 is wired on the board.
    let mut config = SpiConfig::default();
    config.frequency = 33_000_000;
    let (miso, mosi, clock) = (p.PIN_16, p.PIN_19, p.PIN_18);
    let select = Output::new(p.PIN_17, Level::High);
    let interrupt = Input::new(p.PIN_21, Pull::Up);
    let reset = Output::new(p.PIN_20, Level::High);
    // The DAC is yours: see README.md.
    let (data, bit_clock, word_clock) = (p.PIN_11, p.PIN_9, p.PIN_10);
    let led = Output::new(p.PIN_25, Level::Low);

    let spi = Spi::new(p.SPI0, clock, mosi, miso, p.DMA_CH0, p.DMA_CH1, Irqs, config);
    let Ok(spi) = ExclusiveDevice::new(spi, select, Delay);
    let state = DEVICE.init(State::new());
    let chip = embassy_net_wiznet::new(MAC, state, spi, interrupt, reset).await;
    let (device, chip) = defmt::unwrap!(chip.map_err(|_| ()), "the W5500 does not answer");
    let seed = RoscRng.next_u64();
    let config = Config::dhcpv4(Default::default());
    let (stack, runner) = embassy_net::new(device, config, RESOURCES.take(), seed);

    let Pio { mut common, sm0, .. } = Pio::new(p.PIO0, Irqs);
    let program = PioI2sOutProgram::new(&mut common);
    let i2s = PioI2sOut::new(
        &mut common, sm0, p.DMA_CH2, Irqs, data, bit_clock, word_clock, 48_000, 16, &program,
    );
    let (sender, receiver) = BLOCKS.init(Channel::new(WORDS.take())).split();
    let queue: &'static Queue = CHUNKS.init(Queue::new(QUEUE_BYTES.take()));

    spawner.spawn(defmt::unwrap!(ethernet(chip)));
    spawner.spawn(defmt::unwrap!(network(runner)));
    spawner.spawn(defmt::unwrap!(team(stack, queue)));
    spawner.spawn(defmt::unwrap!(play(queue, sender)));
    spawner.spawn(defmt::unwrap!(feed(receiver, i2s)));
    spawner.spawn(defmt::unwrap!(report()));
    spawner.spawn(defmt::unwrap!(light(led)));
    spawner.spawn(defmt::unwrap!(guard(Watchdog::new(p.WATCHDOG))));
}

//! The P2PSP player on a WIZnet W5500-EVB-Pico2 with an I2S DAC.
#![no_std]
#![no_main]

mod i2s;

use defmt_rtt as _;
use panic_probe as _;

use embassy_embedded_hal::shared_bus::asynch::spi::SpiDevice;
use embassy_executor::{InterruptExecutor, Spawner, main, task};
use embassy_net_wiznet as wiznet;
use embassy_net_wiznet::chip::W5500;
use embassy_rp::clocks::{RoscRng, clk_sys_freq};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::interrupt::{InterruptExt, Priority, SWI_IRQ_1};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, DMA_CH2, PIO0, SPI0};
use embassy_rp::pio::{self, Pio};
use embassy_rp::spi::{self, Async, Spi};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, dma, interrupt, otp};
use embassy_sync::blocking_mutex::raw::{CriticalSectionRawMutex, NoopRawMutex};
use embassy_sync::mutex::Mutex;
use embassy_sync::zerocopy_channel::Channel;
use embassy_time::Duration;
use p2psp_firmware::audio::{self, FULL_VOLUME};
use p2psp_firmware::member::{self, Leave};
use p2psp_firmware::memory::Tables;
use p2psp_firmware::player::{Network, Parts, Room, Speaker};
use p2psp_firmware::settings::{self, Splitter};
use static_cell::{ConstStaticCell, StaticCell};

use i2s::{BLOCKS, Block, Feeder, I2s};

// -- choices --

/// Where the splitter is: `IP[:PORT]`, a station's name, or nothing for any.
const SPLITTER: Option<&str> = option_env!("P2PSP_SPLITTER");
/// The board's address: `IP/BITS[,GATEWAY]`, or nothing for DHCP.
const ADDRESS: Option<&str> = option_env!("P2PSP_ADDRESS");
const SOUND: audio::Settings = audio::Settings { depth_ms: 300, volume: FULL_VOLUME };
/// Slots of the buffer, a chunk each: 2 s need 64 at 128 kbit/s, 192 at 384.
const SLOTS: usize = 192;
/// Room for 32 members of a team each: a splitter's 128 and the LAN's group.
const WORDS: usize = 5;
const WATCHDOG: Duration = Duration::from_secs(8);

// -- clocks --

/// The PLL's 12 MHz x 125 / 5 / 2.
const SYS_HZ: u32 = 150_000_000;
const _: () = assert!(i2s::error_ppm(SYS_HZ, 48_000) == 0);
const _: () = assert!(i2s::error_ppm(SYS_HZ, 44_100) <= 41);
const _: () = assert!(i2s::has_usual_rates(SYS_HZ));

// -- memory --

static TABLES: ConstStaticCell<Tables<WORDS, SLOTS>> = ConstStaticCell::new(Tables::new());
/// 32 KiB before the DAC; 8 KiB that wait to be read, from the team and from the
/// group each, and 4 KiB to be sent.
static ROOM: ConstStaticCell<Room<SLOTS, 1024, { 32 * 1024 }, 8192, 4096>> =
    ConstStaticCell::new(Room::new());
static FRAMES: ConstStaticCell<wiznet::State<6, 4>> = ConstStaticCell::new(wiznet::State::new());
static DAC_BLOCKS: ConstStaticCell<[Block; BLOCKS]> =
    ConstStaticCell::new([const { Block::new() }; BLOCKS]);

static DAC_QUEUE: StaticCell<Channel<'static, CriticalSectionRawMutex, Block>> = StaticCell::new();
static SPI: StaticCell<SharedSpi> = StaticCell::new();
static URGENT: InterruptExecutor = InterruptExecutor::new();

bind_interrupts!(struct Irqs {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>,
        dma::InterruptHandler<DMA_CH2>;
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
});

type SharedSpi = Mutex<NoopRawMutex, Spi<'static, SPI0, Async>>;
type Bus = SpiDevice<'static, NoopRawMutex, Spi<'static, SPI0, Async>, Output<'static>>;
type Device = wiznet::Device<'static>;
type Chip = wiznet::Runner<'static, W5500, Bus, Input<'static>, Output<'static>>;

// -- tasks --

#[task]
async fn ethernet(chip: Chip) -> ! {
    chip.run().await
}

#[task]
async fn run_network(network: Network<Device>) -> ! {
    network.run().await
}

#[task]
async fn speak(speaker: Speaker, dac: I2s) -> ! {
    speaker.run(SOUND, dac).await
}

#[task]
async fn feed(feeder: Feeder) -> ! {
    feeder.run().await
}

#[interrupt]
unsafe fn SWI_IRQ_1() {
    // SAFETY: the handler of the interrupt with which it is started.
    unsafe { URGENT.on_interrupt() }
}

#[main]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(Default::default());
    let mut led = Output::new(p.PIN_25, Level::Low);
    let (i2s_data, i2s_bit_clock, i2s_word_clock) = (p.PIN_9, p.PIN_10, p.PIN_11);
    let (w5500_miso, w5500_mosi, w5500_clock) = (p.PIN_16, p.PIN_19, p.PIN_18);
    let w5500_select = Output::new(p.PIN_17, Level::High);
    let w5500_reset = Output::new(p.PIN_20, Level::High);
    let w5500_interrupt = Input::new(p.PIN_21, Pull::Up);

    let Some(splitter) = Splitter::parse(SPLITTER.unwrap_or("")) else {
        defmt::panic!("P2PSP_SPLITTER is no IP[:PORT] and no name: {}", SPLITTER);
    };
    let Some(address) = settings::network(ADDRESS.unwrap_or("")) else {
        defmt::panic!("P2PSP_ADDRESS is no IP/BITS[,GATEWAY]: {}", ADDRESS);
    };
    defmt::assert_eq!(clk_sys_freq(), SYS_HZ);
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    watchdog.start(WATCHDOG);

    let mut pio = Pio::new(p.PIO0, Irqs);
    let (dac, feeder) = i2s::new(
        &mut pio.common,
        pio.sm0,
        dma::Channel::new(p.DMA_CH2, Irqs),
        i2s_data,
        i2s_bit_clock,
        i2s_word_clock,
        DAC_QUEUE.init(Channel::new(DAC_BLOCKS.take())),
        SYS_HZ,
    );
    SWI_IRQ_1.set_priority(Priority::P2);
    URGENT.start(SWI_IRQ_1).spawn(feed(feeder).unwrap());

    let mut config = spi::Config::default();
    config.frequency = 33_000_000;
    let (clock, mosi, miso) = (w5500_clock, w5500_mosi, w5500_miso);
    let spi = Spi::new(p.SPI0, clock, mosi, miso, p.DMA_CH0, p.DMA_CH1, Irqs, config);
    let bus = SpiDevice::new(SPI.init(Mutex::new(spi)), w5500_select);
    let chip = wiznet::new(mac(), FRAMES.take(), bus, w5500_interrupt, w5500_reset).await;
    let (device, chip) = chip.unwrap_or_else(|error| defmt::panic!("no W5500: {}", error));
    spawner.spawn(ethernet(chip).unwrap());

    let (network, receiver, speaker) = ROOM.take().split(device, address, RoscRng.next_u64());
    spawner.spawn(run_network(network).unwrap());
    spawner.spawn(speak(speaker, dac).unwrap());
    let parts = Parts {
        light: |lit: bool| led.set_level(lit.into()),
        feed: || watchdog.feed(WATCHDOG),
        team: member::Settings::new(splitter),
        // Nobody asks this board to leave.
        leave: &Leave::new(),
    };
    receiver.run(TABLES.take(), parts).await;
}

/// A locally administered address, made from the chip's number.
fn mac() -> [u8; 6] {
    let [a, b, c, d, e, ..] = otp::get_chipid().unwrap_or(1).to_le_bytes();
    [0x02, a, b, c, d, e]
}

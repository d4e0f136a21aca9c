//! The P2PSP player on an ST Nucleo-H743ZI2 with an I2S DAC.
#![no_std]
#![no_main]

mod clock;
mod sai;

use defmt_rtt as _;
use panic_probe as _;

use embassy_executor::{InterruptExecutor, Spawner, main, task};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::interrupt::{InterruptExt, Priority, UART4};
use embassy_stm32::peripherals::{DMA1_CH0, ETH, ETH_SMA, RNG};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{bind_interrupts, dma, interrupt, uid};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::Channel;
use p2psp_firmware::audio::{self, FULL_VOLUME};
use p2psp_firmware::member::{self, Leave};
use p2psp_firmware::memory::Tables;
use p2psp_firmware::player::{Network, Parts, Room, Speaker};
use p2psp_firmware::settings::{self, Splitter};
use static_cell::{ConstStaticCell, StaticCell};

use sai::{BLOCKS, Block, Feeder, I2s, Ring};

// -- choices --

/// Where the splitter is: `IP[:PORT]`, a station's name, or nothing for any.
const SPLITTER: Option<&str> = option_env!("P2PSP_SPLITTER");
/// The board's address: `IP/BITS[,GATEWAY]`, or nothing for DHCP.
const ADDRESS: Option<&str> = option_env!("P2PSP_ADDRESS");
const SOUND: audio::Settings = audio::Settings { depth_ms: 300, volume: FULL_VOLUME };
/// Slots of the buffer, a chunk each: 2 s need 64 at 128 kbit/s, 192 at 384.
const SLOTS: usize = 224;
/// Room for 32 members of a team each: a splitter's 128 and the LAN's group.
const WORDS: usize = 5;
const WATCHDOG_US: u32 = 8_000_000;

// -- memory --

static TABLES: ConstStaticCell<Tables<WORDS, SLOTS>> = ConstStaticCell::new(Tables::new());
/// 48 KiB before the DAC; 8 KiB that wait to be read, from the team and from the
/// group each, and 4 KiB to be sent.
static ROOM: ConstStaticCell<Room<SLOTS, 1024, { 48 * 1024 }, 8192, 4096>> =
    ConstStaticCell::new(Room::new());
static PACKETS: ConstStaticCell<PacketQueue<4, 8>> = ConstStaticCell::new(PacketQueue::new());
static DAC_RING: ConstStaticCell<Ring> = ConstStaticCell::new([0; _]);
static DAC_BLOCKS: ConstStaticCell<[Block; BLOCKS]> =
    ConstStaticCell::new([const { Block::new() }; BLOCKS]);

static DAC_QUEUE: StaticCell<Channel<'static, CriticalSectionRawMutex, Block>> = StaticCell::new();
static URGENT: InterruptExecutor = InterruptExecutor::new();

bind_interrupts!(struct Irqs {
    DMA1_STREAM0 => dma::InterruptHandler<DMA1_CH0>;
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

type SaiDma = DMA1_CH0;

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

// -- tasks --

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
unsafe fn UART4() {
    // SAFETY: the handler of the interrupt with which it is started.
    unsafe { URGENT.on_interrupt() }
}

#[main]
async fn main(spawner: Spawner) {
    let p = embassy_stm32::init(clock::config());
    let mut led = Output::new(p.PB0, Level::Low, Speed::Low);
    let i2s_pins = (p.PE4, p.PE5, p.PE6); // word clock, bit clock, data
    let (rmii_clock, rmii_carrier, rmii_transmit) = (p.PA1, p.PA7, p.PG11);
    let (rmii_in_0, rmii_in_1, rmii_out_0, rmii_out_1) = (p.PC4, p.PC5, p.PG13, p.PB13);
    let (phy_data, phy_clock) = (p.PA2, p.PC1);

    let Some(splitter) = Splitter::parse(SPLITTER.unwrap_or("")) else {
        defmt::panic!("P2PSP_SPLITTER is no IP[:PORT] and no name: {}", SPLITTER);
    };
    let Some(address) = settings::network(ADDRESS.unwrap_or("")) else {
        defmt::panic!("P2PSP_ADDRESS is no IP/BITS[,GATEWAY]: {}", ADDRESS);
    };
    let mut watchdog = IndependentWatchdog::new(p.IWDG1, WATCHDOG_US);
    watchdog.unleash();
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SCB.enable_icache();
    }

    let queue = DAC_QUEUE.init(Channel::new(DAC_BLOCKS.take()));
    let (dac, feeder) = sai::new(p.SAI1, p.DMA1_CH0, i2s_pins, DAC_RING.take(), queue);
    UART4.set_priority(Priority::P6);
    URGENT.start(UART4).spawn(feed(feeder).unwrap());

    let device = Ethernet::new(
        PACKETS.take(),
        p.ETH,
        Irqs,
        rmii_clock,
        rmii_carrier,
        rmii_in_0,
        rmii_in_1,
        rmii_out_0,
        rmii_out_1,
        rmii_transmit,
        mac(),
        p.ETH_SMA,
        phy_data,
        phy_clock,
    );
    let mut seed = [0; 8];
    Rng::new(p.RNG, Irqs).fill_bytes(&mut seed);
    let (network, receiver, speaker) = ROOM.take().split(device, address, u64::from_le_bytes(seed));
    spawner.spawn(run_network(network).unwrap());
    spawner.spawn(speak(speaker, dac).unwrap());
    let parts = Parts {
        light: |lit: bool| led.set_level(lit.into()),
        feed: || watchdog.pet(),
        team: member::Settings::new(splitter),
        // Nobody asks this board to leave.
        leave: &Leave::new(),
    };
    receiver.run(TABLES.take(), parts).await;
}

/// A locally administered address, made from the chip's number: its place on
/// the wafer, the wafer, the lot.
fn mac() -> [u8; 6] {
    let id = uid::uid();
    [0x02, id[0] ^ id[1], id[2] ^ id[3], id[4], id[5] ^ id[8], id[11] ^ id[6]]
}

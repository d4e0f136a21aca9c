//! The P2PSP player on an ST Nucleo-H743ZI2 with an I2S DAC.
#![no_std]
#![no_main]

mod clock;
mod sai;

use defmt_rtt as _;
use panic_probe as _;

use embassy_executor::{InterruptExecutor, Spawner, main, task};
use embassy_net::{Runner, Stack, StackResources};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::interrupt::{InterruptExt, Priority, UART4};
use embassy_stm32::peripherals::{DMA1_CH0, ETH, ETH_SMA, IWDG1, RNG};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{bind_interrupts, dma, interrupt, uid};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::Channel;
use p2psp_core::Lan;
use p2psp_firmware::arp::{Asking, Questions};
use p2psp_firmware::audio::{self, FULL_VOLUME, Playback};
use p2psp_firmware::member::{self, Buffers, Leave, Shared};
use p2psp_firmware::memory::{Payload, Tables};
use p2psp_firmware::queue::Queue;
use p2psp_firmware::settings::{self, Splitter};
use p2psp_firmware::sound;
use p2psp_firmware::status::Status;
use static_cell::{ConstStaticCell, StaticCell};

use sai::{BLOCKS, Block, Feeder, I2s, Ring};

// -- choices --

/// Where the splitter is: `IP:PORT`, a station's name, or nothing for any.
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
static PAYLOAD: ConstStaticCell<Payload<SLOTS, 1024>> = ConstStaticCell::new(Payload::new());
static QUEUE_BYTES: ConstStaticCell<[u8; 48 * 1024]> = ConstStaticCell::new([0; 48 * 1024]);
static BUFFERS: ConstStaticCell<Buffers<8192, 4096>> = ConstStaticCell::new(Buffers::new());
static RESOURCES: ConstStaticCell<StackResources<5>> = ConstStaticCell::new(StackResources::new());
static PACKETS: ConstStaticCell<PacketQueue<4, 8>> = ConstStaticCell::new(PacketQueue::new());
static SOUND_MEMORY: ConstStaticCell<audio::Memory> = ConstStaticCell::new(audio::Memory::new());
static DAC_RING: ConstStaticCell<Ring> = ConstStaticCell::new([0; _]);
static DAC_BLOCKS: ConstStaticCell<[Block; BLOCKS]> =
    ConstStaticCell::new([const { Block::new() }; BLOCKS]);

static CHUNKS: StaticCell<Queue> = StaticCell::new();
static DAC_QUEUE: StaticCell<Channel<'static, CriticalSectionRawMutex, Block>> = StaticCell::new();
static URGENT: InterruptExecutor = InterruptExecutor::new();
static STATUS: Status = Status::new();
static QUESTIONS: Questions = Questions::new();
/// Nobody asks this board to leave.
static LEAVE: Leave = Leave::new();

bind_interrupts!(struct Irqs {
    DMA1_STREAM0 => dma::InterruptHandler<DMA1_CH0>;
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

type SaiDma = DMA1_CH0;
type Device = Asking<'static, Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>>;

// -- tasks --

#[task]
async fn network(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}

#[task]
async fn team(stack: Stack<'static>, settings: member::Settings, queue: &'static Queue) {
    let peer = TABLES.take().peer(PAYLOAD.take());
    let buffers = BUFFERS.take().slices();
    let shared = Shared { queue, status: &STATUS, questions: &QUESTIONS, leave: &LEAVE };
    member::run(stack, settings, peer, buffers, shared).await;
}

#[task]
async fn play(queue: &'static Queue, mut dac: I2s) -> ! {
    let mut playback = Playback::new(SOUND_MEMORY.take(), SOUND);
    sound::run(&mut playback, queue, &STATUS, &mut dac).await
}

#[task]
async fn feed(feeder: Feeder) -> ! {
    feeder.run().await
}

#[task]
async fn report() -> ! {
    STATUS.report().await
}

#[task]
async fn show(mut led: Output<'static>) -> ! {
    STATUS.show(|lit| led.set_level(lit.into())).await
}

#[task]
async fn guard(mut watchdog: IndependentWatchdog<'static, IWDG1>) -> ! {
    watchdog.unleash();
    STATUS.guard(|| watchdog.pet()).await
}

#[interrupt]
unsafe fn UART4() {
    // SAFETY: the handler of the interrupt with which it is started.
    unsafe { URGENT.on_interrupt() }
}

#[main]
async fn main(spawner: Spawner) {
    let p = embassy_stm32::init(clock::config());
    let led = Output::new(p.PB0, Level::Low, Speed::Low);
    let i2s_pins = (p.PE4, p.PE5, p.PE6); // word clock, bit clock, data
    let (rmii_clock, rmii_carrier, rmii_transmit) = (p.PA1, p.PA7, p.PG11);
    let (rmii_in_0, rmii_in_1, rmii_out_0, rmii_out_1) = (p.PC4, p.PC5, p.PG13, p.PB13);
    let (phy_data, phy_clock) = (p.PA2, p.PC1);

    let splitter = Splitter::parse(SPLITTER.unwrap_or(""));
    let Some(address) = settings::network(ADDRESS.unwrap_or("")) else {
        defmt::panic!("P2PSP_ADDRESS is no IP/BITS[,GATEWAY]: {}", ADDRESS);
    };
    spawner.spawn(guard(IndependentWatchdog::new(p.IWDG1, WATCHDOG_US)).unwrap());
    spawner.spawn(show(led).unwrap());
    spawner.spawn(report().unwrap());
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
    let (stack, runner) = embassy_net::new(
        Asking::new(device, &QUESTIONS),
        address,
        RESOURCES.take(),
        u64::from_le_bytes(seed),
    );
    spawner.spawn(network(runner).unwrap());
    let queue: &'static Queue = CHUNKS.init(Queue::new(QUEUE_BYTES.take()));
    let settings = member::Settings {
        splitter,
        port: 4552,
        group: Some(Lan::DEFAULT_GROUP),
        pauses: member::REJOIN_PAUSES,
    };
    spawner.spawn(team(stack, settings, queue).unwrap());
    spawner.spawn(play(queue, dac).unwrap());
}

/// A locally administered address, made from the chip's number: its place on
/// the wafer, the wafer, the lot.
fn mac() -> [u8; 6] {
    let id = uid::uid();
    [0x02, id[0] ^ id[1], id[2] ^ id[3], id[4], id[5] ^ id[8], id[11] ^ id[6]]
}

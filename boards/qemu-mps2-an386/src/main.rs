//! The P2PSP player on QEMU's `mps2-an386`, a Cortex-M4F with Ethernet.
//!
//! Arguments (`-append`): `[splitter=IP:PORT|NAME] [address=IP/BITS[,GATEWAY]]
//! [group=IP:PORT|none] [out=FILE] [seconds=N] [volume=0..256] [depth=MS]
//! [pause=MS]`, the last of which is the pause before it joins again.
//! Without `splitter` it looks for a station on the LAN; without `address` it
//! asks a DHCP server. What is played is written to `out`; after `seconds` it
//! leaves the team and ends.
#![no_std]
#![no_main]

mod clock;
mod dac;
mod host;
mod lan9118;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{SpawnToken, raw, task};
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use p2psp_core::Lan;
use p2psp_firmware::arp::{Asking, Questions};
use p2psp_firmware::audio::{self, FULL_VOLUME, Playback};
use p2psp_firmware::member::{self, Buffers, Leave, Shared};
use p2psp_firmware::memory::{Payload, Tables};
use p2psp_firmware::queue::Queue;
use p2psp_firmware::settings::{self, Splitter};
use p2psp_firmware::sound;
use p2psp_firmware::status::Status;
use static_cell::ConstStaticCell;

use dac::HostDac;
use host::File;
use lan9118::Lan9118;

// -- memory --

/// Slots of the buffer: 1.5 s at 128 kbit/s, or 2 s of uncompressed sound.
const SLOTS: usize = if cfg!(feature = "large") { 768 } else { 48 };
/// What waits before the DAC, in bytes.
const QUEUE: usize = if cfg!(feature = "large") { 512 * 1024 } else { 8 * 1024 };
/// What waits to be read, for the team and for the group each, in bytes.
const RX: usize = if cfg!(feature = "large") { 32 * 1024 } else { 5 * 1024 };
const SOUND: audio::Settings = audio::Settings {
    depth_ms: if cfg!(feature = "large") { 1000 } else { 500 },
    volume: FULL_VOLUME,
};

static TABLES: ConstStaticCell<Tables<1, SLOTS>> = ConstStaticCell::new(Tables::new());
static PAYLOAD: ConstStaticCell<Payload<SLOTS, 1024>> = ConstStaticCell::new(Payload::new());
static QUEUE_BYTES: ConstStaticCell<[u8; QUEUE]> = ConstStaticCell::new([0; QUEUE]);
static BUFFERS: ConstStaticCell<Buffers<RX, 2560>> = ConstStaticCell::new(Buffers::new());
static RESOURCES: ConstStaticCell<StackResources<5>> = ConstStaticCell::new(StackResources::new());
static DRIVER: ConstStaticCell<Lan9118> = ConstStaticCell::new(Lan9118::new());
static SOUND_MEMORY: ConstStaticCell<audio::Memory> = ConstStaticCell::new(audio::Memory::new());

static ARGUMENTS: ConstStaticCell<host::ArgumentsBuffer> =
    ConstStaticCell::new(host::arguments_buffer());
static CHUNKS: static_cell::StaticCell<Queue> = static_cell::StaticCell::new();
static STATUS: Status = Status::new();
static QUESTIONS: Questions = Questions::new();
static LEAVE: Leave = Leave::new();

// -- what the command line says --

struct Arguments {
    splitter: Splitter,
    network: Config,
    out: Option<File>,
    seconds: Option<u64>,
    sound: audio::Settings,
    group: Option<SocketAddr>,
    pauses: (Duration, Duration),
}

impl Arguments {
    fn read() -> Arguments {
        let mut arguments = Arguments {
            splitter: Splitter::Station(None),
            network: Config::dhcpv4(Default::default()),
            out: None,
            seconds: None,
            sound: SOUND,
            group: Some(Lan::DEFAULT_GROUP),
            pauses: member::REJOIN_PAUSES,
        };
        for argument in host::arguments(ARGUMENTS.take()).split_ascii_whitespace() {
            let Some((name, value)) = argument.split_once('=') else { continue };
            match name {
                "splitter" => arguments.splitter = Splitter::parse(value),
                "address" => match settings::network(value) {
                    Some(network) => arguments.network = network,
                    None => log::warn!("no address: {}", value),
                },
                "group" => arguments.group = value.parse().ok().map(SocketAddr::V4),
                "pause" => {
                    let pause = value.parse().map(Duration::from_millis);
                    arguments.pauses = pause.map_or(member::REJOIN_PAUSES, |pause| (pause, pause));
                }
                "out" => arguments.out = File::create(value),
                "seconds" => arguments.seconds = value.parse().ok(),
                "volume" => arguments.sound.volume = value.parse().unwrap_or(FULL_VOLUME),
                "depth" => arguments.sound.depth_ms = value.parse().unwrap_or(SOUND.depth_ms),
                _ => log::warn!("unknown argument {}", argument),
            }
        }
        arguments
    }
}

// -- tasks --

type Device = Asking<'static, &'static mut Lan9118>;

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
    log::info!("stack used: {} bytes", host::stack_used());
    host::exit(true);
}

#[task]
async fn play(queue: &'static Queue, sound: audio::Settings, out: Option<File>) -> ! {
    let mut playback = Playback::new(SOUND_MEMORY.take(), sound);
    sound::run(&mut playback, queue, &STATUS, &mut HostDac::new(out)).await
}

#[task]
async fn report() -> ! {
    STATUS.report().await
}

#[task]
async fn leave_after(seconds: u64) {
    Timer::after_secs(seconds).await;
    LEAVE.signal(());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    host::start_log();
    let arguments = Arguments::read();
    let driver = DRIVER.take();
    driver.start();
    let device = Asking::new(driver, &QUESTIONS);
    let (stack, runner) = embassy_net::new(device, arguments.network, RESOURCES.take(), seed());
    let queue: &'static Queue = CHUNKS.init(Queue::new(QUEUE_BYTES.take()));
    let Arguments { splitter, group, pauses, .. } = arguments;
    let settings = member::Settings { splitter, port: 4552, group, pauses };

    static EXECUTOR: static_cell::StaticCell<raw::Executor> = static_cell::StaticCell::new();
    let executor: &'static raw::Executor =
        EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    let spawner = executor.spawner();
    spawn(&spawner, network(runner));
    spawn(&spawner, team(stack, settings, queue));
    spawn(&spawner, play(queue, arguments.sound, arguments.out));
    spawn(&spawner, report());
    if let Some(seconds) = arguments.seconds {
        spawn(&spawner, leave_after(seconds));
    }
    loop {
        // SAFETY: only here is it polled.
        unsafe { executor.poll() };
        sleep();
    }
}

fn spawn<S, E>(spawner: &embassy_executor::Spawner, token: Result<SpawnToken<S>, E>) {
    match token {
        Ok(token) => spawner.spawn(token),
        Err(_) => panic!("a task is started once"),
    }
}

/// A seed for ports and sequence numbers: the emulation has no better one.
fn seed() -> u64 {
    embassy_time::Instant::now().as_ticks()
}

// -- sleep: QEMU's WFE does not sleep, its WFI does --

static WOKEN: AtomicBool = AtomicBool::new(false);

/// Called by the executor whenever a task is woken.
#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

fn sleep() {
    // An interrupt that comes now still ends the sleep, and is handled after.
    cortex_m::interrupt::free(|_| {
        if !WOKEN.swap(false, Ordering::AcqRel) {
            cortex_m::asm::wfi();
        }
    });
}

#[cortex_m_rt::exception]
unsafe fn DefaultHandler(interrupt: i16) {
    match interrupt {
        9 => clock::on_alarm(),
        13 => lan9118::on_interrupt(),
        _ => panic!("an interrupt that nobody asked for: {interrupt}"),
    }
}

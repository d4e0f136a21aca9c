//! The P2PSP player on QEMU's `mps2-an386`, a Cortex-M4F with Ethernet.
//!
//! Arguments (`-append`): `[splitter=IP[:PORT]|NAME] [address=IP/BITS[,GATEWAY]]
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
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use embassy_executor::{SpawnToken, raw, task};
use embassy_net::Config;
use embassy_time::{Duration, Timer};
use p2psp_firmware::audio::{self, FULL_VOLUME};
use p2psp_firmware::member::{Leave, REJOIN_PAUSES, Settings};
use p2psp_firmware::memory::Tables;
use p2psp_firmware::player::{Network, Parts, Receiver, Room, Speaker};
use p2psp_firmware::settings::{self, Splitter};
use static_cell::ConstStaticCell;

use dac::HostDac;
use host::File;
use lan9118::Lan9118;

// -- memory --

/// Slots of the buffer: 1.5 s at 128 kbit/s, or 2 s of uncompressed sound.
const SLOTS: usize = if cfg!(feature = "large") { 768 } else { 48 };
/// Longest chunk, in bytes.
const CHUNK: usize = 1024;
/// What waits before the DAC, in bytes.
const QUEUE: usize = if cfg!(feature = "large") { 512 * 1024 } else { 8 * 1024 };
/// What waits to be read, for the team and for the group each, in bytes.
const RX: usize = if cfg!(feature = "large") { 32 * 1024 } else { 5 * 1024 };
const SOUND: audio::Settings = audio::Settings {
    depth_ms: if cfg!(feature = "large") { 1000 } else { 500 },
    volume: FULL_VOLUME,
};

static TABLES: ConstStaticCell<Tables<1, SLOTS>> = ConstStaticCell::new(Tables::new());
static ROOM: ConstStaticCell<Room<SLOTS, CHUNK, QUEUE, RX, 2560>> =
    ConstStaticCell::new(Room::new());
static DRIVER: ConstStaticCell<Lan9118> = ConstStaticCell::new(Lan9118::new());
static ARGUMENTS: ConstStaticCell<host::ArgumentsBuffer> =
    ConstStaticCell::new(host::arguments_buffer());
static LEAVE: Leave = Leave::new();

// -- what the command line says --

struct Arguments {
    team: Settings,
    address: Config,
    out: Option<File>,
    seconds: Option<u64>,
    sound: audio::Settings,
}

impl Arguments {
    fn read() -> Arguments {
        let mut arguments = Arguments {
            team: Settings::new(Splitter::Station(None)),
            address: Config::dhcpv4(Default::default()),
            out: None,
            seconds: None,
            sound: SOUND,
        };
        for argument in host::arguments(ARGUMENTS.take()).split_ascii_whitespace() {
            let Some((name, value)) = argument.split_once('=') else { continue };
            match name {
                "splitter" => match Splitter::parse(value) {
                    Some(splitter) => arguments.team.splitter = splitter,
                    None => log::warn!("neither an address nor a name: {}", value),
                },
                "address" => match settings::network(value) {
                    Some(address) => arguments.address = address,
                    None => log::warn!("no address: {}", value),
                },
                "group" => arguments.team.group = value.parse().ok().map(SocketAddr::V4),
                "pause" => {
                    let pause = value.parse().map(Duration::from_millis);
                    arguments.team.pauses = pause.map_or(REJOIN_PAUSES, |pause| (pause, pause));
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

#[task]
async fn run_network(network: Network<&'static mut Lan9118>) -> ! {
    network.run().await
}

#[task]
async fn receive(receiver: Receiver<SLOTS, CHUNK>, team: Settings) {
    let parts = Parts {
        // This machine has neither LED nor watchdog.
        light: |_| {},
        feed: || {},
        team,
        leave: &LEAVE,
    };
    receiver.run(TABLES.take(), parts).await;
    log::info!("polled {} times", POLLED.load(Ordering::Relaxed));
    log::info!("stack used: {} bytes", host::stack_used());
    host::exit(true);
}

#[task]
async fn speak(speaker: Speaker, sound: audio::Settings, out: Option<File>) -> ! {
    speaker.run(sound, HostDac::new(out)).await
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
    let Arguments { team, address, out, seconds, sound } = Arguments::read();
    let ethernet = DRIVER.take();
    ethernet.start();
    // It has no better source of numbers.
    let seed = embassy_time::Instant::now().as_ticks();
    let (network, receiver, speaker) = ROOM.take().split(ethernet, address, seed);

    static EXECUTOR: static_cell::StaticCell<raw::Executor> = static_cell::StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    let spawner = executor.spawner();
    spawn(&spawner, run_network(network));
    spawn(&spawner, receive(receiver, team));
    spawn(&spawner, speak(speaker, sound, out));
    if let Some(seconds) = seconds {
        spawn(&spawner, leave_after(seconds));
    }
    loop {
        // SAFETY: only here is it polled.
        unsafe { executor.poll() };
        POLLED.fetch_add(1, Ordering::Relaxed);
        sleep();
    }
}

fn spawn<S, E>(spawner: &embassy_executor::Spawner, token: Result<SpawnToken<S>, E>) {
    match token {
        Ok(token) => spawner.spawn(token),
        Err(_) => panic!("a task is started once"),
    }
}

// -- sleep: QEMU's WFE does not sleep, its WFI does --

static WOKEN: AtomicBool = AtomicBool::new(false);
/// Rounds of the executor: many more than there are events, and something wakes
/// itself.
static POLLED: AtomicU32 = AtomicU32::new(0);

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

//! A whole player: what a board runs besides its drivers. It has three parts, a
//! task each: so they use the processor's stack in turns, and the network, which
//! is woken by whatever is done to a socket, does not wake those that do it.

use embassy_futures::join::join3;
use embassy_futures::select::select;
use embassy_net::driver::Driver;
use embassy_net::{Config, Runner, Stack, StackResources};

use crate::arp::{Asking, Questions};
use crate::audio::{self, Playback};
use crate::dac::Dac;
use crate::member::{self, BufferSlices, Buffers, Leave, Settings, Shared};
use crate::memory::{Payload, Tables};
use crate::queue::Queue;
use crate::sound;
use crate::status::Status;

/// Sockets: of the team, of the group, of the join dialogue, of DHCP; one to
/// spare.
const SOCKETS: usize = 5;

/// All memory of a player besides its [`Tables`]. It is all zeros, so that it
/// takes no flash.
///
/// - `SLOTS`: as those of the tables.
/// - `CHUNK`: longest chunk, in bytes.
/// - `QUEUE`: bytes that wait before the DAC; see [`Queue::new`].
/// - `RX`, `TX`: as those of [`Buffers`].
pub struct Room<
    const SLOTS: usize,
    const CHUNK: usize,
    const QUEUE: usize,
    const RX: usize,
    const TX: usize,
> {
    payload: Payload<SLOTS, CHUNK>,
    queue_bytes: [u8; QUEUE],
    buffers: Buffers<RX, TX>,
    sockets: StackResources<SOCKETS>,
    sound: audio::Memory,
    block: sound::Block,
    queue: Option<Queue>,
    status: Status,
    questions: Questions,
}

/// The network stack over a driver.
pub struct Network<N: Driver>(Runner<'static, Asking<'static, N>>);

/// The end at the network: the peer.
pub struct Receiver<const SLOTS: usize, const CHUNK: usize> {
    stack: Stack<'static>,
    payload: &'static mut Payload<SLOTS, CHUNK>,
    buffers: BufferSlices<'static>,
    queue: &'static Queue,
    status: &'static Status,
    questions: &'static Questions,
}

/// The end at the DAC.
pub struct Speaker {
    memory: &'static mut audio::Memory,
    block: &'static mut sound::Block,
    queue: &'static Queue,
    status: &'static Status,
}

/// What a board has for a [`Receiver`], and what its user has chosen.
pub struct Parts<'a, L, W> {
    /// Lights its LED, or not.
    pub light: L,
    /// Feeds its watchdog, which may be left alone for 8 seconds.
    pub feed: W,
    /// Where its team is.
    pub team: Settings,
    /// Ends it.
    pub leave: &'a Leave,
}

impl<const SLOTS: usize, const CHUNK: usize, const QUEUE: usize, const RX: usize, const TX: usize>
    Room<SLOTS, CHUNK, QUEUE, RX, TX>
{
    /// Empty.
    pub const fn new() -> Self {
        Room {
            payload: Payload::new(),
            queue_bytes: [0; QUEUE],
            buffers: Buffers::new(),
            sockets: StackResources::new(),
            sound: audio::Memory::new(),
            block: [[0; 2]; _],
            queue: None,
            status: Status::new(),
            questions: Questions::new(),
        }
    }

    /// The parts of the player that lives here: over this driver of an
    /// Ethernet, with an address that comes so, and with a seed for ports and
    /// sequence numbers that nobody guesses.
    // What it needs on the stack is free again before anything runs.
    #[inline(never)]
    pub fn split<N: Driver>(
        &'static mut self,
        ethernet: N,
        address: Config,
        seed: u64,
    ) -> (Network<N>, Receiver<SLOTS, CHUNK>, Speaker) {
        let queue = self.queue.insert(Queue::new(&mut self.queue_bytes));
        let (status, questions) = (&self.status, &self.questions);
        let ethernet = Asking::new(ethernet, questions);
        let (stack, runner) = embassy_net::new(ethernet, address, &mut self.sockets, seed);
        let (payload, buffers) = (&mut self.payload, self.buffers.slices());
        let receiver = Receiver { stack, payload, buffers, queue, status, questions };
        let (memory, block) = (&mut self.sound, &mut self.block);
        (Network(runner), receiver, Speaker { memory, block, queue, status })
    }
}

impl<const SLOTS: usize, const CHUNK: usize, const QUEUE: usize, const RX: usize, const TX: usize>
    Default for Room<SLOTS, CHUNK, QUEUE, RX, TX>
{
    fn default() -> Self {
        Room::new()
    }
}

impl<N: Driver> Network<N> {
    /// Runs for ever.
    pub async fn run(mut self) -> ! {
        self.0.run().await
    }
}

impl<const SLOTS: usize, const CHUNK: usize> Receiver<SLOTS, CHUNK> {
    /// Is a peer until it has left as asked.
    pub async fn run<const WORDS: usize>(
        self,
        tables: &mut Tables<WORDS, SLOTS>,
        parts: Parts<'_, impl FnMut(bool), impl FnMut()>,
    ) {
        let Receiver { stack, payload, buffers, queue, status, questions } = self;
        let Parts { light, feed, team, leave } = parts;
        let shared = Shared { queue, status, questions, leave };
        let member = member::run(stack, team, tables.peer(payload), buffers, shared);
        let others = join3(status.report(), status.show(light), status.guard(feed));
        select(member, others).await;
    }
}

impl Speaker {
    /// Plays for ever.
    pub async fn run(self, settings: audio::Settings, mut dac: impl Dac) -> ! {
        let mut playback = Playback::new(self.memory, settings);
        sound::run(&mut playback, self.block, self.queue, self.status, &mut dac).await
    }
}

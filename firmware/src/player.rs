//! A whole player: what a board runs besides its drivers. It has two ends, a
//! task each, so that they use the stack in turns.

use embassy_futures::join::join3;
use embassy_futures::select::select3;
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

/// The end at the network: the peer.
pub struct Receiver<const SLOTS: usize, const CHUNK: usize> {
    payload: &'static mut Payload<SLOTS, CHUNK>,
    buffers: BufferSlices<'static>,
    sockets: &'static mut StackResources<SOCKETS>,
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
pub struct Parts<'a, N, L, W> {
    /// Driver of its Ethernet.
    pub ethernet: N,
    /// Lights its LED, or not.
    pub light: L,
    /// Feeds its watchdog, which may be left alone for 8 seconds.
    pub feed: W,
    /// For ports and sequence numbers that nobody guesses.
    pub seed: u64,
    /// How it gets its address.
    pub network: Config,
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

    /// The two ends of the player that lives here.
    // What it needs on the stack is free again before anything runs.
    #[inline(never)]
    pub fn split(&'static mut self) -> (Receiver<SLOTS, CHUNK>, Speaker) {
        let queue = self.queue.insert(Queue::new(&mut self.queue_bytes));
        let receiver = Receiver {
            payload: &mut self.payload,
            buffers: self.buffers.slices(),
            sockets: &mut self.sockets,
            queue,
            status: &self.status,
            questions: &self.questions,
        };
        let (memory, block) = (&mut self.sound, &mut self.block);
        (receiver, Speaker { memory, block, queue, status: &self.status })
    }
}

impl<const SLOTS: usize, const CHUNK: usize, const QUEUE: usize, const RX: usize, const TX: usize>
    Default for Room<SLOTS, CHUNK, QUEUE, RX, TX>
{
    fn default() -> Self {
        Room::new()
    }
}

impl<const SLOTS: usize, const CHUNK: usize> Receiver<SLOTS, CHUNK> {
    /// Is a peer until it has left as asked.
    pub async fn run<const WORDS: usize>(
        self,
        tables: &mut Tables<WORDS, SLOTS>,
        parts: Parts<'_, impl Driver, impl FnMut(bool), impl FnMut()>,
    ) {
        let Receiver { payload, buffers, sockets, queue, status, questions } = self;
        let Parts { ethernet, light, feed, seed, network, team, leave } = parts;
        let ethernet = Asking::new(ethernet, questions);
        let (stack, mut runner) = open(ethernet, network, sockets, seed);
        let shared = Shared { queue, status, questions, leave };
        let member = member::run(stack, team, tables.peer(payload), buffers, shared);
        let others = join3(status.report(), status.show(light), status.guard(feed));
        select3(runner.run(), member, others).await;
    }
}

impl Speaker {
    /// Plays for ever.
    pub async fn run(self, settings: audio::Settings, mut dac: impl Dac) -> ! {
        let mut playback = Playback::new(self.memory, settings);
        sound::run(&mut playback, self.block, self.queue, self.status, &mut dac).await
    }
}

/// Makes the network stack.
// What that needs on the processor's stack is free again before anything runs.
#[inline(never)]
fn open<'s, D: Driver>(
    ethernet: D,
    network: Config,
    sockets: &'s mut StackResources<SOCKETS>,
    seed: u64,
) -> (Stack<'s>, Runner<'s, D>) {
    embassy_net::new(ethernet, network, sockets, seed)
}

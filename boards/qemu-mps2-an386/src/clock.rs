//! Time for embassy: CMSDK TIMER0 runs freely, TIMER1 rings.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::peripheral::NVIC;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// Counts in a microsecond.
const COUNTS_PER_US: u64 = 25;
/// The longest alarm: the free-running timer wraps after 171 s.
const LONGEST_ALARM_US: u64 = 60_000_000;

const TIMER0: usize = 0x4000_0000;
const TIMER1: usize = 0x4000_1000;
/// Number of TIMER1's interrupt.
const ALARM: u16 = 9;
const CONTROL: usize = 0x00;
const VALUE: usize = 0x04;
const RELOAD: usize = 0x08;
const INTERRUPT_CLEAR: usize = 0x0c;

struct Clock(Mutex<RefCell<State>>);

struct State {
    queue: Queue,
    /// Counts since the start, when it was last looked at.
    counts: u64,
    last: u32,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock(Mutex::new(RefCell::new(State {
    queue: Queue::new(),
    counts: 0,
    last: u32::MAX,
}))));

/// Starts the timers.
pub fn start() {
    write(TIMER0 + RELOAD, u32::MAX);
    write(TIMER0 + VALUE, u32::MAX);
    write(TIMER0 + CONTROL, 1);
    write(TIMER1 + RELOAD, 0);
    // QEMU complains of a timer that starts at zero.
    write(TIMER1 + VALUE, u32::MAX);
    write(TIMER1 + CONTROL, 1 << 3 | 1);
    // SAFETY: the handler below touches nothing but the timer and the queue.
    unsafe { NVIC::unmask(Interrupt(ALARM)) };
}

/// Called by the table of interrupts.
pub fn on_alarm() {
    write(TIMER1 + INTERRUPT_CLEAR, 1);
    critical_section::with(|cs| CLOCK.ring(cs));
}

impl Clock {
    /// Wakes who is due and sets the alarm for the next.
    fn ring(&self, cs: CriticalSection<'_>) {
        let mut state = self.0.borrow(cs).borrow_mut();
        loop {
            let now = state.now_us();
            let next = state.queue.next_expiration(now);
            if next > now {
                let wait = (next - now).min(LONGEST_ALARM_US);
                write(TIMER1 + VALUE, (wait * COUNTS_PER_US) as u32);
                return;
            }
        }
    }
}

impl State {
    fn now_us(&mut self) -> u64 {
        let value = read(TIMER0 + VALUE);
        // It counts down.
        self.counts += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.counts / COUNTS_PER_US
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.0.borrow(cs).borrow_mut().now_us())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.0.borrow(cs).borrow_mut().queue.schedule_wake(at, waker) {
                self.ring(cs);
            }
        });
    }
}

#[derive(Clone, Copy)]
struct Interrupt(u16);

// SAFETY: the number is that of TIMER1's interrupt on this machine.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

fn read(address: usize) -> u32 {
    // SAFETY: the timers are there on this machine and nobody else's.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address).read_volatile() }
}

fn write(address: usize, value: u32) {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(value) }
}

//! SMSC LAN9118 Ethernet, as far as QEMU emulates it, for embassy-net.
//!
//! Frames go through FIFOs: a status word and then the frame's words on the
//! way in; two command words and then the frame's words on the way out, which
//! is sent at once. The chip's interrupt wakes the network.

use core::task::Context;

use cortex_m::peripheral::NVIC;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

/// Bytes of the longest frame.
const FRAME_BYTES: usize = 1514;
const WORDS: usize = (FRAME_BYTES + 4).div_ceil(4);
/// Tries before a register that does not answer is given up.
const PATIENCE: u32 = 1_000_000;

/// Number of the interrupt.
const ETHERNET: u16 = 13;
const BASE: usize = 0x4020_0000;
/// Registers: offsets from the base.
mod register {
    pub const RX_DATA: usize = 0x00;
    pub const TX_DATA: usize = 0x20;
    pub const RX_STATUS: usize = 0x40;
    pub const TX_STATUS: usize = 0x48;
    pub const IRQ_CFG: usize = 0x54;
    pub const INT_STS: usize = 0x58;
    pub const INT_EN: usize = 0x5c;
    pub const BYTE_TEST: usize = 0x64;
    pub const FIFO_INT: usize = 0x68;
    pub const TX_CFG: usize = 0x70;
    pub const HW_CFG: usize = 0x74;
    pub const RX_FIFO_INF: usize = 0x7c;
    pub const TX_FIFO_INF: usize = 0x80;
    pub const MAC_CSR_CMD: usize = 0xa4;
    pub const MAC_CSR_DATA: usize = 0xa8;
}
/// Registers behind [`register::MAC_CSR_CMD`].
mod mac {
    pub const CONTROL: u32 = 1;
    pub const ADDRESS_HIGH: u32 = 2;
    pub const ADDRESS_LOW: u32 = 3;
    pub const MII_ACCESS: u32 = 6;
    pub const MII_DATA: u32 = 7;
}
/// Registers of the PHY.
mod phy {
    pub const STATUS: u32 = 1;
    pub const INTERRUPT_SOURCE: u32 = 29;
    pub const INTERRUPT_MASK: u32 = 30;
}
const MAC_FULL_DUPLEX: u32 = 1 << 20;
const MAC_ALL_MULTICAST: u32 = 1 << 19;
const MAC_TX_ON: u32 = 1 << 3;
const MAC_RX_ON: u32 = 1 << 2;
const CSR_BUSY: u32 = 1 << 31;
const CSR_READ: u32 = 1 << 30;
const INT_PHY: u32 = 1 << 18;
const INT_RX_STATUS: u32 = 1 << 3;
const PHY_LINK: u32 = 1 << 2;
const PHY_INT_LINK: u32 = 1 << 6 | 1 << 4;

static WAKER: AtomicWaker = AtomicWaker::new();

/// The chip.
pub struct Lan9118 {
    address: [u8; 6],
    received: [u32; WORDS],
    to_send: [u32; WORDS],
}

impl Lan9118 {
    /// Before [`Lan9118::start`]; for a `static`.
    pub const fn new() -> Lan9118 {
        Lan9118 { address: [0; 6], received: [0; WORDS], to_send: [0; WORDS] }
    }

    /// Sets the chip up.
    ///
    /// # Panics
    ///
    /// If there is no such chip.
    pub fn start(&mut self) {
        assert_eq!(read(register::BYTE_TEST), 0x8765_4321, "no LAN9118");
        let (low, high) = (mac_read(mac::ADDRESS_LOW), mac_read(mac::ADDRESS_HIGH));
        let [a, b, c, d] = low.to_le_bytes();
        let [e, f, ..] = high.to_le_bytes();
        // Half of the memory is for what is sent.
        write(register::HW_CFG, 5 << 16);
        // Each frame interrupts.
        write(register::FIFO_INT, 0);
        // It interrupts by a high level; until it knows that, by a low one.
        write(register::IRQ_CFG, 1 << 8 | 1 << 4 | 1);
        write(register::TX_CFG, 1 << 1);
        mac_write(mac::CONTROL, MAC_FULL_DUPLEX | MAC_ALL_MULTICAST | MAC_TX_ON | MAC_RX_ON);
        phy_write(phy::INTERRUPT_MASK, PHY_INT_LINK);
        write(register::INT_STS, u32::MAX);
        write(register::INT_EN, INT_RX_STATUS | INT_PHY);
        // SAFETY: the handler below touches nothing but the chip and a waker.
        unsafe { NVIC::unmask(Interrupt(ETHERNET)) };
        self.address = [a, b, c, d, e, f];
    }

    /// Reads the next frame; its length.
    fn receive_frame(&mut self) -> Option<usize> {
        while read(register::RX_FIFO_INF) >> 16 & 0xff > 0 {
            let status = read(register::RX_STATUS);
            // With four bytes of checksum, which are not wanted.
            let len = (status >> 16 & 0x3fff) as usize;
            for word in 0..len.div_ceil(4) {
                let value = read(register::RX_DATA);
                if let Some(place) = self.received.get_mut(word) {
                    *place = value;
                }
            }
            let bad = status & 1 << 15 != 0;
            if !bad && (14 + 4..=FRAME_BYTES + 4).contains(&len) {
                return Some(len - 4);
            }
        }
        None
    }
}

/// `len` bytes of these words.
fn bytes(words: &mut [u32; WORDS], len: usize) -> &mut [u8] {
    // SAFETY: any words are bytes, four for each, and the slicing checks `len`.
    let bytes = unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * WORDS) };
    &mut bytes[..len]
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, cx: &mut Context) -> Option<(Received<'_>, Sender<'_>)> {
        WAKER.register(cx.waker());
        let len = self.receive_frame()?;
        Some((Received(bytes(&mut self.received, len)), Sender(&mut self.to_send)))
    }

    fn transmit(&mut self, cx: &mut Context) -> Option<Sender<'_>> {
        WAKER.register(cx.waker());
        Some(Sender(&mut self.to_send))
    }

    fn link_state(&mut self, cx: &mut Context) -> LinkState {
        WAKER.register(cx.waker());
        match phy_read(phy::STATUS) & PHY_LINK {
            0 => LinkState::Down,
            _ => LinkState::Up,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A frame that came.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send a frame.
pub struct Sender<'a>(&'a mut [u32; WORDS]);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(bytes(self.0, len));
        write(register::TX_DATA, 1 << 13 | 1 << 12 | len as u32);
        write(register::TX_DATA, len as u32);
        for word in &self.0[..len.div_ceil(4)] {
            write(register::TX_DATA, *word);
        }
        while read(register::TX_FIFO_INF) >> 16 & 0xff > 0 {
            read(register::TX_STATUS);
        }
        result
    }
}

#[derive(Clone, Copy)]
struct Interrupt(u16);

// SAFETY: the number is that of the chip's interrupt on this machine.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// Called by the table of interrupts.
pub fn on_interrupt() {
    // The stack looks for all frames once it is woken.
    let status = read(register::INT_STS);
    if status & INT_PHY != 0 {
        phy_read(phy::INTERRUPT_SOURCE);
    }
    write(register::INT_STS, status);
    WAKER.wake();
}

fn read(register: usize) -> u32 {
    // SAFETY: the chip's registers are there on this machine and nobody else's.
    unsafe { core::ptr::with_exposed_provenance::<u32>(BASE + register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value) }
}

fn mac_wait() {
    for _ in 0..PATIENCE {
        if read(register::MAC_CSR_CMD) & CSR_BUSY == 0 {
            return;
        }
    }
    panic!("the LAN9118 does not answer");
}

fn mac_read(index: u32) -> u32 {
    write(register::MAC_CSR_CMD, CSR_BUSY | CSR_READ | index);
    mac_wait();
    read(register::MAC_CSR_DATA)
}

fn mac_write(index: u32, value: u32) {
    write(register::MAC_CSR_DATA, value);
    write(register::MAC_CSR_CMD, CSR_BUSY | index);
    mac_wait();
}

fn phy_read(index: u32) -> u32 {
    mac_write(mac::MII_ACCESS, 1 << 11 | index << 6);
    mac_read(mac::MII_DATA)
}

fn phy_write(index: u32, value: u32) {
    mac_write(mac::MII_DATA, value);
    mac_write(mac::MII_ACCESS, 1 << 11 | index << 6 | 1 << 1);
}

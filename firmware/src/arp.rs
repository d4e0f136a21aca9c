//! Asks the LAN for neighbours' hardware addresses (ARP, RFC 826) as soon as
//! the neighbours are known.
//!
//! The network stack asks by itself, but for one address a second at most, and
//! what waits for the answer holds up all that is sent after it. That is too
//! slow for a peer that has just got a whole list of neighbours to serve.

use core::net::Ipv4Addr;
use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, TxToken};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr,
};

/// Questions that may wait to be sent; of more, the stack takes care.
const MOST: usize = 64;

/// An Ethernet header and an ARP packet.
const FRAME_BYTES: usize = 14 + 28;

/// Questions on their way from the member to the network driver.
#[derive(Debug)]
pub struct Questions(Channel<CriticalSectionRawMutex, Question, MOST>);

#[derive(Debug, Clone, Copy)]
struct Question {
    own: Ipv4Addr,
    of: Ipv4Addr,
}

/// A network driver that also sends [`Questions`].
#[derive(Debug)]
pub struct Asking<'q, D> {
    driver: D,
    questions: &'q Questions,
}

impl Questions {
    /// None yet.
    pub const fn new() -> Questions {
        Questions(Channel::new())
    }

    /// Asks from the address `own` for the hardware address of `of`.
    pub(crate) fn ask(&self, own: Ipv4Addr, of: Ipv4Addr) {
        // The stack will ask for what finds no room here.
        let _ = self.0.try_send(Question { own, of });
    }
}

impl Default for Questions {
    fn default() -> Questions {
        Questions::new()
    }
}

impl<'q, D: Driver> Asking<'q, D> {
    /// `driver`, an Ethernet one, that also sends `questions`.
    pub fn new(driver: D, questions: &'q Questions) -> Asking<'q, D> {
        Asking { driver, questions }
    }

    /// Sends what there is room for. The driver or a new question wakes the
    /// task that has to come back for the rest.
    fn ask(&mut self, cx: &mut Context<'_>) {
        let HardwareAddress::Ethernet(hardware) = self.driver.hardware_address() else { return };
        while self.questions.0.poll_ready_to_receive(cx).is_ready() {
            let Some(token) = self.driver.transmit(cx) else { return };
            let Ok(question) = self.questions.0.try_receive() else { return };
            token.consume(FRAME_BYTES, |frame| question.write(EthernetAddress(hardware), frame));
        }
    }
}

impl Question {
    fn write(self, hardware: EthernetAddress, frame: &mut [u8]) {
        let mut frame = EthernetFrame::new_unchecked(frame);
        let (dst_addr, ethertype) = (EthernetAddress::BROADCAST, EthernetProtocol::Arp);
        EthernetRepr { src_addr: hardware, dst_addr, ethertype }.emit(&mut frame);
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: hardware,
            source_protocol_addr: self.own,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: self.of,
        };
        request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    }
}

impl<D: Driver> Driver for Asking<'_, D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.ask(cx);
        self.driver.receive(cx)
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.driver.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.driver.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.driver.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.driver.hardware_address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;
    use embassy_net::driver::RxToken;

    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

    /// Has room for so many frames.
    struct Wire {
        room: usize,
        sent: Vec<Vec<u8>>,
    }

    impl RxToken for &mut Wire {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: F) -> R {
            unreachable!("nothing comes in")
        }
    }

    impl TxToken for &mut Wire {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
            self.room -= 1;
            self.sent.push(vec![0; len]);
            write(self.sent.last_mut().expect("just pushed"))
        }
    }

    impl Driver for Wire {
        type RxToken<'a> = &'a mut Wire;
        type TxToken<'a> = &'a mut Wire;

        fn receive(&mut self, _: &mut Context<'_>) -> Option<(&mut Wire, &mut Wire)> {
            None
        }

        fn transmit(&mut self, _: &mut Context<'_>) -> Option<&mut Wire> {
            (self.room > 0).then_some(self)
        }

        fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
            LinkState::Up
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }

        fn hardware_address(&self) -> HardwareAddress {
            HardwareAddress::Ethernet(HARDWARE)
        }
    }

    #[test]
    fn questions_go_out_as_there_is_room() {
        let questions = Questions::new();
        for host in 1..=80 {
            questions.ask(OWN, Ipv4Addr::new(10, 0, 0, host));
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut driver = Asking::new(Wire { room: 3, sent: Vec::new() }, &questions);
        assert!(driver.receive(&mut cx).is_none());
        assert_eq!(driver.driver.sent.len(), 3);
        driver.driver.room = 100;
        assert!(driver.receive(&mut cx).is_none());
        assert_eq!(driver.driver.sent.len(), MOST);
        let second = [
            &[0xff; 6][..],
            &HARDWARE,
            &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
            &HARDWARE,
            &OWN.octets(),
            &[0; 6],
            &[10, 0, 0, 2],
        ];
        assert_eq!(driver.driver.sent[1], second.concat());
    }
}

//! MPEG transport stream (ISO 13818-1): packets of 188 bytes, with a clock
//! (PCR) of 27 MHz in some of them. A decoder starts at any packet.

use super::clock::StampClock;
use super::window::{Marks, Window};

/// Length of a packet.
pub(super) const PACKET_BYTES: usize = 188;

/// First byte of every packet.
pub(super) const SYNC: u8 = 0x47;

/// Packets in a row that make a packet boundary of an arbitrary place.
const CONFIRMATIONS: usize = 3;

/// Bytes of a packet up to the end of the PCR.
const LOOK_BYTES: usize = 12;

/// The PCR counts modulo this.
const PCR_MODULUS: i64 = (1 << 33) * 300;

/// Packets without a PCR of the programme that was the clock, after which
/// another takes its place.
const PATIENCE_PACKETS: u32 = 20_000;

/// Follows packets.
#[derive(Debug)]
pub(super) struct MpegTs {
    synced: bool,
    clock: StampClock,
    /// The PID whose PCR is the clock, and its latest PCR.
    latest: Option<(u16, i64)>,
    /// The clock without wraps, in ticks of 27 MHz.
    ticks: i64,
    silent_packets: u32,
}

/// A clock reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pcr {
    pid: u16,
    ticks: i64,
    /// The clock is set to something else here.
    discontinuity: bool,
}

impl MpegTs {
    /// Before the first byte.
    pub(super) fn new() -> MpegTs {
        MpegTs {
            synced: false,
            clock: StampClock::default(),
            latest: None,
            ticks: 0,
            silent_packets: 0,
        }
    }

    /// The next bytes do not follow the last ones.
    pub(super) fn lose_sync(&mut self) {
        self.synced = false;
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() {
            let ahead = window.ahead();
            if ahead.len() < LOOK_BYTES {
                return;
            }
            if !self.synced {
                match confirm(ahead, CONFIRMATIONS) {
                    None => return,
                    Some(true) => self.synced = true,
                    Some(false) => {
                        let next = ahead[1..].iter().position(|&byte| byte == SYNC);
                        let step = next.map_or(ahead.len(), |next| next + 1);
                        window.consume(step as u64);
                        continue;
                    }
                }
            }
            if ahead[0] != SYNC {
                self.synced = false;
                continue;
            }
            if let Some(micros) = self.clock(ahead) {
                marks.time(window.offset(), micros);
            }
            marks.start(window.offset());
            window.consume(PACKET_BYTES as u64);
        }
    }

    /// Media time at the packet that `bytes` begins with, if it tells.
    fn clock(&mut self, bytes: &[u8]) -> Option<u64> {
        self.silent_packets = self.silent_packets.saturating_add(1);
        let pcr = Pcr::parse(bytes)?;
        match self.latest {
            Some((pid, latest)) if pid == pcr.pid => {
                let forward = (pcr.ticks - latest).rem_euclid(PCR_MODULUS);
                let step = if forward > PCR_MODULUS / 2 { forward - PCR_MODULUS } else { forward };
                self.ticks = self.ticks.saturating_add(step);
                // A reference is never reordered: a step back is a splice.
                if pcr.discontinuity || step < 0 {
                    self.clock.splice();
                }
            }
            Some(_) if self.silent_packets < PATIENCE_PACKETS => return None,
            _ => self.clock.splice(),
        }
        self.latest = Some((pcr.pid, pcr.ticks));
        self.silent_packets = 0;
        self.clock.at(self.ticks / 27)
    }
}

impl Pcr {
    fn parse(packet: &[u8]) -> Option<Pcr> {
        let has_adaptation = packet[3] & 0x20 != 0;
        if !has_adaptation || packet[4] < 7 || packet[5] & 0x10 == 0 {
            return None;
        }
        let high = u32::from_be_bytes(packet[6..10].try_into().ok()?);
        let base = i64::from(high) << 1 | i64::from(packet[10] >> 7);
        let extension = i64::from(packet[10] & 1) << 8 | i64::from(packet[11]);
        Some(Pcr {
            pid: u16::from_be_bytes([packet[1] & 0x1f, packet[2]]),
            ticks: base * 300 + extension,
            discontinuity: packet[5] & 0x80 != 0,
        })
    }
}

/// Whether `packets` packets in a row begin at the start of `bytes`; `None`
/// if more bytes are needed to tell.
pub(super) fn confirm(bytes: &[u8], packets: usize) -> Option<bool> {
    for packet in 0..packets {
        if *bytes.get(packet * PACKET_BYTES)? != SYNC {
            return Some(false);
        }
    }
    Some(true)
}

//! A P2PSP peer for microcontrollers, which plays what its team plays.
//!
//! A board brings a driver for its Ethernet ([`embassy_net::driver`]) and one for
//! its DAC ([`dac`]); [`player`] is the rest. The network's end is a
//! [`member`] of the team around the core's `Peer`; what is due goes through a
//! [`queue`] to the DAC's end, [`sound`], which has it decoded by [`audio`].
//! There is no heap: all memory is in two `static`s, [`memory::Tables`] and
//! [`player::Room`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[macro_use]
mod log;
pub mod arp;
pub mod audio;
pub mod dac;
pub mod dialogue;
pub mod discovery;
mod handover;
pub mod member;
pub mod memory;
pub mod player;
pub mod queue;
pub mod settings;
pub mod sound;
pub mod status;
pub mod stream;
#[cfg(test)]
mod testing;

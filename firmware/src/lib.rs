//! A P2PSP peer for microcontrollers.
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
pub mod queue;
pub mod settings;
pub mod sound;
pub mod status;
pub mod stream;

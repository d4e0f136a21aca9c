//! Everything a Linux user of P2PSP touches: drivers, sources, players, screen.

pub mod media;
pub mod player;
pub mod source;

//! Everything a Linux user of P2PSP touches: drivers, sources, players, screen.

pub mod lab;
pub mod media;
pub mod net;
pub mod observe;
pub mod player;
pub mod source;
pub mod stations;
pub mod ui;

//! How the player inside a member is doing, in the member's own words (3.7).

use serde::{Deserialize, Serialize};

/// What a member that plays the stream itself, as a board does, tells its
/// splitter each second, for the splitter's screen. Nothing else depends on
/// it: it is told, not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PlayerStatus {
    /// What it is doing.
    pub state: PlayerState,
    /// Milliseconds of sound that wait before the DAC; 65535 stands for that
    /// and more.
    pub level_ms: u16,
    /// Gaps in the stream that were concealed, since it was switched on.
    pub concealed: u32,
    /// Times that nothing was there to be played, since it was switched on.
    pub underruns: u32,
}

/// What the player inside a member is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(rename_all = "snake_case")]
pub enum PlayerState {
    /// Not enough has come to play yet.
    Buffering,
    /// Plays.
    Playing,
}

impl PlayerState {
    /// A short name, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            PlayerState::Buffering => "buffering",
            PlayerState::Playing => "playing",
        }
    }
}

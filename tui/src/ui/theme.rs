//! Colours: the terminal's own sixteen, or none.

use ratatui::style::{Color, Modifier, Style};

/// How things of a kind look. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    coloured: bool,
}

impl Theme {
    /// With colours.
    pub const COLOURED: Theme = Theme { coloured: true };
    /// Without.
    pub const PLAIN: Theme = Theme { coloured: false };

    /// With colours unless `NO_COLOR` is set (to anything but nothing).
    pub fn from_env() -> Theme {
        Theme { coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    pub(super) fn title(self) -> Style {
        self.with(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.with(Color::Green)
    }

    pub(super) fn bad(self) -> Style {
        self.with(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn key(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn with(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }
}

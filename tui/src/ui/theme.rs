//! Colours: the terminal's own sixteen, or none.

use ratatui::style::{Color, Modifier, Style};

use crate::observe::Name;

/// What the user says about colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// Unless `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Colours that can be read on light and on dark: those that origins take
/// turns with. Red is for what is wrong.
const ORIGIN_COLOURS: [Color; 4] = [Color::Cyan, Color::Green, Color::Magenta, Color::Blue];
/// What marks an origin in one character: its number, then letters.
const MARKS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// How things of a kind look. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// Whether it has colours.
    pub coloured: bool,
    /// Whether the screen does without anything but ASCII.
    pub ascii: bool,
}

impl Theme {
    /// With colours.
    pub const COLOURED: Theme = Theme { coloured: true, ascii: false };
    /// Without.
    pub const PLAIN: Theme = Theme { coloured: false, ascii: false };

    /// As the user and the environment say: `NO_COLOR` (set to anything but
    /// nothing), `TERM`, and the locale, which has UTF-8 or has not.
    pub fn from_env(choice: ColorChoice, ascii: bool) -> Theme {
        Theme::from_vars(choice, ascii, |name| std::env::var(name).unwrap_or_default())
    }

    fn from_vars(choice: ColorChoice, ascii: bool, var: impl Fn(&str) -> String) -> Theme {
        let coloured = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => var("NO_COLOR").is_empty() && var("TERM") != "dumb",
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(var);
        let locale = locale.iter().find(|value| !value.is_empty());
        let utf8 = locale.is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        });
        Theme { coloured, ascii: ascii || !utf8 }
    }

    /// The name of a panel.
    pub fn title(self) -> Style {
        // It stands in a border, which is faint.
        self.with(Color::Cyan).add_modifier(Modifier::BOLD).remove_modifier(Modifier::DIM)
    }

    /// The head of a table, the name of a node.
    pub fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is as it should be.
    pub fn good(self) -> Style {
        self.with(Color::Green)
    }

    /// What is wrong.
    pub fn bad(self) -> Style {
        self.with(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What may stay in the background.
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A key, in the hints.
    pub fn key(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is selected.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A line that is looked at rather than read.
    pub fn chart(self) -> Style {
        self.with(Color::Cyan)
    }

    /// What comes from this origin. [`mark`] says the same without colour.
    pub fn origin(self, origin: Name) -> Style {
        match origin.number() {
            Some(number) => self.with(ORIGIN_COLOURS[number as usize % ORIGIN_COLOURS.len()]),
            None => Style::new(),
        }
    }

    fn with(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }
}

/// An origin in one character: `M` and digits or letters, which come round
/// after 36.
pub fn mark(origin: Name) -> char {
    match origin {
        Name::Splitter => 'S',
        Name::Lan => 'L',
        Name::Unknown => '?',
        Name::Node(_) if origin.is_monitor() => 'M',
        Name::Node(id) => char::from(MARKS[id.number as usize % MARKS.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(choice: ColorChoice, vars: &[(&str, &str)]) -> Theme {
        Theme::from_vars(choice, false, |name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map_or(String::new(), |(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_follow_the_user_then_the_environment() {
        let utf8 = ("LANG", "C.UTF-8");
        for (choice, vars, coloured) in [
            (ColorChoice::Auto, vec![utf8], true),
            (ColorChoice::Auto, vec![utf8, ("NO_COLOR", "")], true),
            (ColorChoice::Auto, vec![utf8, ("NO_COLOR", "1")], false),
            (ColorChoice::Auto, vec![utf8, ("TERM", "dumb")], false),
            (ColorChoice::Always, vec![utf8, ("NO_COLOR", "1")], true),
            (ColorChoice::Never, vec![utf8], false),
        ] {
            assert_eq!(theme(choice, &vars).coloured, coloured, "{choice:?} {vars:?}");
        }
    }

    #[test]
    fn without_utf8_it_is_ascii() {
        for (vars, ascii) in [
            (vec![], true),
            (vec![("LANG", "C")], true),
            (vec![("LANG", "de_DE.UTF-8")], false),
            (vec![("LANG", "de_DE.utf8")], false),
            (vec![("LANG", "de_DE.UTF-8"), ("LC_ALL", "POSIX")], true),
            (vec![("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], false),
        ] {
            assert_eq!(theme(ColorChoice::Auto, &vars).ascii, ascii, "{vars:?}");
        }
    }

    #[test]
    fn marks_tell_origins_apart() {
        let marks: String = [Name::monitor(0), Name::peer(1), Name::peer(10), Name::peer(37)]
            .into_iter()
            .map(mark)
            .collect();
        assert_eq!(marks, "M1a1");
    }
}

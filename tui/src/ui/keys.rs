//! The keys: one table, from which hints and help are made.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The panels, in the order of their numbers; a scene's own come after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tab {
    /// The stream and the team in numbers.
    Overview,
    /// The members, in a table.
    Team,
    /// The buffers, slot by slot.
    Buffer,
    /// Chunks under way.
    Flow,
    /// `forward` and `pending`.
    Tables,
    /// What happened.
    Log,
    /// A panel that only this scene has.
    Scene(usize),
}

impl Tab {
    /// Those that every scene has.
    pub const ALL: [Tab; 6] =
        [Tab::Overview, Tab::Team, Tab::Buffer, Tab::Flow, Tab::Tables, Tab::Log];
}

/// A step through a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// One up.
    Up,
    /// One down.
    Down,
    /// One page to the left.
    Left,
    /// One page to the right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the team and end.
    Quit,
    /// Close what is open; if nothing is, quit.
    Back,
    /// Open or close the help.
    Help,
    /// Go to the panel with this number, from 0.
    Tab(usize),
    /// Go to the next panel.
    NextTab,
    /// Go to the previous panel.
    PreviousTab,
    /// Select another line.
    Move(Motion),
    /// Open the selected peer.
    Open,
    /// Type a filter.
    Filter,
    /// Sort by the next column.
    Sort,
    /// Turn the order round.
    Reverse,
    /// Show fewer kinds of log lines.
    Level,
    /// Show the other picture.
    View,
    /// Hold the view, or go on.
    Pause,
    /// Write the screen to files.
    Save,
    /// Something that only this scene can do; a number of its own.
    Scene(u16),
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// How the keys are written.
    pub label: &'static str,
    /// What they do.
    pub does: &'static str,
    /// The same in a word, for the hints; without, it is in the help only.
    pub hint: Option<&'static str>,
    /// The panels that it is for; none: all.
    pub tabs: &'static [Tab],
    /// The keys, and what each does.
    pub keys: &'static [(KeyCode, KeyModifiers, Action)],
}

const NONE: KeyModifiers = KeyModifiers::NONE;

/// All keys that every scene has; the most wanted first.
pub const BINDINGS: &[Binding] = &[
    Binding {
        label: "q Ctrl-C",
        does: "leave the team and quit",
        hint: Some("quit"),
        tabs: &[],
        keys: &[
            (KeyCode::Char('q'), NONE, Action::Quit),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Action::Quit),
        ],
    },
    Binding {
        label: "?",
        does: "this help",
        hint: Some("help"),
        tabs: &[],
        keys: &[(KeyCode::Char('?'), NONE, Action::Help), (KeyCode::F(1), NONE, Action::Help)],
    },
    Binding {
        label: "Tab",
        does: "next panel; 1, 2 … go to one at once",
        hint: Some("panel"),
        tabs: &[],
        keys: &[
            (KeyCode::Tab, NONE, Action::NextTab),
            (KeyCode::BackTab, NONE, Action::PreviousTab),
        ],
    },
    Binding {
        label: "Space",
        does: "hold the view while the team goes on",
        hint: Some("pause"),
        tabs: &[],
        keys: &[(KeyCode::Char(' '), NONE, Action::Pause)],
    },
    Binding {
        label: "/",
        does: "filter peers or log lines",
        hint: Some("filter"),
        tabs: &[Tab::Team, Tab::Buffer, Tab::Tables, Tab::Log],
        keys: &[(KeyCode::Char('/'), NONE, Action::Filter)],
    },
    Binding {
        label: "s",
        does: "sort by the next column",
        hint: Some("sort"),
        tabs: &[Tab::Team],
        keys: &[(KeyCode::Char('s'), NONE, Action::Sort)],
    },
    Binding {
        label: "r",
        does: "turn the order round",
        hint: Some("reverse"),
        tabs: &[Tab::Team],
        keys: &[(KeyCode::Char('r'), NONE, Action::Reverse)],
    },
    Binding {
        label: "l",
        does: "log lines: all, losses and warnings, warnings",
        hint: Some("level"),
        tabs: &[Tab::Log],
        keys: &[(KeyCode::Char('l'), NONE, Action::Level)],
    },
    Binding {
        label: "v",
        does: "picture or matrix",
        hint: Some("view"),
        tabs: &[Tab::Flow],
        keys: &[(KeyCode::Char('v'), NONE, Action::View)],
    },
    Binding {
        label: "Enter",
        does: "open the selected peer",
        hint: Some("open"),
        tabs: &[Tab::Overview, Tab::Team, Tab::Buffer, Tab::Flow, Tab::Tables],
        keys: &[(KeyCode::Enter, NONE, Action::Open)],
    },
    Binding {
        label: "S",
        does: "save the screen as text and SVG",
        hint: Some("save"),
        tabs: &[],
        keys: &[(KeyCode::Char('S'), NONE, Action::Save)],
    },
    Binding {
        label: "↑ ↓ k j",
        does: "select, or scroll, by a line",
        hint: None,
        tabs: &[],
        keys: &[
            (KeyCode::Up, NONE, Action::Move(Motion::Up)),
            (KeyCode::Char('k'), NONE, Action::Move(Motion::Up)),
            (KeyCode::Down, NONE, Action::Move(Motion::Down)),
            (KeyCode::Char('j'), NONE, Action::Move(Motion::Down)),
        ],
    },
    Binding {
        label: "PgUp PgDn",
        does: "by a page",
        hint: None,
        tabs: &[],
        keys: &[
            (KeyCode::PageUp, NONE, Action::Move(Motion::PageUp)),
            (KeyCode::PageDown, NONE, Action::Move(Motion::PageDown)),
        ],
    },
    Binding {
        label: "Home End",
        does: "to the first, to the last",
        hint: None,
        tabs: &[],
        keys: &[
            (KeyCode::Home, NONE, Action::Move(Motion::First)),
            (KeyCode::Char('g'), NONE, Action::Move(Motion::First)),
            (KeyCode::End, NONE, Action::Move(Motion::Last)),
            (KeyCode::Char('G'), NONE, Action::Move(Motion::Last)),
        ],
    },
    Binding {
        label: "← →",
        does: "further slots, columns, text",
        hint: None,
        tabs: &[Tab::Buffer, Tab::Flow, Tab::Tables],
        keys: &[
            (KeyCode::Left, NONE, Action::Move(Motion::Left)),
            (KeyCode::Right, NONE, Action::Move(Motion::Right)),
        ],
    },
    Binding {
        label: "Esc",
        does: "close what is open, else quit",
        hint: None,
        tabs: &[],
        keys: &[(KeyCode::Esc, NONE, Action::Back)],
    },
];

impl Binding {
    /// Whether it is one for this panel.
    pub fn is_for(&self, tab: Tab) -> bool {
        self.tabs.is_empty() || self.tabs.contains(&tab)
    }

    fn action(&self, event: &KeyEvent) -> Option<Action> {
        let pressed = |(code, modifiers, _): &&(KeyCode, KeyModifiers, Action)| {
            // A shifted character is that character.
            event.code == *code && event.modifiers.difference(KeyModifiers::SHIFT) == *modifiers
        };
        self.keys.iter().find(pressed).map(|(.., action)| *action)
    }
}

/// What a key press means in a scene with further bindings, which go first.
pub fn action(event: &KeyEvent, scene: &[Binding]) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let bound = scene.iter().chain(BINDINGS).find_map(|binding| binding.action(event));
    match (bound, event.code) {
        (Some(action), _) => Some(action),
        (None, KeyCode::Char(digit @ '1'..='9')) => {
            Some(Action::Tab(digit as usize - '1' as usize))
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, NONE)
    }

    #[test]
    fn no_key_is_bound_twice() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for (code, modifiers, _) in binding.keys {
                assert!(seen.insert((*code, *modifiers)), "{code:?}");
            }
        }
    }

    #[test]
    fn keys_mean_what_the_table_says() {
        assert_eq!(action(&press(KeyCode::Char('q')), &[]), Some(Action::Quit));
        assert_eq!(action(&press(KeyCode::Char('3')), &[]), Some(Action::Tab(2)));
        assert_eq!(action(&press(KeyCode::Char('c')), &[]), None);
        let capital = KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT);
        assert_eq!(action(&capital, &[]), Some(Action::Save));
        let mut release = press(KeyCode::Char('q'));
        release.kind = KeyEventKind::Release;
        assert_eq!(action(&release, &[]), None);
    }

    #[test]
    fn a_scene_may_take_a_key_over() {
        let run = Binding {
            label: "Space",
            does: "run",
            hint: Some("run"),
            tabs: &[],
            keys: &[(KeyCode::Char(' '), NONE, Action::Scene(7))],
        };
        assert_eq!(action(&press(KeyCode::Char(' ')), &[run]), Some(Action::Scene(7)));
    }
}

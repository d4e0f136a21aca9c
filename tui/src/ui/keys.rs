//! The keys: one table, from which hints and help are made.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Leave the team and end.
    Quit,
    /// Open or close the help.
    Help,
}

/// One line of the table.
pub(super) struct Binding {
    /// How the keys are written.
    pub label: &'static str,
    /// What they do, in a word or two.
    pub does: &'static str,
    action: Action,
    keys: &'static [(KeyCode, KeyModifiers)],
}

/// All keys.
pub(super) const BINDINGS: &[Binding] = &[
    Binding {
        label: "q Esc Ctrl-C",
        does: "leave and quit",
        action: Action::Quit,
        keys: &[
            (KeyCode::Char('q'), KeyModifiers::NONE),
            (KeyCode::Esc, KeyModifiers::NONE),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
        ],
    },
    Binding {
        label: "?",
        does: "help",
        action: Action::Help,
        keys: &[(KeyCode::Char('?'), KeyModifiers::NONE)],
    },
];

/// What a key press means.
pub(super) fn action(event: &KeyEvent) -> Option<Action> {
    if event.kind != KeyEventKind::Press {
        return None;
    }
    let pressed = |(code, modifiers): &(KeyCode, KeyModifiers)| {
        // A shifted character is that character.
        event.code == *code && event.modifiers.difference(KeyModifiers::SHIFT) == *modifiers
    };
    BINDINGS.iter().find(|binding| binding.keys.iter().any(pressed)).map(|binding| binding.action)
}

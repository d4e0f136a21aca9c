//! The lab's keys.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::super::keys::{Action, Binding, Motion, Tab};

/// What the lab can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// One event forward.
    EventForward,
    /// One event back.
    EventBack,
    /// To the end of a chunk time.
    ChunkForward,
    /// Back by a chunk time.
    ChunkBack,
    /// To the end of a round.
    RoundForward,
    /// Back by a round.
    RoundBack,
    /// To the beginning.
    Start,
    /// Run, or stop running.
    Run,
    /// Run faster.
    Faster,
    /// Run slower.
    Slower,
    /// Run until a chunk is lost.
    UntilLoss,
    /// Ask until which chunk to run.
    AskChunk,
    /// Run until a rule is broken.
    UntilBroken,
    /// Drop the next datagram.
    Drop,
    /// Delay the next datagram.
    Delay,
    /// Double the next datagram.
    Double,
    /// Kill the selected member.
    Kill,
    /// The selected member leaves.
    Leave,
    /// The selected member turns selfish.
    Cheat,
    /// Add a peer.
    Add,
    /// Cut the selected member off, or no longer.
    Part,
    /// Forget what is to be done by hand later.
    Forget,
    /// Save the run.
    SaveRun,
    /// Save a picture of the step.
    SavePicture,
    /// Save a sequence chart.
    SaveChart,
    /// Record the session, or stop.
    Record,
    /// A digit of the chunk that is asked for.
    Digit,
    /// The last digit goes.
    Rubout,
    /// Go to the chunk that was asked for.
    Enter,
    /// No, don't.
    Cancel,
}

impl Command {
    const ALL: [Command; 30] = [
        Command::EventForward,
        Command::EventBack,
        Command::ChunkForward,
        Command::ChunkBack,
        Command::RoundForward,
        Command::RoundBack,
        Command::Start,
        Command::Run,
        Command::Faster,
        Command::Slower,
        Command::UntilLoss,
        Command::AskChunk,
        Command::UntilBroken,
        Command::Drop,
        Command::Delay,
        Command::Double,
        Command::Kill,
        Command::Leave,
        Command::Cheat,
        Command::Add,
        Command::Part,
        Command::Forget,
        Command::SaveRun,
        Command::SavePicture,
        Command::SaveChart,
        Command::Record,
        Command::Digit,
        Command::Rubout,
        Command::Enter,
        Command::Cancel,
    ];

    /// The number by which the screen knows it; `digit` is for
    /// [`Command::Digit`] only.
    const fn number(self, digit: u16) -> u16 {
        self as u16 * 10 + digit
    }

    /// The command with this number, and its digit.
    pub fn from_number(number: u16) -> Option<(Command, u32)> {
        let command = Command::ALL.get(usize::from(number / 10))?;
        Some((*command, u32::from(number % 10)))
    }
}

/// The keys while nothing is asked.
pub const BINDINGS: &[Binding] = &[
    Binding {
        label: "→",
        does: "an event forward",
        hint: Some("event"),
        tabs: &[],
        keys: &[(KeyCode::Right, NONE, does(Command::EventForward))],
    },
    Binding {
        label: "←",
        does: "an event back",
        hint: Some("back"),
        tabs: &[],
        keys: &[(KeyCode::Left, NONE, does(Command::EventBack))],
    },
    Binding {
        label: "n",
        does: "to the end of a chunk time",
        hint: Some("chunk"),
        tabs: &[],
        keys: &[(char('n'), NONE, does(Command::ChunkForward))],
    },
    Binding {
        label: "b",
        does: "back by a chunk time",
        hint: Some("back"),
        tabs: &[],
        keys: &[(char('b'), NONE, does(Command::ChunkBack))],
    },
    Binding {
        label: "N",
        does: "to the end of a round",
        hint: None,
        tabs: &[],
        keys: &[(char('N'), NONE, does(Command::RoundForward))],
    },
    Binding {
        label: "B",
        does: "back by a round",
        hint: None,
        tabs: &[],
        keys: &[(char('B'), NONE, does(Command::RoundBack))],
    },
    Binding {
        label: "0",
        does: "to the beginning",
        hint: None,
        tabs: &[],
        keys: &[(char('0'), NONE, does(Command::Start))],
    },
    Binding {
        label: "Space",
        does: "run, or stop running",
        hint: Some("run"),
        tabs: &[],
        keys: &[(char(' '), NONE, does(Command::Run))],
    },
    Binding {
        label: "+",
        does: "run faster; from a size of steps to the next",
        hint: None,
        tabs: &[],
        keys: &[(char('+'), NONE, does(Command::Faster)), (char('='), NONE, does(Command::Faster))],
    },
    Binding {
        label: "-",
        does: "run slower",
        hint: None,
        tabs: &[],
        keys: &[(char('-'), NONE, does(Command::Slower))],
    },
    Binding {
        label: "u",
        does: "run until a chunk is lost",
        hint: Some("loss"),
        tabs: &[],
        keys: &[(char('u'), NONE, does(Command::UntilLoss))],
    },
    Binding {
        label: "c",
        does: "run to a chunk time, or go back to it",
        hint: Some("goto"),
        tabs: &[],
        keys: &[(char('c'), NONE, does(Command::AskChunk))],
    },
    Binding {
        label: "e",
        does: "run to the end, or until a rule is broken",
        hint: None,
        tabs: &[],
        keys: &[(char('e'), NONE, does(Command::UntilBroken))],
    },
    Binding {
        label: "d",
        does: "drop the next datagram",
        hint: Some("drop"),
        tabs: &[],
        keys: &[(char('d'), NONE, does(Command::Drop))],
    },
    Binding {
        label: "w",
        does: "make the next datagram wait for a chunk time",
        hint: Some("delay"),
        tabs: &[],
        keys: &[(char('w'), NONE, does(Command::Delay))],
    },
    Binding {
        label: "t",
        does: "make the next datagram come twice",
        hint: None,
        tabs: &[],
        keys: &[(char('t'), NONE, does(Command::Double))],
    },
    Binding {
        label: "K",
        does: "kill the selected member",
        hint: Some("kill"),
        tabs: &[],
        keys: &[(char('K'), NONE, does(Command::Kill))],
    },
    Binding {
        label: "L",
        does: "make the selected member leave",
        hint: None,
        tabs: &[],
        keys: &[(char('L'), NONE, does(Command::Leave))],
    },
    Binding {
        label: "C",
        does: "make the selected member selfish",
        hint: None,
        tabs: &[],
        keys: &[(char('C'), NONE, does(Command::Cheat))],
    },
    Binding {
        label: "a",
        does: "add a peer",
        hint: Some("add"),
        tabs: &[],
        keys: &[(char('a'), NONE, does(Command::Add))],
    },
    Binding {
        label: "x",
        does: "cut the selected member off, or no longer",
        hint: Some("part"),
        tabs: &[],
        keys: &[(char('x'), NONE, does(Command::Part))],
    },
    Binding {
        label: "f",
        does: "forget what is done by hand after this place",
        hint: None,
        tabs: &[],
        keys: &[(char('f'), NONE, does(Command::Forget))],
    },
    Binding {
        label: "W",
        does: "save the run, for lab and sim to open",
        hint: Some("write"),
        tabs: &[],
        keys: &[(char('W'), NONE, does(Command::SaveRun))],
    },
    Binding {
        label: "P",
        does: "save a picture of the step (SVG)",
        hint: None,
        tabs: &[],
        keys: &[(char('P'), NONE, does(Command::SavePicture))],
    },
    Binding {
        label: "Q",
        does: "save a sequence chart of the last chunk times (SVG)",
        hint: None,
        tabs: &[],
        keys: &[(char('Q'), NONE, does(Command::SaveChart))],
    },
    Binding {
        label: "R",
        does: "record the screen (asciicast), or stop",
        hint: None,
        tabs: &[],
        keys: &[(char('R'), NONE, does(Command::Record))],
    },
    Binding {
        label: "< >",
        does: "further slots, columns, text",
        hint: None,
        tabs: &[Tab::Buffer, Tab::Flow, Tab::Tables],
        keys: &[
            (char('<'), NONE, Action::Move(Motion::Left)),
            (char('>'), NONE, Action::Move(Motion::Right)),
        ],
    },
];

/// The keys while a chunk is asked for.
pub const ASKING: &[Binding] = &[
    Binding {
        label: "0-9",
        does: "the chunk",
        hint: Some("chunk"),
        tabs: &[],
        keys: &[
            (char('0'), NONE, digit(0)),
            (char('1'), NONE, digit(1)),
            (char('2'), NONE, digit(2)),
            (char('3'), NONE, digit(3)),
            (char('4'), NONE, digit(4)),
            (char('5'), NONE, digit(5)),
            (char('6'), NONE, digit(6)),
            (char('7'), NONE, digit(7)),
            (char('8'), NONE, digit(8)),
            (char('9'), NONE, digit(9)),
            (KeyCode::Backspace, NONE, does(Command::Rubout)),
        ],
    },
    Binding {
        label: "Enter",
        does: "go there",
        hint: Some("go"),
        tabs: &[],
        keys: &[(KeyCode::Enter, NONE, does(Command::Enter))],
    },
    Binding {
        label: "Esc",
        does: "stay here",
        hint: Some("stay"),
        tabs: &[],
        keys: &[(KeyCode::Esc, NONE, does(Command::Cancel))],
    },
];

const NONE: KeyModifiers = KeyModifiers::NONE;

const fn char(character: char) -> KeyCode {
    KeyCode::Char(character)
}

const fn does(command: Command) -> Action {
    Action::Scene(command.number(0))
}

const fn digit(digit: u16) -> Action {
    Action::Scene(Command::Digit.number(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_lab_does_one_thing() {
        for (table, name) in [(BINDINGS, "lab"), (ASKING, "asking")] {
            let keys: Vec<_> = table.iter().flat_map(|binding| binding.keys).collect();
            for (place, (code, _, action)) in keys.iter().enumerate() {
                assert!(keys[..place].iter().all(|(other, ..)| other != code), "{name} {code:?}");
                match action {
                    Action::Scene(number) => {
                        assert!(Command::from_number(*number).is_some(), "{name} {code:?}");
                    }
                    other => assert!(matches!(other, Action::Move(_)), "{name} {code:?}"),
                }
            }
        }
        assert_eq!(Command::from_number(Command::Digit.number(7)), Some((Command::Digit, 7)));
        assert_eq!(Command::from_number(u16::MAX), None);
    }
}

//! The screen's state, and what keys do to it. It reads no clock, no terminal
//! and no network: tests drive it like the terminal does.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};

use super::ascii;
use super::keys::{self, Action, Motion, Tab};
use super::panels;
use super::roster::{self, Row, Sort};
use super::{Scene, Theme};
use crate::observe::{Level, LogLine, Name, Snapshot};

/// Lines of a page, for keys.
const PAGE: usize = 10;
/// Longest filter, in characters.
const MAX_FILTER: usize = 40;

/// What a key leads to outside of the screen's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Nothing but another picture.
    Draw,
    /// The program is to end at once.
    End,
    /// What is on the screen is to be saved.
    Save,
}

/// What is on the screen.
#[derive(Debug, Default)]
pub struct App {
    pub(super) theme: Theme,
    pub(super) snapshot: Snapshot,
    pub(super) tab: usize,
    pub(super) help: bool,
    /// Lines of the help above those that are shown.
    pub(super) help_from: usize,
    /// The selected peer's own page is open.
    pub(super) open: bool,
    pub(super) selected: Option<Name>,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    /// The filters of peers and of log lines.
    pub(super) filters: [String; 2],
    /// A filter is being typed.
    pub(super) typing: bool,
    /// The least that log lines have to matter.
    pub(super) level: Level,
    /// Log lines below those that are shown.
    pub(super) log_back: usize,
    /// Pages of columns or slots away from where the panel begins by itself.
    pub(super) page: isize,
    /// Whether Flow shows the matrix; as the team's size wants it, unless set.
    pub(super) matrix: Option<bool>,
    /// The time that the view is held since.
    pub(super) paused: bool,
    /// How far the team has gone on since then, in seconds.
    pub(super) lag_s: f64,
    /// The user wants to quit, and the nodes are leaving.
    pub(super) leaving: bool,
    /// Something to tell until the next key.
    pub(super) message: Option<String>,
}

impl App {
    /// A screen that shows nothing yet.
    pub fn new(theme: Theme) -> App {
        App { theme, ..App::default() }
    }

    // -- inputs --

    /// Takes what there is to see now, unless the view is held.
    pub fn look(&mut self, scene: &mut dyn Scene) {
        if self.paused {
            self.lag_s = scene.now() - self.snapshot.t;
        } else {
            self.snapshot = scene.snapshot();
            self.lag_s = 0.0;
        }
    }

    /// Takes a key.
    pub fn press(&mut self, key: &KeyEvent, scene: &mut dyn Scene) -> Request {
        if key.kind == KeyEventKind::Release {
            return Request::Draw;
        }
        if self.typing && self.typed(key) {
            return Request::Draw;
        }
        match keys::action(key, scene.bindings()) {
            Some(action) => self.update(action, scene),
            None => Request::Draw,
        }
    }

    /// Does what a key is bound to.
    pub fn update(&mut self, action: Action, scene: &mut dyn Scene) -> Request {
        self.message = None;
        match action {
            Action::Quit => return self.quit(scene),
            Action::Back if self.help || self.open || self.typing => self.close(),
            Action::Back if !self.filter().is_empty() => self.filter_mut().clear(),
            Action::Back => return self.quit(scene),
            Action::Help => (self.help, self.help_from) = (!self.help, 0),
            Action::Move(motion) if self.help => {
                let last = scene.bindings().len() + keys::BINDINGS.len() - 1;
                self.help_from = moved(self.help_from, last, motion);
            }
            Action::Tab(tab) if tab < tabs(scene) => self.go_to(tab),
            Action::Tab(_) => {}
            Action::NextTab => self.go_to((self.tab + 1) % tabs(scene)),
            Action::PreviousTab => self.go_to((self.tab + tabs(scene) - 1) % tabs(scene)),
            Action::Move(motion) => self.go(motion),
            Action::Open => self.open = self.selected_row().is_some(),
            Action::Filter => self.typing = !matches!(self.tab(), Tab::Scene(_)),
            Action::Sort => self.sort = self.sort.next(),
            Action::Reverse => self.reversed = !self.reversed,
            Action::Level => {
                self.level = match self.level {
                    Level::Info => Level::Loss,
                    Level::Loss => Level::Warning,
                    Level::Warning => Level::Info,
                };
            }
            Action::View => self.matrix = Some(!self.shows_matrix()),
            Action::Pause => {
                self.paused = !self.paused;
                self.look(scene);
            }
            Action::Save => return Request::Save,
            Action::Scene(command) => {
                let selected = self.selected_row().map(|row| row.name);
                self.message = scene.act(command, selected);
                self.look(scene);
            }
        }
        Request::Draw
    }

    /// Goes to a panel.
    pub fn show(&mut self, tab: Tab) {
        self.go_to(match tab {
            Tab::Scene(panel) => Tab::ALL.len() + panel,
            _ => Tab::ALL.iter().position(|one| *one == tab).unwrap_or(0),
        });
    }

    /// Tells the user something, until the next key.
    pub fn tell(&mut self, message: String) {
        self.message = Some(message);
    }

    // -- output --

    /// Draws everything.
    pub fn draw(&self, frame: &mut Frame<'_>, scene: &dyn Scene) {
        let rows = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
        let [top, body, bottom] = Layout::vertical(rows).areas(frame.area());
        panels::top::draw(frame, top, self, scene);
        match self.tab() {
            _ if self.open => panels::peer::draw(frame, body, self),
            Tab::Overview => panels::overview::draw(frame, body, self),
            Tab::Team => panels::team::draw(frame, body, self),
            Tab::Buffer => panels::buffer::draw(frame, body, self),
            Tab::Flow => panels::flow::draw(frame, body, self),
            Tab::Tables => panels::tables::draw(frame, body, self),
            Tab::Log => panels::log::draw(frame, body, self),
            Tab::Scene(panel) => scene.draw_panel(panel, frame, body, self),
        }
        panels::bottom::draw(frame, bottom, self, scene);
        if self.help {
            panels::help::draw(frame, body, self, scene);
        }
        if self.theme.ascii {
            ascii::simplify(frame.buffer_mut());
        }
    }

    // -- views --

    /// How things look.
    pub fn theme(&self) -> Theme {
        self.theme
    }

    /// What is shown.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The panel that is shown.
    pub fn tab(&self) -> Tab {
        match Tab::ALL.get(self.tab) {
            Some(tab) => *tab,
            None => Tab::Scene(self.tab - Tab::ALL.len()),
        }
    }

    /// Whether the view is held.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The members that are listed, filtered and sorted.
    pub fn rows(&self) -> Vec<Row> {
        roster::rows(&self.snapshot, &self.filters[0], self.sort, self.reversed)
    }

    /// The selected member, or the first.
    pub fn selected_row(&self) -> Option<Row> {
        let rows = self.rows();
        let selected = rows.iter().position(|row| Some(row.name) == self.selected);
        rows.into_iter().nth(selected.unwrap_or(0))
    }

    /// The log lines that are listed.
    pub fn log_lines(&self) -> Vec<&LogLine> {
        let filter = self.filters[1].to_lowercase();
        let wanted = |line: &&LogLine| {
            line.level >= self.level
                && (filter.is_empty()
                    || line.text.to_lowercase().contains(&filter)
                    || line.node.to_lowercase().contains(&filter))
        };
        self.snapshot.log.iter().filter(wanted).collect()
    }

    /// Whether Flow shows the matrix.
    pub fn shows_matrix(&self) -> bool {
        self.matrix
            .unwrap_or_else(|| roster::rows(&self.snapshot, "", Sort::Name, false).len() > MANY)
    }

    /// The filter of the panel that is shown.
    pub fn filter(&self) -> &str {
        &self.filters[usize::from(self.tab() == Tab::Log)]
    }

    // -- what keys do --

    fn filter_mut(&mut self) -> &mut String {
        let which = usize::from(self.tab() == Tab::Log);
        &mut self.filters[which]
    }

    fn quit(&mut self, scene: &mut dyn Scene) -> Request {
        self.close();
        self.paused = false;
        self.leaving = true;
        if scene.quit() { Request::Draw } else { Request::End }
    }

    fn close(&mut self) {
        if self.help {
            self.help = false;
        } else {
            self.open = false;
            self.typing = false;
        }
    }

    fn go_to(&mut self, tab: usize) {
        self.tab = tab;
        self.page = 0;
        self.open = false;
        self.help = false;
        self.typing = false;
    }

    fn go(&mut self, motion: Motion) {
        match (motion, self.tab()) {
            (Motion::Left, _) => self.page -= 1,
            (Motion::Right, _) => self.page += 1,
            (_, Tab::Log) => {
                let last = self.log_lines().len().saturating_sub(1);
                // The newest line is the last one.
                self.log_back = last - moved(last - self.log_back.min(last), last, motion);
            }
            _ => {
                let rows = self.rows();
                let at = rows.iter().position(|row| Some(row.name) == self.selected);
                let Some(last) = rows.len().checked_sub(1) else { return };
                self.selected = Some(rows[moved(at.unwrap_or(0), last, motion)].name);
            }
        }
    }

    /// A key while a filter is typed; whether it was for the filter.
    fn typed(&mut self, key: &KeyEvent) -> bool {
        match key.code {
            KeyCode::Char(character)
                if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() =>
            {
                if self.filter().chars().count() < MAX_FILTER {
                    self.filter_mut().push(character);
                }
            }
            KeyCode::Backspace => {
                self.filter_mut().pop();
            }
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.filter_mut().clear();
                self.typing = false;
            }
            _ => return false,
        }
        true
    }
}

/// More members than this are easier seen in a matrix than in a picture.
const MANY: usize = 12;

fn tabs(scene: &dyn Scene) -> usize {
    Tab::ALL.len() + scene.panels().len()
}

fn moved(at: usize, last: usize, motion: Motion) -> usize {
    match motion {
        Motion::Up => at.saturating_sub(1),
        Motion::Down => (at + 1).min(last),
        Motion::PageUp => at.saturating_sub(PAGE),
        Motion::PageDown => (at + PAGE).min(last),
        Motion::First => 0,
        Motion::Last => last,
        Motion::Left | Motion::Right => at,
    }
}

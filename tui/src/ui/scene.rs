//! What the screen shows: a live team, or one in virtual time.

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::App;
use super::keys::{Binding, Tab};
use crate::net::Stopper;
use crate::observe::{Name, Observer, Snapshot};

/// Where snapshots come from, and what can be done there besides looking.
///
/// Panels know a [`Snapshot`] and no more; keys, hints and the help take a
/// scene's own bindings in, and its panels come after those that all scenes
/// have.
pub trait Scene {
    /// All that can be seen now.
    fn snapshot(&mut self) -> Snapshot;

    /// The time of the snapshot that would be made now, in seconds.
    fn now(&self) -> f64;

    /// Further keys, with [`Action::Scene`](super::keys::Action::Scene) as
    /// what they do. They go before the screen's own.
    fn bindings(&self) -> &'static [Binding] {
        &[]
    }

    /// Names of further panels.
    fn panels(&self) -> &'static [&'static str] {
        &[]
    }

    /// Draws one of them.
    fn draw_panel(&self, panel: usize, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let _ = (panel, frame, area, app);
    }

    /// Does what is bound to this number, to the member selected if it is
    /// something that is done to one; what to tell the user of it.
    fn act(&mut self, command: u16, selected: Option<Name>) -> Option<String> {
        let _ = (command, selected);
        None
    }

    /// The panel to begin with.
    fn first_tab(&self) -> Tab {
        Tab::Overview
    }

    /// Takes a picture that was drawn.
    fn drawn(&mut self, picture: &Buffer) {
        let _ = picture;
    }

    /// Goes on by itself between two frames; whether there is something new.
    fn advance(&mut self) -> bool {
        true
    }

    /// How long it may be before [`Scene::advance`] is called again.
    fn rest(&self) -> Duration {
        Duration::MAX
    }

    /// A few words on where it stands, for the top line.
    fn status(&self) -> String;

    /// The user wants to quit; whether that takes a while, in which the screen
    /// goes on.
    fn quit(&mut self) -> bool;
}

/// The nodes of this process.
#[derive(Debug)]
pub struct Live {
    observer: Observer,
    stopper: Stopper,
}

impl Live {
    /// What `observer` is told; the wish to quit goes to `stopper`.
    pub fn new(observer: Observer, stopper: Stopper) -> Live {
        Live { observer, stopper }
    }
}

impl Scene for Live {
    fn snapshot(&mut self) -> Snapshot {
        self.observer.snapshot()
    }

    fn now(&self) -> f64 {
        self.observer.elapsed()
    }

    fn status(&self) -> String {
        super::format::duration(self.observer.elapsed())
    }

    fn quit(&mut self) -> bool {
        self.stopper.stop();
        true
    }
}

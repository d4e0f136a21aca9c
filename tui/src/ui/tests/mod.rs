//! The whole screen, as it is drawn: goldens, every size, every key.

mod golden;
mod keys;
mod sample;
mod sizes;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{App, Request, Theme};
use crate::observe::Snapshot;
use sample::Still;

/// A screen with this before it.
fn app(theme: Theme, snapshot: Snapshot) -> (App, Still) {
    let mut scene = Still::of(snapshot);
    let mut app = App::new(theme);
    app.look(&mut scene);
    (app, scene)
}

/// Presses keys one after the other; what the last one led to.
fn press(app: &mut App, scene: &mut Still, keys: &[KeyCode]) -> Request {
    let mut last = Request::Draw;
    for key in keys {
        last = app.press(&KeyEvent::new(*key, KeyModifiers::NONE), scene);
    }
    last
}

fn text(app: &App, scene: &Still, width: u16, height: u16) -> String {
    super::svg::text(&super::frame_of(app, scene, width, height))
}

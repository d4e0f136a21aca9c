//! The whole screen, as it is drawn: goldens, every size, every key.

mod golden;
mod keys;
mod lab;
mod sample;
mod sizes;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use std::sync::Arc;

use super::{App, Request, Theme};
use crate::observe::{NodeSnapshot, Snapshot};
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

#[test]
fn the_title_shows_and_a_long_one_is_cut() {
    for (title, expected) in [
        ("Wir - Ein Lied", "Radio Sample: Wir - Ein Lied  audio/mpeg"),
        (&"long ".repeat(50), "Radio Sample: long long long long"),
        ("", "Radio Sample  audio/mpeg"),
    ] {
        let mut snapshot = sample::alone();
        for node in &mut snapshot.nodes {
            let NodeSnapshot::Peer(peer) = Arc::make_mut(node) else { continue };
            title.clone_into(&mut peer.stream.title);
        }
        let (app, scene) = app(Theme::PLAIN, snapshot);
        let text = text(&app, &scene, 80, 24);
        assert!(text.contains(expected), "{text}");
    }
}

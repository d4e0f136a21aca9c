//! Every panel at every size that a terminal can have.

use ratatui::crossterm::event::KeyCode;

use super::sample;
use super::{app, press};
use crate::observe::Snapshot;
use crate::ui::{Theme, frame_of};

/// Sizes tried besides the edges.
const SAMPLES: u32 = 120;

/// Numbers without a plan, the same ones each time (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn scenes() -> Vec<Snapshot> {
    vec![
        Snapshot::default(),
        sample::alone(),
        sample::splitter_alone(),
        sample::team(5),
        sample::team(60),
    ]
}

#[test]
fn any_panel_can_be_drawn_at_any_size() {
    let mut sizes: Vec<(u16, u16)> = Vec::new();
    for width in [1, 2, 5, 20, 21, 36, 59, 60, 80, 129, 130, 300] {
        for height in [1, 2, 3, 5, 6, 9, 12, 24, 100] {
            sizes.push((width, height));
        }
    }
    let mut state = 0x5EED;
    for _ in 0..SAMPLES {
        let width = 20 + next(&mut state) % 281;
        let height = 5 + next(&mut state) % 96;
        sizes.push((width as u16, height as u16));
    }
    for snapshot in scenes() {
        let (mut app, mut scene) = app(Theme::COLOURED, snapshot);
        for (width, height) in &sizes {
            // Each size has some panel, and over all sizes each panel all.
            let panel = char::from(b'1' + (next(&mut state) % 6) as u8);
            press(&mut app, &mut scene, &[KeyCode::Char(panel)]);
            let mut keys = vec![];
            match next(&mut state) % 6 {
                0 => keys.push(KeyCode::Enter),
                1 => keys.push(KeyCode::Char('?')),
                2 => keys.extend([KeyCode::Right, KeyCode::Down]),
                3 => keys.push(KeyCode::End),
                4 => keys.push(KeyCode::Char('v')),
                _ => {}
            }
            press(&mut app, &mut scene, &keys);
            let drawn = frame_of(&app, &scene, *width, *height);
            assert_eq!((drawn.area.width, drawn.area.height), (*width, *height));
        }
    }
}

#[test]
fn the_edges_of_all_panels() {
    for snapshot in scenes() {
        let (mut app, mut scene) = app(Theme::COLOURED, snapshot);
        for panel in '1'..='6' {
            for open in [&[][..], &[KeyCode::Enter], &[KeyCode::Char('?')]] {
                press(&mut app, &mut scene, &[KeyCode::Char(panel)]);
                press(&mut app, &mut scene, open);
                for (width, height) in [(20, 5), (20, 100), (300, 5), (300, 100), (60, 20)] {
                    let drawn = frame_of(&app, &scene, width, height);
                    assert_eq!(drawn.area.width, width);
                }
            }
        }
    }
}

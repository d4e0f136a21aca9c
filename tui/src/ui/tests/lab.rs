//! The lab on the screen: what it shows, and what its keys do.

use std::path::Path;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::lab::scenario::{self, Overrides};
use crate::ui::{App, LabScene, Scene, Theme, frame_of, svg};

struct Shown {
    app: App,
    scene: LabScene,
}

impl Shown {
    fn of(scenario: &str, folder: &Path) -> Shown {
        let recipe = scenario::open(scenario, &Overrides::default()).expect("is legal");
        let mut scene = LabScene::new(recipe, folder);
        let mut app = App::new(Theme::PLAIN);
        app.show(scene.first_tab());
        app.look(&mut scene);
        Shown { app, scene }
    }

    fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '→' => KeyCode::Right,
                '←' => KeyCode::Left,
                '↓' => KeyCode::Down,
                '\n' => KeyCode::Enter,
                other => KeyCode::Char(other),
            };
            self.app.press(&KeyEvent::new(code, KeyModifiers::NONE), &mut self.scene);
        }
    }

    fn text(&self, width: u16, height: u16) -> String {
        svg::text(&frame_of(&self.app, &self.scene, width, height))
    }

    #[track_caller]
    fn shows(&self, expected: &[&str]) {
        let text = self.text(120, 40);
        for part in expected {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
    }
}

#[test]
fn the_lab_looks_like_this() {
    let mut shown = Shown::of("figures", Path::new("."));
    for (name, keys) in [
        ("beginning", ""),
        ("chunk_3", "nnnn"),
        ("event", "n←←"),
        ("latency", "ne8"),
        ("log", "bb6"),
        ("help", "7?"),
    ] {
        shown.press(keys);
        while shown.scene.advance() {}
        shown.app.look(&mut shown.scene);
        for (width, height) in [(80, 24), (120, 40)] {
            insta::assert_snapshot!(
                format!("lab_{name}_{width}x{height}"),
                shown.text(width, height)
            );
        }
    }
}

#[test]
fn the_lab_can_be_drawn_at_any_size_and_place() {
    for scenario in ["figures", "lan", "selfish"] {
        let mut shown = Shown::of(scenario, Path::new("."));
        for keys in ["", "n", "N", "→→", "b", "a↓K", "nn"] {
            shown.press(keys);
            for tab in 1..=8 {
                shown.press(&tab.to_string());
                for (width, height) in [(20, 5), (1, 1), (33, 9), (80, 24), (300, 100)] {
                    shown.text(width, height);
                }
            }
            shown.press("7");
        }
    }
}

#[test]
fn what_is_done_by_hand_is_told_and_can_be_taken_back() {
    let mut shown = Shown::of("figures", Path::new("."));
    shown.press("d");
    shown.shows(&["no datagram is under way"]);
    // M0 has the chunk 2 that S has cut; P1 is next.
    shown.press("nn→→→→→→");
    shown.shows(&["M0 got chunk 2 from S", "M0>P1:2"]);
    shown.press("d");
    shown.shows(&["By hand: chunk 2 from M0 to P1 is dropped", "M0>P1:2 lost!"]);
    shown.press("n");
    shown.shows(&["P1  F {P1: [M0, P2]}", "B [3]"]);
    shown.press("b←");
    shown.shows(&["M0 got chunk 2 from S"]);
    shown.press("f");
    shown.shows(&["forgotten: one thing"]);
    shown.press("nn");
    shown.shows(&["B [2 3]"]);
    // The second in the list.
    shown.press("↓K");
    shown.shows(&["By hand: P1 dies without a word"]);
    shown.press("K");
    shown.shows(&["P1 is not in the team"]);
}

#[test]
fn a_chunk_can_be_asked_for_and_runs_end() {
    let mut shown = Shown::of("figures", Path::new("."));
    shown.press("c4");
    shown.shows(&["to the end of chunk time: 4_"]);
    shown.press("\n");
    while shown.scene.advance() {}
    shown.app.look(&mut shown.scene);
    shown.shows(&["chunk 4, step 26"]);
    shown.press("c2\n");
    shown.shows(&["chunk 2, step 14"]);
    shown.press("c9b");
    shown.shows(&["to the end of chunk time: 9_"]);
    shown.press("e");
    shown.shows(&["chunk 2, step 14"]);
    shown.press("c9\n");
    while shown.scene.advance() {}
    shown.app.look(&mut shown.scene);
    shown.shows(&["over after 32 steps", "the run is over"]);
    shown.press("0");
    shown.shows(&["the beginning"]);
}

#[test]
fn runs_pictures_charts_and_recordings_are_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shown = Shown::of("figures", folder.path());
    shown.press("nnnnaRn");
    for _ in 0..2 {
        let picture = frame_of(&shown.app, &shown.scene, 80, 24);
        shown.scene.drawn(&picture);
        shown.press("n");
    }
    shown.press("RPQW");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let cast = read("figures-1.cast");
    assert!(cast.starts_with("{\"version\":2,\"width\":80,\"height\":24"), "{cast}");
    assert_eq!(cast.lines().count(), 3, "{cast}");
    let picture = read("figures-1.svg");
    for part in ["<svg", ">M0</text>", ">P3</text>", "F {M0: [P1, P2, P3]}", "</svg>"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    assert_eq!(picture.matches("<circle").count(), 5, "{picture}");
    let chart = read("figures-chart-1.svg");
    assert!(chart.contains("chunk times 0 to 5") && chart.matches("<polygon").count() > 10);
    let path = folder.path().join("figures-1.toml");
    let again = Shown::of(path.to_str().expect("UTF-8"), folder.path());
    assert_eq!(again.scene.differs(), None);
    assert_eq!(again.scene.run().position(), shown.scene.run().position());
    assert_eq!(again.scene.run().lab().state_hash(), shown.scene.run().lab().state_hash());
}

//! What every panel looks like, cell by cell, with colours and without.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use super::sample;
use super::{app, press};
use crate::observe::Snapshot;
use crate::ui::{Theme, frame_of, svg};

/// The screen after some keys, at three sizes; text and looks.
#[track_caller]
fn golden(name: &str, snapshot: &Snapshot, keys: &[KeyCode]) {
    let (mut coloured, mut scene) = app(Theme::COLOURED, snapshot.clone());
    press(&mut coloured, &mut scene, keys);
    let (mut plain, mut other) = app(Theme::PLAIN, snapshot.clone());
    press(&mut plain, &mut other, keys);
    for (width, height) in [(60, 20), (80, 24), (120, 40)] {
        let light = frame_of(&coloured, &scene, width, height);
        let without = frame_of(&plain, &other, width, height);
        assert_eq!(svg::text(&light), svg::text(&without), "colours change no letter");
        let at = format!("{name}_{width}x{height}");
        let (text, light_looks, looks) = (svg::text(&light), looks(&light), looks(&without));
        insta::assert_snapshot!(at, format!("{text}\nlight\n{light_looks}\nNO_COLOR\n{looks}"));
        readable_on_light_and_dark(&light);
        assert!(without.content.iter().all(|cell| [cell.fg, cell.bg] == [Color::Reset; 2]));
    }
}

/// The looks of all cells that are not plain: `line: columns look, …`.
fn looks(buffer: &Buffer) -> String {
    let mut text = String::new();
    for (line, cells) in buffer.content.chunks(usize::from(buffer.area.width)).enumerate() {
        let mut runs: Vec<(usize, usize, String)> = Vec::new();
        for (column, cell) in cells.iter().enumerate() {
            let look = look(cell);
            match runs.last_mut() {
                Some((_, end, last)) if *last == look && *end == column => *end = column + 1,
                _ if look.is_empty() => {}
                _ => runs.push((column, column + 1, look)),
            }
        }
        let runs: Vec<String> =
            runs.iter().map(|(start, end, look)| format!("{start}-{} {look}", end - 1)).collect();
        if !runs.is_empty() {
            let _ = writeln!(text, "{line}: {}", runs.join(", "));
        }
    }
    text
}

fn look(cell: &Cell) -> String {
    let mut look = Vec::new();
    if cell.fg != Color::Reset {
        look.push(cell.fg.to_string().to_lowercase());
    }
    for (modifier, name) in
        [(Modifier::BOLD, "bold"), (Modifier::DIM, "dim"), (Modifier::REVERSED, "reversed")]
    {
        if cell.modifier.contains(modifier) {
            look.push(name.to_owned());
        }
    }
    look.join(" ")
}

/// Yellow, white, black and the bright ones can't be read on every ground.
fn readable_on_light_and_dark(buffer: &Buffer) {
    let good = [Color::Reset, Color::Cyan, Color::Green, Color::Magenta, Color::Blue, Color::Red];
    for cell in &buffer.content {
        assert!(good.contains(&cell.fg) && cell.bg == Color::Reset, "{cell:?}");
    }
}

const fn key(character: char) -> KeyCode {
    KeyCode::Char(character)
}

#[test]
fn overview() {
    golden("overview", &sample::team(5), &[key('1')]);
}

#[test]
fn team() {
    golden("team", &sample::team(5), &[key('2'), key('s'), key('r'), KeyCode::Down]);
}

#[test]
fn buffer() {
    golden("buffer", &sample::team(5), &[key('3')]);
}

#[test]
fn flow() {
    golden("flow", &sample::team(5), &[key('4')]);
}

#[test]
fn flow_of_a_big_team() {
    golden("matrix", &sample::team(30), &[key('4')]);
}

#[test]
fn tables() {
    golden("tables", &sample::team(5), &[key('5'), KeyCode::Down]);
}

#[test]
fn log() {
    golden("log", &sample::team(5), &[key('6')]);
}

#[test]
fn one_peer() {
    golden("peer", &sample::team(5), &[key('2'), KeyCode::Down, KeyCode::Enter]);
}

#[test]
fn help() {
    golden("help", &sample::team(5), &[key('?')]);
}

#[test]
fn nodes_alone() {
    golden("alone", &sample::alone(), &[key('1')]);
    golden("alone_team", &sample::alone(), &[key('2')]);
    golden("alone_flow", &sample::alone(), &[key('4')]);
    golden("splitter", &sample::splitter_alone(), &[key('1')]);
}

#[test]
fn boards_in_the_team() {
    let board = [key('2'), KeyCode::Down, KeyCode::Down, KeyCode::Down];
    golden("boards", &sample::boards(), &board);
    golden("board", &sample::boards(), &[&board[..], &[KeyCode::Enter]].concat());
}

#[test]
fn nothing_yet() {
    golden("nothing", &Snapshot::default(), &[key('1')]);
}

#[test]
fn ascii() {
    for panel in ['1', '2', '3', '4', '5', '6', '?'] {
        let theme = Theme { ascii: true, ..Theme::PLAIN };
        let (mut app, mut scene) = app(theme, sample::team(5));
        press(&mut app, &mut scene, &[key(panel)]);
        let text = svg::text(&frame_of(&app, &scene, 80, 24));
        assert!(text.is_ascii(), "{text}");
        if panel != '?' {
            insta::assert_snapshot!(format!("ascii_{panel}"), text);
        }
    }
}

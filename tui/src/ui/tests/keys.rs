//! What keys do to the screen.

use ratatui::crossterm::event::KeyCode;

use super::sample::{self, Still};
use super::{app, press, text};
use crate::ui::keys::{BINDINGS, Tab};
use crate::ui::{App, Request, Theme};

fn team() -> (App, Still) {
    app(Theme::PLAIN, sample::team(5))
}

const fn key(character: char) -> KeyCode {
    KeyCode::Char(character)
}

fn order(app: &App) -> String {
    let names: Vec<String> = app.rows().iter().map(|row| row.name.to_string()).collect();
    names.join(" ")
}

#[test]
fn numbers_and_tab_go_through_the_panels() {
    let (mut app, mut scene) = team();
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        press(&mut app, &mut scene, &[key(char::from(b'1' + at as u8))]);
        assert_eq!(app.tab(), tab);
    }
    press(&mut app, &mut scene, &[KeyCode::Tab]);
    assert_eq!(app.tab(), Tab::Overview);
    press(&mut app, &mut scene, &[KeyCode::BackTab]);
    assert_eq!(app.tab(), Tab::Log);
    press(&mut app, &mut scene, &[key('9')]);
    assert_eq!(app.tab(), Tab::Log, "there is no ninth panel");
}

#[test]
fn the_help_says_all_keys() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('?')]);
    let help = text(&app, &scene, 80, 24);
    for binding in BINDINGS {
        assert!(help.contains(binding.label) && help.contains(binding.does), "{}", binding.label);
    }
    press(&mut app, &mut scene, &[KeyCode::Esc]);
    assert!(!text(&app, &scene, 80, 24).contains("this help"), "Esc closes the help");
    assert!(!scene.asked_to_quit);
}

#[test]
fn hints_are_cut_between_keys_and_never_wrap() {
    let (app, scene) = team();
    for width in 20..=200 {
        let screen = text(&app, &scene, width, 24);
        let last = screen.lines().last().unwrap();
        assert!(
            "q quit  ? help  Tab panel  Space pause  Enter open  S save"
                .starts_with(last.trim_end()),
            "{width}: {last:?}"
        );
        assert!(last.starts_with("q quit  ?"), "{width}: {last:?}");
    }
}

#[test]
fn a_filter_narrows_the_list_until_it_is_dropped() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('2'), key('/'), key('p'), key('3')]);
    assert!(text(&app, &scene, 80, 24).contains("/p3"), "what is typed is shown");
    assert_eq!(order(&app), "P3");
    press(&mut app, &mut scene, &[KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!(order(&app), "M0 P1 P2 P3 P4", "\"p\" is in peer and playing");
    press(
        &mut app,
        &mut scene,
        &[key('/'), KeyCode::Backspace, key('m'), key('o'), KeyCode::Enter],
    );
    assert_eq!(order(&app), "M0", "roles are found, too");
    assert!(text(&app, &scene, 80, 24).contains("filter \"mo\""));
    press(&mut app, &mut scene, &[KeyCode::Esc]);
    assert_eq!(order(&app), "M0 P1 P2 P3 P4", "Esc drops it");
    assert!(!scene.asked_to_quit);
    press(&mut app, &mut scene, &[key('/'), key('q')]);
    assert!(!scene.asked_to_quit, "q is a letter of the filter");
}

#[test]
fn log_lines_are_filtered_by_level_and_text() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('6')]);
    assert_eq!(app.log_lines().len(), 7);
    press(&mut app, &mut scene, &[key('l')]);
    assert_eq!(app.log_lines().len(), 2);
    press(&mut app, &mut scene, &[key('l')]);
    assert_eq!(app.log_lines().len(), 1);
    assert!(text(&app, &scene, 80, 24).contains("warnings: 1 of 7"));
    press(
        &mut app,
        &mut scene,
        &[key('l'), key('/'), key('j'), key('o'), key('i'), KeyCode::Enter],
    );
    assert_eq!(app.log_lines().len(), 2, "\"joi\" is in two lines");
    press(&mut app, &mut scene, &[key('2')]);
    assert_eq!(order(&app), "M0 P1 P2 P3 P4", "the log's filter is the log's own");
}

#[test]
fn the_log_scrolls() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('6')]);
    assert!(
        text(&app, &scene, 80, 6).contains("source up\n")
            || text(&app, &scene, 80, 6).contains("source up  ")
    );
    press(&mut app, &mut scene, &[KeyCode::Home]);
    let top = text(&app, &scene, 80, 6);
    assert!(top.contains("source up: http") && top.contains("newer below"), "{top}");
    press(&mut app, &mut scene, &[KeyCode::End]);
    assert!(!text(&app, &scene, 80, 6).contains("newer below"));
}

#[test]
fn sorting_goes_through_the_columns_both_ways() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('2'), key('r')]);
    assert_eq!(order(&app), "P4 P3 P2 P1 M0");
    // Age, received, sent, lost.
    press(&mut app, &mut scene, &[key('s'), key('s'), key('s'), key('s')]);
    assert_eq!(order(&app), "P4 P3 P2 P1 M0", "P4 has lost most");
    press(&mut app, &mut scene, &[key('r')]);
    assert_eq!(order(&app), "M0 P1 P2 P3 P4");
    press(&mut app, &mut scene, &[key('s')]);
    assert_eq!(order(&app), "M0 P2 P4 P1 P3", "by those that came twice");
}

#[test]
fn one_peer_can_be_opened_and_closed() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('2'), KeyCode::Down, KeyCode::Enter]);
    let page = text(&app, &scene, 80, 24);
    assert!(page.contains("P1, a peer"), "{page}");
    assert!(page.contains("138 chunks, 1 twice, 0 too late"), "{page}");
    press(&mut app, &mut scene, &[KeyCode::Esc]);
    assert!(text(&app, &scene, 80, 24).contains("┌ Team"));
    let (mut nobody, mut empty) = super::app(Theme::PLAIN, crate::observe::Snapshot::default());
    press(&mut nobody, &mut empty, &[key('2'), KeyCode::Enter, KeyCode::Down]);
    assert!(text(&nobody, &empty, 80, 24).contains("┌ Team"), "there is nobody to open");
}

#[test]
fn a_held_view_stays_and_tells_its_lag() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key(' ')]);
    let held = app.snapshot().t;
    scene.now += 65.0;
    app.look(&mut scene);
    assert_eq!(app.snapshot().t, held);
    assert!(text(&app, &scene, 80, 24).contains("PAUSED 1:05 behind"));
    press(&mut app, &mut scene, &[key('3')]);
    assert!(text(&app, &scene, 80, 24).contains("┌ Buffer"), "one can look around meanwhile");
    press(&mut app, &mut scene, &[key(' ')]);
    assert_eq!(app.snapshot().t, scene.now);
    assert!(!text(&app, &scene, 80, 24).contains("PAUSED"));
}

#[test]
fn the_keys_that_end_it() {
    for last in [key('q'), KeyCode::Esc] {
        let (mut app, mut scene) = team();
        assert_eq!(press(&mut app, &mut scene, &[last]), Request::Draw);
        assert!(scene.asked_to_quit, "{last:?}");
        assert!(text(&app, &scene, 80, 24).contains("leaving the team"));
    }
}

#[test]
fn a_page_of_a_long_buffer_and_the_matrix_can_be_turned_to() {
    let (mut app, mut scene) = team();
    press(&mut app, &mut scene, &[key('4'), key('v')]);
    assert!(text(&app, &scene, 80, 24).contains("Who sends to whom"));
    press(&mut app, &mut scene, &[key('v')]);
    assert!(!text(&app, &scene, 80, 24).contains("Who sends to whom"));
    press(&mut app, &mut scene, &[key('3')]);
    let first = text(&app, &scene, 40, 9);
    press(&mut app, &mut scene, &[KeyCode::Right]);
    assert_ne!(text(&app, &scene, 40, 9), first);
}

//! The screen of the real binary in a real pseudo-terminal.

use std::time::{Duration, Instant};

use p2psp_tests::{PATIENCE, PlayerClient, Program, Signal, Terminal, wait_until};

/// A demo whose peers all play.
fn playing_demo(args: &[&str]) -> Terminal {
    let mut all = vec!["demo", "--peers", "3"];
    all.extend(args);
    let terminal = Terminal::start(&all, 80, 24);
    // The monitor and three peers.
    terminal.wait_for("playing", |text| text.matches(" playing ").count() == 4);
    terminal.assert_taken();
    terminal
}

#[test]
fn a_tour_of_all_panels() {
    let mut terminal = playing_demo(&[]);
    for (key, title) in [
        ("2", "┌ Team "),
        ("3", "┌ Buffer "),
        ("4", "┌ Flow "),
        ("5", "┌ forward and pending of "),
        ("6", "┌ Log "),
        ("1", "┌ Stream "),
        ("\t", "┌ Team "),
    ] {
        terminal.press(key);
        terminal.wait_text(&[title]);
    }
    terminal.press("?");
    terminal.wait_text(&["┌ Keys ", "hold the view while the team goes on"]);
    terminal.press("?");
    terminal.wait_for("closed", |text| !text.contains("┌ Keys "));

    terminal.press("/p2\r");
    terminal.wait_text(&["1 peer, by peer", "filter \"p2\"", "│P2 "]);
    terminal.press("/\x7f\x7f\r");
    terminal.wait_text(&["4 peers, by peer, rising"]);
    terminal.press("ssr");
    terminal.wait_text(&["4 peers, by received, falling"]);
    terminal.press("j\r");
    terminal.wait_text(&[", a ", "Esc closes", "┌ Buffer "]);
    terminal.press("\x1b");
    terminal.wait_text(&["┌ Team "]);

    terminal.press(" ");
    let held = terminal.wait_text(&["PAUSED", "0:02 behind"]);
    terminal.wait_text(&["0:03 behind"]);
    let table = |text: &str| text.lines().skip(1).take(8).collect::<Vec<_>>().join("\n");
    assert_eq!(table(&held), table(&terminal.text()), "a held view stays");
    terminal.press(" ");
    terminal.wait_for("going on", |text| !text.contains("PAUSED") && table(text) != table(&held));

    for (width, height) in [(60, 20), (20, 5), (120, 40), (80, 24)] {
        terminal.resize(width, height);
        terminal.wait_for("drawn anew", |text| {
            let last = text.lines().nth(usize::from(height) - 1);
            last.is_some_and(|line| line.starts_with("q quit"))
        });
    }
    terminal.press("q");
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
    terminal.assert_restored();
}

/// A peer with a screen, and its splitter without.
fn peer_of_a_splitter(args: &[&str]) -> (Program, Terminal) {
    let splitter = Program::splitter(&["--source", "music", "--no-monitor"]);
    let addr = splitter.addr().to_string();
    let mut all = vec!["peer", &addr, "--player", "none"];
    all.extend(args);
    let terminal = Terminal::start(&all, 80, 24);
    terminal.wait_text(&["P2PSP music"]);
    (splitter, terminal)
}

/// However it ends, the terminal is as before and the team is left with
/// `[goodbye]`.
#[track_caller]
fn ends_well(args: &[&str], code: u32, end: impl FnOnce(&mut Terminal)) {
    let (splitter, mut terminal) = peer_of_a_splitter(args);
    end(&mut terminal);
    assert_eq!(terminal.wait_exit(PATIENCE), code);
    terminal.assert_restored();
    let left = splitter.wait_event(PATIENCE, |line| line["event"] == "left");
    assert_eq!(left["reason"], "goodbye", "{left}");
}

#[test]
fn every_end_gives_the_terminal_back_and_leaves_the_team() {
    ends_well(&[], 0, |terminal| terminal.press("q"));
    ends_well(&[], 0, |terminal| terminal.press("\x1b"));
    ends_well(&[], 0, |terminal| terminal.press("\x03"));
    ends_well(&[], 0, |terminal| terminal.signal(Signal::Term));
    ends_well(&[], 0, |terminal| terminal.signal(Signal::Int));
    ends_well(&["--for", "1"], 0, |_| {});
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    for place in ["screen", "network"] {
        let (splitter, mut terminal) = peer_of_a_splitter(&["--fail", place]);
        assert_eq!(terminal.wait_exit(PATIENCE), 1, "{place}");
        terminal.assert_restored();
        // On the picture that was there before.
        terminal.wait_text(&["failed on purpose"]);
        let left = splitter.wait_event(PATIENCE, |line| line["event"] == "left");
        assert_eq!(left["reason"], "goodbye", "{place}: {left}");
    }
}

#[test]
fn a_terminal_that_stops_reading_costs_no_chunk() {
    let mut terminal = playing_demo(&[]);
    let text = terminal.wait_text(&["listen at http://"]);
    let at = text.split("listen at http://").nth(1).and_then(|rest| rest.split('/').next());
    let player = PlayerClient::connect(at.unwrap().parse().expect("an address"));
    player.wait_len(1, PATIENCE);
    terminal.stop_reading(true);
    // Enough new pictures to fill every buffer between; the last is the first.
    for _ in 0..33 {
        terminal.press("\t\t\t\t\t\t");
    }
    let (shown, heard, since) = (terminal.byte_count(), player.len(), Instant::now());
    // Ten seconds of the stream, which is paced by its own clock: 192 kB/s.
    player.wait_len(heard + 10 * 190_000, PATIENCE);
    assert!(since.elapsed() >= Duration::from_secs(5), "the stream is paced");
    // At most what was being read, and nothing since.
    assert!(terminal.byte_count() <= shown + 4096, "nobody reads");
    terminal.stop_reading(false);
    let seconds = since.elapsed().as_secs();
    terminal.wait_for("up to date", |text| {
        let clock = text.lines().next().and_then(|top| top.split_whitespace().last());
        let shown = clock.and_then(|clock| clock.split_once(':'));
        shown.is_some_and(|(minutes, rest)| {
            let minutes: u64 = minutes.parse().unwrap_or(0);
            minutes * 60 + rest.parse::<u64>().unwrap_or(0) >= seconds
        })
    });
    terminal.wait_text(&["0.00 % (0 chunks)"]);
    terminal.press("q");
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
    terminal.assert_restored();
}

#[test]
fn a_terminal_that_never_reads_again_does_not_keep_the_program() {
    let (splitter, mut terminal) = peer_of_a_splitter(&[]);
    terminal.stop_reading(true);
    // Enough new pictures to fill every buffer between.
    for _ in 0..200 {
        terminal.press("\t");
    }
    terminal.signal(Signal::Term);
    let left = splitter.wait_event(PATIENCE, |line| line["event"] == "left");
    assert_eq!(left["reason"], "goodbye", "{left}");
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
}

#[test]
fn the_screen_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["demo", "--peers", "2"];
    let mut terminal = Terminal::start_in(folder.path(), &[], &args, 80, 24);
    terminal.wait_text(&["P2PSP music", " playing "]);
    terminal.press("S");
    terminal.wait_text(&["saved p2psp-overview-1.txt and p2psp-overview-1.svg"]);
    let text = std::fs::read_to_string(folder.path().join("p2psp-overview-1.txt")).unwrap();
    assert!(text.contains("┌ Stream ") && text.lines().count() == 24, "{text}");
    let picture = std::fs::read_to_string(folder.path().join("p2psp-overview-1.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("P2PSP"), "{picture}");
    // It is XML that a stranger reads, too.
    let read = p2psp_tests::wait::required("python3", "python3")
        .args(["-c", "import sys, xml.dom.minidom as x; x.parse(sys.argv[1])"])
        .arg(folder.path().join("p2psp-overview-1.svg"))
        .status();
    assert!(read.unwrap().success());
}

/// Whether any colour is set: SGR 30 to 37, 90 to 97, 38.
fn has_colours(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.split("\x1b[").skip(1).any(|sequence| {
        let Some((codes, _)) = sequence.split_once('m') else { return false };
        codes.split(';').any(|code| matches!(code.parse(), Ok(30..=38 | 90..=97)))
    })
}

#[test]
fn colours_and_letters_are_as_the_user_wants_them() {
    let demo = ["demo", "--peers", "1"];
    let folder = std::path::Path::new(".");
    let with = |vars: &[(&str, &str)], args: &[&str]| {
        let args: Vec<&str> = demo.iter().chain(args).copied().collect();
        let terminal = Terminal::start_in(folder, vars, &args, 80, 24);
        terminal.wait_text(&["P2PSP music", " playing "]);
        terminal
    };
    assert!(has_colours(&with(&[], &[]).bytes()));
    assert!(!has_colours(&with(&[("NO_COLOR", "1")], &[]).bytes()));
    assert!(!has_colours(&with(&[], &["--color", "never"]).bytes()));
    assert!(has_colours(&with(&[("NO_COLOR", "1")], &["--color", "always"]).bytes()));
    for (vars, args) in [(&[("LC_ALL", "C")][..], &[][..]), (&[], &["--ascii"])] {
        let mut terminal = with(vars, args);
        for panel in ["2", "3", "4", "5", "6", "?"] {
            terminal.press(panel);
        }
        terminal.wait_text(&["+ Keys -"]);
        assert!(terminal.bytes().is_ascii(), "{vars:?} {args:?}");
    }
}

#[test]
fn what_is_no_terminal_gets_no_screen() {
    let program = Program::start(&["demo", "--peers", "1", "--for", "1"]);
    assert!(wait_until(PATIENCE, || !program.events_of("summary").is_empty()));
    let (stdout, stderr) = headless(&["demo", "--peers", "1", "--for", "1"]);
    assert_eq!(stdout, "", "nothing on standard output");
    assert!(stderr.contains("P1") && !stderr.contains('\x1b'), "{stderr}");
}

/// Runs it to its end without a terminal.
fn headless(args: &[&str]) -> (String, String) {
    let output = std::process::Command::new(p2psp_tests::program::binary())
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary can be executed");
    assert!(output.status.success(), "{args:?}");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn shells_and_man_know_the_program() {
    for (shell, sign) in [
        ("bash", "complete -F _p2psp__tui"),
        ("zsh", "#compdef p2psp-tui"),
        ("fish", "complete -c p2psp-tui"),
    ] {
        let (script, _) = headless(&["completions", shell]);
        assert!(script.contains(sign) && script.contains("--latency"), "{shell}: {script}");
    }
    let (page, _) = headless(&["man"]);
    assert!(page.contains(".TH p2psp-tui 1") && page.contains("splitter"), "{page}");
}

//! Walking about in a run of the lab: forward, back, by hand, until something
//! happens; what is shown, and what is exported.

use std::collections::BTreeMap;
use std::process::Command;

use p2psp_tests::{PATIENCE, Signal, Terminal, program};
use p2psp_tui::lab::run::{Progress, Run, Stride, Until};
use p2psp_tui::lab::scenario::{self, Overrides};
use p2psp_tui::lab::{Deed, Effect};
use proptest::prelude::*;

fn run(text: &str) -> Run {
    let plan = scenario::parse("test", text, &Overrides::default()).expect("is legal");
    Run::new(plan, Vec::new())
}

fn built_in(name: &str) -> Run {
    Run::new(scenario::load(name, &Overrides::default()).expect("is built in"), Vec::new())
}

// -- forward and back --

/// Everything that whoever looks at a run sees at its place.
fn view(run: &Run) -> (u64, u64, u64, String) {
    let at_hand = run.at_hand();
    let touched: Vec<u16> = at_hand.touched(run.lab()).collect();
    let (from, steps) = (at_hand.from, &at_hand.steps);
    let shown = format!("{from:?} {steps:?} {touched:?} {:?}", run.samples());
    (run.lab().state_hash(), run.lab().trace_hash(), run.lab().now_us(), shown)
}

/// Rough weather, in which everything happens that can.
const WEATHER: &str = "peers = 4\nbuffer = 12\nchunks = 60\njoin_ms = 30\nmax_losses = 4\n\
    [link]\nlatency_ms = 8\njitter_ms = 30\nloss = 0.08\nburst = 2\nduplicate = 0.1\n\
    reorder = 0.1\nreorder_ms = 50\nrate = 400\n\
    [churn]\nevery = 12\n[[join]]\nat = 20\n[[selfish]]\nat = 30\npeers = [\"P2\"]\n\
    [[partition]]\nat = 25\nuntil = 40\npeers = [\"P1\"]";

#[derive(Debug, Clone)]
enum Move {
    Forward(Stride),
    Back(Stride),
    GoTo(u64),
    ByHand(Deed),
    UntilChunk(u32),
    UntilLoss,
}

fn moves() -> impl Strategy<Value = Move> {
    let stride = || prop_oneof![Just(Stride::Event), Just(Stride::Chunk), Just(Stride::Round)];
    let deed = prop_oneof![
        Just(Deed::Drop),
        Just(Deed::Delay(25_000)),
        Just(Deed::Duplicate),
        (1..6_u16).prop_map(Deed::Kill),
        (1..6_u16).prop_map(Deed::Leave),
        (1..6_u16).prop_map(Deed::Cheat),
        Just(Deed::Add),
        (1..6_u16).prop_map(Deed::Part),
        (1..6_u16).prop_map(Deed::Heal),
    ];
    prop_oneof![
        4 => stride().prop_map(Move::Forward),
        4 => stride().prop_map(Move::Back),
        1 => (0..2_000_u64).prop_map(Move::GoTo),
        1 => deed.prop_map(Move::ByHand),
        1 => (0..60_u32).prop_map(Move::UntilChunk),
        1 => Just(Move::UntilLoss),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn however_one_gets_to_a_place_it_is_the_same(moves in prop::collection::vec(moves(), 1..60)) {
        walk(moves)?;
    }
}

#[test]
fn numbers_of_a_chunk_time_that_ends_without_notice_are_not_late() {
    let (add, back) = (|| Move::ByHand(Deed::Add), || Move::Back(Stride::Round));
    let parts = Move::ByHand(Deed::Part(5));
    let first = [add(), parts, Move::UntilLoss, back(), back(), add(), Move::UntilLoss];
    let moves = first.into_iter().chain([Move::UntilLoss, back(), Move::UntilLoss]);
    walk(moves.collect()).expect("the same each time");
}

/// Goes so, and looks whether each place is as it was seen before.
fn walk(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let mut run = run(WEATHER);
    // What was seen at each place, with what size of move.
    let mut seen: BTreeMap<(u64, u8), _> = BTreeMap::new();
    for step in moves {
        match step {
            Move::Forward(stride) => drop(run.forward(stride)),
            Move::Back(stride) => drop(run.back(stride)),
            Move::GoTo(step) => run.go_to(step),
            Move::UntilChunk(chunk) => {
                prop_assert_ne!(run.advance_until(Until::Chunk(chunk), 100_000), Progress::NotYet);
            }
            Move::UntilLoss => drop(run.advance_until(Until::Loss, 100_000)),
            Move::ByHand(deed) => {
                let here = run.position();
                if run.by_hand(deed).is_ok() {
                    prop_assert_eq!(run.position(), here + 1);
                    prop_assert_eq!(run.script().last(), Some(&(here + 1, deed)));
                    seen.retain(|(step, _), _| *step <= here);
                }
            }
        }
        // A move forward may begin in the middle of a chunk time; seen
        // from behind it begins at its start.
        let (here, stride) = (run.position(), run.stride());
        if stride == Stride::Event {
            let view = view(&run);
            let before = seen.entry((here, 0)).or_insert_with(|| view.clone());
            prop_assert_eq!(&*before, &view, "at {}", here);
        }
        let hash = (run.lab().state_hash(), run.lab().trace_hash(), 0, String::new());
        let before = seen.entry((here, 1)).or_insert_with(|| hash.clone());
        prop_assert_eq!(&*before, &hash, "at {}", here);
    }
    // And it is the run that one who never went back would see.
    let mut straight = Run::new(run_plan(), run.script().to_vec());
    straight.go_to(run.position());
    prop_assert_eq!(straight.lab().state_hash(), run.lab().state_hash());
    prop_assert_eq!(straight.samples(), run.samples());
    Ok(())
}

fn run_plan() -> p2psp_tui::lab::Plan {
    scenario::parse("test", WEATHER, &Overrides::default()).expect("is legal")
}

#[test]
fn strides_end_where_chunk_times_and_rounds_end() {
    let mut run = built_in("figures");
    let mut ends = Vec::new();
    while run.forward(Stride::Chunk) {
        ends.push((run.position(), run.chunk_time().expect("some")));
    }
    assert_eq!(ends.iter().map(|end| end.1).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    let mut way_back = vec![];
    while run.back(Stride::Chunk) {
        way_back.push(run.position());
    }
    way_back.reverse();
    let expected: Vec<u64> = [0].into_iter().chain(ends.iter().map(|end| end.0)).collect();
    assert_eq!(way_back, expected[..expected.len() - 1]);

    // One member when chunk times 0, 1 and 2 begin, two at 3, three at 5.
    let mut rounds = Vec::new();
    while run.forward(Stride::Round) {
        rounds.push(run.chunk_time().expect("some"));
    }
    assert_eq!(rounds, [0, 1, 2, 4, 6]);
    run.back(Stride::Round);
    assert_eq!(run.chunk_time(), Some(4));
    run.back(Stride::Round);
    assert_eq!(run.chunk_time(), Some(2));
    let mut events = 0;
    while run.back(Stride::Event) {
        events += 1;
    }
    assert_eq!((events, run.position()), (expected[3], 0));
    assert!(!run.back(Stride::Round));
}

#[test]
fn numbers_are_kept_for_each_chunk_time_that_is_over() {
    // 50 chunks of 16 bytes a second.
    let mut run = run("peers = 3\nbuffer = 8\nchunks = 60\nchunk_rate = 50\n\
                       [[leave]]\nat = 30\npeers = [\"P3\"]");
    assert_eq!(run.samples().samples().len(), 0);
    assert_eq!(run.advance_until(Until::Chunk(40), 1_000_000), Progress::Reached);
    let history = run.samples();
    let samples: Vec<_> = history.samples().copied().collect();
    // It stands in chunk time 40.
    assert_eq!(samples.len(), 40);
    for (chunk, sample) in samples.iter().enumerate().skip(10) {
        // The splitter's monitor is of the team.
        let team = if chunk < 30 { 4 } else { 3 };
        assert_eq!((sample.team, sample.loss), (team, 0.0), "{chunk}: {sample:?}");
        assert_eq!((sample.rate_in, sample.rate_out), (800.0, 800.0), "{chunk}: {sample:?}");
        assert!((8..=10).contains(&sample.latency_chunks), "{chunk}: {sample:?}");
        assert!((0.7..=1.2).contains(&sample.fill), "{chunk}: {sample:?}");
    }
    assert!(run.back_to_chunk(20));
    let back: Vec<_> = run.samples().samples().copied().collect();
    assert_eq!(back, samples[..20]);
}

#[test]
fn waiting_ends_where_it_happens() {
    let mut run = run("buffer = 6\n[link]\nloss = 0.05");
    assert_eq!(run.advance_until(Until::Loss, 1), Progress::NotYet);
    assert_eq!(run.advance_until(Until::Loss, 100_000), Progress::Reached);
    let losses = |run: &Run| {
        let effects = run.lab().effects();
        effects.iter().filter(|effect| matches!(effect, Effect::Lost { .. })).count()
    };
    assert!(losses(&run) > 0 && run.lab().totals().lost == losses(&run) as u64);
    let here = run.position();
    run.back(Stride::Event);
    assert_eq!((losses(&run), run.lab().totals().lost), (0, 0), "it was the first");
    assert_eq!(run.advance_until(Until::Chunk(150), 100_000), Progress::Reached);
    assert_eq!(run.chunk_time(), Some(150));
    assert_eq!(run.advance_until(Until::Broken, 1_000_000), Progress::Over, "nothing breaks");
    assert_eq!(run.lab().violation(), None);
    run.go_to(here);
    assert_eq!(losses(&run) as u64, run.lab().totals().lost);
}

// -- on a terminal --

/// The lines of the members that the screen shows: name, F, P and buffer.
#[track_caller]
fn figures(terminal: &Terminal, place: &str, expected: &[&str]) {
    let text = terminal.wait_text(&[place]);
    let shown: Vec<String> = text
        .lines()
        .skip_while(|line| !line.contains("F, P and buffers"))
        .skip(1)
        .take_while(|line| !line.starts_with('└'))
        .map(|line| {
            line.trim_matches(['│', ' ', '*']).split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(shown.join(" "), expected.join(" "), "{text}");
}

#[test]
fn a_student_steps_forward_to_chunk_5_and_back_to_chunk_2() {
    let mut terminal = Terminal::start(&["lab", "figures"], 80, 24);
    terminal.wait_text(&["Nothing has happened yet in figures", "the beginning"]);
    terminal.assert_taken();
    let states: [(&str, &[&str]); 6] = [
        ("chunk 0,", &["M0 F {M0: []} P {} B [0]"]),
        ("chunk 1,", &["M0 F {M0: []} P {} B [0 1]"]),
        ("chunk 2,", &["M0 F {M0: [P1]} P {} B [0 1 2]", "P1 F {P1: [M0]} P {} B [2]"]),
        (
            "chunk 3,",
            &[
                "M0 F {M0: [P1, P2]} P {} B [0 1 2]",
                "P1 F {P1: [M0, P2]} P {M0: 3} B [2 3]",
                "P2 F {P2: [M0, P1]} P {} B [3]",
            ],
        ),
        (
            "chunk 4,",
            &[
                "M0 F {M0: [P1, P2]} P {} B [0 1 2 3]",
                "P1 F {P1: [M0, P2]} P {} B [2 3 4]",
                "P2 F {P2: [M0, P1]} P {M0: 4} B [3 4]",
            ],
        ),
        (
            "chunk 5,",
            &[
                "M0 F {M0: [P1, P2]} P {} B [0 1 2 3 4 5]",
                "P1 F {P1: [M0, P2]} P {} B [2 3 4 5]",
                "P2 F {P2: [M0, P1]} P {} B [3 4 5]",
            ],
        ),
    ];
    for (place, expected) in states {
        terminal.press("n");
        figures(&terminal, place, expected);
    }
    terminal.wait_text(&["S>M0:5  M0>P2:5  P2>M0:4  M0>P1:5"]);
    for (place, expected) in states[2..5].iter().rev() {
        terminal.press("b");
        figures(&terminal, place, expected);
    }
    // An event to the right, one to the left.
    terminal.press("\x1b[C");
    terminal.wait_text(&["P2 asks to join and gets the list of the team (3.1, 3.2)"]);
    terminal.press("\x1b[D");
    figures(&terminal, "chunk 2,", states[2].1);
    for (width, height) in [(20, 5), (60, 20), (300, 100), (80, 24)] {
        terminal.resize(width, height);
        terminal.wait_text(&["event"]);
    }
    terminal.press("q");
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
    terminal.assert_restored();
}

#[test]
fn what_comes_without_a_key_is_shown_without_one() {
    let mut terminal = Terminal::start(&["lab", "lossy"], 80, 24);
    terminal.wait_text(&["the beginning"]);
    // Mostly sooner there than the next frame is due.
    for key in ["c", "4", "0", "\r"] {
        terminal.press(key);
    }
    terminal.wait_text(&["chunk 40,"]);
    terminal.press("u");
    terminal.wait_text(&["lost, "]);
    // By itself, as fast as it goes.
    terminal.press("0");
    terminal.press("+++++++ ");
    terminal.wait_text(&["over after"]);
    terminal.press("q");
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
}

#[test]
fn signals_and_what_the_terminal_is_not() {
    let mut terminal = Terminal::start(&["lab", "lan", "--color", "never"], 80, 24);
    terminal.wait_text(&["Nothing has happened yet in lan"]);
    terminal.signal(Signal::Term);
    assert_eq!(terminal.wait_exit(PATIENCE), 0);
    terminal.assert_restored();

    for args in [&["lab"][..], &["lab", "figures", "--json"], &["lab", "--headless"]] {
        let output = Command::new(program::binary()).args(args).output().expect("runs");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains("p2psp-tui sim"), "{args:?}: {stderr}");
    }
    let mut terminal = Terminal::start(&["lab", "/no/such/run.toml"], 200, 24);
    assert_eq!(terminal.wait_exit(PATIENCE), 2);
    terminal.wait_text(&["/no/such/run.toml: No such file", "figures"]);
}

// -- runs as files --

#[test]
fn a_saved_run_is_played_by_sim_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = scenario::open("figures", &Overrides::default()).expect("is built in");
    let mut run = Run::new(recipe.plan.clone(), Vec::new());
    assert_eq!(run.advance_until(Until::Chunk(3), 1000), Progress::Reached);
    run.by_hand(Deed::Add).expect("is possible");
    run.go_to(u64::MAX);
    let path = folder.path().join("run.toml");
    std::fs::write(&path, recipe.save(&run)).expect("is written");
    let path = path.to_str().expect("UTF-8");
    let output = Command::new(program::binary()).args(["sim", path, "--json"]).output();
    let text = String::from_utf8(output.expect("runs").stdout).expect("UTF-8");
    let hash = format!("\"trace_hash\":\"{:016x}\"", run.lab().trace_hash());
    assert!(text.contains(&hash) && text.contains("\"peer\":\"P3\""), "{hash}: {text}");
}

#[test]
fn bad_runs_are_turned_away_with_place_and_reason() {
    let cases = [
        ("[run]\nstep = -1", ":2:8:", "a whole number from 0"),
        ("[run]\nspeed = 1", ":2:1:", "expected one of `peers`"),
        ("[run]\ntrace_hash = \"xyz\"", ":2:14:", "hexadecimal"),
        ("[[by_hand]]\nstep = 0\ndo = \"drop\"", ":2:8:", "a whole number from 1"),
        ("[[by_hand]]\nstep = 1\ndo = \"drip\"", ":3:6:", "there are drop, delay, duplicate, add"),
        ("[[by_hand]]\nstep = 1\ndo = \"kill\"", ":3:6:", "peer = \"P1\""),
        ("[[by_hand]]\nstep = 1\ndo = \"kill\"\npeer = \"P0\"", ":4:8:", "no \"P0\""),
        ("[[by_hand]]\nstep = 1\ndo = \"kill\"\npeer = \"P77\"", ":4:8:", "10 members"),
        (
            "[[by_hand]]\nstep = 2\ndo = \"add\"\n[[by_hand]]\nstep = 2\ndo = \"add\"",
            ":5:8:",
            "in order",
        ),
        ("[[by_hand]]\ndo = \"add\"", ":1:1:", "missing field `step`"),
    ];
    for (text, place, reason) in cases {
        let error = scenario::read("run.toml", text, &Overrides::default()).expect_err(text).0;
        assert!(error.contains(&format!("run.toml{place}")), "{text}: {error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
    let added =
        "[[by_hand]]\nstep = 1\ndo = \"add\"\n[[by_hand]]\nstep = 2\ndo = \"kill\"\npeer = \"P10\"";
    let recipe = scenario::read("run.toml", added, &Overrides::default()).expect("is legal");
    assert_eq!(recipe.script, [(1, Deed::Add), (2, Deed::Kill(11))]);
}

// -- in words --

#[test]
fn each_step_is_told_with_its_rule() {
    use p2psp_tui::lab::explain::explain;
    let mut run = built_in("figures");
    let mut told = Vec::new();
    while run.forward(Stride::Event) {
        let (event, effects) = run.at_hand().last().expect("an event");
        told.push(explain(run.lab(), event, effects));
    }
    for sentence in [
        "P1 asks to join and gets the list of the team (3.1, 3.2) and says [hello] to M0, and to S last (3.3).",
        "S got [hello] from P1: it is ready (3.5); P1 is now the last of the team (3.5).",
        "M0 got [hello] from P2, so P2 is in F(M0) (3.4).",
        "S cuts chunk 4; it is the turn of P2 to be its origin (2.2).",
        "P1 got chunk 4 from P2, so it may serve one neighbour (5.5): next is M0, which waits for chunk 3.",
        "M0 got chunk 3 from P1; it may serve one neighbour (5.5), but none waits for a chunk.",
    ] {
        assert!(told.iter().any(|one| one == sentence), "{sentence:?} is not told: {told:#?}");
    }
    let mut lan = built_in("lan");
    lan.forward(Stride::Round);
    let told: Vec<&String> = lan.at_hand().told.iter().map(|(_, text)| text).collect();
    assert!(told.iter().any(|one| one.contains("the LAN, in one datagram (9.1)")), "{told:#?}");
    let mut selfish = built_in("selfish");
    selfish.advance_until(Until::Loss, 1_000_000);
    selfish.back(Stride::Chunk);
    selfish.forward(Stride::Chunk);
    let told: Vec<&String> = selfish.at_hand().told.iter().map(|(_, text)| text).collect();
    assert!(
        told.iter().any(|one| one.contains("lost, not having come in time (6.3)")),
        "{told:#?}"
    );
}

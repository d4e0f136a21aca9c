//! Walking about in a run of the lab: forward, back, by hand, until something
//! happens; what is shown, and what is exported.

use std::collections::BTreeMap;

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
    let shown = format!("{:?} {:?} {touched:?}", at_hand.from, at_hand.steps);
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
    }
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

//! The lab without a screen: `p2psp-tui sim` as a process, and the lab itself
//! against the theory (PROTOCOL.md 5.7, 8, 10).

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use p2psp_core::Departure;
use p2psp_tests::program::{self, is};
use p2psp_tests::{PATIENCE, Program};
use p2psp_tui::lab::scenario::{self, BUILT_IN, Overrides};
use p2psp_tui::lab::{Brief, Effect, End, Event, EventKind, GROUP, Lab, Plan, SPLITTER};
use serde_json::Value;

/// The index of `P4` in the scenario `selfish`.
const P4: u16 = 5;

/// Plays a scenario as a process; its lines.
fn sim(args: &[&str]) -> Vec<Value> {
    let mut all = vec!["sim"];
    all.extend(args);
    let mut program = Program::start(&all);
    let code = program.wait_exit(PATIENCE);
    assert_eq!(code, 0, "{args:?}: {}", program.stderr());
    program.events()
}

fn built_in(name: &str) -> Lab {
    Lab::new(scenario::load(name, &Overrides::default()).expect("is built in"))
}

fn mesh(size: u16, buffer: u32, rounds: u32) -> Lab {
    let overrides = Overrides {
        peers: Some(size),
        buffer: Some(buffer),
        rounds: Some(rounds),
        ..Overrides::default()
    };
    Lab::new(scenario::parse("mesh", "", &overrides).expect("is legal"))
}

/// Runs to the end; every step and what came of it.
fn record(lab: &mut Lab) -> Vec<(Event, Vec<Effect>)> {
    let mut steps = Vec::new();
    while let Some(event) = lab.step() {
        steps.push((event, lab.effects().to_vec()));
    }
    steps
}

#[track_caller]
fn ends_well(lab: &mut Lab) {
    lab.run();
    assert_eq!(lab.violation(), None);
    assert_eq!(lab.ended(), Some(End::Chunks));
}

// -- the published figures --

#[test]
fn figures_come_out_as_published_with_both_consequences_of_the_rules() {
    let lines = sim(&["figures"]);
    let name = |line: &Value, key: &str| line[key].as_str().expect("a name").to_owned();
    let sent: Vec<String> = lines
        .iter()
        .filter(|line| is(line, "sent"))
        .map(|line| {
            assert_eq!(line["node"], line["from"]);
            format!("{} {}>{}:{}", line["t"], name(line, "from"), name(line, "to"), line["chunk"])
        })
        .collect();
    let expected = "0.0 S>M0:0, 1.0 S>M0:1, 2.0 S>M0:2, 2.0 M0>P1:2, 3.0 S>P1:3, 3.0 P1>P2:3, \
                    4.0 S>P2:4, 4.0 P2>P1:4, 4.0 P1>M0:3, \
                    5.0 S>M0:5, 5.0 M0>P2:5, 5.0 P2>M0:4, 5.0 M0>P1:5";
    assert_eq!(sent.join(", "), expected);
    let joined: Vec<String> = lines
        .iter()
        .filter(|line| is(line, "joined"))
        .map(|line| format!("{} {}", line["t"], name(line, "peer")))
        .collect();
    assert_eq!(joined.join(", "), "0.0 M0, 2.0 P1, 3.0 P2");
    let summary = lines.last().expect("a summary");
    assert!(is(summary, "summary"), "{summary}");
    assert_eq!(summary["transmissions"], 13);
    assert_eq!(summary["chunks_lost"], 0);
    assert_eq!(summary["loss_ratio"], 0.0);
    assert!(summary["seconds"].is_f64() && summary["transmissions_per_second"].is_f64());
}

// -- determinism --

/// Hashes that every build on every machine has to arrive at. A change of the
/// core's rules changes them: then see whether it was meant, and renew them.
#[test]
fn the_trace_is_the_same_everywhere() {
    for (name, expected) in [("figures", FIGURES_HASH), ("lossy", LOSSY_HASH)] {
        for _ in 0..2 {
            let mut lab = built_in(name);
            ends_well(&mut lab);
            assert_eq!(format!("{:016x}", lab.trace_hash()), expected, "{name}");
        }
        let lines = sim(&[name]);
        assert_eq!(lines.last().expect("a summary")["trace_hash"], expected, "{name}");
    }
}

const FIGURES_HASH: &str = "6f94066267acbe79";
const LOSSY_HASH: &str = "a79666b4a0ea5488";

#[test]
fn two_runs_differ_in_their_wall_clock_only_and_two_seeds_in_more() {
    let run = |seed: &str| {
        let mut lines = sim(&["lossy", "--rounds", "20", "--seed", seed]);
        let summary = lines.last_mut().and_then(Value::as_object_mut).expect("a summary");
        summary.remove("seconds").expect("the wall clock");
        summary.remove("transmissions_per_second").expect("the wall clock");
        lines
    };
    let lines = run("7");
    assert_eq!(lines, run("7"));
    assert_ne!(lines, run("8"));
}

#[test]
fn a_clone_in_mid_run_goes_on_alike() {
    for name in ["lossy", "churn", "selfish"] {
        let mut lab = built_in(name);
        for _ in 0..7_000 {
            lab.step().expect("is not over");
        }
        let mut copy = lab.clone();
        assert!(record(&mut lab) == record(&mut copy), "{name}: other steps");
        assert_eq!(lab.trace_hash(), copy.trace_hash(), "{name}");
        assert_eq!(lab.totals(), copy.totals(), "{name}");
        assert_eq!(lab.state_hash(), copy.state_hash(), "{name}");
    }
}

// -- theory (5.7, 8.1) --

#[test]
fn in_a_full_mesh_a_chunk_costs_n_transmissions_and_is_at_most_n_minus_1_behind() {
    for size in [5_u16, 20, 100] {
        let mut lab = mesh(size, size.into(), 6);
        let mut receivers: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        while lab.step().is_some() {
            for effect in lab.effects() {
                if let Effect::Sent { to, brief: Brief::Chunk(chunk), .. } = effect {
                    receivers.entry(chunk.get()).or_default().push(*to);
                }
            }
        }
        assert_eq!((lab.violation(), lab.ended()), (None, Some(End::Chunks)));
        // Chunks of the last rounds are still under way at the end.
        let everybody: Vec<u16> = (1..=size).collect();
        for chunk in 0..4 * u32::from(size) {
            let receivers = receivers.get_mut(&chunk).expect("was sent");
            receivers.sort_unstable();
            assert_eq!(*receivers, everybody, "N = {size}, chunk {chunk}");
        }
        assert_eq!(lab.totals().lost, 0, "B = N = {size} loses nothing");
        let behind = lab.members().iter().map(|member| member.seen().most_behind).max();
        assert_eq!(behind, Some(u32::from(size) - 1), "N = {size}");
        for member in lab.members() {
            assert_eq!(member.seen().duplicates, 0, "N = {size}, {}", member.name());
            assert!(member.seen().played >= 3 * u64::from(size), "N = {size}, {}", member.name());
        }
    }
}

#[test]
fn a_buffer_smaller_than_the_team_loses_the_more_the_smaller_it_is() {
    for size in [5_u16, 20, 100] {
        let ratio = |eighths: u32| {
            let buffer = (u32::from(size) * eighths).div_ceil(8);
            // Losses for want of buffer are nobody's fault: nobody is removed.
            let mut plan = mesh(size, buffer, 12).plan().clone();
            plan.max_losses = u16::MAX;
            let mut lab = Lab::new(plan);
            ends_well(&mut lab);
            lab.totals().loss_ratio()
        };
        let ratios: Vec<f64> = [8, 6, 4, 2, 1].into_iter().map(ratio).collect();
        assert!(ratios[0] == 0.0 && ratios[1] > 0.0, "N = {size}: {ratios:?}");
        assert!(ratios.is_sorted(), "N = {size}: {ratios:?}");
        assert!(ratios[4] > ratios[1], "N = {size}: {ratios:?}");
    }
}

/// 9.1, 9.2: in one LAN a chunk costs two transmissions, whatever `N`.
#[test]
fn by_ims_a_chunk_costs_two_transmissions_whatever_the_size_of_the_team() {
    for size in [2_u16, 5, 20, 100] {
        let overrides = Overrides { peers: Some(size), rounds: Some(6), ..Overrides::default() };
        let text = format!("buffer = {}\n[[lan]]", size.max(2));
        let mut lab = Lab::new(scenario::parse("lan", &text, &overrides).expect("is legal"));
        let mut sent: BTreeMap<u32, Vec<(u16, u16)>> = BTreeMap::new();
        while lab.step().is_some() {
            for effect in lab.effects() {
                if let Effect::Sent { from, to, brief: Brief::Chunk(chunk) } = *effect {
                    sent.entry(chunk.get()).or_default().push((from, to));
                }
            }
        }
        assert_eq!((lab.violation(), lab.ended()), (None, Some(End::Chunks)));
        for chunk in 0..6 * u32::from(size) {
            let origin = (chunk % u32::from(size)) as u16 + 1;
            assert_eq!(sent[&chunk], [(SPLITTER, origin), (origin, GROUP)], "N = {size}");
        }
        assert_eq!(lab.totals().lost, 0, "N = {size}");
        for mut member in lab.members().to_vec() {
            let member = std::rc::Rc::make_mut(&mut member);
            assert_eq!(member.seen().stored, 6 * u64::from(size), "{}", member.name());
            assert_eq!(member.stats().rejects.total(), 0, "N = {size}, {}", member.name());
        }
    }
}

/// 9.3: multicast stays in its LAN, and all play everything all the same.
#[test]
fn a_mixed_team_loses_nothing_and_no_multicast_leaves_its_lan() {
    let mut lab = built_in("mixed");
    let lans = lab.plan().lans.clone();
    assert_eq!(lans, [1, 1, 1, 1, 2, 2, 2, 0, 0]);
    let mut by_multicast = 0;
    while let Some(event) = lab.step() {
        if let EventKind::Delivered { from, to, multicast, brief: Brief::Chunk(_), .. } = event.kind
        {
            let lan = |node: u16| node.checked_sub(1).map_or(0, |place| lans[usize::from(place)]);
            let same = lan(from) != 0 && lan(from) == lan(to);
            assert_eq!(multicast, same, "{from} to {to}");
            by_multicast += u32::from(multicast);
        }
    }
    assert!(by_multicast > 300, "{by_multicast}");
    assert_eq!((lab.violation(), lab.totals().lost), (None, 0));
}

/// Who each chunk was given to, and the chunks that each member lost.
fn origins_and_losses(lab: &mut Lab) -> (Vec<u16>, BTreeMap<u16, Vec<u32>>, Option<f64>) {
    let (mut origins, mut losses, mut removed) = (Vec::new(), BTreeMap::new(), None);
    while let Some(event) = lab.step() {
        if let EventKind::Cut { origin, .. } = event.kind {
            origins.push(origin.expect("there is a team"));
        }
        for effect in lab.effects() {
            match *effect {
                Effect::Lost { member, chunk, chunks } => {
                    let lost: &mut Vec<u32> = losses.entry(member).or_default();
                    lost.extend((0..chunks).map(|offset| chunk.plus(offset).get()));
                }
                Effect::Left { member: P4, reason } => {
                    assert_eq!(reason, Departure::Losses);
                    removed = Some(lab.chunk_times(event.at_us));
                }
                _ => {}
            }
        }
    }
    assert_eq!(lab.violation(), None);
    (origins, losses, removed)
}

#[test]
fn a_selfish_peer_costs_the_others_its_share_until_it_is_removed() {
    let mut lab = built_in("selfish");
    let size = lab.plan().initial;
    let (origins, losses, removed) = origins_and_losses(&mut lab);
    let removed = removed.expect("the monitor has it removed");
    let given = origins.iter().filter(|origin| **origin == P4).count();
    // 200 chunks before, one round in N after.
    let while_selfish = given - 200 / usize::from(size);
    assert!((8..=20).contains(&while_selfish), "L* and what was under way: {while_selfish}");
    for member in (1..=size).filter(|member| *member != P4) {
        let lost = &losses[&member];
        assert!(lost.iter().all(|chunk| origins[*chunk as usize] == P4), "{member}: {lost:?}");
        let last = *lost.last().expect("some") as f64;
        assert!(last < removed, "member {member} loses nothing cut after its removal: {lost:?}");
        // What it had pending when it turned selfish is lost, too.
        let count = lost.len();
        assert!((while_selfish..=while_selfish + 2).contains(&count), "{member}: {lost:?}");
    }
}

#[test]
fn a_selfish_peer_that_nobody_removes_costs_the_others_exactly_one_in_n() {
    let text =
        "max_losses = 60000\npeers = 9\nbuffer = 20\nrounds = 60\n[[selfish]]\npeers = [\"P4\"]";
    let plan = scenario::parse("test", text, &Overrides::default()).expect("is legal");
    let mut lab = Lab::new(plan);
    let (origins, losses, removed) = origins_and_losses(&mut lab);
    assert_eq!(removed, None);
    for (member, lost) in losses.iter().filter(|(member, _)| **member != P4) {
        assert!(lost.iter().all(|chunk| origins[*chunk as usize] == P4), "{member}: {lost:?}");
        assert!(lost.windows(2).all(|two| two[1] - two[0] == 10), "{member}: {lost:?}");
        assert!(lost.len() >= 55, "{member}: {lost:?}");
    }
    assert_eq!(losses.len(), 10);
    let others = losses.values().map(Vec::len).min();
    assert!(losses[&P4].len() > 5 * others.unwrap_or(0), "whoever gives nothing gets little (8.2)");
}

#[test]
fn a_sweep_draws_loss_against_buffer() {
    let args = ["sim", "buffer", "--sweep", "buffer=0.5N,0.75N,1N,1.25N,2N", "--seeds", "2"];
    let mut command = Command::new(program::binary());
    let output = command.args(args).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.lines();
    let header =
        "buffer,seeds,loss_mean,loss_sd,loss_min,loss_max,worst_seed,latency_mean,transmissions";
    assert_eq!(lines.next(), Some(header));
    let rows: Vec<Vec<f64>> = lines
        .map(|line| line.split(',').map(|cell| cell.parse().expect("a number")).collect())
        .collect();
    let at_most = [(11.0, 0.9), (16.0, 0.3), (21.0, 0.05), (26.0, 0.001), (42.0, 0.001)];
    assert_eq!(rows.len(), at_most.len(), "{text}");
    for (row, (buffer, loss)) in rows.iter().zip(at_most) {
        assert!(row[0] == buffer && row[1] == 2.0 && row[2] <= loss, "{row:?}");
        assert!(row[4] <= row[2] && row[2] <= row[5], "{row:?}");
        // Two runs: they lie as far apart as their spread says.
        assert!((row[3] - (row[5] - row[4]) / 2f64.sqrt()).abs() < 1e-5, "{row:?}");
    }
    let means: Vec<f64> = rows.iter().map(|row| row[2]).collect();
    assert!(means[..4].windows(2).all(|two| two[0] > two[1]), "the smaller, the more: {text}");
}

// -- rough weather --

#[test]
fn no_rule_is_broken_in_any_weather() {
    let weather = "buffer = 40\nchunks = 1500\njoin_ms = 30\npeers = 11\nmax_losses = 20\n\
        [link]\nlatency_ms = 10\njitter_ms = 40\nloss = 0.1\nburst = 3\nduplicate = 0.1\n\
        reorder = 0.1\nreorder_ms = 200\n\
        [[links]]\nfrom = [\"S\"]\nloss = 0\n[[links]]\nfrom = [\"P2\"]\nrate = 300\nqueue = 5\n\
        [churn]\nevery = 40\n[[join]]\nat = 300\npeers = 4\nevery = 3\n\
        [[partition]]\nat = 500\nuntil = 900\npeers = [\"P3\", \"P4\"]\n\
        [[selfish]]\nat = \"3s\"\npeers = [\"P5\"]";
    let in_lans = format!("{weather}\n[[lan]]\npeers = [\"P1\", \"P2\", \"P3\"]\n[[lan]]");
    for (seed, text) in (0..12).flat_map(|seed| [(seed, weather), (seed, in_lans.as_str())]) {
        let overrides = Overrides { seed: Some(seed), ..Overrides::default() };
        let mut lab = Lab::new(scenario::parse("weather", text, &overrides).expect("is legal"));
        ends_well(&mut lab);
        assert!(lab.totals().played > 4_000, "seed {seed}: {:?}", lab.totals());
        assert!(lab.totals().dropped > 1_000, "seed {seed}: {:?}", lab.totals());
    }
}

#[test]
fn after_a_partition_its_members_join_again() {
    let text = "peers = 5\nbuffer = 30\nchunks = 1500\nmax_losses = 60000\n\
        [[partition]]\nat = 100\nuntil = 600\npeers = [\"P2\"]";
    let mut lab = Lab::new(scenario::parse("t", text, &Overrides::default()).expect("is legal"));
    let (mut left, mut joined, mut played) = (0, 0, 0);
    for (event, effects) in record(&mut lab) {
        for effect in effects {
            match effect {
                Effect::Left { member: 3, reason: Departure::Silent } => left += 1,
                Effect::Joined { member: 3 } => joined += 1,
                Effect::Played { member: 3, .. } if lab.chunk_times(event.at_us) > 1400.0 => {
                    played += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((left, joined), (1, 2));
    assert!((90..=110).contains(&played), "plays at full rate again: {played}");
    assert_eq!(lab.violation(), None);
}

// -- scenarios --

#[test]
fn those_built_in_play() {
    for (name, _) in BUILT_IN.into_iter().filter(|(name, _)| *name != "big") {
        let mut lab = built_in(name);
        ends_well(&mut lab);
        assert!(lab.totals().transmissions > 0, "{name}");
        assert!(lab.totals().loss_ratio() < 0.12, "{name}: {:?}", lab.totals());
        assert!(lab.plan().name == name, "{name} calls itself {}", lab.plan().name);
    }
    let big = scenario::load("big", &Overrides::default()).expect("is built in");
    assert_eq!((big.initial, big.name.as_str()), (1000, "big"));
}

#[test]
fn the_command_line_wins_over_the_scenario() {
    let lines = sim(&["lossy", "--peers", "4", "--rounds", "10", "--buffer", "8", "--loss", "0"]);
    let chunks = lines.iter().filter(|line| is(line, "sent") && line["node"] == "S").count();
    assert_eq!(chunks, 40);
    let joined: Vec<&Value> = lines.iter().filter(|line| is(line, "joined")).collect();
    assert_eq!(joined.len(), 4);
    let lines = sim(&["--peers", "3", "--latency-ms", "40", "--for", "1"]);
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["t"], 50.0);
    assert!(summary["latency_mean"].as_f64().expect("a number") >= 2.0, "{summary}");
}

#[test]
fn a_run_stops_when_asked() {
    let text = "[link]\nloss = 0.1\n[stop]\nlost = 5";
    let mut lab = Lab::new(scenario::parse("t", text, &Overrides::default()).expect("is legal"));
    lab.run();
    assert_eq!(lab.ended(), Some(End::Losses));
    assert!((5..10).contains(&lab.totals().lost), "{:?}", lab.totals());
    assert_eq!(lab.step(), None);
    let text = "[stop]\nat = \"0.5s\"";
    let mut lab = Lab::new(scenario::parse("t", text, &Overrides::default()).expect("is legal"));
    lab.run();
    assert_eq!((lab.ended(), lab.now_us()), (Some(End::Time), 500_000));
}

#[test]
fn bad_scenarios_are_turned_away_with_place_and_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.toml");
    let file = path.to_str().expect("UTF-8");
    let cases: [(&str, &str, &[&str]); 15] = [
        ("seed = 1\npears = 3\n", ":2:1:", &["pears", "expected one of", "peers"]),
        ("peers = \"many\"\n", ":1:9:", &["invalid type", "a whole number from 0 to 4096"]),
        ("\nbuffer = 0\n", ":2:10:", &["`0`", "a whole number from 1 to 32768"]),
        ("[link]\nloss = 1.5\n", ":2:8:", &["1.5", "a number from 0 to 1"]),
        ("[link]\nlatency_ms = -1\n", ":2:14:", &["milliseconds from 0"]),
        ("[link]\ncolour = 1\n", ":2:1:", &["colour", "latency_ms"]),
        (
            "peers = 3\n[[crash]]\nat = 5\npeers = [\"P1\", \"P9\"]\n",
            ":4:16:",
            &["no \"P9\"", "P1 to P3"],
        ),
        ("peers = 1\n[[crash]]\nat = 5\npeers = [\"S\"]\n", ":4:10:", &["no \"S\"", "M0, P1"]),
        (
            "[[lan]]\npeers = [\"P1\"]\n[[lan]]\npeers = [\"P2\", \"P1\"]\n",
            ":4:16:",
            &["P1 is in LAN 1 already"],
        ),
        ("[[join]]\nat = \"soon\"\n", ":2:6:", &["soon", "1.5s"]),
        ("[[join]]\npeers = 3\n", ":1:1:", &["missing field `at`"]),
        ("chunks = 3\nrounds = 2\n", ":1:10:", &["chunks or rounds, not both"]),
        ("[[partition]]\nat = 9\nuntil = 9\npeers = [\"P1\"]\n", ":3:9:", &["later than at"]),
        ("peers = = 3\n", ":1:9:", &[]),
        ("monitors = 4000\npeers = 4000\n", ":1:1:", &["at most 4096"]),
    ];
    for (text, place, says) in cases {
        fs::write(&path, text).expect("is written");
        let mut says = says.to_vec();
        let file_and_place = format!("{file}{place}");
        says.push(&file_and_place);
        is_bad(file, &says);
    }
    is_bad("/no/such/scenario.toml", &["/no/such/scenario.toml", "No such file", "figures"]);
    fs::write(&path, [0xff, 0xfe]).expect("is written");
    is_bad(file, &["bad.toml", "UTF-8"]);
}

#[track_caller]
fn is_bad(file: &str, says: &[&str]) {
    let mut program = Program::start(&["sim", file]);
    let code = program.wait_exit(PATIENCE);
    let stderr = program.stderr();
    assert_eq!(code, 2, "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in says {
        assert!(stderr.contains(part), "does not say {part:?}: {stderr}");
    }
    assert_eq!(program.events().len(), 0, "nothing on standard output");
}

#[test]
fn a_plan_by_hand_is_the_mesh_without_a_scenario() {
    let mut by_hand = Lab::new(Plan::mesh(8));
    let mut by_default = mesh(8, 16, 20);
    ends_well(&mut by_hand);
    ends_well(&mut by_default);
    assert_eq!(by_hand.trace_hash(), by_default.trace_hash());
    assert_eq!(by_hand.splitter().team_size(), 8);
    assert_eq!(by_hand.name(SPLITTER).to_string(), "S");
    assert_eq!(by_hand.name(8).to_string(), "P7");
}

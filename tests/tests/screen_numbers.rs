//! What the screen says is what `--json` says: both of one run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use p2psp_core::{PlayerState, PlayerStatus};
use p2psp_tests::PATIENCE;
use p2psp_tui::net::splitter::SplitterOptions;
use p2psp_tui::net::{LanOptions, RulesChoice, Stopper, demo};
use p2psp_tui::observe::{Event, Line, Mode, NodeSnapshot, Observer, Snapshot};
use p2psp_tui::source::SourceSpec;
use p2psp_tui::ui::keys::Action;
use p2psp_tui::ui::{App, Scene, Theme, format, frame_of, svg};
use serde_json::Value;

/// A run that was recorded: one moment of it.
struct Record(Snapshot);

impl Scene for Record {
    fn snapshot(&mut self) -> Snapshot {
        self.0.clone()
    }

    fn now(&self) -> f64 {
        self.0.t
    }

    fn status(&self) -> String {
        String::new()
    }

    fn quit(&mut self) -> bool {
        false
    }
}

/// Three peers for as long as it takes until all have played something.
fn recorded() -> Snapshot {
    let options = SplitterOptions {
        source: SourceSpec::Music,
        name: None,
        rate_kbit: None,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        chunk_bytes: 1024,
        latency: Duration::from_secs(1),
        buffer_chunks: None,
        max_team: 16,
        monitor_key: None,
        own_monitor: true,
        lan: LanOptions { rules: RulesChoice::Dbs, ..LanOptions::default() },
        announce: false,
        seed: Some(1),
        first_chunk: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let observer = Observer::new(Mode::Screen);
        let (stopper, stop) = Stopper::new();
        let player = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let run = tokio::spawn(demo::run(options, 3, player, observer.clone(), stop));
        let all_play = |snapshot: &Snapshot| {
            let played = |peer: &p2psp_tui::observe::PeerSnapshot| peer.counts.chunks_played > 300;
            snapshot.peers().count() == 4 && snapshot.peers().all(played)
        };
        let recorded = tokio::time::timeout(PATIENCE, async {
            loop {
                let snapshot = observer.snapshot();
                if all_play(&snapshot) {
                    return snapshot;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let recorded = recorded.await.expect("all play in time");
        stopper.stop();
        run.await.unwrap().unwrap();
        recorded
    })
}

/// The `stats` line of a node, as `--json` writes it.
fn json(snapshot: &Snapshot, node: &NodeSnapshot) -> Value {
    let name = node.name().to_string();
    let event = Event::Stats(Box::new(node.clone()));
    let line = Line { v: 1, t: snapshot.t, node: &name, event: &event };
    serde_json::from_str(&serde_json::to_string(&line).unwrap()).unwrap()
}

/// A panel of it, by its number.
fn panel(snapshot: &Snapshot, number: usize) -> String {
    let mut scene = Record(snapshot.clone());
    let mut app = App::new(Theme::PLAIN);
    app.look(&mut scene);
    app.update(Action::Tab(number - 1), &mut scene);
    svg::text(&frame_of(&app, &scene, 160, 50))
}

/// The columns of the table line of a peer; the box is no column.
fn columns<'a>(screen: &'a str, peer: &str) -> Vec<&'a str> {
    let line = screen.lines().find_map(|line| {
        line.split('│').find(|cells| cells.split_whitespace().next() == Some(peer))
    });
    let line = line.unwrap_or_else(|| panic!("{peer} is not on the screen:\n{screen}"));
    line.split_whitespace().collect()
}

fn number(value: &Value) -> String {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}")).to_string()
}

#[test]
fn the_screen_says_what_json_says() {
    let snapshot = recorded();
    let lines: Vec<Value> = snapshot.nodes.iter().map(|node| json(&snapshot, node)).collect();
    let (overview, team) = (panel(&snapshot, 1), panel(&snapshot, 2));

    let splitter = lines.iter().find(|line| line["node"] == "S").expect("a splitter's line");
    let says = |what: String| assert!(overview.contains(&what), "{what:?} is not in\n{overview}");
    says(format::rate(splitter["rate_in"].as_f64().unwrap()));
    let out = format::rate(splitter["rate_out"].as_f64().unwrap());
    says(format!("{out} = {:.2}x", splitter["upload"].as_f64().unwrap()));
    says(format!("{} of {}", number(&splitter["peers"]), number(&splitter["max_team"])));
    says(format!("join at {}", splitter["addr"].as_str().unwrap()));
    says(splitter["stream"]["name"].as_str().unwrap().to_owned());

    let peers: Vec<&Value> = lines.iter().filter(|line| line["role"] == "peer").collect();
    assert_eq!(peers.len(), 4);
    let sum = |key: &str| peers.iter().map(|peer| peer[key].as_u64().unwrap()).sum::<u64>();
    let (lost, played) = (sum("chunks_lost"), sum("chunks_played"));
    let ratio = lost as f64 / (lost + played) as f64;
    says(format!("{} ({lost} chunks)", format::percent(ratio)));
    let furthest = peers.iter().max_by_key(|peer| peer["latency_chunks"].as_u64());
    let furthest = furthest.expect("a peer");
    says(format!("{} chunks = ", number(&furthest["latency_chunks"])));

    for peer in &peers {
        let name = peer["node"].as_str().unwrap();
        // peer state buffer played lost plays sends listen
        let cells = columns(&overview, name);
        assert_eq!(cells[1], peer["state"].as_str().unwrap());
        assert_eq!(cells[3], number(&peer["chunks_played"]), "{name} in\n{overview}");
        assert_eq!(cells[4], number(&peer["chunks_lost"]));
        assert_eq!(cells[5..7].join(" "), format::rate(peer["rate_in"].as_f64().unwrap()));
        assert_eq!(cells[7..9].join(" "), format::rate(peer["rate_out"].as_f64().unwrap()));
        assert_eq!(cells[9], peer["player"].as_str().unwrap_or("-"));

        // peer role state endpoint age received sent lost twice activity LAN origin complaints
        let member = splitter["team"].as_array().unwrap();
        let member = member.iter().find(|member| member["peer"] == name).expect("a member");
        let seen: Vec<i64> = peers
            .iter()
            .flat_map(|other| other["neighbour_rows"].as_array().unwrap())
            .filter(|row| row["peer"] == name)
            .map(|row| row["activity"].as_i64().unwrap())
            .collect();
        assert_eq!(seen.len(), 3, "the others know {name}");
        let expected = [
            name.to_owned(),
            if name.starts_with('M') { "monitor" } else { "peer" }.to_owned(),
            peer["state"].as_str().unwrap().to_owned(),
            member["addr"].as_str().unwrap().to_owned(),
            format::duration(member["age_s"].as_f64().unwrap()),
            number(&peer["chunks_received"]),
            number(&peer["chunks_sent"]),
            number(&peer["chunks_lost"]),
            number(&peer["duplicates"]),
            seen.iter().min().unwrap().to_string(),
        ];
        let cells = columns(&team, name);
        assert_eq!(cells[..10], expected, "in\n{team}");
        assert_eq!(cells[11], number(&member["chunks"]), "in\n{team}");
        assert_eq!(cells[12], number(&member["complaints"]), "in\n{team}");
    }
    of_a_board(snapshot);
}

/// One of the members might be a board.
#[track_caller]
fn of_a_board(mut snapshot: Snapshot) {
    let (state, level_ms) = (PlayerState::Playing, 480);
    let status = PlayerStatus { state, level_ms, concealed: 3, underruns: 1 };
    let node = snapshot.nodes.iter_mut().find(|node| node.as_splitter().is_some()).unwrap();
    let NodeSnapshot::Splitter(splitter) = Arc::make_mut(node) else { panic!("it is one") };
    splitter.team[1].status = Some(status);
    let (name, node) = (splitter.team[1].name.to_string(), Arc::clone(node));
    let said = &json(&snapshot, &node)["team"][1]["status"];
    let team = panel(&snapshot, 2);
    assert_eq!(said["state"], "playing");
    // After what was received, sent and lost.
    let expected = [
        format::latency(said["level_ms"].as_f64().unwrap()),
        number(&said["concealed"]),
        number(&said["underruns"]),
    ];
    assert_eq!(columns(&team, &name)[8..12].join(" "), expected.join(" "), "in\n{team}");
}

//! Stations that announce themselves, on networks of network namespaces: they
//! are found and joined without addresses, and disappear.

use std::time::{Duration, Instant};

use p2psp_tests::netns::Host;
use p2psp_tests::program::is;
use p2psp_tests::{Network, PATIENCE, Program, Signal};
use serde_json::Value;

/// A station with music made here on `host`.
fn station(host: &Host, name: &str, args: &[&str]) -> Program {
    let mut all = vec!["splitter", "--source", "music", "--name", name];
    all.extend(args);
    let splitter = Program::start_in(host.wrapper(), &all);
    splitter.wait_event(PATIENCE, |line| is(line, "listening"));
    splitter
}

fn peer(host: &Host, args: &[&str]) -> Program {
    let mut all = vec!["peer"];
    all.extend(args);
    all.extend(["--player", "none"]);
    Program::start_in(host.wrapper(), &all)
}

/// The stations that a look from `host` finds.
fn stations(host: &Host) -> Vec<Value> {
    let mut list = Program::start_in(host.wrapper(), &["stations", "--for", "2"]);
    assert_eq!(list.wait_exit(PATIENCE), 0, "{}", list.stderr());
    let found = list.events_of("station");
    let summary = list.events().pop().expect("a summary");
    assert!(is(&summary, "summary"), "{summary}");
    // Each may be told again as more of its addresses become known.
    let mut teams: Vec<&Value> = found.iter().map(|line| &line["team"]).collect();
    teams.sort_by_key(|team| team.to_string());
    teams.dedup();
    assert_eq!(summary["stations"], teams.len(), "{}", list.report());
    found
}

fn names(found: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = found.iter().filter_map(|line| line["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn a_station_is_found_by_name_joined_and_disappears() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let one = net.host("one", &lan, "10.0.1.1/24", None);
    let other = net.host("other", &lan, "10.0.1.2/24", None);
    let mut kitchen = station(&one, "Kitchen Radio", &["--listen", "0.0.0.0:8123"]);
    let found = stations(&other);
    assert_eq!(names(&found), ["Kitchen Radio"]);
    let first = &found[0];
    assert_eq!(first["addrs"][0], "10.0.1.1:8123", "{first}");
    assert_eq!(first["content_type"], "audio/wav");
    assert_eq!(first["version"], p2psp_core::wire::VERSION);
    assert!(first["kbit"].as_u64().is_some_and(|kbit| kbit > 100), "{first}");

    let start = Instant::now();
    let mut named = peer(&other, &["kitchen radio"]);
    named.wait_joined();
    println!("joined by name after {:.2} s", start.elapsed().as_secs_f64());
    // Less than one on a quiet machine.
    assert!(start.elapsed() < Duration::from_secs(30));
    // Without a name: the only one.
    let mut any = peer(&other, &[]);
    any.wait_joined();
    assert_eq!((any.end(), named.end()), (0, 0));

    // It says goodbye when it stops, and is missed when it dies.
    let watch = Program::start_in(other.wrapper(), &["stations", "--for", "300"]);
    watch.wait_event(PATIENCE, |line| is(line, "station"));
    kitchen.signal(Signal::Kill);
    let gone = |line: &Value| is(line, "gone") && line["name"] == "Kitchen Radio";
    watch.wait_event(PATIENCE, gone);
    assert_eq!(stations(&other), [] as [Value; 0]);
    let mark = watch.mark();
    let mut again = station(&one, "Kitchen Radio", &["--listen", "0.0.0.0:8123"]);
    watch.wait_event_after(mark, PATIENCE, |line| is(line, "station"));
    assert_eq!(again.end(), 0);
    let stopped = Instant::now();
    watch.wait_event_after(mark, PATIENCE, gone);
    println!("its goodbye was heard after {:.2} s", stopped.elapsed().as_secs_f64());
}

#[test]
fn two_stations_of_one_name_are_both_reachable() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let one = net.host("one", &lan, "10.0.1.1/24", None);
    let two = net.host("two", &lan, "10.0.1.2/24", None);
    let other = net.host("other", &lan, "10.0.1.3/24", None);
    let _splitters = [station(&one, "Radio", &[]), station(&two, "Radio", &[])];
    let found = stations(&other);
    assert_eq!(names(&found), ["Radio"]);
    let team_at = |addr: &str| {
        let at = |line: &&Value| line["addrs"][0] == addr;
        let line = found.iter().find(at).unwrap_or_else(|| panic!("{addr} of {found:?}"));
        line["team"].as_str().expect("a text").to_owned()
    };
    for addr in ["10.0.1.1:8001", "10.0.1.2:8001"] {
        for name in [team_at(addr).as_str(), addr] {
            let mut peer = peer(&other, &[name]);
            peer.wait_joined();
            let stats = peer.wait_event(PATIENCE, |line| is(line, "stats"));
            assert_eq!(stats["splitter"], addr);
            assert_eq!(peer.end(), 0);
        }
    }
    for args in [&["Radio"][..], &[]] {
        let mut undecided = peer(&other, args);
        assert_eq!(undecided.wait_exit(PATIENCE), 2, "{}", undecided.stderr());
        let stderr = undecided.stderr();
        for part in ["several stations", "10.0.1.1:8001", "10.0.1.2:8001"] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
}

#[test]
fn who_does_not_want_to_be_found_is_not() {
    let mut net = Network::new();
    let lan = net.switch("lan");
    let one = net.host("one", &lan, "10.0.1.1/24", None);
    let other = net.host("other", &lan, "10.0.1.2/24", None);
    let _quiet = station(&one, "Quiet", &["--no-discovery"]);
    assert_eq!(stations(&other), [] as [Value; 0]);
    let mut lost = peer(&other, &[]);
    assert_eq!(lost.wait_exit(PATIENCE), 1);
    assert!(lost.stderr().contains("no station was found"), "{}", lost.stderr());
    let mut wrong = peer(&other, &["Quiet"]);
    assert_eq!(wrong.wait_exit(PATIENCE), 1);
    assert!(wrong.stderr().contains("neither a station"), "{}", wrong.stderr());
    // Which resolvers would take for 5.0.95.128.
    let mut digits = peer(&other, &["83910528"]);
    assert_eq!(digits.wait_exit(PATIENCE), 1);
    assert!(digits.stderr().contains("no station called 83910528"), "{}", digits.stderr());
    // An address always works.
    let mut told = peer(&other, &["10.0.1.1:8001"]);
    told.wait_joined();
    assert_eq!(told.end(), 0);
}

//! Stations from files and their titles, with real processes, encoders and
//! players: from the tags of a file to what a player shows.

use std::path::{Path, PathBuf};

use p2psp_tests::http::without_titles;
use p2psp_tests::media::{self, find};
use p2psp_tests::program::is;
use p2psp_tests::wait::required;
use p2psp_tests::{Format, Icecast, Media, PATIENCE, PlayerClient, Program, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Length of a chunk, in bytes.
const CHUNK: usize = 1024;

/// A folder for tracks.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        self.path(name).to_str().expect("plain").to_owned()
    }

    /// Makes a track of `seconds` with these tags; sound number `seed`.
    fn track(&self, name: &str, seconds: u32, seed: u32, tags: &[(&str, &str)]) {
        let encoder: &[&str] = match Path::new(name).extension().and_then(|name| name.to_str()) {
            Some("mp3") => &["-c:a", "libmp3lame", "-b:a", "128k", "-id3v2_version", "3"],
            Some("ogg") => &["-c:a", "libvorbis", "-q:a", "3"],
            Some("flac") => &["-c:a", "flac"],
            other => panic!("no encoder for {other:?}"),
        };
        let noise = format!("anoisesrc=color=pink:seed={seed}:amplitude=0.3:r=44100");
        let mut command = required("ffmpeg", "ffmpeg");
        command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &noise, "-ac", "2"]);
        command.args(["-t", &seconds.to_string()]).args(encoder);
        for (key, value) in tags {
            command.args(["-metadata", &format!("{key}={value}")]);
        }
        let output = command.arg(self.path(name)).output().expect("ffmpeg can be executed");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ffmpeg makes no {name}: {text}");
    }
}

/// The titles that `node` of a program has told, with their chunks.
fn titles(program: &Program, node: &str) -> Vec<(String, u64)> {
    let events = program.events_of("title").into_iter().filter(|line| line["node"] == node);
    events
        .map(|line| {
            let title = line["title"].as_str().expect("a text").to_owned();
            (title, line["chunk"].as_u64().expect("a number"))
        })
        .collect()
}

fn texts(titles: &[(String, u64)]) -> Vec<&str> {
    titles.iter().map(|(title, _)| title.as_str()).collect()
}

fn warnings(program: &Program) -> Vec<String> {
    let lines = program.events_of("warning");
    lines.iter().map(|line| line["message"].as_str().expect("a text").to_owned()).collect()
}

/// All that a team of a splitter of `source` and one peer does, to the end.
struct Played {
    splitter: Program,
    peer: Program,
    /// What the peer wrote.
    out: Vec<u8>,
    /// What a player got that asked for titles, and one that did not.
    entitled: PlayerClient,
    plain: PlayerClient,
}

fn play(source: &[&str]) -> Played {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let mut args = vec!["--latency", "0.5"];
    args.extend(source);
    let mut splitter = Program::splitter(&args);
    let mut peer = Program::peer(splitter.addr(), &["--out", out.to_str().expect("plain")]);
    let entitled = PlayerClient::with_titles(peer.addr());
    let plain = PlayerClient::connect(peer.addr());
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
    entitled.wait_end(PATIENCE);
    plain.wait_end(PATIENCE);
    let out = std::fs::read(out).expect("--out writes the file");
    Played { splitter, peer, out, entitled, plain }
}

#[test]
fn a_directory_is_a_station_with_titles() {
    let folder = Folder::new();
    for (name, seed, title) in [("1.mp3", 1, "One"), ("2.mp3", 2, "Two"), ("10.mp3", 3, "Ten")] {
        folder.track(name, 3, seed, &[("artist", "Wir"), ("title", title)]);
    }
    folder.track("3.flac", 1, 4, &[]);
    folder.track("11 no tags.mp3", 3, 5, &[]);
    std::fs::write(folder.path("4.mp3"), b"no sound at all").unwrap();
    std::fs::write(folder.path("cover.jpg"), b"no music").unwrap();
    let source = folder.arg("");
    let played = play(&["--source", &source]);
    let expected = ["Wir - One", "Wir - Two", "Wir - Ten", "11 no tags"];

    // The same titles with the same chunks at the splitter and at the peer.
    let told = titles(&played.splitter, "S");
    assert_eq!(texts(&told), expected);
    let heard = titles(&played.peer, &played.peer.node());
    assert_eq!(heard, told);
    // 3 s of 128 kbit/s each.
    for (index, (title, chunk)) in told.iter().enumerate() {
        let at = *chunk as f64 * CHUNK as f64 / 16_000.0;
        assert!((at - 3.0 * index as f64).abs() < 0.3, "{title} at {at} s");
    }
    let last = played.peer.stats(&played.peer.node()).expect("numbers each second");
    assert_eq!(last["stream"]["title"], "11 no tags");

    let said = warnings(&played.splitter);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("3.flac is FLAC and the stream MP3"), "{said:?}");
    assert!(said[1].contains("no sound") && said[1].contains("4.mp3"), "{said:?}");

    // One stream without a fault, and all of it.
    let decoded = media::decode(Format::Mp3, &played.out);
    assert_eq!(decoded.complaints, "");
    assert!((11.0..12.5).contains(&decoded.seconds), "{} s", decoded.seconds);
    assert_eq!(find(&played.out, b"Info"), None, "no index frame of a file");
    assert!(played.plain.body() == played.out, "the player and --out differ");
    assert!(!played.plain.head().unwrap().to_lowercase().contains("icy-"));

    let head = played.entitled.head().unwrap();
    assert!(head.contains("icy-metaint: 8192\r\n") && head.contains("icy-name: "), "{head}");
    let (stream, shown) = without_titles(8192, &played.entitled.body());
    assert!(stream == played.out, "titles between the bytes change none of them");
    let shown: Vec<&str> = shown.iter().map(|(_, title)| title.as_str()).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_station_of_ogg_files_is_a_chain() {
    let folder = Folder::new();
    for (name, seed, title) in [("a.ogg", 1, "Eins"), ("b.ogg", 2, "Zwei")] {
        folder.track(name, 3, seed, &[("TITLE", title)]);
    }
    let source = [folder.arg("a.ogg"), folder.arg("b.ogg")];
    let played = play(&["--source", &source[0], &source[1]]);
    assert_eq!(texts(&titles(&played.splitter, "S")), ["Eins", "Zwei"]);
    assert_eq!(titles(&played.peer, &played.peer.node()), titles(&played.splitter, "S"));
    let both = [std::fs::read(&source[0]).unwrap(), std::fs::read(&source[1]).unwrap()].concat();
    assert!(both.ends_with(&played.out[played.out.len() / 2..]), "both, as they are");
    let decoded = media::decode(Format::Ogg, &played.out);
    // ffmpeg's own time stamps where a chain begins; it plays on.
    let stamps = |line: &&str| !line.contains("non monotonically increasing dts");
    assert_eq!(decoded.complaints.lines().filter(stamps).collect::<Vec<_>>(), [""; 0]);
    assert!((4.5..6.5).contains(&decoded.seconds), "{} s", decoded.seconds);
    // Ogg has titles of its own: none between the bytes.
    assert!(!played.entitled.head().unwrap().to_lowercase().contains("icy-"));
    assert!(played.entitled.body() == played.plain.body());
}

#[test]
fn a_playlist_with_missing_files_is_played_without_them() {
    let folder = Folder::new();
    folder.track("here.mp3", 2, 1, &[]);
    folder.track("also.mp3", 2, 2, &[]);
    let list = "#EXTM3U\n#EXTINF:2,From the list\nhere.mp3\nmissing.mp3\nhttp://h/live\nalso.mp3\n";
    std::fs::write(folder.path("list.m3u"), list).unwrap();
    let played = play(&["--source", &folder.arg("list.m3u")]);
    assert_eq!(texts(&titles(&played.peer, &played.peer.node())), ["From the list", "also"]);
    let said = warnings(&played.splitter);
    assert!(said.iter().any(|line| line.contains("missing.mp3") && line.contains("skipped")));
    assert!(said.iter().any(|line| line.contains("http://h/live") && line.contains("left out")));
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn a_loop_goes_on_and_a_seed_makes_the_same_order() {
    let folder = Folder::new();
    for n in 0..6 {
        folder.track(&format!("{n}.mp3"), 1, n, &[]);
    }
    let source = folder.arg("");
    let order = |seed: &str| {
        let args = ["--source", &source, "--loop", "--shuffle", "--seed", seed, "--latency", "0.5"];
        let mut splitter = Program::splitter(&args);
        let enough = || titles(&splitter, "S").len() >= 9;
        assert!(wait_until(PATIENCE, enough), "{}", splitter.report());
        let told = titles(&splitter, "S");
        assert_eq!(splitter.end(), 0);
        let mut all: Vec<String> =
            texts(&told)[..9].iter().map(|title| (*title).to_owned()).collect();
        let heard = all.clone();
        all.truncate(6);
        all.sort();
        assert_eq!(all, ["0", "1", "2", "3", "4", "5"], "each once before any twice");
        heard
    };
    let first = order("1");
    assert_eq!(first, order("1"));
    assert_ne!(first, order("2"));
}

#[test]
fn wild_titles_are_tamed() {
    let folder = Folder::new();
    let long = "long ".repeat(2000);
    folder.track("1.mp3", 2, 1, &[("title", &long)]);
    folder.track("2.mp3", 2, 2, &[("title", "It's; a \u{1b}[2Jtrick\u{7}';\n")]);
    let played = play(&["--source", &folder.arg("")]);
    let told = titles(&played.peer, &played.peer.node());
    assert_eq!(texts(&told)[0], long[..255].trim_end(), "255 bytes of {}", long.len());
    assert_eq!(texts(&told)[1], "It's; a [2Jtrick ';");
    let (_, shown) = without_titles(8192, &played.entitled.body());
    assert_eq!(shown.last().expect("two titles").1, "It's; a [2Jtrick ' ;");
}

/// Titles of an Icecast mount travel, and what carries them does not get into
/// the stream.
#[test]
fn titles_of_an_icecast_mount_travel() {
    let icecast = Icecast::start();
    let source = Media::make(Format::Mp3, 60);
    let _feed = icecast.mount_source("/radio.mp3", Format::Mp3, source.path());
    icecast.set_title("/radio.mp3", "Wir%20-%20Erstes");
    let url = icecast.url("/radio.mp3");
    let mut splitter = Program::splitter(&["--source", &url, "--latency", "0.5"]);
    let mut peer = Program::peer(splitter.addr(), &[]);
    let player = PlayerClient::with_titles(peer.addr());
    let plain = PlayerClient::connect(peer.addr());
    let titled =
        |text: &'static str| move |line: &Value| is(line, "title") && line["title"] == text;
    peer.wait_event(PATIENCE, titled("Wir - Erstes"));
    icecast.set_title("/radio.mp3", "Zweites%1b%5b2J");
    peer.wait_event(PATIENCE, titled("Zweites [2J"));
    let node = peer.node();
    let from = titles(&peer, &node).last().expect("waited for").1;
    assert_eq!(titles(&splitter, "S").last().expect("before").1, from);
    plain.wait_len(plain.len() + 40_000, PATIENCE);
    let shows = || {
        let shown = without_titles(8192, &player.body()).1;
        shown.last().is_some_and(|(_, title)| title == "Zweites [2J")
    };
    assert!(wait_until(PATIENCE, shows));
    let decoded = media::decode(Format::Mp3, &plain.body());
    assert_eq!(decoded.complaints, "", "no metadata in the stream");
    assert_eq!((splitter.end(), peer.wait_exit(PATIENCE)), (0, 0));
}

#[track_caller]
fn fails(args: &[&str], code: i32, says: &str) {
    let mut program = Program::start(args);
    assert_eq!(program.wait_exit(PATIENCE), code, "{args:?}: {}", program.stderr());
    let stderr = program.stderr();
    assert!(stderr.contains(says), "{args:?} does not say {says:?}: {stderr}");
}

#[test]
fn what_can_not_be_a_station() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).unwrap();
    std::fs::write(folder.path("empty.m3u"), "#EXTM3U\n").unwrap();
    std::fs::write(folder.path("gone.m3u"), "gone.mp3\n").unwrap();
    folder.track("a.flac", 1, 1, &[]);
    let args = |more: &[&'static str]| {
        let mut args = vec!["splitter", "--listen", "127.0.0.1:0"];
        args.extend(more);
        args
    };
    let with = |source: &str, more: &[&'static str], code: i32, says: &str| {
        let source = folder.arg(source);
        let mut all = args(more);
        all.extend(["--source", &source]);
        fails(&all, code, says);
    };
    with("empty", &[], 2, "there is no music in");
    with("empty.m3u", &[], 2, "names no file");
    with("missing.m3u", &[], 2, "can't be read");
    with("gone.m3u", &[], 1, "none of the files can be played");
    fails(&args(&["--source", "music", "--loop"]), 2, "--shuffle and --loop are for files");
    fails(&args(&["--source", "music", "a.mp3"]), 2, "music can't be combined");
    fails(&args(&["--source", "a.mp3", "--source", "-"]), 2, "can't be combined");

    // FLAC can't be joined: it is played once, and said to be.
    let flac = folder.arg("a.flac");
    let mut splitter = Program::splitter(&["--source", &flac, "--loop", "--latency", "0.2"]);
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    let said = warnings(&splitter);
    assert!(said.iter().any(|line| line.contains("FLAC files can't follow one another")));
}

#[test]
fn bad_networks_are_bad_usage() {
    let peer = |more: &[&str], says: &str| {
        let mut args = vec!["peer", "127.0.0.1:1", "--player", "none"];
        args.extend(more);
        fails(&args, 2, says);
    };
    peer(&["--interface", "nosuch0"], "there is no interface nosuch0");
    peer(&["--interface", "192.0.2.9"], "there is no interface 192.0.2.9");
    peer(&["--interface", "lo"], "lo does no multicast");
    peer(&["--group", "10.0.0.1:1234"], "multicast address");
    peer(&["--group", "224.0.0.1"], "multicast address");
    peer(&["--group", "[ff02::1]:1234"], "another kind of address");
    peer(&["--rules", "abc"], "abc");
    let splitter = ["splitter", "--source", "music", "--interface", "nosuch0"];
    fails(&splitter, 2, "there is no interface nosuch0");
    let ims =
        ["peer", "127.0.0.1:1", "--player", "none", "--bind", "127.0.0.1:0", "--rules", "ims"];
    fails(&ims, 1, "no interface that does multicast leads to the splitter");
}

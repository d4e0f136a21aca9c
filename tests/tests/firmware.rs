//! Boards in QEMU, in one team with real Linux peers: they play what the
//! splitter sends, byte for byte, forward their share, come back after every
//! kind of outage, and mind no nonsense.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use audio_codec_algorithms::decode_adpcm_ima_ms;
use p2psp_core::wire::{self, Acquaintance, MAX_DATAGRAM_BYTES, Message, Welcome};
use p2psp_core::{ChunkNumber, Departure, Key, NodeId, Role, Rules, Tag, TeamId};
use p2psp_tests::board::{Board, BoardStatus, Build, Datagram, HOST, Lan, SPLITTER, TEAM_PORT};
use p2psp_tests::program::is;
use p2psp_tests::{Format, Media, PATIENCE, Program, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// One test at a time: the host has few cores.
static HOST_AT_WORK: Mutex<()> = Mutex::new(());

/// The LAN's group.
const GROUP: SocketAddr = p2psp_core::Lan::DEFAULT_GROUP;

fn alone() -> MutexGuard<'static, ()> {
    HOST_AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Samples of the WAV file from the first whole frame in chunk `first` on.
fn samples_from(wav: &[u8], first: usize, channels: usize) -> Vec<[i16; 2]> {
    let data = wav.windows(4).position(|four| four == b"data").expect("a WAV file") + 8;
    let frame = 2 * channels;
    let offset = (first * 1024).saturating_sub(data).next_multiple_of(frame);
    let sample = |at: &[u8]| i16::from_le_bytes([at[0], at[1]]);
    let frames = wav[data + offset..].chunks_exact(frame);
    frames.map(|frame| [sample(frame), sample(&frame[2 * channels - 2..])]).collect()
}

/// What was played is silence in whole blocks, and then `expected`, up to the
/// last block; at least `least` frames of it.
#[track_caller]
fn assert_plays(played: &[[i16; 2]], expected: &[[i16; 2]], least: usize) {
    let blocks = played.chunks(256);
    let silent = blocks.take_while(|block| **block != expected[..256]).count() * 256;
    assert!(silent < played.len(), "the first block is not played");
    assert!(played[..silent].iter().all(|frame| *frame == [0; 2]), "not silent before");
    let sound = &played[silent..];
    let whole = sound.len() / 256 * 256;
    assert!(whole >= least, "{whole} frames were played");
    let differs = (0..whole).find(|at| sound[*at] != expected[*at]);
    assert_eq!(differs, None, "of {whole} frames");
}

/// What the whole of a board's life must have been like.
#[track_caller]
fn assert_flawless(board: &Board) {
    let status = board.status();
    for count in ["lost", "overflowed", "concealed", "underruns", "dropped", "repeated"] {
        assert_eq!(status.get(count), 0, "{count}: {}", board.report());
    }
    let (used, allowed) = board.stack();
    let polls = board.polls_a_second();
    println!("stack used: {used} of {allowed} bytes; polled {polls} times a second");
    assert!(used <= allowed, "more stack than its budget.toml says: {used} of {allowed} bytes");
    // Some for each datagram, block and timer; without end if a task wakes itself.
    assert!(polls < 10_000, "the processor does not sleep: polled {polls} times a second");
}

/// Three Linux peers on loopback that write to nowhere.
fn three_peers(splitter: &Program) -> [Program; 3] {
    [(); 3].map(|()| {
        let peer = Program::peer(splitter.addr(), &["--player", "none", "--out", "/dev/null"]);
        peer.wait_joined();
        peer
    })
}

/// They leave without having lost anything.
#[track_caller]
fn assert_all_had_everything<const N: usize>(peers: [Program; N]) {
    for mut peer in peers {
        assert_eq!(peer.end(), 0, "{}", peer.report());
        let summary = peer.summary(&peer.node());
        assert_eq!(summary["chunks_lost"], 0, "{summary}");
        assert!(summary["chunks_played"].as_u64() > Some(100), "{summary}");
    }
}

#[test]
fn a_board_plays_pcm_byte_for_byte_and_serves_linux_peers() {
    let _alone = alone();
    let media = Media::make(Format::Wav, 60);
    let board = played_in_a_team(Build::Default, &media, "24");
    let expected = samples_from(&media.bytes(), board.first_chunk(), 1);
    assert_plays(&board.played(), &expected, 8 * 16_000);
    // It was the origin of every fifth chunk, and they got all of them.
    assert!(board.status().get("sent") > 100, "{:?}", board.status());
}

/// A board that was for some seconds in one team with three Linux peers on
/// loopback, where nobody missed anything, and has left.
#[track_caller]
fn played_in_a_team(build: Build, media: &Media, buffer: &str) -> Board {
    let args = ["--source", media.arg(), "--max-team", "31", "--buffer", buffer];
    let splitter = Program::splitter(&args);
    let peers = three_peers(&splitter);
    let mut board = Board::on_loopback(build, splitter.addr(), &["seconds=15"]);
    board.wait_end();
    assert_flawless(&board);
    assert_all_had_everything(peers);
    board
}

/// IMS (9.1, 9.2): what the splitter sends to one goes to the group, once for
/// all, whether the one is a board or not.
#[test]
fn a_board_and_linux_peers_share_a_lan_by_multicast() {
    let _alone = alone();
    let (_folder, source, wav) = stereo_noise(12_000, 40);
    let lan = Lan::new(1);
    let splitter = lan.splitter(&["--source", &source, "--max-team", "31", "--buffer", "96"]);
    let ports = [5001, 5002, 5003];
    let peers = ports.map(|port| {
        let bind = format!("0.0.0.0:{port}");
        lan.peer(&["--rules", "ims", "--bind", &bind, "--out", "/dev/null"])
    });
    let mut board = lan.board(0, &["seconds=16"]);
    board.wait_end();
    assert_flawless(&board);
    let expected = samples_from(&wav, board.first_chunk(), 2);
    assert_plays(&board.played(), &expected, 8 * 12_000);
    assert_all_had_everything(peers);
    drop(splitter);

    let members = ports.map(|port| SocketAddr::from((HOST, port)));
    let own = SocketAddr::from(([10, 77, 0, 2], TEAM_PORT));
    let datagrams = board.datagrams();
    // Until all have said hello, some are served by unicast (9.7).
    let steady = &datagrams[datagrams.len() / 2..];
    for origin in members.into_iter().chain([own]) {
        let of_it = steady.iter().filter(|one| one.chunk.is_some_and(|chunk| chunk.1 == origin));
        let (to_group, others): (Vec<&Datagram>, Vec<&Datagram>) =
            of_it.partition(|one| one.to == GROUP);
        assert!(to_group.iter().all(|one| one.from == origin), "others passed it on to the group");
        let mut chunks: Vec<u32> = to_group.iter().filter_map(|one| Some(one.chunk?.0)).collect();
        println!("{origin}: {} chunks to the group", chunks.len());
        assert!(chunks.len() > 40, "{}", chunks.len());
        let all = chunks.len();
        chunks.sort_unstable();
        chunks.dedup();
        assert_eq!(chunks.len(), all, "twice to the group");
        // The board gets its own from the splitter. The monitor plays by DBS.
        let unicast = others
            .iter()
            .filter(|one| one.from == origin && (one.to == own || members.contains(&one.to)));
        assert_eq!(unicast.count(), 0, "{origin} serves who hears the group");
    }
    // What the splitter sent to the board is what the board sent to the group.
    let from_splitter = steady.iter().filter(|one| one.to == own && one.chunk.is_some());
    let numbers = from_splitter.filter(|one| one.from.port() == 8001).filter_map(|one| one.chunk);
    let group = |number| datagrams.iter().any(|one| one.to == GROUP && one.chunk == Some(number));
    let missing: Vec<_> = numbers.filter(|number| !group(*number)).collect();
    assert!(missing.len() <= 1, "not to the group: {missing:?}");
}

#[test]
fn boards_share_a_lan_by_multicast() {
    let _alone = alone();
    play_stereo(12_000, "96", 20);
}

/// Ten minutes, for an idle host: `cargo test -p p2psp-tests --test firmware
/// -- --ignored --nocapture`.
#[test]
#[ignore = "takes ten minutes of an idle host"]
fn boards_play_48_khz_stereo_for_ten_minutes() {
    let _alone = alone();
    for board in play_stereo(48_000, "384", 600) {
        assert_eq!(board.status().get("late_blocks"), 0, "{}", board.report());
    }
}

/// Two boards and a Linux peer on one LAN play uncompressed sound.
fn play_stereo(rate: u32, buffer: &str, seconds: usize) -> [Board; 2] {
    let (_folder, source, wav) = stereo_noise(rate, seconds + 20);
    let lan = Lan::new(2);
    let splitter = lan.splitter(&["--source", &source, "--max-team", "31", "--buffer", buffer]);
    let peer = lan.peer(&["--out", "/dev/null"]);
    let until = format!("seconds={seconds}");
    let first = lan.board(0, &[&until]);
    first.wait_status(0, |status| status.state == "playing");
    let mut boards = [first, lan.board(1, &[&until])];
    for board in &mut boards {
        board.wait_end_within(Duration::from_secs(seconds as u64) + PATIENCE);
        assert_flawless(board);
        let expected = samples_from(&wav, board.first_chunk(), 2);
        assert_plays(&board.played(), &expected, (seconds - 8) * rate as usize);
    }
    let own = ["10.77.0.2", "10.77.0.3"].map(|ip| ip.parse().expect("an address"));
    own.iter().for_each(|board| assert_tells_how_it_is(&splitter, *board));
    assert_all_had_everything([peer]);
    drop(splitter);
    // Chunks go to the group once, and not to the other board.
    let own = own.map(|ip: Ipv4Addr| SocketAddr::from((ip, TEAM_PORT)));
    let sent = boards[0].datagrams();
    let chunks = |to: SocketAddr| {
        let chunks = sent.iter().filter(|one| one.from == own[0] && one.chunk.is_some());
        chunks.filter(|one| one.to == to).count()
    };
    let group = chunks(GROUP);
    println!("to the group: {group} chunks, to the other board: {}", chunks(own[1]));
    assert!(group > 5 * seconds, "{group}");
    assert!(chunks(own[1]) < group / 10, "{}", chunks(own[1]));
    boards
}

/// The splitter's `--json` says how the board at this address plays, and nothing
/// like that of others.
#[track_caller]
fn assert_tells_how_it_is(splitter: &Program, board: Ipv4Addr) {
    let (board, port) = (SocketAddr::from((board, TEAM_PORT)).to_string(), format!(":{TEAM_PORT}"));
    let stats = splitter.events_of("stats");
    let members = stats.iter().filter_map(|line| line["team"].as_array()).flatten();
    let (boards, others): (Vec<_>, Vec<_>) =
        members.partition(|member| member["addr"].as_str().is_some_and(|at| at.ends_with(&port)));
    assert!(others.iter().all(|member| member.get("status").is_none()), "{others:?}");
    let told = boards.iter().rev().find(|member| member["addr"] == board.as_str());
    let status = &told.expect("it was a member")["status"];
    println!("{board} said last: {status}");
    assert_eq!(status["state"], "playing", "{status}");
    // Both streams have a buffer of 2048 ms.
    let level = status["level_ms"].as_u64().expect("a number");
    assert!((1..2048).contains(&level), "{status}");
    assert_eq!((&status["concealed"], &status["underruns"]), (&0.into(), &0.into()));
}

/// A WAV file of noise that is never silent: the folder in which it is, its
/// path, and its bytes.
fn stereo_noise(rate: u32, seconds: usize) -> (TempDir, String, Vec<u8>) {
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    wav.extend(rate.to_le_bytes());
    wav.extend((4 * rate).to_le_bytes());
    wav.extend(b"\x04\0\x10\0data\xff\xff\xff\xff");
    let mut seed = 1_u32;
    for _ in 0..seconds * rate as usize * 2 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        wav.extend(((seed >> 18) as i16 + 1).to_le_bytes());
    }
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("noise.wav");
    std::fs::write(&path, &wav).expect("there is room");
    let path = path.display().to_string();
    (folder, path, wav)
}

#[test]
fn a_board_plays_mp3_as_the_host_decodes_it() {
    let _alone = alone();
    let media = Media::make(Format::Mp3, 60);
    let board = played_in_a_team(Build::Mp3, &media, "16");
    let expected = decode_mp3(&media.bytes()[board.first_chunk() * 1024..]);
    assert_plays(&board.played(), &expected, 8 * 44_100);
}

/// What the decoder that the boards have makes of a stream on this host.
fn decode_mp3(mut bytes: &[u8]) -> Vec<[i16; 2]> {
    let mut decoder = nanomp3::Decoder::new();
    let mut samples = [0_i16; nanomp3::MAX_SAMPLES_PER_FRAME];
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (consumed, decoded) = decoder.decode(bytes, &mut samples);
        bytes = &bytes[consumed..];
        let Ok(info) = decoded else { continue };
        let channels = usize::from(info.channels.num());
        let whole = samples[..info.samples_produced * channels].chunks_exact(channels);
        frames.extend(whole.map(|frame| [frame[0], frame[channels - 1]]));
    }
    frames
}

#[test]
fn the_smallest_build_plays_adpcm_that_ffmpeg_has_made() {
    let _alone = alone();
    let media = Media::make(Format::Adpcm, 60);
    let board = played_in_a_team(Build::Small, &media, "24");
    let wav = media.bytes();
    let data = wav.windows(4).position(|four| four == b"data").expect("a WAV file") + 8;
    // Bytes of a block, which begins with a sample.
    let block = usize::from(u16::from_le_bytes([wav[32], wav[33]]));
    let samples = (block - 4) * 2 + 1;
    let first = (board.first_chunk() * 1024).saturating_sub(data).div_ceil(block);
    let mut expected = Vec::new();
    for block in wav[data + first * block..].chunks(block).filter(|one| one.len() == block) {
        let mut decoded = vec![0; samples];
        decode_adpcm_ima_ms(block, false, &mut decoded).expect("the lengths match");
        expected.extend(decoded.into_iter().map(|sample| [sample; 2]));
    }
    assert_plays(&board.played(), &expected, 8 * 32_000);
    // ffmpeg rounds otherwise than the standard, which sums up within a block.
    let by_ffmpeg = &media.decoded()[first * samples..];
    let differ = expected.iter().zip(by_ffmpeg).map(|(a, b)| a[0].abs_diff(*b)).max();
    assert!(differ.is_some_and(|most| most < 100), "{differ:?} from ffmpeg's");
}

#[test]
fn a_board_comes_back_when_the_splitter_was_restarted() {
    let _alone = alone();
    let args = ["--source", "music", "--max-team", "31", "--buffer", "16"];
    let mut splitter = Program::splitter(&args);
    let board = Board::on_loopback(Build::Default, splitter.addr(), &[]);
    board.wait_status(0, |status| status.state == "playing");
    splitter.signal(p2psp_tests::Signal::Kill);
    splitter.wait_exit(PATIENCE);
    let before = board.status();
    let listen = splitter.addr().to_string();
    let args = [&args[..], &["--listen", &listen]].concat();
    let mut again = None;
    plays_again(&board, &before, || again = Some(Program::splitter(&args)));
}

#[test]
fn a_board_finds_the_splitter_by_its_name() {
    let _alone = alone();
    let lan = Lan::new(1);
    let station = |name: &str, port: u16| {
        let listen = format!("{HOST}:{port}");
        let args = ["splitter", "--source", "music", "--name", name, "--listen", &listen];
        let options = ["--max-team", "31", "--buffer", "16"];
        let splitter = Program::start_in(lan.exec(), &[&args[..], &options].concat());
        splitter.wait_event(PATIENCE, |line| is(line, "listening"));
        splitter
    };
    let _other = station("Attic", 8002);
    let mut kitchen = station("Kitchen", 8003);
    let board = lan.board(0, &["splitter=kitchen"]);
    board.wait_status(0, |status| status.state == "playing");
    let joined = |splitter: &Program| {
        let board = |line: &Value| is(line, "joined") && line["addr"] == "10.77.0.2:4552";
        splitter.wait_event(PATIENCE, board)
    };
    joined(&kitchen);
    // It comes again elsewhere, and is found there.
    kitchen.signal(p2psp_tests::Signal::Kill);
    kitchen.wait_exit(PATIENCE);
    let before = board.status();
    let mut again = None;
    plays_again(&board, &before, || again = Some(station("Kitchen", 8004)));
    joined(&again.expect("it was started"));
}

#[test]
fn a_board_without_a_name_takes_any_station_and_waits_for_one() {
    let _alone = alone();
    let lan = Lan::new(1);
    let board = lan.board(0, &["splitter="]);
    board.wait_line("no station of this release answers");
    let _splitter = lan.splitter(&["--source", "music", "--max-team", "31", "--buffer", "16"]);
    board.wait_status(0, |status| status.state == "playing");
}

#[test]
fn a_board_comes_back_when_its_cable_was_out() {
    let _alone = alone();
    let lan = Lan::new(1);
    let args = ["--source", "music", "--max-team", "31", "--buffer", "16"];
    let _splitter = lan.splitter(&args);
    let board = lan.board(0, &[]);
    board.wait_status(0, |status| status.state == "playing");
    let out = board.status();
    board.monitor("set_link n0 off");
    // For ten seconds, by the board's clock.
    let mark = board.mark();
    board.wait_status(mark, |status| status.at > out.at + 10.0);
    assert_eq!(board.status().state, "no network");
    plays_again(&board, &out, || board.monitor("set_link n0 on"));
}

/// Does what brings the network back; the board joins and plays soon after,
/// without a reset: in eight seconds at most on a quiet machine, six of which
/// are those after which a splitter counts as silent (3.6).
#[track_caller]
fn plays_again(board: &Board, before: &BoardStatus, bring_back: impl FnOnce()) {
    let mark = board.mark();
    let back = board.status();
    bring_back();
    let again = board.wait_status(mark, |status| {
        status.get("joins") > before.get("joins") && status.state == "playing"
    });
    let seconds = again.at - back.at;
    println!("plays {seconds:.1} s after the network's return");
    assert!(again.at > back.at, "it was reset:\n{}", board.report());
    // A busy machine takes its time.
    assert!(seconds < 20.0, "{seconds}:\n{}", board.report());
}

#[test]
fn a_board_follows_a_change_of_its_address() {
    let _alone = alone();
    let lan = Lan::new(1);
    let args = ["--source", "music", "--max-team", "31", "--buffer", "16"];
    let _splitter = lan.splitter(&args);
    let first = lan.dhcp_server("10.77.0.50");
    let board = lan.board_by_dhcp(0, &[]);
    board.wait_status(0, |status| status.state == "playing");
    assert!(board.datagrams().iter().any(|one| one.from.ip() == Ipv4Addr::new(10, 77, 0, 50)));
    let before = board.status();
    drop(first);
    let _second = lan.dhcp_server("10.77.0.60");
    board.monitor("set_link n0 off");
    let mark = board.mark();
    board.wait_status(mark, |status| status.at > before.at + 2.0);
    plays_again(&board, &before, || board.monitor("set_link n0 on"));
    assert!(board.datagrams().iter().any(|one| one.from.ip() == Ipv4Addr::new(10, 77, 0, 60)));
}

#[test]
fn ten_thousand_wrong_datagrams_do_not_disturb_the_sound() {
    let _alone = alone();
    let media = Media::make(Format::Wav, 60);
    let lan = Lan::new(1);
    let args = ["--source", media.arg(), "--max-team", "31", "--buffer", "24"];
    let _splitter = lan.splitter(&args);
    let mut board = lan.board(0, &["seconds=40"]);
    board.wait_status(0, |status| status.state == "playing");
    lan.run(|| {
        let team = team_id();
        let socket = UdpSocket::bind((HOST, 0)).expect("an address of this host");
        let mut rng = Rng(5);
        for number in 0..10_000_u32 {
            let datagram = wrong_datagram(team, number, &mut rng);
            let port = if number % 4 == 0 { GROUP.port() } else { TEAM_PORT };
            socket.send_to(&datagram, ("10.77.0.2", port)).expect("it is sent");
            if number % 4 == 3 {
                // The board's network chip holds nine frames.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    board.wait_end();
    let status = board.status();
    println!("{} of 10,000 were turned away and counted", status.get("rejected"));
    assert!(status.get("rejected") > 5_000, "{status:?}");
    assert_flawless(&board);
    let expected = samples_from(&media.bytes(), board.first_chunk(), 1);
    assert_plays(&board.played(), &expected, 16 * 16_000);
}

/// The team's number, as the splitter tells everybody who asks.
fn team_id() -> TeamId {
    let mut stream = TcpStream::connect(SPLITTER).expect("the splitter listens");
    let mut frame = [0; 64];
    let (role, rules) = (Role::Peer, Rules::Dbs);
    let join = Message::Join { port: 9, role, rules, password: &[] };
    let len = wire::frame(TeamId(0), join, &mut frame).expect("it fits");
    stream.write_all(&frame[..len]).expect("it reads");
    let mut answer = [0; 2 + 5];
    stream.read_exact(&mut answer).expect("it answers");
    let [_, _, _, team @ ..] = answer;
    TeamId(u32::from_le_bytes(team))
}

/// Noise, datagrams of the wrong team, and well-made lies, some of them with a
/// few bytes changed.
fn wrong_datagram(team: TeamId, number: u32, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
    let payload = [7; 1024];
    let origin = SocketAddr::from(([10, 77, 0, 9], 4552));
    let id = NodeId { role: Role::Peer, number };
    let message = match rng.below(5) {
        0 => {
            bytes.truncate(rng.below(200));
            bytes.iter_mut().for_each(|byte| *byte = rng.below(256) as u8);
            return bytes;
        }
        1 => Message::Chunk { number: ChunkNumber::new(number), origin, payload: &payload },
        2 => Message::Hello { id, answer: true, rules: Rules::Ims, unicast: true, status: None },
        3 => Message::Goodbye { id, reason: Departure::Ended },
        _ => Message::Lost { number: ChunkNumber::new(number) },
    };
    let team = if rng.below(4) == 0 { TeamId(number) } else { team };
    let tag = Key::new([rng.below(256) as u8; 16]).splitter_tag();
    let len = wire::encode(team, tag, message, &mut bytes).expect("it fits");
    bytes.truncate(len);
    for _ in 0..rng.below(3) {
        let at = rng.below(len);
        bytes[at] = rng.below(256) as u8;
    }
    bytes
}

/// From nonsense to a false splitter that takes the board in and then says
/// nothing more.
#[test]
fn a_thousand_wrong_answers_to_a_join_only_delay_it() {
    let _alone = alone();
    let wrong = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    wrong.set_nonblocking(true).expect("a socket");
    let at = wrong.local_addr().expect("it is bound");
    let board = Board::on_loopback(Build::Default, at, &["pause=1"]);
    let mut rng = Rng(11);
    let good = admission();
    for attempt in 0..=1000 {
        let answer = match attempt {
            0 => Vec::new(),
            1 => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            2 => frame(Message::Refused(wire::Refusal::TeamFull)),
            1000 => good.concat(),
            _ if rng.below(5) == 0 => (0..3000).map(|_| rng.below(256) as u8).collect(),
            // Without the last frame, which admits it.
            _ => mutated(good[..good.len() - 1].concat(), &mut rng),
        };
        let connected = wait_for(PATIENCE, || wrong.accept().ok());
        let (mut stream, from) = connected.unwrap_or_else(|| panic!("{}", board.report()));
        assert_ne!(from.ip(), at.ip(), "the board has an address of its own");
        for patience in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            patience(&stream, Some(PATIENCE)).expect("a duration");
        }
        // The board may have seen enough of the answer before it is written.
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(&answer);
    }
    let status = board.wait_status(0, |status| status.get("joins") == 1);
    assert_eq!(status.get("failed_joins"), 1000, "{}", board.report());
    drop(wrong);
    board.wait_line("the splitter is silent");
    let listen = at.to_string();
    let args = ["--source", "music", "--max-team", "31", "--buffer", "16", "--listen", &listen];
    let _splitter = Program::splitter(&args);
    let status = board.wait_status(0, |status| status.state == "playing");
    assert_eq!(status.get("joins"), 2, "the false one and the real one: {}", board.report());
}

/// What a splitter says to one whom it takes into its team, frame by frame.
fn admission() -> Vec<Vec<u8>> {
    let id = |number| NodeId { role: Role::Peer, number };
    let welcome = Welcome {
        id: id(7),
        you: SocketAddr::from(([127, 0, 0, 9], TEAM_PORT)),
        key: Key::new([5; 16]),
        group_tag: Tag::NONE,
        chunk_bytes: 1024,
        buffer_chunks: 16,
        max_team: 31,
        header_bytes: 48,
        content_type: "audio/mpeg",
        name: "Nowhere",
    };
    let member = |number: u32| {
        let endpoint = SocketAddr::from(([127, 0, 0, 10], 5000 + number as u16));
        let (id, rules) = (id(number), Rules::Dbs);
        Message::Member(Acquaintance { id, endpoint, rules, tag: Tag::NONE })
    };
    let header = Message::Header { part: &[3; 24] };
    let all = [Message::Welcome(welcome), header, header, member(1), member(2), member(3)];
    all.into_iter().chain([Message::Admitted]).map(frame).collect()
}

fn frame(message: Message<'_>) -> Vec<u8> {
    let mut bytes = [0; MAX_DATAGRAM_BYTES];
    let len = wire::frame(TeamId(9), message, &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}

/// The same with up to three bytes changed, cut off or added.
fn mutated(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        match rng.below(4) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, rng.below(256) as u8),
        }
    }
    bytes
}

/// Small, seeded randomness (xorshift).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) as usize % end.max(1)
    }
}

#[test]
fn the_core_costs_a_board_few_instructions_whatever_the_team() {
    let _alone = alone();
    let costs = p2psp_tests::board::core_costs();
    let cost = |team: u32| costs.iter().find(|cost| cost.0 == team).expect("it was measured").1;
    println!("instructions a chunk: {} in a team of 8, {} in one of 32", cost(8), cost(32));
    assert!(cost(8) < 10_000 && cost(32) < 10_000, "{costs:?}");
    assert!(cost(32) < cost(8) * 3 / 2, "{costs:?}");
}

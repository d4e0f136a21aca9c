//! What is drawn: the stream, the splitter, the team, the log, the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use super::keys::BINDINGS;
use super::{Theme, View};
use crate::observe::{NodeSnapshot, PeerSnapshot, Snapshot, SplitterSnapshot};

/// Width of the bar that shows how full a buffer is, in cells.
const BAR_CELLS: usize = 6;
/// Lines for the log, at most.
const LOG_LINES: u16 = 8;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, view: View, theme: Theme) {
    let log_height = (frame.area().height / 4).min(LOG_LINES);
    let [top, team, log, hints] = Layout::vertical([
        Constraint::Length(head_height(snapshot)),
        Constraint::Min(3),
        Constraint::Length(log_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, top, snapshot, theme);
    draw_team(frame, team, snapshot, theme);
    draw_log(frame, log, snapshot, theme);
    draw_hints(frame, hints, view, theme);
    if view.help {
        draw_help(frame, theme);
    }
}

fn splitters(snapshot: &Snapshot) -> impl Iterator<Item = &SplitterSnapshot> {
    snapshot.nodes.iter().filter_map(|node| match node {
        NodeSnapshot::Splitter(splitter) => Some(splitter),
        NodeSnapshot::Peer(_) => None,
    })
}

fn peers(snapshot: &Snapshot) -> impl Iterator<Item = &PeerSnapshot> {
    snapshot.nodes.iter().filter_map(|node| match node {
        NodeSnapshot::Peer(peer) => Some(peer),
        NodeSnapshot::Splitter(_) => None,
    })
}

fn head_height(snapshot: &Snapshot) -> u16 {
    if splitters(snapshot).next().is_some() { 5 } else { 4 }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let mut lines = Vec::new();
    if let Some(splitter) = splitters(snapshot).next() {
        lines.push(stream_line(&splitter.stream.name, &splitter.stream.content_type, theme));
        let state = Span::styled(
            format!("source {} {}", splitter.source, splitter.source_state),
            if splitter.source_state == "up" { theme.good() } else { theme.bad() },
        );
        lines.push(Line::from(vec![
            Span::raw(format!("peers may join at {}   ", splitter.addr)),
            state,
        ]));
        let upload = splitter.counts.bytes_out as f64 / splitter.counts.bytes_in.max(1) as f64;
        lines.push(Line::raw(format!(
            "in {}  out {} = {upload:.2}x  peers {} of {}  B {} chunks of {}",
            rate(splitter.rate_in),
            rate(splitter.rate_out),
            splitter.peers,
            splitter.max_team,
            splitter.buffer_chunks,
            splitter.chunk_bytes,
        )));
    } else if let Some(peer) = peers(snapshot).next() {
        lines.push(stream_line(&peer.stream.name, &peer.stream.content_type, theme));
        lines.push(Line::raw(match peer.player {
            Some(player) => {
                format!(
                    "listen at http://{player}/   {} players   splitter {}",
                    peer.players, peer.splitter
                )
            }
            None => format!("no player port   splitter {}", peer.splitter),
        }));
    } else {
        lines.push(Line::raw("connecting …"));
    }
    let block = Block::bordered().title(Span::styled(" P2PSP ", theme.title()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn stream_line<'a>(name: &str, content_type: &str, theme: Theme) -> Line<'a> {
    let name = if name.is_empty() { "(no name)" } else { name };
    Line::from(vec![
        Span::styled(name.to_owned(), theme.heading()),
        Span::raw(format!("  {content_type}")),
    ])
}

fn draw_team(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    // A splitter alone shows its team; peers of this process show themselves.
    let local: Vec<&PeerSnapshot> = peers(snapshot).collect();
    let splitter = splitters(snapshot).next();
    match (splitter, local.as_slice()) {
        (Some(splitter), [] | [_]) => draw_members(frame, area, splitter, theme),
        (None, [peer]) => {
            let [own, others] =
                Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
            draw_peers(frame, own, &local, theme);
            draw_neighbours(frame, others, peer, theme);
        }
        _ => draw_peers(frame, area, &local, theme),
    }
}

fn draw_peers(frame: &mut Frame<'_>, area: Rect, peers: &[&PeerSnapshot], theme: Theme) {
    let rows = peers.iter().map(|peer| {
        let lost = format!("{} ({:.2} %)", peer.counts.chunks_lost, peer.loss_ratio() * 100.0);
        Row::new(vec![
            Span::styled(peer.name.clone(), theme.heading()),
            Span::styled(
                peer.state,
                if peer.state == "playing" { theme.good() } else { Style::new() },
            ),
            Span::raw(bar(peer)),
            Span::raw(peer.counts.chunks_played.to_string()),
            Span::styled(
                lost,
                if peer.counts.chunks_lost > 0 { theme.bad() } else { Style::new() },
            ),
            Span::raw(short_rate(peer.rate_in)),
            Span::raw(short_rate(peer.rate_out)),
            Span::raw(peer.player.map_or(String::from("-"), |at| at.to_string())),
        ])
    });
    let widths = [
        Constraint::Length(4),
        Constraint::Length(9),
        Constraint::Length(BAR_CELLS as u16 + 2),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Min(15),
    ];
    let heads = ["peer", "state", "buffer", "played", "lost", "plays/s", "sends/s", "listen at"];
    draw_table(frame, area, " Peers ", &heads, rows, &widths, theme);
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, splitter: &SplitterSnapshot, theme: Theme) {
    let rows = splitter.team.iter().map(|member| {
        Row::new(vec![
            Span::styled(member.name.clone(), theme.heading()),
            Span::raw(member.endpoint.to_string()),
            Span::raw(duration(member.age.as_secs())),
            Span::raw(member.chunks.to_string()),
            Span::styled(
                member.losses.to_string(),
                if member.losses > 0 { theme.bad() } else { Style::new() },
            ),
        ])
    });
    let widths = [
        Constraint::Length(5),
        Constraint::Length(22),
        Constraint::Length(9),
        Constraint::Length(10),
        Constraint::Min(8),
    ];
    let heads = ["peer", "endpoint", "since", "origin of", "complaints"];
    draw_table(frame, area, " Team ", &heads, rows, &widths, theme);
}

fn draw_neighbours(frame: &mut Frame<'_>, area: Rect, peer: &PeerSnapshot, theme: Theme) {
    let rows = peer.neighbour_rows.iter().map(|neighbour| {
        Row::new(vec![
            Span::styled(neighbour.name.clone().unwrap_or("?".into()), theme.heading()),
            Span::raw(neighbour.endpoint.to_string()),
            Span::raw(neighbour.received.to_string()),
            Span::raw(neighbour.sent.to_string()),
            Span::raw(if neighbour.served { "yes" } else { "no, silent" }),
        ])
    });
    let widths = [
        Constraint::Length(5),
        Constraint::Length(22),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Min(8),
    ];
    let heads = ["peer", "endpoint", "received", "sent", "served"];
    draw_table(frame, area, " Neighbours ", &heads, rows, &widths, theme);
}

fn draw_table<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &'a str,
    heads: &[&'a str],
    rows: impl Iterator<Item = Row<'a>>,
    widths: &[Constraint],
    theme: Theme,
) {
    let table = Table::new(rows, widths)
        .header(Row::new(heads.to_vec()).style(theme.heading()))
        .block(Block::bordered().title(Span::styled(title, theme.title())));
    frame.render_widget(table, area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let room = usize::from(area.height.saturating_sub(2));
    let skip = snapshot.log.len().saturating_sub(room);
    let lines: Vec<Line<'_>> = snapshot.log[skip..]
        .iter()
        .map(|line| Line::raw(format!("{:8.1} {:<3} {}", line.t, line.node, line.text)))
        .collect();
    let block = Block::bordered().title(Span::styled(" Log ", theme.title()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_hints(frame: &mut Frame<'_>, area: Rect, view: View, theme: Theme) {
    if view.leaving {
        frame.render_widget(Paragraph::new("leaving the team …"), area);
        return;
    }
    let spans = BINDINGS.iter().flat_map(|binding| {
        [
            Span::styled(format!(" {} ", binding.label), theme.key()),
            Span::raw(format!(" {}  ", binding.does)),
        ]
    });
    frame.render_widget(Paragraph::new(Line::from_iter(spans)), area);
}

fn draw_help(frame: &mut Frame<'_>, theme: Theme) {
    let lines: Vec<Line<'_>> = BINDINGS
        .iter()
        .map(|binding| Line::raw(format!(" {:<14} {}", binding.label, binding.does)))
        .collect();
    let (width, height) = (36.min(frame.area().width), 2 + lines.len() as u16);
    let area = frame.area();
    let popup = Rect {
        x: (area.width - width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width,
        height: height.min(area.height),
    };
    frame.render_widget(Clear, popup);
    let block = Block::bordered().title(Span::styled(" Keys ", theme.title()));
    frame.render_widget(Paragraph::new(Text::from(lines)).block(block), popup);
}

/// How full a buffer is, against the `B` chunks that it should hold.
fn bar(peer: &PeerSnapshot) -> String {
    let full = peer.buffer.buffer_chunks.max(1) as usize;
    let cells = (peer.buffer.buffer_filled as usize * BAR_CELLS).div_ceil(full).min(BAR_CELLS);
    format!("[{}{}]", "#".repeat(cells), ".".repeat(BAR_CELLS - cells))
}

/// As narrow as a column of the table, which has the unit at its head.
fn short_rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        slow if slow < 1e6 => format!("{:.1}k", slow / 1e3),
        fast => format!("{:.2}M", fast / 1e6),
    }
}

fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        slow if slow < 1e6 => format!("{:.1} kB/s", slow / 1e3),
        fast => format!("{:.2} MB/s", fast / 1e6),
    }
}

fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::observe::{BufferFill, LogLine, PeerSummary, SplitterSummary, StreamInfo};

    fn peer(name: &str, lost: u64) -> NodeSnapshot {
        NodeSnapshot::Peer(PeerSnapshot {
            name: name.to_owned(),
            state: "playing",
            splitter: SocketAddr::from(([10, 0, 0, 1], 8001)),
            player: Some(SocketAddr::from(([127, 0, 0, 1], 9999))),
            players: 1,
            players_dropped: 0,
            stream: StreamInfo {
                name: "Radio".into(),
                content_type: "audio/mpeg".into(),
                title: String::new(),
            },
            buffer: BufferFill { buffer_chunks: 32, buffer_filled: 16, next_chunk: 100 },
            counts: PeerSummary {
                chunks_received: 116,
                chunks_played: 99,
                chunks_lost: lost,
                duplicates: 0,
                late: 0,
                bytes_played: 101_376,
                chunks_sent: 64,
                rejected: 0,
            },
            rate_in: 16_000.0,
            rate_out: 2_000_000.0,
            neighbours: 0,
            neighbour_rows: Vec::new(),
        })
    }

    fn splitter() -> NodeSnapshot {
        NodeSnapshot::Splitter(SplitterSnapshot {
            addr: SocketAddr::from(([10, 0, 0, 1], 8001)),
            source: "music".into(),
            source_state: "up",
            stream: StreamInfo {
                name: "Radio".into(),
                content_type: "audio/mpeg".into(),
                title: String::new(),
            },
            chunk_bytes: 1024,
            buffer_chunks: 32,
            max_team: 128,
            peers: 2,
            counts: SplitterSummary {
                chunks_sent: 116,
                bytes_in: 1000,
                bytes_out: 1000,
                peers_max: 2,
                rejected: 0,
                complaints: 0,
            },
            rate_in: 16_000.0,
            rate_out: 16_000.0,
            team: Vec::new(),
        })
    }

    fn screen(nodes: Vec<NodeSnapshot>, size: (u16, u16), view: View) -> String {
        let line = LogLine { t: 1.0, node: "P1".into(), text: "plays from chunk 0 on".into() };
        let snapshot = Snapshot { t: 1.0, nodes, log: vec![line; 20] };
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw(frame, &snapshot, view, Theme::PLAIN)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_team_shows_its_stream_its_peers_and_how_to_quit() {
        let text =
            screen(vec![splitter(), peer("M0", 0), peer("P1", 1)], (80, 24), View::default());
        for expected in [
            "Radio  audio/mpeg",
            "out 16.0 kB/s = 1.00x  peers 2 of 128  B 32 chunks of 1024",
            "M0   playing   [###...] 99       0 (0.00 %) 16.0k   2.00M   127.0.0.1:9999",
            "P1   playing   [###...] 99       1 (1.00 %) 16.0k   2.00M   127.0.0.1:9999",
            "P1  plays from chunk 0 on",
            "q Esc Ctrl-C  leave and quit",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
        }
    }

    #[test]
    fn a_peer_alone_shows_where_to_listen() {
        let text = screen(vec![peer("P1", 0)], (80, 24), View::default());
        assert!(text.contains("listen at http://127.0.0.1:9999/   1 players"), "{text}");
        assert!(text.contains("Neighbours"), "{text}");
    }

    #[test]
    fn any_size_can_be_drawn() {
        for width in [1, 2, 5, 20, 36, 60, 80, 300] {
            for height in [1, 2, 5, 9, 20, 24, 100] {
                for nodes in [vec![], vec![peer("P1", 0)], vec![splitter(), peer("M0", 0)]] {
                    screen(nodes, (width, height), View { help: true, leaving: false });
                }
            }
        }
    }
}

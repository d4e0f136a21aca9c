//! One peer: all that can be known of it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::super::roster::Row;
use super::super::{App, format};
use super::{block, buffer, plural, tables};
use crate::observe::PeerSnapshot;

/// Room for what a line tells of.
const LABEL: usize = 13;

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let Some(row) = app.selected_row() else { return };
    let peer = app.snapshot.peer(row.name);
    let facts = facts(&row, peer);
    let lines: Vec<Line<'_>> = facts
        .iter()
        .map(|(label, value)| {
            Line::from(vec![
                Span::styled(format!(" {label:<LABEL$}"), app.theme.faint()),
                Span::raw(value.clone()),
            ])
        })
        .collect();
    let ring = peer.map_or(0, |peer| {
        let room = Rect { height: area.height / 3, ..area };
        buffer::one(peer, room, app.theme).len() as u16 + 2
    });
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Max(facts.len() as u16 + 2),
        Constraint::Max(if ring > 2 { ring } else { 0 }),
        Constraint::Min(0),
    ])
    .areas(area);
    let title = format!("{}, a {}", row.name, row.role());
    let block_of = |title, aside: &str| block(title, aside.to_owned(), area.width, app.theme);
    let esc = block_of(&title, "Esc closes");
    frame.render_widget(Paragraph::new(lines).block(esc), top);
    let Some(peer) = peer else { return };
    let lines = buffer::one(peer, Rect { height: middle.height + 1, ..middle }, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block_of("Buffer", "")), middle);
    let lines = tables::lines_of(&peer.tables, &[], app);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(block_of("forward and pending", "")), bottom);
}

/// What is known, line by line.
fn facts(row: &Row, peer: Option<&PeerSnapshot>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut fact = |label, value: Option<String>| facts.extend(value.map(|value| (label, value)));
    let since = row
        .age_s
        .map_or(String::new(), |age| format!(", in the team for {}", format::duration(age)));
    fact("endpoint", row.endpoint.map(|at| format!("{at}{since}")));
    fact("state", row.state.map(str::to_owned));
    if let Some(player) = row.player {
        let waits = format::latency(player.level_ms.into());
        fact("sound", Some(format!("{waits} before the DAC")));
        fact("concealed", Some(plural(player.concealed as usize, "gap")));
        fact("underruns", Some(player.underruns.to_string()));
    }
    let Some(peer) = peer else {
        fact("received", row.received.map(|chunks| format!("{chunks} chunks from it")));
        fact("sent", row.sent.map(|chunks| format!("{chunks} chunks to it")));
        fact("origin of", row.origin_of.map(|chunks| format!("{chunks} chunks")));
        fact("complaints", row.complaints.map(|count| count.to_string()));
        fact("activity", row.activity.map(|activity| activity.to_string()));
        fact("same LAN", row.lan.map(|lan| if lan { "yes" } else { "no" }.to_owned()));
        return facts;
    };
    let counts = &peer.counts;
    let ms =
        peer.latency.latency_ms.map_or(String::new(), |ms| format!(" = {}", format::latency(ms)));
    fact(
        "received",
        Some(format!(
            "{} chunks, {} twice, {} too late",
            counts.chunks_received, counts.duplicates, counts.late
        )),
    );
    fact("sent", Some(format!("{} chunks, {}", counts.chunks_sent, format::rate(peer.rate_out))));
    fact(
        "played",
        Some(format!("{} chunks, {}", counts.chunks_played, format::rate(peer.rate_in))),
    );
    fact(
        "lost",
        Some(format!("{} chunks = {}", counts.chunks_lost, format::percent(peer.loss_ratio))),
    );
    fact("behind", Some(format!("{} chunks{ms}", peer.latency.latency_chunks)));
    fact("origin of", row.origin_of.map(|chunks| format!("{chunks} chunks")));
    fact("complaints", row.complaints.map(|count| count.to_string()));
    fact("neighbours", Some(format!("{} served", peer.neighbours)));
    fact("turned away", Some(plural(counts.rejected as usize, "datagram")));
    fact(
        "listen at",
        peer.player.map(|at| {
            format!(
                "http://{at}/ ({}, {} dropped)",
                plural(peer.players, "player"),
                peer.players_dropped
            )
        }),
    );
    facts
}

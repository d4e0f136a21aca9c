//! `forward` and `pending` of the selected peer, as the published figures
//! show them, and what changed in them last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::super::App;
use super::{block, first_shown};
use crate::observe::{Change, Name, PeerSnapshot, Tables};

/// Width of the list of peers.
const LIST: u16 = 14;
/// What changed so many seconds ago is marked.
const FRESH_S: f64 = 1.0;

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let [list, right] =
        Layout::horizontal([Constraint::Length(LIST), Constraint::Min(0)]).areas(area);
    draw_list(frame, list, app);
    let selected = app.selected_row().map(|row| row.name);
    let Some(peer) = selected.and_then(|name| app.snapshot.peer(name)) else {
        let why = match selected {
            Some(name) => format!("Only {name} itself knows its tables."),
            None => "No peer is listed.".to_owned(),
        };
        let block = block("Tables", String::new(), right.width, app.theme);
        frame.render_widget(Paragraph::new(why).wrap(Wrap { trim: true }).block(block), right);
        return;
    };
    let wide = right.width >= 76;
    let [tables, changes] = match wide {
        true => Layout::horizontal([Constraint::Min(0), Constraint::Length(30)]).areas(right),
        false => Layout::vertical([Constraint::Min(0), Constraint::Length(changes_height(right))])
            .areas(right),
    };
    draw_tables(frame, tables, app, peer);
    draw_changes(frame, changes, app, peer);
}

fn changes_height(area: Rect) -> u16 {
    (area.height / 3).max(3).min(area.height)
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rows = app.rows();
    let selected = app.selected_row().map(|row| row.name);
    let room = usize::from(area.height.saturating_sub(2));
    let at = rows.iter().position(|row| Some(row.name) == selected).unwrap_or(0);
    let lines = rows.iter().skip(first_shown(at, rows.len(), room)).take(room).map(|row| {
        let waiting = app.snapshot.peer(row.name).map(|peer| peer.pending);
        let waiting = waiting.map_or_else(String::new, |waiting| match waiting {
            0 => String::new(),
            many => format!("{many} P"),
        });
        let line = Line::from(vec![
            Span::styled(format!(" {:<5}", row.name), app.theme.origin(row.name)),
            Span::raw(format!("{waiting:>5} ")),
        ]);
        if Some(row.name) == selected { line.style(app.theme.selected()) } else { line }
    });
    let lines: Vec<Line<'_>> = lines.collect();
    let block = block("Peers", String::new(), area.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, app: &App, peer: &PeerSnapshot) {
    let fresh: Vec<Change> = peer
        .changes
        .iter()
        .filter(|(t, _)| app.snapshot.t - t <= FRESH_S)
        .map(|(_, change)| *change)
        .collect();
    let lines = lines_of(&peer.tables, &fresh, app);
    let aside = "* changed just now".to_owned();
    let title = format!("forward and pending of {}", peer.name);
    let block = block(&title, aside, area.width, app.theme);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(block), area);
}

/// `F = {…}` and `P = {…}`, one entry a line.
pub(super) fn lines_of<'a>(tables: &Tables, fresh: &[Change], app: &App) -> Vec<Line<'a>> {
    let list = |names: &[Name]| {
        let names: Vec<String> = names.iter().map(Name::to_string).collect();
        format!("[{}]", names.join(", "))
    };
    let forward: Vec<_> = tables
        .forward
        .iter()
        .map(|(origin, neighbours)| {
            let changed = |change: &Change| {
                matches!(change, Change::Added { origin: at, .. } | Change::Removed { origin: at, .. }
                         if at == origin)
            };
            (*origin, list(neighbours), fresh.iter().any(changed))
        })
        .collect();
    let pending: Vec<_> = tables
        .pending
        .iter()
        .map(|(neighbour, waiting)| {
            let changed = |change: &Change| {
                matches!(change, Change::Queued { neighbour: at, .. }
                         | Change::Served { neighbour: at, .. } if at == neighbour)
            };
            (*neighbour, waiting.to_string(), fresh.iter().any(changed))
        })
        .collect();
    let mut lines = entries("F", &forward, app);
    lines.push(Line::default());
    lines.extend(entries("P", &pending, app));
    lines
}

fn entries<'a>(table: &str, entries: &[(Name, String, bool)], app: &App) -> Vec<Line<'a>> {
    if entries.is_empty() {
        return vec![Line::from(vec![
            Span::raw("  "),
            Span::styled(format!("{table} = {{}}"), app.theme.heading()),
        ])];
    }
    let last = entries.len() - 1;
    let line = |(at, (name, content, fresh)): (usize, &(Name, String, bool))| {
        let start = if at == 0 { format!("{table} = {{") } else { "     ".to_owned() };
        let end = if at == last { "}" } else { "," };
        Line::from(vec![
            Span::styled(if *fresh { "* " } else { "  " }, app.theme.good()),
            Span::styled(start, app.theme.heading()),
            Span::styled(name.to_string(), app.theme.origin(*name).patch(app.theme.heading())),
            Span::raw(format!(": {content}{end}")),
        ])
    };
    entries.iter().enumerate().map(line).collect()
}

fn draw_changes(frame: &mut Frame<'_>, area: Rect, app: &App, peer: &PeerSnapshot) {
    let room = usize::from(area.height.saturating_sub(2));
    let lines: Vec<Line<'_>> = peer
        .changes
        .iter()
        .rev()
        .take(room)
        .map(|(t, change)| {
            Line::from(vec![
                Span::styled(format!("{t:8.1} "), app.theme.faint()),
                Span::raw(change.to_string()),
            ])
        })
        .collect();
    let block = block("Changed last", String::new(), area.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

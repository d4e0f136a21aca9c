//! The buffers below each other, slot by slot: a chunk has the same column
//! with everybody, so it can be seen to spread.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::{App, Theme, mark};
use super::{block, first_shown};
use crate::observe::{PeerSnapshot, Slot};

/// Room for a peer's name.
const NAME: usize = 5;
/// Room for how full it is, at the end of the line.
const FILL: usize = 12;
/// What stands for a slot that was played last: the play cursor is behind it.
const CURSOR: &str = "▸";
/// Columns between two numbers of the ruler.
const TICK: usize = 10;

/// What is shown of all buffers.
struct Window {
    /// Slots of a ring.
    len: usize,
    /// The first slot shown.
    first: usize,
    /// Slots in a line.
    width: usize,
    /// Lines for a peer.
    lines: usize,
}

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rows = app.rows();
    let peers: Vec<&PeerSnapshot> =
        rows.iter().filter_map(|row| app.snapshot.peer(row.name)).collect();
    let [body, legend] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(legend_height(area))]).areas(area);
    let Some(window) = Window::new(&peers, body, app.page) else {
        let why = match rows.is_empty() {
            true => "No peer is listed.",
            false => "Only the peers themselves know their buffers: start one, or the demo.",
        };
        let block = block("Buffer", String::new(), area.width, app.theme);
        frame.render_widget(Paragraph::new(why).block(block), area);
        return;
    };
    let selected =
        app.selected_row().and_then(|row| peers.iter().position(|peer| peer.name == row.name));
    let room = usize::from(body.height.saturating_sub(3)) / window.lines;
    let first = first_shown(selected.unwrap_or(0), peers.len(), room);
    let mut lines = vec![window.ruler(app.theme)];
    for (at, peer) in peers.iter().enumerate().skip(first).take(room) {
        let chosen = app.selected.is_some() && Some(at) == selected;
        lines.extend(window.peer(peer, chosen, app.theme));
    }
    let block = block("Buffer", window.aside(&peers), body.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), body);
    draw_legend(frame, legend, app.theme);
}

impl Window {
    /// As many slots as fit, in pages: the one with the newest chunk, or
    /// `page` pages further. `None` if there is no buffer to show.
    fn new(peers: &[&PeerSnapshot], area: Rect, page: isize) -> Option<Window> {
        let ring = &peers.iter().find(|peer| peer.ring.len > 0)?.ring;
        let room = usize::from(area.width).saturating_sub(NAME + FILL + 2).max(1);
        // In tens, for the ruler's sake.
        let width = match ring.len <= room {
            true => ring.len,
            false => (room / TICK * TICK).max(room.min(TICK)),
        };
        let most = usize::from(area.height.saturating_sub(3)) / peers.len();
        let lines = ring.len.div_ceil(width).min(most).max(1);
        let (shown, pages) = (width * lines, ring.len.div_ceil(width * lines));
        let newest = ring.newest.unwrap_or(0) / shown;
        let page = (newest as isize + page).rem_euclid(pages as isize) as usize;
        Some(Window { len: ring.len, first: page * shown, width, lines })
    }

    fn aside(&self, peers: &[&PeerSnapshot]) -> String {
        let last = (self.first + self.width * self.lines).min(self.len) - 1;
        let alike = peers.iter().all(|peer| [0, self.len].contains(&peer.ring.len));
        let buffer = if alike { format!("B = {}, ", self.len / 2) } else { String::new() };
        match (self.first, last + 1 == self.len) {
            (0, true) => format!("{buffer}{} slots", self.len),
            (first, _) => format!("{buffer}slots {first} to {last} of {}: ← →", self.len),
        }
    }

    /// Numbers of slots above the columns.
    fn ruler<'a>(&self, theme: Theme) -> Line<'a> {
        let mut ruler = format!("{:<NAME$}", "slot");
        let mut column = 0;
        while column < self.width {
            let number = (self.first + column).to_string();
            let gap = TICK.min(self.width - column);
            if number.len() <= gap {
                ruler.push_str(&format!("{number:<gap$}"));
            }
            column += gap;
        }
        Line::styled(ruler, theme.faint())
    }

    /// A peer's lines.
    fn peer<'a>(&self, peer: &PeerSnapshot, chosen: bool, theme: Theme) -> Vec<Line<'a>> {
        let name = format!("{:<NAME$}", peer.name.to_string());
        let name_style = match chosen {
            true => theme.selected(),
            false => theme.origin(peer.name).patch(theme.heading()),
        };
        (0..self.lines)
            .map(|line| {
                let first = self.first + line * self.width;
                let mut spans = vec![match line {
                    0 => Span::styled(name.clone(), name_style),
                    _ => Span::raw(" ".repeat(NAME)),
                }];
                spans.extend(self.cells(peer, first, theme));
                if line == 0 {
                    spans.push(Span::raw(format!(
                        " {:>4} of {:<4}",
                        peer.buffer.buffer_filled, peer.buffer.buffer_chunks
                    )));
                }
                Line::from(spans)
            })
            .collect()
    }

    /// The slots from `first` on, as many as a line has; alike ones together.
    fn cells<'a>(&self, peer: &PeerSnapshot, first: usize, theme: Theme) -> Vec<Span<'a>> {
        let mut spans: Vec<Span<'a>> = Vec::new();
        for column in 0..self.width {
            let (symbol, style) = cell(peer, first + column, theme);
            match spans.last_mut() {
                Some(last) if last.style == style => last.content.to_mut().push_str(&symbol),
                _ => spans.push(Span::styled(symbol, style)),
            }
        }
        spans
    }
}

/// How a slot of a peer is shown.
fn cell(peer: &PeerSnapshot, slot: usize, theme: Theme) -> (String, Style) {
    let ring = &peer.ring;
    let content = match slot.checked_sub(ring.first).and_then(|at| ring.slots.get(at)) {
        Some(content) if slot < ring.len => content,
        _ => return (" ".to_owned(), Style::new()),
    };
    let just_played = ring.cursor.is_some_and(|cursor| (slot + 1) % ring.len == cursor);
    match content {
        Slot::Played { .. } | Slot::Empty if just_played && peer.state == "playing" => {
            (CURSOR.to_owned(), theme.heading())
        }
        Slot::Empty => ("·".to_owned(), theme.faint()),
        Slot::Waiting { origin, .. } => {
            (mark(*origin).to_string(), theme.origin(*origin).patch(theme.heading()))
        }
        Slot::Played { origin, .. } => {
            (mark(*origin).to_string(), theme.origin(*origin).patch(theme.faint()))
        }
        Slot::Gap { .. } => ("_".to_owned(), Style::new()),
        Slot::Lost { .. } => ("!".to_owned(), theme.bad()),
    }
}

fn legend_height(area: Rect) -> u16 {
    if area.height >= 12 { 2 } else { 0 }
}

fn draw_legend(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let marks = Line::from(vec![
        Span::raw(" "),
        Span::styled("1 a M", theme.heading()),
        Span::raw(" to be played, by origin P1, P10, a monitor   "),
        Span::styled("1 a M", theme.faint()),
        Span::raw(" played"),
    ]);
    let signs = Line::from(vec![
        Span::styled(format!(" {CURSOR}"), theme.heading()),
        Span::raw(" play cursor   _ not there yet   "),
        Span::styled("!", theme.bad()),
        Span::raw(" lost   · empty"),
    ]);
    frame.render_widget(Paragraph::new(vec![marks, signs]), area);
}

/// The buffer of one peer, over as many lines as it needs or there are.
pub(super) fn one<'a>(peer: &PeerSnapshot, area: Rect, theme: Theme) -> Vec<Line<'a>> {
    let Some(window) = Window::new(&[peer], area, 0) else { return Vec::new() };
    let mut lines = vec![window.ruler(theme)];
    lines.extend(window.peer(peer, false, theme));
    lines
}

//! Who sends to whom, as a matrix: the picture of a big team.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::roster::{self, Sort};
use super::super::{App, Theme, format, mark};
use super::block;
use crate::observe::{Name, Snapshot};

/// Room for a sender's name.
const NAME: usize = 5;

/// Chunks sent, by sender and receiver.
#[derive(Debug, Default, PartialEq)]
struct Matrix {
    /// The members, and the splitter before them.
    names: Vec<Name>,
    /// A row for each sender, a column for each of `names`; `None` where
    /// nobody here can know.
    sent: Vec<Vec<Option<u64>>>,
}

impl Matrix {
    fn of(snapshot: &Snapshot) -> Matrix {
        let mut names = vec![Name::Splitter];
        let rows = roster::rows(snapshot, "", Sort::Name, false);
        names.extend(rows.iter().map(|row| row.name));
        let own = roster::alone(snapshot).map(|peer| peer.name);
        names.extend(own.filter(|name| !names.contains(name)));
        let has_lan = |name: &Name| *name == Name::Lan;
        let lan =
            snapshot.peers().flat_map(|peer| &peer.neighbour_rows).any(|row| has_lan(&row.name));
        names.extend(lan.then_some(Name::Lan));
        let place = |name: Name| names.iter().position(|known| *known == name);
        let mut sent = vec![vec![None; names.len()]; names.len()];
        let mut put = |from: Name, to: Name, chunks: u64| {
            if let (Some(from), Some(to)) = (place(from), place(to)) {
                sent[from][to] = Some(chunks);
            }
        };
        for peer in snapshot.peers() {
            for row in &peer.neighbour_rows {
                if snapshot.peer(row.name).is_none() {
                    put(row.name, peer.name, row.received.into());
                }
                put(peer.name, row.name, row.sent.into());
            }
        }
        for member in snapshot.splitter().iter().flat_map(|splitter| &splitter.team) {
            put(Name::Splitter, member.name, member.chunks);
        }
        Matrix { names, sent }
    }

    fn most(&self) -> u64 {
        self.sent.iter().flatten().flatten().copied().max().unwrap_or(0)
    }
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let matrix = Matrix::of(&app.snapshot);
    let most = matrix.most();
    let aside = format!("9 = {} chunks", format::count(most));
    let block = block("Who sends to whom", aside, area.width, app.theme);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inside.width).saturating_sub(NAME);
    // Two cells for a column, if there is room; then one.
    let step = if matrix.names.len() * 2 <= width { 2 } else { 1 };
    let columns = window(matrix.names.len(), width / step, app.page);
    let lines = usize::from(inside.height).saturating_sub(1);
    let selected = matrix.names.iter().position(|name| Some(*name) == app.selected);
    let first = super::first_shown(selected.unwrap_or(0), matrix.names.len(), lines);
    let mut text = vec![head(&matrix, &columns, step, app.theme)];
    let rows = matrix.names.iter().zip(&matrix.sent).enumerate().skip(first).take(lines);
    for (at, (name, sent)) in rows {
        let style = match Some(at) == selected {
            true => app.theme.selected(),
            false => app.theme.origin(*name).patch(app.theme.heading()),
        };
        let cells: String = columns
            .clone()
            .map(|to| format!("{:<step$}", shade(sent[to], most, at == to)))
            .collect();
        text.push(Line::from(vec![
            Span::styled(format!("{name:<NAME$}"), style),
            Span::styled(cells, app.theme.origin(*name)),
        ]));
    }
    frame.render_widget(Paragraph::new(text), inside);
}

fn head<'a>(
    matrix: &Matrix,
    columns: &std::ops::Range<usize>,
    step: usize,
    theme: Theme,
) -> Line<'a> {
    let mut spans = vec![Span::styled(format!("{:<NAME$}", "to"), theme.faint())];
    let marks = matrix.names[columns.clone()].iter();
    spans.extend(marks.map(|name| {
        Span::styled(format!("{:<step$}", mark(*name)), theme.origin(*name).patch(theme.heading()))
    }));
    Line::from(spans)
}

/// How much, in one character: ninths of the most.
fn shade(chunks: Option<u64>, most: u64, oneself: bool) -> char {
    match chunks {
        None if oneself => '\\',
        None => ' ',
        Some(0) => '·',
        Some(chunks) => {
            let ninths = (chunks * 9).div_ceil(most.max(1)).clamp(1, 9);
            char::from_digit(ninths as u32, 10).unwrap_or('9')
        }
    }
}

/// The columns to show: as many as fit, `page` pages from the first.
fn window(len: usize, room: usize, page: isize) -> std::ops::Range<usize> {
    let room = room.max(1);
    let pages = len.div_ceil(room).max(1);
    let first = page.rem_euclid(pages as isize) as usize * room;
    first..(first + room).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_are_ninths_of_the_most() {
        let drawn: String = [Some(0), Some(1), Some(50), Some(100), None]
            .into_iter()
            .map(|chunks| shade(chunks, 100, false))
            .collect();
        assert_eq!(drawn, "·159 ");
        assert_eq!(shade(None, 100, true), '\\');
    }

    #[test]
    fn pages_come_round() {
        assert_eq!(window(10, 4, 0), 0..4);
        assert_eq!(window(10, 4, 2), 8..10);
        assert_eq!(window(10, 4, 3), 0..4);
        assert_eq!(window(10, 4, -1), 8..10);
        assert_eq!(window(3, 0, 0), 0..1);
    }
}

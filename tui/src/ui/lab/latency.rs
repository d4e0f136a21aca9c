//! How long each of the last chunks took to each member, in chunk times.

use p2psp_core::ChunkNumber;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::App;
use super::super::panels::{block, first_shown};
use crate::lab::run::Run;
use crate::lab::{ARRIVALS, view};

/// Width of the names.
const NAME: usize = 6;
/// Width of a column.
const COLUMN: usize = 6;

/// Draws it: a row for each member, a column for each chunk, the newest on the
/// right.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, run: &Run, app: &App) {
    let (lab, theme) = (run.lab(), app.theme());
    let width = usize::from(area.width.saturating_sub(2));
    let room = usize::from(area.height.saturating_sub(3));
    let columns = (width.saturating_sub(NAME + 2 * COLUMN) / COLUMN).min(ARRIVALS) as u32;
    let cut = lab.chunks_cut();
    let chunks: Vec<ChunkNumber> =
        (cut.saturating_sub(columns)..cut).map(ChunkNumber::new).collect();
    let mut head = vec![Span::raw(" ".repeat(NAME))];
    let names = chunks.iter().map(|chunk| format!("{:>COLUMN$}", chunk.to_string()));
    head.push(Span::styled(names.collect::<String>(), theme.heading()));
    head.push(Span::styled(format!("{:>COLUMN$}{:>COLUMN$}", "mean", "max"), theme.heading()));
    let mut lines = vec![Line::from(head)];
    let selected = app.selected_row().map(|row| row.name);
    let members = lab.members();
    let there: Vec<u16> = (1..=members.len() as u16)
        .filter(|node| members[usize::from(*node) - 1].seen().stored > 0)
        .collect();
    let at = there.iter().position(|node| Some(view::name(lab, *node)) == selected);
    let first = first_shown(at.unwrap_or(0), there.len(), room);
    for node in there.iter().skip(first).take(room) {
        let (member, name) = (&members[usize::from(*node) - 1], view::name(lab, *node));
        let style = match Some(name) == selected {
            true => theme.selected(),
            false => theme.origin(name).patch(theme.heading()),
        };
        let mut spans = vec![Span::styled(format!(" {name:<4} "), style)];
        for chunk in &chunks {
            let cell = match member.arrivals().delay_us(*chunk) {
                Some(delay_us) => format!("{:>COLUMN$.2}", lab.chunk_times(delay_us)),
                None => format!("{:>COLUMN$}", "-"),
            };
            spans.push(Span::raw(cell));
        }
        let seen = member.seen();
        let mean = lab.chunk_times(seen.delay_sum_us) / seen.stored.max(1) as f64;
        let most = lab.chunk_times(seen.delay_max_us);
        spans.push(Span::styled(format!("{mean:>COLUMN$.2}{most:>COLUMN$.2}"), theme.heading()));
        lines.push(Line::from(spans));
    }
    let aside = "chunk times from cut to stored; - has not come".to_owned();
    let block = block("Latency", aside, area.width, theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

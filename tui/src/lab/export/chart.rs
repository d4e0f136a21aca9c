//! The last chunk times as a sequence chart: a life line for each node, time
//! downwards, an arrow for each chunk from when it was sent to when it came.

use std::collections::VecDeque;

use super::{Svg, colour};
use crate::lab::run::Run;
use crate::lab::{Brief, Effect, Event, EventKind, GROUP, SPLITTER};

/// Chunk times that are drawn.
pub const CHART_CHUNKS: u64 = 8;
/// Arrows that are drawn; of more, the last.
const MAX_ARROWS: usize = 600;
/// Life lines that are drawn.
const MAX_LINES: usize = 40;
/// From one life line to the next.
const COLUMN: f64 = 90.0;
/// From one arrow to the next.
const ROW: f64 = 22.0;
/// Above the first arrow.
const HEAD: f64 = 70.0;

/// One line of the chart.
struct Row {
    at_us: u64,
    from: u16,
    to: u16,
    label: String,
    broken: bool,
}

/// Draws it.
pub fn svg(run: &mut Run) -> String {
    let here = run.chunk_time().unwrap_or(0);
    let first = here.saturating_sub(CHART_CHUNKS - 1);
    let history = run.history(first, 4 * MAX_ARROWS);
    let rows = rows(&history);
    let rows = &rows[rows.len().saturating_sub(MAX_ARROWS)..];
    let lab = run.lab();
    let mut nodes: Vec<u16> = rows.iter().flat_map(|row| [row.from, row.to]).collect();
    nodes.push(SPLITTER);
    nodes.sort_unstable();
    nodes.dedup();
    nodes.truncate(MAX_LINES);
    let x = |node: u16| {
        let at = nodes.iter().position(|one| *one == node)?;
        Some(110.0 + at as f64 * COLUMN)
    };
    let width = 110.0 + nodes.len() as f64 * COLUMN;
    let height = HEAD + (rows.len() as f64 + 2.0) * ROW;
    let mut svg = Svg::new(width.max(420.0), height);
    let title = format!("{}, chunk times {first} to {here}", lab.plan().name);
    svg.text((12.0, 20.0), "start", "font-weight=\"bold\" font-size=\"15\"", &title);
    for node in &nodes {
        let Some(x) = x(*node) else { continue };
        svg.line((x, HEAD - 16.0), (x, height - 12.0), "stroke=\"#b0b0b0\"");
        svg.text((x, HEAD - 22.0), "middle", "font-weight=\"bold\"", &lab.name(*node).to_string());
    }
    let mut last_us = None;
    for (number, row) in rows.iter().enumerate() {
        let y = HEAD + (number as f64 + 0.6) * ROW;
        if last_us != Some(row.at_us) {
            let time = format!("{:.2}", lab.chunk_times(row.at_us));
            svg.text((70.0, y + 4.0), "end", "fill=\"#606060\"", &time);
            last_us = Some(row.at_us);
        }
        let (Some(from), Some(to)) = (x(row.from), x(row.to)) else { continue };
        svg.arrow((from, y), (to, y), colour(row.from), row.broken);
        let look = format!("fill=\"{}\" font-size=\"12\"", colour(row.from));
        svg.text(((from + to) / 2.0, y - 4.0), "middle", &look, &row.label);
    }
    svg.finish()
}

/// What arrived, was lost or kept, in order; and what was sent to a LAN.
fn rows(history: &VecDeque<(Event, Vec<Effect>)>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (event, effects) in history {
        let at_us = event.at_us;
        if let EventKind::Delivered { from, to, brief, multicast: false, .. } = event.kind {
            let label = match brief {
                Brief::Chunk(chunk) => Some(chunk.to_string()),
                Brief::Goodbye => Some("goodbye".to_owned()),
                Brief::Lost(chunk) => Some(format!("lost {chunk}")),
                Brief::Hello | Brief::Other => None,
            };
            rows.extend(label.map(|label| Row { at_us, from, to, label, broken: false }));
        }
        for effect in effects {
            rows.extend(match *effect {
                Effect::Sent { from, to: GROUP, brief: Brief::Chunk(chunk) } => {
                    Some(Row { at_us, from, to: GROUP, label: chunk.to_string(), broken: false })
                }
                Effect::Dropped { from, to, brief: Brief::Chunk(chunk), .. } => {
                    Some(Row { at_us, from, to, label: format!("{chunk} lost"), broken: true })
                }
                Effect::Kept { from, to, chunk } => {
                    Some(Row { at_us, from, to, label: format!("{chunk} kept"), broken: true })
                }
                _ => None,
            });
        }
    }
    rows
}

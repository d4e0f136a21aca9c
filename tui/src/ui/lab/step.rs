//! The step at hand: what happened and why, who sent what to whom, the tables
//! as in the published figures, and what changed in them.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::super::panels::{block, cut};
use super::super::{App, Theme};
use crate::lab::run::{MAX_AT_HAND, Run, Stride};
use crate::lab::tables::Tables;
use crate::lab::{Brief, Effect, Loss, view};

/// Members whose tables are shown at most.
const MAX_FIGURES: usize = 100;
/// Lines of the box that tells what happened, with its border.
const SENTENCE: u16 = 6;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, run: &Run, app: &App) {
    let wide = area.width >= 100;
    let told = SENTENCE.min(area.height / 3).max(3).min(area.height);
    let [top, line, body] = Layout::vertical([
        Constraint::Length(told),
        Constraint::Length(u16::from(area.height >= 12)),
        Constraint::Min(0),
    ])
    .areas(area);
    draw_sentence(frame, top, run, app.theme());
    draw_time_line(frame, line, run, app.theme());
    let (figures, aside) = match wide {
        true => {
            let [left, right] =
                Layout::horizontal([Constraint::Min(0), Constraint::Length(40)]).areas(body);
            (left, right)
        }
        false => {
            // The tables take what they need, the rest what is left.
            let there = view::figures(run.lab(), MAX_FIGURES).len() as u16;
            let left = body.height.saturating_sub(there.saturating_mul(3).saturating_add(2));
            let height = left.max(body.height / 3).max(3).min(body.height);
            let [top, bottom] =
                Layout::vertical([Constraint::Min(0), Constraint::Length(height)]).areas(body);
            (top, bottom)
        }
    };
    draw_figures(frame, figures, run, app);
    let halves = match wide {
        true => Layout::vertical([Constraint::Percentage(50), Constraint::Min(0)]),
        false => Layout::horizontal([Constraint::Percentage(50), Constraint::Min(0)]),
    };
    let [arrows, changes] = halves.areas(aside);
    draw_arrows(frame, arrows, run, app.theme());
    draw_changes(frame, changes, run, app.theme());
}

fn draw_sentence(frame: &mut Frame<'_>, area: Rect, run: &Run, theme: Theme) {
    let lab = run.lab();
    let at_hand = run.at_hand();
    let text = match at_hand.last() {
        None if run.position() == 0 => format!(
            "Nothing has happened yet in {}. Press → for an event, n for a chunk time, N for a \
             round, ← b B to go back, Space to run, ? for all keys.",
            lab.plan().name
        ),
        None => "It runs …".to_owned(),
        Some((event, effects)) => crate::lab::explain::explain(lab, event, effects),
    };
    let totals = lab.totals();
    let aside = format!("lost {} = {:.4}", totals.lost, totals.loss_ratio());
    let title = match (run.stride(), at_hand.last()) {
        (_, None) => lab.plan().name.clone(),
        (Stride::Event, _) => format!("Event {}", run.position()),
        _ => format!("The last of {} events (6: all)", run.position() - at_hand.from),
    };
    let block = block(&title, aside, area.width, theme);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }).block(block), area);
}

/// Where this is between the beginning and the end of the run; `*` where
/// something was done by hand.
fn draw_time_line(frame: &mut Frame<'_>, area: Rect, run: &Run, theme: Theme) {
    if area.height == 0 {
        return;
    }
    let chunks = u64::from(run.lab().plan().chunks).max(1);
    let here = run.chunk_time().unwrap_or(0).min(chunks);
    let label = format!(" {here} of {chunks} ");
    let width = usize::from(area.width).saturating_sub(label.chars().count()).max(1);
    let place = |chunk: u64| ((chunk * width as u64 / (chunks + 1)) as usize).min(width - 1);
    let mut cells = vec!['─'; width];
    for (step, _) in run.script() {
        if let Some(chunk) = run.chunk_time_known(*step) {
            cells[place(chunk)] = '*';
        }
    }
    cells[place(here)] = '█';
    let line: String = cells.into_iter().collect();
    let spans = vec![Span::styled(line, theme.chart()), Span::styled(label, theme.heading())];
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// `M0  F {M0: [P1]}  P {}  B [0 1 2]` for each member.
fn draw_figures(frame: &mut Frame<'_>, area: Rect, run: &Run, app: &App) {
    let lab = run.lab();
    let theme = app.theme();
    let room = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2));
    let touched: Vec<u16> = run.at_hand().touched(lab).collect();
    let selected = app.selected_row().map(|row| row.name);
    let figures = view::figures(lab, MAX_FIGURES);
    let three = figures.len() * 3 <= room || width < 70;
    let at = figures.iter().position(|(node, _)| Some(view::name(lab, *node)) == selected);
    let lines_each = if three { 3 } else { 1 };
    let shown = (room / lines_each).max(1);
    let first = at.unwrap_or(0).saturating_sub(shown / 2).min(figures.len().saturating_sub(shown));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (node, tables) in figures.iter().skip(first).take(shown) {
        let name = view::name(lab, *node);
        let style = match Some(name) == selected {
            true => theme.selected(),
            false => theme.origin(name).patch(theme.heading()),
        };
        let mark = if touched.contains(node) { "*" } else { " " };
        let head = Span::styled(format!("{:<5}", format!("{mark}{name}")), style);
        lines.extend(figure(head, tables, run, width, three));
    }
    let more = figures.len().saturating_sub(first + shown);
    let aside = match more {
        0 => "* changed".to_owned(),
        more => format!("* changed, {more} more"),
    };
    let block = block("F, P and buffers", aside, area.width, theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn figure<'a>(
    head: Span<'a>,
    tables: &Tables,
    run: &Run,
    width: usize,
    three: bool,
) -> Vec<Line<'a>> {
    let lab = run.lab();
    let forward = format!("F {}", tables.show_forward(lab));
    let pending = format!("P {}", tables.show_pending(lab));
    let buffer = tables.show_buffer();
    let buffer_room = width.saturating_sub(7);
    if three {
        return vec![
            Line::from(vec![head, Span::raw(cut(&forward, width.saturating_sub(5)))]),
            Line::raw(format!("     {}", cut(&pending, width.saturating_sub(5)))),
            Line::raw(format!("     B {}", tail(&buffer, buffer_room))),
        ];
    }
    let third = width.saturating_sub(5) / 3;
    let parts = [cut(&forward, third - 1), cut(&pending, third - 1), tail(&buffer, third - 3)];
    let text = format!("{:<third$}{:<third$}B {}", parts[0], parts[1], parts[2]);
    vec![Line::from(vec![head, Span::raw(text)])]
}

/// The end of a text that is too long.
fn tail(text: &str, room: usize) -> String {
    let length = text.chars().count();
    match length <= room {
        true => text.to_owned(),
        false => {
            let end: String = text.chars().skip(length - room.saturating_sub(1)).collect();
            format!("…{end}")
        }
    }
}

/// `P1>M0 3` for all that was sent.
fn draw_arrows(frame: &mut Frame<'_>, area: Rect, run: &Run, theme: Theme) {
    let lab = run.lab();
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    let room = usize::from(area.height.saturating_sub(2));
    let mut arrows: Vec<(String, Style)> = Vec::new();
    for effect in run.at_hand().effects() {
        let say = |from: u16, to: u16, brief: Brief| {
            let what = match brief {
                Brief::Chunk(chunk) => chunk.to_string(),
                Brief::Hello => "hello".to_owned(),
                Brief::Goodbye => "goodbye".to_owned(),
                Brief::Lost(chunk) => format!("lost {chunk}"),
                Brief::Other => "other".to_owned(),
            };
            format!("{}>{}:{what}", lab.name(from), lab.name(to))
        };
        match *effect {
            Effect::Sent { from, to, brief } => {
                let style = match brief {
                    Brief::Chunk(_) => theme.origin(view::name(lab, from)),
                    _ => theme.faint(),
                };
                arrows.push((say(from, to, brief), style));
            }
            Effect::Dropped { from, to, brief, loss } => {
                let text = say(from, to, brief);
                // It is lost, not sent and lost.
                if loss != Loss::ByHand && arrows.last().is_some_and(|(last, _)| *last == text) {
                    arrows.pop();
                }
                arrows.push((format!("{text} lost!"), theme.bad()));
            }
            Effect::Kept { from, to, chunk } => {
                arrows.push((format!("{} kept", say(from, to, Brief::Chunk(chunk))), theme.bad()));
            }
            Effect::Delayed { from, to, brief, .. } => {
                arrows.push((format!("{} delayed", say(from, to, brief)), theme.bad()));
            }
            Effect::Duplicated { from, to, brief } => {
                arrows.push((format!("{} doubled", say(from, to, brief)), theme.bad()));
            }
            _ => {}
        }
    }
    let count = arrows.len();
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut spans: Vec<Span<'_>> = Vec::new();
    let mut used = 0;
    for (text, style) in arrows {
        let length = text.chars().count() + 2;
        if used + length > width + 2 && used > 0 {
            lines.push(Line::from(std::mem::take(&mut spans)));
            used = 0;
        }
        used += length;
        spans.push(Span::styled(text, style));
        spans.push(Span::raw("  "));
    }
    lines.push(Line::from(spans));
    let hidden = lines.len().saturating_sub(room);
    let aside = match (count, run.at_hand().steps.len() == MAX_AT_HAND) {
        (0, _) => String::new(),
        (_, true) => "the last".to_owned(),
        (many, _) => many.to_string(),
    };
    let block = block("Sent", aside, area.width, theme);
    frame.render_widget(Paragraph::new(lines.split_off(hidden)).block(block), area);
}

/// `P1  P[M0] + 3`
fn draw_changes(frame: &mut Frame<'_>, area: Rect, run: &Run, theme: Theme) {
    let room = usize::from(area.height.saturating_sub(2));
    let lines: Vec<Line<'_>> = run
        .changes(room)
        .into_iter()
        .take(room)
        .map(|change| {
            let name = view::name(run.lab(), change.member);
            let style = theme.origin(name).patch(theme.heading());
            Line::from(vec![
                Span::styled(format!("{name:<4}"), style),
                Span::raw(format!("{}{}", change.table, change.what)),
            ])
        })
        .collect();
    let block = block("Changed", String::new(), area.width, theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

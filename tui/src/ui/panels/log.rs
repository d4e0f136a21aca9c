//! What happened, newest last.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::App;
use super::block;
use crate::observe::{Level, LogLine};

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let lines = app.log_lines();
    let room = usize::from(area.height.saturating_sub(2));
    let back = app.log_back.min(lines.len().saturating_sub(room));
    let end = lines.len() - back;
    let shown = &lines[end.saturating_sub(room)..end];
    let kinds = match app.level {
        Level::Info => "all",
        Level::Loss => "losses and warnings",
        Level::Warning => "warnings",
    };
    let mut aside = format!("{kinds}: {} of {}", lines.len(), app.snapshot.log.len());
    if back > 0 {
        aside = format!("{aside}, {back} newer below");
    }
    let text: Vec<Line<'_>> = shown.iter().map(|line| line_of(line, app)).collect();
    let block = block("Log", aside, area.width, app.theme);
    frame.render_widget(Paragraph::new(text).block(block), area);
}

/// One line: time, node, how much it matters, what happened.
pub(super) fn line_of<'a>(line: &LogLine, app: &App) -> Line<'a> {
    let (mark, style) = match line.level {
        Level::Info => (' ', ratatui::style::Style::new()),
        Level::Loss => ('!', app.theme.bad()),
        Level::Warning => ('W', app.theme.bad()),
    };
    Line::from(vec![
        Span::styled(format!("{:8.1} ", line.t), app.theme.faint()),
        Span::styled(format!("{:<4} ", line.node), app.theme.heading()),
        Span::styled(format!("{mark} "), style),
        Span::styled(line.text.clone(), style),
    ])
}

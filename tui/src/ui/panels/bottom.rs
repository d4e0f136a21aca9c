//! The bottom line: the filter that is typed, a message, or hints.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::keys::{BINDINGS, Binding};
use super::super::{App, Scene};
use super::cut;

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &dyn Scene) {
    let width = usize::from(area.width);
    let line = if app.typing {
        Line::from(vec![
            Span::styled(format!("/{}", app.filter()), app.theme.heading()),
            Span::styled(" ", app.theme.selected()),
            Span::styled("  Enter keep  Esc drop", app.theme.faint()),
        ])
    } else if app.leaving {
        Line::raw("leaving the team …")
    } else if let Some(message) = &app.message {
        Line::raw(cut(message, width))
    } else {
        hints(app, scene.bindings(), width)
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// As many hints as fit, whole ones only.
fn hints<'a>(app: &App, scene: &'static [Binding], width: usize) -> Line<'a> {
    let mut spans = Vec::new();
    let mut used = 0;
    if !app.filter().is_empty() {
        let filter = format!("filter \"{}\"  ", app.filter());
        used += filter.chars().count();
        spans.push(Span::raw(filter));
    }
    if app.open {
        used += 11;
        spans.extend([Span::styled("Esc", app.theme.key()), Span::raw(" close  ")]);
    }
    let bindings = scene.iter().chain(BINDINGS).filter(|binding| binding.is_for(app.tab()));
    for binding in bindings {
        let Some(hint) = binding.hint else { continue };
        let label = binding.label.split(' ').next().unwrap_or("");
        used += label.chars().count() + hint.len() + 3;
        if used > width + 2 {
            break;
        }
        spans.push(Span::styled(label, app.theme.key()));
        spans.push(Span::raw(format!(" {hint}  ")));
    }
    Line::from(spans)
}

//! The help: the table of keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::super::keys::{BINDINGS, Binding};
use super::super::{App, Scene};
use super::{block, name};

/// Room for the keys' names.
const LABEL: usize = 11;

/// Draws it over everything else.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &dyn Scene) {
    let mut lines: Vec<Line<'_>> = scene
        .bindings()
        .iter()
        .chain(BINDINGS)
        .map(|binding| {
            Line::from(vec![
                Span::styled(format!(" {:<LABEL$}", binding.label), app.theme.key()),
                Span::raw(binding.does),
                Span::styled(place(binding, scene), app.theme.faint()),
            ])
        })
        .collect();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0) as u16;
    let (width, height) = (widest + 3, lines.len() as u16 + 2);
    let popup = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    frame.render_widget(Clear, popup);
    let hidden = lines.len().saturating_sub(usize::from(popup.height.saturating_sub(2)));
    let from = app.help_from.min(hidden);
    let lines = lines.split_off(from);
    let aside = if hidden > 0 { "↓ ↑ more  ? closes" } else { "? closes" };
    let block = block("Keys", aside.to_owned(), popup.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), popup);
}

/// Where a key works, if not everywhere.
fn place(binding: &Binding, scene: &dyn Scene) -> String {
    match binding.tabs {
        [] => String::new(),
        tabs => {
            let names: Vec<&str> = tabs.iter().map(|tab| name(*tab, scene)).collect();
            format!("  ({})", names.join(", "))
        }
    }
}

//! The top line: the panels, and where the team stands.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::keys::Tab;
use super::super::{App, Scene, format};
use super::{cut, name};

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &dyn Scene) {
    let width = usize::from(area.width);
    let status = status(app, scene);
    let right = status.chars().count() + 1;
    let all: Vec<Tab> =
        Tab::ALL.into_iter().chain((0..scene.panels().len()).map(Tab::Scene)).collect();
    let names: Vec<&str> = all.iter().map(|tab| name(*tab, scene)).collect();
    // Names as long as they fit; then only that of the panel shown.
    let roomy = names.iter().map(|name| name.chars().count() + 4).sum::<usize>() + 7 + right;
    let tight = names.iter().map(|name| name.chars().count() + 3).sum::<usize>() + right;
    let mut spans = Vec::new();
    if roomy <= width {
        spans.push(Span::styled(" P2PSP ", app.theme.title()));
    }
    for (number, (tab, name)) in all.iter().zip(names).enumerate() {
        let shown = *tab == app.tab();
        let (gap, number) = (if roomy <= width { " " } else { "" }, number + 1);
        let text = match shown || tight <= width {
            true => format!("{gap}{number} {name}{gap}"),
            false => number.to_string(),
        };
        let style = if shown { app.theme.selected() } else { ratatui::style::Style::new() };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    let line = Line::from(spans);
    let room = width.saturating_sub(line.width());
    frame.render_widget(Paragraph::new(line), area);
    if room > 3 {
        let style = match app.paused {
            true => app.theme.selected(),
            false => app.theme.faint(),
        };
        let status = Span::styled(cut(&status, room - 1), style);
        frame.render_widget(Paragraph::new(Line::from(status).right_aligned()), area);
    }
}

fn status(app: &App, scene: &dyn Scene) -> String {
    match app.paused {
        true => format!("PAUSED {} behind", format::duration(app.lag_s)),
        false => scene.status(),
    }
}

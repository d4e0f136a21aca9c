//! What is drawn, one file for each panel. All draw an [`App`]: its snapshot,
//! its selection and filters, its theme.

pub(super) mod bottom;
pub(super) mod buffer;
pub(super) mod flow;
mod graph;
pub(super) mod help;
pub(super) mod log;
mod matrix;
pub(super) mod overview;
pub(super) mod peer;
pub(super) mod tables;
pub(super) mod team;
pub(super) mod top;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders};

use super::keys::Tab;
use super::{App, Scene, Theme};

/// Levels of a line of a chart.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What would be on a screen of this size.
pub fn frame_of(app: &App, scene: &dyn Scene, width: u16, height: u16) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(drawn) = terminal.draw(|frame| app.draw(frame, scene));
    drawn.buffer.clone()
}

/// The name of a panel.
pub fn name(tab: Tab, scene: &dyn Scene) -> &'static str {
    match tab {
        Tab::Overview => "Overview",
        Tab::Team => "Team",
        Tab::Buffer => "Buffer",
        Tab::Flow => "Flow",
        Tab::Tables => "Tables",
        Tab::Log => "Log",
        Tab::Scene(panel) => scene.panels().get(panel).copied().unwrap_or(""),
    }
}

/// The last of `values` as bars, `height` lines of `width` columns from top to
/// bottom; the newest value on the right, `full` as high as it goes.
pub fn chart(values: &[f64], width: usize, height: usize, full: f64) -> Vec<String> {
    let levels = BARS.len() * height;
    let shown = &values[values.len().saturating_sub(width)..];
    let mut lines = vec![" ".repeat(width - shown.len()); height];
    for value in shown {
        let share = if full > 0.0 { (value / full).clamp(0.0, 1.0) } else { 0.0 };
        // Nothing has the lowest bar, so that a line can be seen at all.
        let filled = ((share * levels as f64).round() as usize).max(1);
        for (line, text) in lines.iter_mut().rev().enumerate() {
            text.push(match filled.saturating_sub(line * BARS.len()).min(BARS.len()) {
                0 => ' ',
                level => BARS[level - 1],
            });
        }
    }
    lines
}

/// A share of a whole as a bar of `width` cells.
fn gauge(share: f64, width: usize) -> String {
    let full = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    format!("{}{}", "━".repeat(full), "·".repeat(width - full))
}

/// A box with a title, and words at the right of the title if there is room.
pub(super) fn block<'a>(title: &'a str, aside: String, width: u16, theme: Theme) -> Block<'a> {
    let block = Block::new()
        .borders(Borders::ALL)
        .border_style(theme.faint())
        .title(Line::from(Span::styled(format!(" {title} "), theme.title())));
    let room = usize::from(width).saturating_sub(title.chars().count() + 6);
    if aside.is_empty() || room < 4 {
        return block;
    }
    let aside = format!(" {} ", cut(&aside, room - 2));
    block.title(Line::from(Span::styled(aside, theme.faint())).right_aligned())
}

/// A text of at most `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.extend((width > 0).then_some('…'));
    short
}

/// The first line to show of `len`, so that the line `at` is among `room`.
pub(super) fn first_shown(at: usize, len: usize, room: usize) -> usize {
    at.saturating_sub(room / 2).min(len.saturating_sub(room))
}

/// `1 peer`, `2 peers`.
fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_end_at_the_right_and_fill_from_below() {
        assert_eq!(chart(&[0.0, 4.0, 8.0], 5, 1, 8.0), ["  ▁▄█"]);
        assert_eq!(chart(&[0.0, 4.0, 8.0], 2, 2, 8.0), [" █", "██"]);
        assert_eq!(chart(&[1.0], 1, 1, 0.0), ["▁"]);
        assert_eq!(chart(&[], 2, 1, 1.0), ["  "]);
        assert_eq!(chart(&[9.0], 0, 1, 1.0), [""]);
    }

    #[test]
    fn texts_and_lists_fit() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcd", 0), "");
        assert_eq!(gauge(0.5, 4), "━━··");
        assert_eq!(gauge(7.0, 4), "━━━━");
        assert_eq!(first_shown(9, 10, 4), 6);
        assert_eq!(first_shown(5, 10, 4), 3);
        assert_eq!(first_shown(0, 2, 4), 0);
    }
}

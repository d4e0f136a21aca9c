//! Chunks under way: a picture or a matrix of the team, and the last chunks
//! with the way that each took.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::App;
use super::{block, cut, graph, matrix};
use crate::observe::{Name, Transmission};

/// Width of the list of chunks, at least and at most.
const LIST: (u16, u16) = (26, 60);

/// The way of one chunk.
#[derive(Debug, Clone, PartialEq)]
struct Way {
    chunk: u32,
    /// Who sent it, and to whom.
    hops: Vec<(Name, Vec<Name>)>,
}

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let list = (area.width * 2 / 5).clamp(LIST.0, LIST.1);
    let [picture, list] = match area.width >= 2 * LIST.0 {
        true => Layout::horizontal([Constraint::Min(0), Constraint::Length(list)]).areas(area),
        false => Layout::vertical([Constraint::Percentage(60), Constraint::Min(0)]).areas(area),
    };
    match app.shows_matrix() {
        true => matrix::draw(frame, picture, app),
        false => graph::draw(frame, picture, app),
    }
    draw_ways(frame, list, app);
}

fn draw_ways(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let room = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2));
    let ways = ways(&app.snapshot.transmissions);
    let lines: Vec<Line<'_>> = ways
        .iter()
        .rev()
        .take(room)
        .map(|way| {
            let number = format!("{:>7} ", way.chunk);
            let path = cut(&path(&way.hops), width.saturating_sub(number.len()));
            let origin = way.hops.first().map_or(Name::Unknown, |(from, to)| match from {
                Name::Splitter => to.first().copied().unwrap_or_default(),
                peer => *peer,
            });
            Line::from(vec![
                Span::styled(number, app.theme.heading()),
                Span::styled(path, app.theme.origin(origin)),
            ])
        })
        .collect();
    let aside = "newest first".to_owned();
    let block = block("Chunks", aside, area.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// `S→P3→M0 P1 P2`; who forwards later has a way of its own.
fn path(hops: &[(Name, Vec<Name>)]) -> String {
    let mut path = String::new();
    let mut last: &[Name] = &[];
    for (from, to) in hops {
        if last == [*from] {
            path.push('→');
        } else {
            if !path.is_empty() {
                path.push_str("  ");
            }
            path.push_str(&format!("{from}→"));
        }
        let names: Vec<String> = to.iter().map(Name::to_string).collect();
        path.push_str(&names.join(" "));
        last = to;
    }
    path
}

/// The ways of the last chunks, oldest first.
fn ways(transmissions: &[Transmission]) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for sent in transmissions {
        // What is under way is among the last few.
        let at = ways.iter().rposition(|way| way.chunk == sent.chunk).unwrap_or_else(|| {
            ways.push(Way { chunk: sent.chunk, hops: Vec::new() });
            ways.len() - 1
        });
        let hops = &mut ways[at].hops;
        match hops.iter_mut().find(|(from, _)| *from == sent.from) {
            Some((_, to)) if !to.contains(&sent.to) => to.push(sent.to),
            Some(_) => {}
            None => hops.push((sent.from, vec![sent.to])),
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_told_with_its_way() {
        let (s, m0, p1, p2) = (Name::Splitter, Name::monitor(0), Name::peer(1), Name::peer(2));
        let sent = |from, to, chunk| Transmission { t: 0.0, from, to, chunk };
        let all = [
            sent(s, p1, 3),
            sent(p1, m0, 3),
            sent(s, p2, 4),
            sent(p1, p2, 3),
            sent(p2, Name::Lan, 4),
            sent(m0, p2, 3),
        ];
        let told: Vec<String> =
            ways(&all).iter().map(|way| format!("{} {}", way.chunk, path(&way.hops))).collect();
        assert_eq!(told, ["3 S→P1→M0 P2  M0→P2", "4 S→P2→LAN"]);
    }
}

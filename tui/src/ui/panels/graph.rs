//! The team as a picture: the splitter in the middle, the members around it,
//! an arrow for each transmission of the last moment.

use std::f64::consts::TAU;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::canvas::{Canvas, Line as Stroke};

use super::super::App;
use super::super::roster::{self, Sort};
use super::block;
use crate::observe::{Name, Snapshot, Transmission};

/// The longest name that is written whole.
const NAME: u16 = 4;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let recent = recent(&app.snapshot);
    let mut chunks: Vec<u32> = recent.iter().map(|sent| sent.chunk).collect();
    chunks.dedup();
    let numbers: Vec<String> = chunks.iter().take(4).map(u32::to_string).collect();
    let more = if chunks.len() > 4 { ", …" } else { "" };
    let aside = match chunks.len() {
        0 => String::new(),
        1 => format!("chunk {}", numbers[0]),
        _ => format!("chunks {}{more}", numbers.join(", ")),
    };
    let block = block("Flow", aside, area.width, app.theme);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if inside.width < 3 * NAME || inside.height < 5 {
        return;
    }
    let nodes = places(app, inside);
    let place = |name: Name| nodes.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
    let arrows: Vec<(Position, Position, Style)> = recent
        .iter()
        .filter_map(|sent| {
            let origin = if sent.from == Name::Splitter { sent.to } else { sent.from };
            Some((place(sent.from)?, place(sent.to)?, app.theme.origin(origin)))
        })
        .collect();
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, f64::from(inside.width)])
        .y_bounds([0.0, f64::from(inside.height)])
        .paint(|context| {
            for (from, to, style) in &arrows {
                let x = |at: &Position| f64::from(at.x - inside.x) + 0.5;
                let y = |at: &Position| f64::from(inside.height - (at.y - inside.y)) - 0.5;
                let color = style.fg.unwrap_or_default();
                context.draw(&Stroke { x1: x(from), y1: y(from), x2: x(to), y2: y(to), color });
            }
        });
    frame.render_widget(canvas, inside);
    for (from, to, style) in &arrows {
        if let Some((at, head)) = arrow_head(*from, *to, inside) {
            frame.buffer_mut().set_string(at.x, at.y, head, style.patch(app.theme.heading()));
        }
    }
    for (name, at) in &nodes {
        draw_node(frame, inside, *name, *at, app);
    }
}

/// What is drawn: the last chunks, and not long ago; sorted by chunk. Of more
/// chunks than can be told apart those that have gone furthest.
fn recent(snapshot: &Snapshot) -> Vec<&Transmission> {
    let fresh = |sent: &&Transmission| snapshot.t - sent.t <= snapshot.flow_s;
    let mut recent: Vec<&Transmission> =
        snapshot.transmissions.iter().rev().take_while(fresh).collect();
    // Newest first, and how often each was sent.
    let mut chunks: Vec<(u32, usize)> = Vec::new();
    for sent in &recent {
        match chunks.iter_mut().find(|(chunk, _)| *chunk == sent.chunk) {
            Some((_, times)) => *times += 1,
            None => chunks.push((sent.chunk, 1)),
        }
    }
    if chunks.len() > snapshot.flow_chunks {
        chunks.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        chunks.truncate(snapshot.flow_chunks);
    }
    let place =
        |sent: &&Transmission| chunks.iter().rev().position(|(chunk, _)| *chunk == sent.chunk);
    recent.retain(|sent| place(sent).is_some());
    recent.sort_by_key(place);
    recent
}

fn draw_node(frame: &mut Frame<'_>, inside: Rect, name: Name, at: Position, app: &App) {
    let text = name.to_string();
    let width = text.chars().count() as u16;
    let left =
        at.x.saturating_sub(width / 2).clamp(inside.x, (inside.right() - width).max(inside.x));
    let style = match Some(name) == app.selected || name == Name::Splitter {
        true => app.theme.selected(),
        false => app.theme.origin(name).patch(app.theme.heading()),
    };
    // Without what the arrows have left there.
    frame.buffer_mut().set_string(left, at.y, text, Style::reset().patch(style));
}

/// Where everybody is: around the splitter, in join order, clockwise from the
/// top; the LAN below.
fn places(app: &App, inside: Rect) -> Vec<(Name, Position)> {
    let mut ring: Vec<Name> = roster::rows(&app.snapshot, "", Sort::Name, false)
        .iter()
        .map(|row| row.name)
        .filter(|name| *name != Name::Unknown)
        .collect();
    if let (None, Some(me)) = (app.snapshot.splitter(), app.snapshot.peers().next())
        && !ring.contains(&me.name)
    {
        ring.push(me.name);
    }
    let sent_to_lan = app.snapshot.transmissions.iter().any(|sent| sent.to == Name::Lan);
    let lan_rows = u16::from(sent_to_lan) * 2;
    let middle = (f64::from(inside.width - 1) / 2.0, f64::from(inside.height - 1 - lan_rows) / 2.0);
    let radius = (middle.0 - f64::from(NAME), middle.1);
    let at =
        |x: f64, y: f64| Position::new(inside.x + x.round() as u16, inside.y + y.round() as u16);
    let count = ring.len().max(1) as f64;
    let mut places: Vec<(Name, Position)> = ring
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let angle = TAU * index as f64 / count;
            (name, at(middle.0 + radius.0 * angle.sin(), middle.1 - radius.1 * angle.cos()))
        })
        .collect();
    places.push((Name::Splitter, at(middle.0, middle.1)));
    if sent_to_lan {
        places.push((Name::Lan, at(middle.0, f64::from(inside.height - 1))));
    }
    places
}

/// The head of an arrow, a bit before where it ends.
fn arrow_head(from: Position, to: Position, inside: Rect) -> Option<(Position, &'static str)> {
    let (dx, dy) = (f64::from(to.x) - f64::from(from.x), f64::from(to.y) - f64::from(from.y));
    // A cell is twice as high as it is wide.
    let length = dx.hypot(2.0 * dy);
    if length < 6.0 {
        return None;
    }
    let back = 3.5 / length;
    let x = (f64::from(to.x) - dx * back).round() as u16;
    let y = (f64::from(to.y) - dy * back).round() as u16;
    const HEADS: [&str; 8] = ["→", "↘", "↓", "↙", "←", "↖", "↑", "↗"];
    let eighth = ((2.0 * dy).atan2(dx) / (TAU / 8.0)).round().rem_euclid(8.0) as usize;
    let at = Position::new(x, y);
    (inside.contains(at)).then_some((at, HEADS[eighth % HEADS.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_that_have_gone_furthest_are_drawn() {
        let sent = |t, to, chunk| Transmission { t, from: Name::Splitter, to, chunk };
        let (a, b) = (Name::peer(1), Name::peer(2));
        let mut snapshot = Snapshot {
            t: 10.0,
            flow_s: 1.0,
            flow_chunks: 1,
            transmissions: vec![sent(1.0, a, 1), sent(9.5, a, 2), sent(9.5, b, 2), sent(9.9, a, 3)],
            ..Snapshot::default()
        };
        let drawn = |snapshot: &Snapshot| -> Vec<u32> {
            recent(snapshot).iter().map(|sent| sent.chunk).collect()
        };
        assert_eq!(drawn(&snapshot), [2, 2]);
        snapshot.flow_chunks = 2;
        assert_eq!(drawn(&snapshot), [2, 2, 3]);
    }

    #[test]
    fn arrows_point_where_the_chunk_goes() {
        let inside = Rect::new(0, 0, 40, 20);
        let middle = Position::new(20, 10);
        for (x, y, head) in
            [(39, 10, "→"), (0, 10, "←"), (20, 0, "↑"), (20, 19, "↓"), (38, 19, "↘")]
        {
            let (at, drawn) = arrow_head(middle, Position::new(x, y), inside).unwrap();
            assert_eq!(drawn, head);
            assert_ne!(at, Position::new(x, y), "beside the name");
        }
        assert_eq!(arrow_head(middle, Position::new(22, 10), inside), None, "no room");
    }
}

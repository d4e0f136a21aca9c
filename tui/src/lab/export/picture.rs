//! The step at hand as a picture, like the published figures: the splitter in
//! the middle, the members around it with `F`, `P` and their buffers, an arrow
//! for each chunk that was sent.

use std::f64::consts::TAU;

use super::{Svg, colour, wrapped};
use crate::lab::run::Run;
use crate::lab::tables::Tables;
use crate::lab::{Brief, Effect, GROUP, SPLITTER, view};

/// Members that are drawn; of a larger team, the first.
const MAX_DRAWN: usize = 40;
/// Members up to which their tables are drawn.
const MAX_WITH_TABLES: usize = 12;
/// Arrows that are drawn; of more, the last.
const MAX_ARROWS: usize = 400;
/// Radius of a node.
const NODE: f64 = 20.0;
/// Width of a member's tables, in characters.
const TABLE_CHARS: usize = 34;
/// Height of a line of text.
const LINE: f64 = 16.0;

/// Draws it.
pub fn svg(run: &Run) -> String {
    let lab = run.lab();
    let figures = view::figures(lab, MAX_DRAWN);
    let with_tables = figures.len() <= MAX_WITH_TABLES;
    let radius = (150.0 + 12.0 * figures.len() as f64).min(420.0);
    let margin = if with_tables { (290.0, 110.0) } else { (60.0, 60.0) };
    let (width, head) = (2.0 * (radius + margin.0), 70.0);
    let height = head + 2.0 * (radius + margin.1);
    let centre = (width / 2.0, head + radius + margin.1);
    let place = |node: u16| {
        let at = figures.iter().position(|(one, _)| *one == node)?;
        let turn = TAU * (at as f64 / figures.len() as f64 - 0.25);
        Some((centre.0 + radius * turn.cos(), centre.1 + radius * turn.sin()))
    };
    let place = |node: u16| if node == SPLITTER { Some(centre) } else { place(node) };
    let mut svg = Svg::new(width, height);
    draw_head(&mut svg, run, width);
    draw_arrows(&mut svg, run, &place, centre);
    let nodes = std::iter::once(SPLITTER).chain(figures.iter().map(|(node, _)| *node));
    for node in nodes {
        let Some((x, y)) = place(node) else { continue };
        let (fill, edge) =
            if node == SPLITTER { ("#eeeeee", "#303030") } else { ("white", colour(node)) };
        svg.0.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{NODE}\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"2\"/>\n"
        ));
        svg.text((x, y + 4.5), "middle", "font-weight=\"bold\"", &lab.name(node).to_string());
    }
    if with_tables {
        for (node, tables) in &figures {
            if let Some(at) = place(*node) {
                draw_tables(&mut svg, run, tables, at, centre);
            }
        }
    }
    svg.finish()
}

fn draw_head(svg: &mut Svg, run: &Run, width: f64) {
    let lab = run.lab();
    let title = match run.chunk_time() {
        Some(chunk) => format!("{}, chunk time {chunk}, step {}", lab.plan().name, run.position()),
        None => format!("{}, the beginning", lab.plan().name),
    };
    svg.text((12.0, 20.0), "start", "font-weight=\"bold\" font-size=\"15\"", &title);
    if let Some((event, effects)) = run.at_hand().last() {
        let text = crate::lab::explain::explain(lab, event, effects);
        for (number, line) in wrapped(&text, (width / 7.0) as usize).iter().take(3).enumerate() {
            svg.text((12.0, 40.0 + number as f64 * LINE), "start", "", line);
        }
    }
}

fn draw_arrows(
    svg: &mut Svg,
    run: &Run,
    place: &dyn Fn(u16) -> Option<(f64, f64)>,
    centre: (f64, f64),
) {
    let arrows: Vec<(u16, u16, String, bool)> = run
        .at_hand()
        .effects()
        .filter_map(|effect| match *effect {
            Effect::Sent { from, to, brief: Brief::Chunk(chunk) } => {
                Some((from, to, chunk.to_string(), false))
            }
            Effect::Dropped { from, to, brief: Brief::Chunk(chunk), .. } => {
                Some((from, to, format!("{chunk} lost"), true))
            }
            Effect::Kept { from, to, chunk } => Some((from, to, format!("{chunk} kept"), true)),
            _ => None,
        })
        .collect();
    for (from, to, label, broken) in &arrows[arrows.len().saturating_sub(MAX_ARROWS)..] {
        let Some(start) = place(*from) else { continue };
        // A datagram for the LAN goes outwards, to nobody alone.
        let end = match *to {
            GROUP => {
                Some((start.0 + 0.35 * (start.0 - centre.0), start.1 + 0.35 * (start.1 - centre.1)))
            }
            one => place(one),
        };
        let Some(end) = end else { continue };
        let (dx, dy) = (end.0 - start.0, end.1 - start.1);
        let length = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / length, dy / length);
        // Both ways between two stand beside each other.
        let aside = (-uy * 6.0, ux * 6.0);
        let at = |along: f64| (start.0 + ux * along + aside.0, start.1 + uy * along + aside.1);
        let last = if *to == GROUP { length } else { length - NODE - 3.0 };
        svg.arrow(at(NODE + 3.0), at(last.max(NODE + 12.0)), colour(*from), *broken);
        let middle = at(length * 0.55);
        let label_at = (middle.0 + aside.0 * 1.6, middle.1 + aside.1 * 1.6 + 4.0);
        let look = format!("fill=\"{}\" font-weight=\"bold\" font-size=\"12\"", colour(*from));
        svg.text(label_at, "middle", &look, label);
    }
}

fn draw_tables(svg: &mut Svg, run: &Run, tables: &Tables, at: (f64, f64), centre: (f64, f64)) {
    let lab = run.lab();
    let parts = [
        format!("F {}", tables.show_forward(lab)),
        format!("P {}", tables.show_pending(lab)),
        format!("B {}", tables.show_buffer()),
    ];
    let lines: Vec<String> = parts
        .iter()
        .flat_map(|part| {
            let mut lines = wrapped(part, TABLE_CHARS);
            if lines.len() > 3 {
                lines.truncate(3);
                lines[2].push_str(" …");
            }
            lines
        })
        .collect();
    let height = lines.len() as f64 * LINE;
    let middle = (at.0 - centre.0).abs() < 30.0;
    let (x, anchor, top) = match (middle, at.0 > centre.0, at.1 > centre.1) {
        (true, _, false) => (at.0, "middle", at.1 - NODE - height + 6.0),
        (true, _, true) => (at.0, "middle", at.1 + NODE + LINE),
        (false, true, _) => (at.0 + NODE + 8.0, "start", at.1 - height / 2.0 + LINE * 0.7),
        (false, false, _) => (at.0 - NODE - 8.0, "end", at.1 - height / 2.0 + LINE * 0.7),
    };
    for (number, line) in lines.iter().enumerate() {
        let look = "font-family=\"monospace\" font-size=\"12\"";
        svg.text((x, top + number as f64 * LINE), anchor, look, line);
    }
}

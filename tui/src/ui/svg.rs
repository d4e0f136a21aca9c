//! A drawn screen as text, and as an SVG picture.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Size of a cell, in pixels.
const CELL: (f64, f64) = (8.4, 16.5);
/// Size of the letters, in pixels.
const FONT_SIZE: u32 = 14;
/// From the top of a cell to the base line, in pixels.
const BASE: f64 = 13.0;
/// Around the screen, in pixels.
const MARGIN: f64 = 12.0;
/// What letters and the ground look like where the screen leaves it to the
/// terminal.
const INK: &str = "#d8dee4";
const PAPER: &str = "#14191f";

/// What is drawn, line by line, without spaces at the ends.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in rows(buffer) {
        let line: String = row.iter().map(Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What is drawn, as a picture that needs nothing but a monospaced font. The
/// same screen makes the same bytes.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (f64::from(buffer.area.width), f64::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2.0 * MARGIN, lines * CELL.1 + 2.0 * MARGIN);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"ui-monospace, 'DejaVu Sans \
         Mono', Menlo, Consolas, monospace\" font-size=\"{FONT_SIZE}\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>"
    );
    for (line, row) in rows(buffer).enumerate() {
        let top = MARGIN + line as f64 * CELL.1;
        let mut column = 0;
        while column < row.len() {
            let look = Look::of(&row[column]);
            let same = row[column..].iter().take_while(|cell| Look::of(cell) == look).count();
            run(&mut out, top, column, &row[column..column + same], look);
            column += same;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells beside each other that look alike.
fn run(out: &mut String, top: f64, column: usize, cells: &[Cell], look: Look) {
    let left = MARGIN + column as f64 * CELL.0;
    if let Some(paper) = look.paper {
        let width = cells.len() as f64 * CELL.0;
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
             fill=\"{paper}\"/>",
            CELL.1
        );
    }
    // Words apart, so that a font of another width does no harm.
    let symbols: Vec<&str> = cells.iter().map(Cell::symbol).collect();
    let mut at = 0;
    while at < symbols.len() {
        if symbols[at] == " " {
            at += 1;
            continue;
        }
        let word = symbols[at..].iter().take_while(|symbol| **symbol != " ").count();
        let x = left + at as f64 * CELL.0;
        let length = word as f64 * CELL.0;
        let bold = if look.bold { " font-weight=\"bold\"" } else { "" };
        let dim = if look.dim { " opacity=\"0.6\"" } else { "" };
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" \
             lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{bold}{dim}>",
            top + BASE,
            look.ink
        );
        symbols[at..at + word].iter().for_each(|symbol| escape(out, symbol));
        out.push_str("</text>\n");
        at += word;
    }
}

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    ink: &'static str,
    paper: Option<&'static str>,
    bold: bool,
    dim: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let (ink, paper) = (hex(cell.fg), hex(cell.bg));
        let (ink, paper) = match cell.modifier.contains(Modifier::REVERSED) {
            true => (paper.unwrap_or(PAPER), Some(ink.unwrap_or(INK))),
            false => (ink.unwrap_or(INK), paper),
        };
        Look {
            ink,
            paper,
            bold: cell.modifier.contains(Modifier::BOLD),
            dim: cell.modifier.contains(Modifier::DIM),
        }
    }
}

/// A terminal's colour, as terminals show it.
fn hex(colour: Color) -> Option<&'static str> {
    Some(match colour {
        Color::Black => "#1c2128",
        Color::Red => "#f2777a",
        Color::Green => "#7fc98f",
        Color::Yellow => "#e5c07b",
        Color::Blue => "#6cb0f2",
        Color::Magenta => "#c792ea",
        Color::Cyan => "#56c8d8",
        Color::Gray => "#c5ccd3",
        Color::DarkGray => "#8b949e",
        Color::LightRed => "#ff9da4",
        Color::LightGreen => "#a5e3b0",
        Color::LightYellow => "#f5dd9d",
        Color::LightBlue => "#9fd0ff",
        Color::LightMagenta => "#e0b3ff",
        Color::LightCyan => "#9be7f0",
        Color::White => "#ffffff",
        _ => return None,
    })
}

fn escape(out: &mut String, symbol: &str) {
    for character in symbol.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
}

fn rows(buffer: &Buffer) -> impl Iterator<Item = &[Cell]> {
    buffer.content.chunks(usize::from(buffer.area.width).max(1))
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn words_keep_their_places_and_looks() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 9, 2));
        buffer.set_string(0, 0, "a <b>", Style::new().fg(Color::Red));
        buffer.set_string(6, 1, "&", Style::new().add_modifier(Modifier::REVERSED));
        assert_eq!(text(&buffer), "a <b>\n      &\n");
        let picture = svg(&buffer);
        let expected = [
            "viewBox=\"0 0 99.6 57.0\"",
            "<text x=\"12.0\" y=\"25.0\" textLength=\"8.4\" lengthAdjust=\"spacingAndGlyphs\" \
             fill=\"#f2777a\">a</text>",
            "<text x=\"28.8\" y=\"25.0\" textLength=\"25.2\" lengthAdjust=\"spacingAndGlyphs\" \
             fill=\"#f2777a\">&lt;b&gt;</text>",
            "<rect x=\"62.4\" y=\"28.5\" width=\"8.4\" height=\"16.5\" fill=\"#d8dee4\"/>",
            "fill=\"#14191f\">&amp;</text>",
        ];
        for part in expected {
            assert!(picture.contains(part), "{part} is missing: {picture}");
        }
    }
}

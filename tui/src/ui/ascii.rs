//! For terminals without UTF-8: a drawn screen, made plain.

use ratatui::buffer::Buffer;

/// Replaces everything that is not ASCII: lines and bars by the nearest thing
/// there is, the rest by `?`.
pub fn simplify(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let plain = symbol.chars().next().map_or(' ', plain);
        cell.set_char(plain);
    }
}

/// Whatever comes nearest to a character.
pub fn plain(character: char) -> char {
    match character {
        '─' | '–' | '—' => '-',
        '│' | '▏' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => {
            '+'
        }
        '━' => '=',
        '▁' => '_',
        '▂' => '.',
        '▃' => '-',
        '▄' => '=',
        '▅' => '+',
        '▆' => '*',
        '▇' => '%',
        '█' => '#',
        '░' | '·' | '•' => '.',
        '…' => '~',
        '▸' | '→' => '>',
        '←' => '<',
        '↑' | '▴' => '^',
        '↓' | '▾' => 'v',
        '↗' | '↙' => '/',
        '↘' | '↖' => '\\',
        '×' => 'x',
        '●' => 'o',
        // Braille: many dots or few.
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' if (character as u32 & 0xff).count_ones() > 3 => ':',
        '\u{2801}'..='\u{28ff}' => '.',
        ascii if ascii.is_ascii() => ascii,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn nothing_but_ascii_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 14, 1));
        buffer.set_string(0, 0, "┌─▸ ▁█…⠁⣿ é→", ratatui::style::Style::new());
        simplify(&mut buffer);
        let text: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(text, "+-> _#~.: ?>  ");
    }
}

//! The screen as a recording that `asciinema play` and its web player show:
//! asciicast, version 2.

use std::fmt::Write;
use std::time::Instant;

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;

/// Longest recording, in bytes; what comes after is left out.
const MAX_BYTES: usize = 64 << 20;
/// Clears the terminal and hides its cursor.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H\u{1b}[?25l";

/// A recording under way.
#[derive(Debug)]
pub(super) struct Cast {
    start: Instant,
    last: Option<Buffer>,
    text: String,
}

impl Cast {
    /// A recording that begins with the next picture.
    pub(super) fn new() -> Cast {
        Cast { start: Instant::now(), last: None, text: String::new() }
    }

    /// Takes a picture: what is different from the last one.
    pub(super) fn take(&mut self, picture: &Buffer) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.take_at(seconds, picture);
    }

    fn take_at(&mut self, seconds: f64, picture: &Buffer) {
        if self.text.len() > MAX_BYTES {
            return;
        }
        let (mut bytes, area) = (Vec::new(), picture.area);
        match &self.last {
            None => {
                let (width, height) = (area.width, area.height);
                let _ = writeln!(
                    self.text,
                    "{{\"version\":2,\"width\":{width},\"height\":{height},\"title\":\"p2psp-tui lab\"}}"
                );
                bytes.extend_from_slice(CLEAR.as_bytes());
            }
            Some(last) if last.area != area => {
                let size = format!("{}x{}", area.width, area.height);
                let _ = writeln!(self.text, "[{seconds:.3},\"r\",\"{size}\"]");
                bytes.extend_from_slice(CLEAR.as_bytes());
            }
            Some(_) => {}
        }
        let blank = Buffer::empty(area);
        let last = self.last.as_ref().filter(|last| last.area == area).unwrap_or(&blank);
        let changes = last.diff(picture);
        if changes.is_empty() && self.last.is_some() {
            return;
        }
        let drawn = CrosstermBackend::new(&mut bytes).draw(changes.into_iter());
        debug_assert!(drawn.is_ok(), "memory takes everything");
        if let Ok(output) = serde_json::to_string(&String::from_utf8_lossy(&bytes)) {
            let _ = writeln!(self.text, "[{seconds:.3},\"o\",{output}]");
        }
        self.last = Some(picture.clone());
    }

    /// The recording so far.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_recording_has_a_header_and_what_changed() {
        let mut cast = Cast::new();
        let mut picture = Buffer::empty(Rect::new(0, 0, 20, 2));
        picture.set_string(0, 0, "chunk 4", Style::new());
        cast.take_at(0.0, &picture);
        cast.take_at(0.5, &picture);
        picture.set_string(6, 0, "5", Style::new());
        cast.take_at(1.0, &picture);
        let text = cast.finish();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        assert_eq!(lines.len(), 3, "nothing changed at 0.5: {text}");
        assert_eq!((&lines[0]["version"], &lines[0]["width"]), (&Value::from(2), &Value::from(20)));
        assert_eq!((&lines[1][0], &lines[1][1]), (&Value::from(0.0), &Value::from("o")));
        let shown = lines[1][2].as_str().expect("a text");
        assert!(shown.starts_with(CLEAR) && shown.contains("chunk"), "{shown:?}");
        let shown = lines[2][2].as_str().expect("a text");
        assert!(shown.contains('5') && !shown.contains("chunk"), "{shown:?}");
    }
}

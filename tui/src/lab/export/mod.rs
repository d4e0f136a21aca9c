//! What a run leaves behind: pictures of a step and of the last chunk times.

pub mod chart;
pub mod picture;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Most files of one name in one folder.
const MAX_SAVED: usize = 999;
/// Colours that origins take turns with.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#a0498a", "#806000", "#303030"];

/// Writes a file `NAME-1.KIND`, or the next free number, in `folder`.
///
/// # Errors
///
/// The file system's.
pub fn save(folder: &Path, name: &str, kind: &str, text: &str) -> io::Result<PathBuf> {
    let allowed = |character: char| match character {
        letter if letter.is_alphanumeric() => letter,
        _ => '-',
    };
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(allowed).collect();
    for number in 1..=MAX_SAVED {
        let path = folder.join(format!("{name}-{number}.{kind}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {MAX_SAVED} of them already")))
}

/// A picture under way.
struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64) -> Svg {
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        ))
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, look: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {look}>{text}</text>"
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), look: &str) {
        let _ = writeln!(
            self.0,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {look}/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line with a head at its end.
    fn arrow(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, dash: bool) {
        let dash = if dash { " stroke-dasharray=\"5 4\"" } else { "" };
        self.line(from, to, &format!("stroke=\"{colour}\" stroke-width=\"1.5\"{dash}"));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1e-9);
        let (ux, uy) = (dx / length * 9.0, dy / length * 9.0);
        let (left, right) = (
            (to.0 - ux - uy * 0.4, to.1 - uy + ux * 0.4),
            (to.0 - ux + uy * 0.4, to.1 - uy - ux * 0.4),
        );
        let _ = writeln!(
            self.0,
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" fill=\"{colour}\"/>",
            to.0, to.1, left.0, left.1, right.0, right.1
        );
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn colour(node: u16) -> &'static str {
    COLOURS[usize::from(node) % COLOURS.len()]
}

/// The lines of a text of at most so many characters each.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().filter(|last| {
            last.is_empty() || last.chars().count() + 1 + word.chars().count() <= width
        });
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_harmless_names_and_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let first = save(folder.path(), "../a b.toml", "svg", "one").unwrap();
        let second = save(folder.path(), "../a b.toml", "svg", "two").unwrap();
        assert_eq!(first, folder.path().join("a-b-1.svg"));
        assert_eq!(second, folder.path().join("a-b-2.svg"));
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
        assert!(save(&folder.path().join("missing"), "a", "svg", "").is_err());
    }

    #[test]
    fn long_texts_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
    }
}

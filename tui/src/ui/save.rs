//! The screen, saved to files: as text, and as a picture.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ratatui::buffer::Buffer;

use super::svg;

/// Most screens of one name in one folder.
const MAX_SAVED: usize = 999;

/// Writes what is drawn to `p2psp-NAME-1.txt` and `.svg`, or the next free
/// number, in `folder`; both paths.
///
/// # Errors
///
/// The file system's.
pub fn save(folder: &Path, name: &str, buffer: &Buffer) -> io::Result<[PathBuf; 2]> {
    for number in 1..=MAX_SAVED {
        let stem = format!("p2psp-{name}-{number}");
        let paths = ["txt", "svg"].map(|kind| folder.join(format!("{stem}.{kind}")));
        if paths.iter().any(|path| path.exists()) {
            continue;
        }
        for (path, content) in paths.iter().zip([svg::text(buffer), svg::svg(buffer)]) {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
            file.write_all(content.as_bytes())?;
        }
        return Ok(paths);
    }
    Err(io::Error::other(format!("there are {MAX_SAVED} of them already")))
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        buffer.set_string(0, 0, "abc", Style::new());
        let first = save(folder.path(), "team", &buffer).unwrap();
        let second = save(folder.path(), "team", &buffer).unwrap();
        assert_eq!(first[0], folder.path().join("p2psp-team-1.txt"));
        assert_eq!(second[1], folder.path().join("p2psp-team-2.svg"));
        assert_eq!(std::fs::read_to_string(&first[0]).unwrap(), "abc\n");
        assert!(save(&folder.path().join("missing"), "team", &buffer).is_err());
    }
}

//! What a station plays: a directory, a playlist or several files, as tracks
//! in a row. Reads names only; whether a track can be played shows when its
//! turn comes.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::title;
use crate::lab::Rng;

/// Most tracks; the rest is left out.
const MAX_TRACKS: usize = 100_000;

/// How deep directories are looked through.
const MAX_DEPTH: usize = 16;

/// The longest playlist that is read, in bytes.
const MAX_PLAYLIST_BYTES: u64 = 16 << 20;

/// Files in a directory with these extensions are tracks; all others are left
/// alone.
const TRACK_EXTENSIONS: [&str; 21] = [
    "mp3", "mp2", "mpga", "aac", "adts", "ogg", "oga", "opus", "spx", "ogv", "flac", "wav", "wave",
    "ts", "mts", "m2t", "webm", "weba", "mkv", "mka", "m4a",
];

/// One file to be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Where it is.
    pub path: PathBuf,
    /// What the playlist calls it; its own tags have precedence.
    pub title: Option<String>,
}

/// Tracks in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playlist {
    /// What it is called: the directory, the playlist, the first file.
    pub name: String,
    /// In the order of playing; never empty.
    pub tracks: Vec<Track>,
    /// Whether to begin again at the end.
    pub repeat: bool,
    /// The seed of the order, if it is to be random: another one each time.
    pub shuffle: Option<u64>,
    /// Lines of a playlist that name no file: one line for people each.
    pub skipped: Vec<String>,
}

/// Why there is nothing to play.
#[derive(Debug)]
pub enum PlaylistError {
    /// A directory without music.
    EmptyDirectory(PathBuf),
    /// A playlist without tracks.
    EmptyPlaylist(PathBuf),
    /// A playlist of the kind that only lists pieces of one stream.
    Segments(PathBuf),
    /// It can't be read.
    Read(PathBuf, std::io::Error),
}

impl fmt::Display for PlaylistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaylistError::EmptyDirectory(path) => write!(
                f,
                "there is no music in {}: put MP3, AAC, Ogg or other sound files there, or give \
                 another directory",
                path.display()
            ),
            PlaylistError::EmptyPlaylist(path) => {
                write!(f, "the playlist {} names no file: add some", path.display())
            }
            PlaylistError::Segments(path) => write!(
                f,
                "{} is an HLS playlist, which is not supported: give a list of music files",
                path.display()
            ),
            PlaylistError::Read(path, error) => {
                write!(f, "{} can't be read ({error}): check the path", path.display())
            }
        }
    }
}

impl std::error::Error for PlaylistError {}

/// Whether `path` stands for several tracks: a directory or an M3U.
pub fn names_several(path: &Path) -> bool {
    path.is_dir() || is_playlist(path)
}

impl Playlist {
    /// The tracks that `paths` stand for, in their order.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] if one of them is a directory or playlist without
    /// any, or can't be read.
    pub fn gather(paths: &[PathBuf]) -> Result<Playlist, PlaylistError> {
        let name = paths.first().map_or(String::new(), |path| {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            title::of_name(&path)
        });
        let (repeat, shuffle) = (false, None);
        let mut playlist = Playlist { name, tracks: Vec::new(), repeat, shuffle, skipped: vec![] };
        for path in paths {
            if path.is_dir() {
                playlist.add_directory(path)?;
            } else if is_playlist(path) {
                playlist.add_playlist(path)?;
            } else {
                playlist.tracks.push(Track { path: path.clone(), title: None });
            }
        }
        playlist.tracks.truncate(MAX_TRACKS);
        Ok(playlist)
    }

    /// The order of the pass with this number: a permutation of all tracks.
    pub(super) fn order(&self, pass: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        if let Some(seed) = self.shuffle {
            let mut rng = Rng::new(seed.wrapping_add(pass));
            for last in (1..order.len()).rev() {
                order.swap(last, rng.below(last as u64 + 1) as usize);
            }
        }
        order
    }

    fn add_directory(&mut self, path: &Path) -> Result<(), PlaylistError> {
        let before = self.tracks.len();
        let mut found = Vec::new();
        walk(path, 0, &mut found).map_err(|error| PlaylistError::Read(path.into(), error))?;
        found.sort_by(|a, b| by_name(a, b));
        self.tracks.extend(found.into_iter().map(|path| Track { path, title: None }));
        if self.tracks.len() == before {
            return Err(PlaylistError::EmptyDirectory(path.into()));
        }
        Ok(())
    }

    fn add_playlist(&mut self, path: &Path) -> Result<(), PlaylistError> {
        let unreadable = |error| PlaylistError::Read(path.into(), error);
        let length = fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_PLAYLIST_BYTES {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            // M3U as opposed to M3U8: Latin-1.
            Err(error) => error.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
        };
        if text.contains("#EXT-X-") {
            return Err(PlaylistError::Segments(path.into()));
        }
        let before = self.tracks.len();
        self.add_lines(&text, path.parent().unwrap_or(Path::new("")));
        if self.tracks.len() == before {
            return Err(PlaylistError::EmptyPlaylist(path.into()));
        }
        Ok(())
    }

    fn add_lines(&mut self, text: &str, folder: &Path) {
        let mut named = None;
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
            if let Some(info) = line.strip_prefix("#EXTINF:") {
                named = info.split_once(',').map(|(_, title)| title::clean(title));
            } else if line.is_empty() || line.starts_with('#') {
            } else if let Some(("http" | "https", _)) = line.split_once("://") {
                named = None;
                self.skipped.push(format!("{line} is left out: a playlist is played from files"));
            } else {
                let title = named.take().filter(|title| !title.is_empty());
                self.tracks.push(Track { path: file_named(line, folder), title });
            }
        }
    }
}

impl fmt::Display for Playlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tracks.len() {
            1 => write!(f, "{}", self.name),
            tracks => write!(f, "{} ({tracks} tracks)", self.name),
        }
    }
}

/// The file that a line of a playlist in `folder` means.
fn file_named(line: &str, folder: &Path) -> PathBuf {
    let line = line.strip_prefix("file://").unwrap_or(line);
    let path = folder.join(line);
    // Written on Windows.
    if !path.exists() && line.contains('\\') {
        return folder.join(line.replace('\\', "/"));
    }
    path
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn is_playlist(path: &Path) -> bool {
    matches!(extension(path).as_str(), "m3u" | "m3u8")
}

/// All tracks in a directory and those below it. What can't be read below the
/// first is passed over.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || found.len() >= MAX_TRACKS {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                let _ = walk(&path, depth + 1, found);
            }
        } else if TRACK_EXTENSIONS.contains(&extension(&path).as_str()) {
            found.push(path);
        }
    }
    Ok(())
}

/// As people sort: part by part, without regard to case, numbers by value.
fn by_name(a: &Path, b: &Path) -> Ordering {
    let parts = |path: &Path| -> Vec<String> {
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (a_parts, b_parts) = (parts(a), parts(b));
    for (left, right) in a_parts.iter().zip(&b_parts) {
        let order = natural(left, right);
        if order != Ordering::Equal {
            return order;
        }
    }
    a_parts.len().cmp(&b_parts.len()).then_with(|| a.cmp(b))
}

fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(left), Some(right)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        let order = if left.is_ascii_digit() && right.is_ascii_digit() {
            let (left, rest_a) = leading_number(a);
            let (right, rest_b) = leading_number(b);
            (a, b) = (rest_a, rest_b);
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        } else {
            (a, b) = (&a[left.len_utf8()..], &b[right.len_utf8()..]);
            left.to_lowercase().cmp(right.to_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits at the start without zeros before them, and the rest.
fn leading_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("p2psp-playlist-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn names(playlist: &Playlist, folder: &Path) -> Vec<String> {
        let name = |track: &Track| {
            track.path.strip_prefix(folder).unwrap_or(&track.path).display().to_string()
        };
        playlist.tracks.iter().map(name).collect()
    }

    #[test]
    fn a_directory_is_played_as_people_sort() {
        let all = ["b/2.mp3", "b/10.mp3", "A/x.ogg", "cover.jpg", ".hidden.mp3", "b/1.MP3"];
        let folder = folder(&all.map(|name| (name, "")));
        let playlist = Playlist::gather(std::slice::from_ref(&folder)).unwrap();
        assert_eq!(names(&playlist, &folder), ["A/x.ogg", "b/1.MP3", "b/2.mp3", "b/10.mp3"]);
        assert_eq!(playlist.name, title::of_name(&folder));
        assert!(names_several(&folder) && !names_several(&folder.join("b/2.mp3")));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_playlist_is_read() {
        let text = "\u{feff}#EXTM3U\r\n#EXTINF:12,A \u{1b}[2J- B\r\nx.mp3\r\n\r\n# no title\n\
                    sub\\y.mp3\nhttp://h/live\nfile:///z.mp3\n";
        let folder = folder(&[("list.m3u8", text), ("sub/y.mp3", ""), ("x.mp3", "")]);
        let playlist = Playlist::gather(&[folder.join("list.m3u8")]).unwrap();
        assert_eq!(names(&playlist, &folder), ["x.mp3", "sub/y.mp3", "/z.mp3"]);
        assert_eq!(playlist.tracks[0].title.as_deref(), Some("A [2J- B"));
        assert_eq!(playlist.tracks[1].title, None);
        assert_eq!(playlist.skipped.len(), 1);
        assert_eq!(playlist.name, "list");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nothing_to_play_is_an_error() {
        let files =
            [("no/cover.jpg", ""), ("e.m3u", "#EXTM3U\n"), ("h.m3u8", "#EXT-X-VERSION:3\nx")];
        let folder = folder(&files);
        let gather = |name: &str| Playlist::gather(&[folder.join(name)]);
        assert!(matches!(gather("no"), Err(PlaylistError::EmptyDirectory(_))));
        assert!(matches!(gather("e.m3u"), Err(PlaylistError::EmptyPlaylist(_))));
        assert!(matches!(gather("h.m3u8"), Err(PlaylistError::Segments(_))));
        assert!(matches!(gather("missing.m3u"), Err(PlaylistError::Read(..))));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_shuffled_order_holds_all_and_is_another_each_time() {
        let tracks = (0..50).map(|n| Track { path: n.to_string().into(), title: None }).collect();
        let (name, skipped) = (String::new(), Vec::new());
        let mut playlist = Playlist { name, tracks, repeat: true, shuffle: None, skipped };
        assert!(playlist.order(3).is_sorted());
        playlist.shuffle = Some(7);
        let (first, second) = (playlist.order(0), playlist.order(1));
        assert_eq!(first, playlist.order(0), "the same seed, the same order");
        assert_ne!(first, second);
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}

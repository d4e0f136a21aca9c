//! What a user writes to name a source.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;

use super::playlist::Playlist;

/// Where the stream comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `http://host:port/mount`: Icecast, VLC, any HTTP server.
    Http(Uri),
    /// A path.
    File(PathBuf),
    /// Several files, a directory, a playlist: one after the other.
    Files(Playlist),
    /// `-`: standard input.
    Stdin,
    /// `music`: a tune made here. A file of that name is `./music`.
    Music,
}

/// Why a text names no source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecError {
    /// Nothing was given.
    Empty,
    /// `https://`.
    Https,
    /// Another scheme.
    Scheme(String),
    /// `http://` with something that is no address behind it.
    Address(String),
    /// `http://user:password@…`.
    Credentials,
}

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<SourceSpec, SpecError> {
        match text {
            "" => return Err(SpecError::Empty),
            "-" => return Ok(SourceSpec::Stdin),
            "music" => return Ok(SourceSpec::Music),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(SourceSpec::File(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => address(rest),
            "https" => Err(SpecError::Https),
            "file" => Ok(SourceSpec::File(PathBuf::from(rest))),
            _ => Err(SpecError::Scheme(scheme.to_owned())),
        }
    }
}

/// The source at `http://` and `rest`.
fn address(rest: &str) -> Result<SourceSpec, SpecError> {
    let text = format!("http://{rest}");
    let uri: Uri = text.parse().map_err(|_| SpecError::Address(text.clone()))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(SpecError::Credentials);
    }
    match uri.host() {
        None | Some("") => Err(SpecError::Address(text)),
        Some(_) => Ok(SourceSpec::Http(uri)),
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Http(uri) => uri.fmt(f),
            SourceSpec::File(path) => path.display().fmt(f),
            SourceSpec::Files(playlist) => playlist.fmt(f),
            SourceSpec::Stdin => f.write_str("-"),
            SourceSpec::Music => f.write_str("music"),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::Empty => f.write_str(
                "no source given: give http://host:port/mount, files, a directory, `-` or `music`",
            ),
            SpecError::Https => f.write_str(
                "https:// is not supported: use the server's http:// address, or pipe the \
                 stream in (curl -s https://… | p2psp-tui splitter --source -)",
            ),
            SpecError::Scheme(scheme) => write!(
                f,
                "{scheme}:// is not supported: give http://host:port/mount, files, a directory, `-` or `music`"
            ),
            SpecError::Address(text) => {
                write!(f, "{text} is no address: it looks like http://host:port/mount")
            }
            SpecError::Credentials => f.write_str(
                "user:password@ is not supported: pipe the stream in \
                 (curl -s http://… | p2psp-tui splitter --source -)",
            ),
        }
    }
}

impl std::error::Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let http = |text: &str| SourceSpec::Http(text.parse().expect("an address"));
        let cases = [
            ("-", Ok(SourceSpec::Stdin)),
            ("music", Ok(SourceSpec::Music)),
            ("./music", Ok(SourceSpec::File("./music".into()))),
            ("a b.mp3", Ok(SourceSpec::File("a b.mp3".into()))),
            ("file:///a.mp3", Ok(SourceSpec::File("/a.mp3".into()))),
            ("http://h:8000/m", Ok(http("http://h:8000/m"))),
            ("HTTP://h", Ok(http("http://h"))),
            ("http://[::1]:8000/m?x=1", Ok(http("http://[::1]:8000/m?x=1"))),
            ("", Err(SpecError::Empty)),
            ("https://h/m", Err(SpecError::Https)),
            ("rtsp://h/m", Err(SpecError::Scheme("rtsp".into()))),
            ("http://", Err(SpecError::Address("http://".into()))),
            ("http://a b/", Err(SpecError::Address("http://a b/".into()))),
            ("http://u:p@h/m", Err(SpecError::Credentials)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<SourceSpec>(), expected, "{text}");
        }
        for text in ["-", "music", "./music", "http://h:8000/m"] {
            let spec: SourceSpec = text.parse().expect("a source");
            assert_eq!(spec.to_string(), text);
        }
    }
}

//! Why a stream does not start: what was wrong and what to do, in one line.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a source can't be opened, or a file not be read on.
#[derive(Debug)]
pub enum SourceError {
    /// The name of the server has no address.
    UnknownHost {
        /// The name.
        host: String,
    },
    /// Nobody listens at the address.
    Refused {
        /// Host and port.
        server: String,
    },
    /// The server can't be reached, or the connection broke.
    Connection {
        /// Host and port.
        server: String,
        /// What the system says.
        error: io::Error,
    },
    /// The server does not answer.
    NoAnswer {
        /// Host and port.
        server: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// What answers does not speak HTTP, or not well.
    NotHttp {
        /// Host and port.
        server: String,
    },
    /// The header block of the answer is too long.
    HeadTooLong {
        /// Host and port.
        server: String,
    },
    /// 404.
    MountMissing {
        /// The mount.
        mount: String,
    },
    /// Another status that is no success.
    Status {
        /// The code.
        status: u16,
        /// What the server calls it.
        reason: String,
    },
    /// One redirect after the other.
    RedirectLoop {
        /// How many were followed.
        followed: usize,
    },
    /// A redirect to `https://`.
    HttpsRedirect,
    /// A redirect to nowhere.
    BadRedirect {
        /// Where to.
        location: String,
    },
    /// A web page or a playlist.
    NotAStream {
        /// Its content type.
        content_type: String,
    },
    /// Connected, but nothing comes.
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The stream ended before its first byte.
    Empty,
    /// No such file.
    FileMissing {
        /// The path.
        path: PathBuf,
    },
    /// Not a file.
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The file (or standard input) can't be read.
    Read {
        /// The path, `-` for standard input.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The media has no clock that is understood.
    NoRate,
    /// No track of a playlist can be played.
    NothingPlayable {
        /// Why the last one can't.
        reason: String,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::UnknownHost { host } => {
                write!(f, "{host} has no address: check the name of the server")
            }
            SourceError::Refused { server } => {
                write!(f, "{server} refuses the connection: check the port, or start the server")
            }
            SourceError::Connection { server, error } => {
                write!(f, "{server} can't be reached ({error}): check address and network")
            }
            SourceError::NoAnswer { server, waited } => write!(
                f,
                "{server} did not answer in {:.0} s: check address and firewall",
                waited.as_secs_f64()
            ),
            SourceError::NotHttp { server } => {
                write!(f, "{server} does not answer in HTTP: check the port")
            }
            SourceError::HeadTooLong { server } => write!(
                f,
                "{server} answers with too long a header block: check that it is a stream server"
            ),
            SourceError::MountMissing { .. }
            | SourceError::Status { .. }
            | SourceError::RedirectLoop { .. }
            | SourceError::HttpsRedirect
            | SourceError::BadRedirect { .. }
            | SourceError::NotAStream { .. } => self.fmt_refusal(f),
            SourceError::Silent { waited } => write!(
                f,
                "nothing came in {:.0} s: check that the source plays",
                waited.as_secs_f64()
            ),
            SourceError::Empty => {
                f.write_str("there is nothing in it: check that the source has something to play")
            }
            SourceError::FileMissing { path } => {
                write!(f, "there is no file {}: check the path", path.display())
            }
            SourceError::IsDirectory { path } => {
                write!(f, "{} is a directory, not a file: check the path", path.display())
            }
            SourceError::Read { path, error } => {
                write!(f, "{} can't be read: {error}", path.display())
            }
            SourceError::NothingPlayable { reason } => {
                write!(f, "none of the files can be played: {reason}")
            }
            SourceError::NoRate => f.write_str(
                "the rate of this media can't be told: give it with --rate KBIT (kbit/s)",
            ),
        }
    }
}

impl SourceError {
    /// What a server answers instead of a stream.
    fn fmt_refusal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::MountMissing { mount } => write!(
                f,
                "mount {mount} is not there (404): check the mount's name or start the source client"
            ),
            SourceError::Status { status: status @ (401 | 403), .. } => write!(
                f,
                "the server does not let us listen ({status}): make the mount public, or pipe the \
                 stream in with `-`"
            ),
            SourceError::Status { status, reason } => write!(
                f,
                "the server answers {status} {reason}: check the address and the server's log"
            ),
            SourceError::RedirectLoop { followed } => write!(
                f,
                "the server redirects without end ({followed} followed): give the final address"
            ),
            SourceError::HttpsRedirect => f.write_str(
                "the server redirects to https://, which is not supported: use another address, \
                 or pipe the stream in with `-`",
            ),
            SourceError::BadRedirect { location } => write!(
                f,
                "the server redirects to {location:?}, which is no address: give the final address"
            ),
            SourceError::NotAStream { content_type } => write!(
                f,
                "the server sends {content_type}, a page or a playlist and no stream: give the \
                 address of the stream itself"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::Connection { error, .. } | SourceError::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

//! The join dialogue on TCP (PROTOCOL.md 3.1 to 3.5), both ends.
//!
//! Everything is bounded: how long a dialogue may take, how long a frame may
//! be, how many dialogues go on at a time. One who connects and says nothing
//! costs a socket until somebody else needs its place.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::LanError;
use p2psp_core::wire::{
    self, Acquaintance, FRAME_LENGTH_BYTES, MAX_FRAME_BYTES, MAX_HEADER_PART_BYTES, Message,
    Refusal, Welcome,
};
use p2psp_core::{Reject, Role, Rules, TeamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long either end waits for a dialogue to be over.
const DIALOGUE_TIME: Duration = Duration::from_secs(5);
/// Dialogues at a time; one more ends the oldest.
const MAX_DIALOGUES: usize = 64;
/// Pause after the kernel had no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Room for a frame with its length.
const FRAME_BUFFER_BYTES: usize = FRAME_LENGTH_BYTES + MAX_FRAME_BYTES;

/// A joiner's request, for the splitter's task.
#[derive(Debug)]
pub(super) struct Request {
    /// Address of the connection, with the team port it named.
    pub endpoint: SocketAddr,
    /// Whether it is on this host.
    pub local: bool,
    /// What it wants to be.
    pub role: Role,
    /// By which rules it will play.
    pub rules: Rules,
    /// The monitor key it knows.
    pub password: Vec<u8>,
    /// For the frames of the answer.
    pub answer: oneshot::Sender<Vec<u8>>,
}

/// What a joiner has learnt.
#[derive(Debug)]
pub struct Joined {
    /// The team.
    pub team: TeamId,
    /// The welcome, without its texts.
    pub welcome: Welcome<'static>,
    /// Where the splitter is.
    pub splitter: SocketAddr,
    /// The list of members.
    pub members: Vec<Acquaintance>,
    /// The stream's header.
    pub header: Vec<u8>,
    /// The stream's content type.
    pub content_type: String,
    /// The stream's name.
    pub name: String,
}

/// Why joining failed.
#[derive(Debug)]
pub enum JoinFailure {
    /// The splitter could not be reached.
    Connect(SocketAddr, io::Error),
    /// The splitter did not finish the dialogue.
    Broken(SocketAddr, io::Error),
    /// The splitter said no.
    Refused(SocketAddr, Refusal),
    /// Something answered that is no splitter of this version.
    NotASplitter(SocketAddr, Reject),
    /// The peer can't play by the rules it was told.
    Lan(LanError),
}

impl JoinFailure {
    /// Whether trying again can help without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, JoinFailure::Refused(_, Refusal::NoStreamYet | Refusal::Stopping))
    }
}

impl std::fmt::Display for JoinFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JoinFailure::Connect(at, error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                write!(f, "nobody listens at {at}: start the splitter there, or check the port")
            }
            JoinFailure::Connect(at, error) => write!(
                f,
                "the splitter at {at} can't be reached ({error}): check address and network"
            ),
            JoinFailure::Broken(at, error) if error.kind() == io::ErrorKind::TimedOut => {
                write!(
                    f,
                    "{at} accepts connections but does not answer as a splitter: check the port"
                )
            }
            JoinFailure::Broken(at, error) => write!(
                f,
                "{at} broke off while joining ({error}): is it a splitter? check the port"
            ),
            JoinFailure::Refused(at, refusal) => {
                write!(f, "the splitter at {at} refuses: {refusal}")
            }
            JoinFailure::NotASplitter(at, Reject::Version) => write!(
                f,
                "{at} does not speak this version of P2PSP: check the port, or use the same release"
            ),
            JoinFailure::Lan(error) => error.fmt(f),
            JoinFailure::NotASplitter(at, _) => {
                write!(f, "{at} does not answer as a splitter should: check the port")
            }
        }
    }
}

impl std::error::Error for JoinFailure {}

// -- the joiner's end --

/// Asks the splitter at `splitter` to join with the team socket at `port`.
///
/// # Errors
///
/// [`JoinFailure`]; one line that says what to do.
pub async fn join(
    splitter: SocketAddr,
    port: u16,
    role: Role,
    rules: Rules,
    password: &[u8],
) -> Result<Joined, JoinFailure> {
    let connected = timeout(DIALOGUE_TIME, TcpStream::connect(splitter)).await;
    let mut stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| JoinFailure::Connect(splitter, error))?;
    let dialogue =
        timeout(DIALOGUE_TIME, ask(&mut stream, splitter, port, role, rules, password)).await;
    dialogue.unwrap_or_else(|_| Err(JoinFailure::Broken(splitter, io::ErrorKind::TimedOut.into())))
}

async fn ask(
    stream: &mut TcpStream,
    splitter: SocketAddr,
    port: u16,
    role: Role,
    rules: Rules,
    password: &[u8],
) -> Result<Joined, JoinFailure> {
    let broken = |error| JoinFailure::Broken(splitter, error);
    let mut buffer = [0; FRAME_BUFFER_BYTES];
    let request = Message::Join { port, role, rules, password };
    let len = wire::frame(TeamId(0), request, &mut buffer)
        .map_err(|_| broken(io::ErrorKind::InvalidInput.into()))?;
    stream.write_all(&buffer[..len]).await.map_err(broken)?;

    let mut joined: Option<Joined> = None;
    loop {
        let frame = read_frame(stream, &mut buffer).await.map_err(broken)?;
        let envelope =
            wire::decode(frame).map_err(|reject| JoinFailure::NotASplitter(splitter, reject))?;
        let unexpected = JoinFailure::NotASplitter(splitter, Reject::Unexpected);
        match (envelope.message, &mut joined) {
            (Message::Refused(refusal), _) => return Err(JoinFailure::Refused(splitter, refusal)),
            (Message::Welcome(welcome), None) => {
                joined = Some(Joined::new(envelope.team, splitter, &welcome));
            }
            (Message::Header { part }, Some(joined))
                if joined.header.len() + part.len() <= joined.welcome.header_bytes as usize =>
            {
                joined.header.extend_from_slice(part);
            }
            (Message::Member(member), Some(joined))
                if joined.members.len() < usize::from(joined.welcome.max_team) =>
            {
                joined.members.push(member);
            }
            (Message::Admitted, Some(done))
                if done.header.len() == done.welcome.header_bytes as usize =>
            {
                return joined.ok_or(unexpected);
            }
            _ => return Err(unexpected),
        }
    }
}

impl Joined {
    fn new(team: TeamId, mut splitter: SocketAddr, welcome: &Welcome<'_>) -> Joined {
        // On the splitter's own host: the team knows this peer by the host's
        // address, so the splitter must hear it from there, too.
        if splitter.ip().is_loopback() && !welcome.you.ip().is_loopback() {
            splitter.set_ip(welcome.you.ip());
        }
        Joined {
            team,
            splitter,
            content_type: welcome.content_type.to_owned(),
            name: welcome.name.to_owned(),
            welcome: Welcome { content_type: "", name: "", ..*welcome },
            members: Vec::new(),
            header: Vec::new(),
        }
    }
}

async fn read_frame<'b>(
    stream: &mut TcpStream,
    buffer: &'b mut [u8; FRAME_BUFFER_BYTES],
) -> io::Result<&'b [u8]> {
    stream.read_exact(&mut buffer[..FRAME_LENGTH_BYTES]).await?;
    let len = usize::from(u16::from_le_bytes([buffer[0], buffer[1]]));
    let body = buffer[FRAME_LENGTH_BYTES..]
        .get_mut(..len)
        .filter(|body| !body.is_empty())
        .ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(body).await?;
    Ok(body)
}

// -- the splitter's end --

/// Answers joiners for ever; each request goes to the splitter's task.
pub(super) async fn serve(listener: TcpListener, requests: mpsc::Sender<Request>) {
    let mut dialogues: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        dialogues.retain(|dialogue| !dialogue.is_finished());
        if dialogues.len() >= MAX_DIALOGUES
            && let Some(oldest) = dialogues.pop_front()
        {
            oldest.abort();
        }
        let requests = requests.clone();
        let dialogue = tokio::spawn(async move {
            let _ = timeout(DIALOGUE_TIME, answer(stream, from, requests)).await;
        });
        dialogues.push_back(dialogue.abort_handle());
    }
}

async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    requests: mpsc::Sender<Request>,
) -> io::Result<()> {
    let mut buffer = [0; FRAME_BUFFER_BYTES];
    let frames = match read_frame(&mut stream, &mut buffer).await {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => refusal(Refusal::BadRequest),
        Err(error) => return Err(error),
        Ok(frame) => match wire::decode(frame).map(|envelope| envelope.message) {
            Ok(Message::Join { port, role, rules, password }) => {
                let (answer, answered) = oneshot::channel();
                let endpoint = SocketAddr::new(from.ip().to_canonical(), port);
                let own = stream.local_addr()?.ip().to_canonical();
                let local = endpoint.ip().is_loopback() || endpoint.ip() == own;
                let request =
                    Request { endpoint, local, role, rules, password: password.to_vec(), answer };
                if requests.send(request).await.is_err() {
                    refusal(Refusal::Stopping)
                } else {
                    answered.await.unwrap_or_else(|_| refusal(Refusal::Stopping))
                }
            }
            Err(Reject::Version) => refusal(Refusal::Version),
            _ => refusal(Refusal::BadRequest),
        },
    };
    stream.write_all(&frames).await?;
    stream.shutdown().await?;
    // Until the joiner has read it all: closing on unread bytes would reset.
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The frames that say no.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let mut frames = Vec::new();
    append(&mut frames, TeamId(0), Message::Refused(refusal));
    frames
}

/// The frames that say yes.
pub(super) fn admission(
    team: TeamId,
    welcome: Welcome<'_>,
    header: &[u8],
    members: impl Iterator<Item = Acquaintance>,
) -> Vec<u8> {
    let mut frames = Vec::new();
    append(&mut frames, team, Message::Welcome(welcome));
    for part in header.chunks(MAX_HEADER_PART_BYTES) {
        append(&mut frames, team, Message::Header { part });
    }
    for member in members {
        append(&mut frames, team, Message::Member(member));
    }
    append(&mut frames, team, Message::Admitted);
    frames
}

fn append(frames: &mut Vec<u8>, team: TeamId, message: Message<'_>) {
    let mut buffer = [0; FRAME_BUFFER_BYTES];
    let written = wire::frame(team, message, &mut buffer);
    debug_assert!(written.is_ok(), "a frame holds every message");
    frames.extend_from_slice(&buffer[..written.unwrap_or(0)]);
}

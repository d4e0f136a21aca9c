//! The wire: one postcard enum for datagrams and for the join dialogue.
//!
//! A datagram is an [`Envelope`]: a version byte, the team's id, the tag of
//! its sender and receiver, and a [`Message`]. On TCP the same bytes follow a
//! length of two bytes, least significant first ([`frame`], [`deframe`]).
//! Integers that many datagrams carry have a fixed width, so that all chunks
//! on one route are equally long and can be sent in one segmented burst.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    ChunkNumber, Departure, Key, NodeId, PlayerStatus, Reject, Role, Rules, Tag, TeamId, title,
};

/// Version of the wire format; the first byte of every datagram and frame.
pub const VERSION: u8 = 3;

/// Longest payload of a chunk, in bytes: with all headers it fits an Ethernet
/// frame on IPv6 too.
pub const MAX_CHUNK_BYTES: usize = 1400;

/// Shortest payload that a splitter may choose, in bytes.
pub const MIN_CHUNK_BYTES: usize = 16;

/// Longest datagram, in bytes.
pub const MAX_DATAGRAM_BYTES: usize = MAX_CHUNK_BYTES + 48;

/// Longest frame of the join dialogue without its length, in bytes.
pub const MAX_FRAME_BYTES: usize = MAX_DATAGRAM_BYTES;

/// Bytes of the length before a frame.
pub const FRAME_LENGTH_BYTES: usize = 2;

/// Longest part of a stream header in one frame, in bytes.
pub const MAX_HEADER_PART_BYTES: usize = 1024;

/// Longest stream header in all, in bytes.
pub const MAX_HEADER_BYTES: u32 = 256 * 1024;

/// Longest content type or stream name in a welcome, in bytes.
pub const MAX_TEXT_BYTES: usize = 255;

/// Largest start-up buffer `B` that a splitter may choose, in chunks.
pub const MAX_BUFFER_CHUNKS: u32 = 1 << 15;

/// Largest team, in members.
pub const MAX_TEAM: u16 = 4096;

/// A datagram or frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<'a> {
    version: u8,
    /// The team it belongs to; zero in a [`Message::Join`].
    pub team: TeamId,
    /// Proof of who sent it; [`Tag::NONE`] on TCP.
    pub tag: Tag,
    /// What it says.
    #[serde(borrow)]
    pub message: Message<'a>,
}

/// What nodes say to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<'a> {
    /// A chunk: number, origin and payload travel together (2.1).
    Chunk {
        /// Its number.
        number: ChunkNumber,
        /// The public endpoint of the peer to which the splitter sent it.
        origin: SocketAddr,
        /// Its bytes.
        #[serde(with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// "I am here" (3.3, 3.6). The splitter answers a member's with its own.
    Hello {
        /// The sender; the addressee, when the splitter says it.
        id: NodeId,
        /// The receiver should say hello, too: the sender heard of it from a
        /// third party only (5.3).
        answer: bool,
        /// By which rules the sender plays.
        rules: Rules,
        /// The sender does not hear the receiver's multicast and asks to be
        /// served by unicast for the next seconds (9, ours).
        unicast: bool,
        /// How the sender's player is doing; to the splitter only (3.7).
        status: Option<PlayerStatus>,
    },
    /// "I leave", or the answer to it (7).
    Goodbye {
        /// The sender; the addressee, when the splitter says it.
        id: NodeId,
        /// Why.
        reason: Departure,
    },
    /// A monitor complains that this chunk never came (8.1).
    Lost {
        /// The missing chunk.
        number: ChunkNumber,
    },
    /// TCP: the joiner's request (3.1).
    Join {
        /// Port of its team socket. The address is that of the connection.
        port: u16,
        /// What it wants to be.
        role: Role,
        /// By which rules it will play.
        rules: Rules,
        /// The splitter's monitor key, of one who wants to be a monitor.
        #[serde(with = "serde_bytes")]
        password: &'a [u8],
    },
    /// TCP: the first answer (3.2).
    #[serde(borrow)]
    Welcome(Welcome<'a>),
    /// TCP: the next part of the stream's header.
    Header {
        /// At most [`MAX_HEADER_PART_BYTES`].
        #[serde(with = "serde_bytes")]
        part: &'a [u8],
    },
    /// TCP: one member of the list.
    Member(Acquaintance),
    /// TCP: the list is complete; say hello.
    Admitted,
    /// TCP: no, and why (3.5).
    Refused(Refusal),
    /// The splitter says what is being played (2.6).
    Title {
        /// The first chunk with anything of it.
        from: ChunkNumber,
        /// At most [`MAX_TEXT_BYTES`], without control characters.
        text: &'a str,
    },
}

/// The constants of a team, for a joiner (3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The joiner's name.
    pub id: NodeId,
    /// The joiner's public endpoint as the splitter sees it.
    pub you: SocketAddr,
    /// The joiner's secret.
    pub key: Key,
    /// What datagrams to the group of a LAN carry (9).
    pub group_tag: Tag,
    /// Length of a chunk, in bytes; the last of a stream may be shorter.
    pub chunk_bytes: u16,
    /// `B`, in chunks.
    pub buffer_chunks: u32,
    /// Most members that the team can have.
    pub max_team: u16,
    /// Length of the stream header that follows, in bytes.
    pub header_bytes: u32,
    /// Content type of the stream.
    pub content_type: &'a str,
    /// Name of the stream; may be empty.
    pub name: &'a str,
}

/// A member of the list that a joiner gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquaintance {
    /// Its name.
    pub id: NodeId,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// By which rules it plays.
    pub rules: Rules,
    /// The tag of the pair.
    pub tag: Tag,
}

/// Why a joiner is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// The splitter speaks another version of the protocol.
    Version,
    /// The team has as many members as it can have.
    TeamFull,
    /// Whoever wants to be a monitor has to know the splitter's monitor key.
    NotTrusted,
    /// The splitter has nothing to send yet: try again in a moment.
    NoStreamYet,
    /// The request made no sense.
    BadRequest,
    /// The splitter is stopping.
    Stopping,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Refusal::Version => "it speaks another version of the protocol; use the same release",
            Refusal::TeamFull => "the team is full; ask for a larger --max-team or join later",
            Refusal::NotTrusted => "a monitor needs the splitter's monitor key: give it by --key",
            Refusal::NoStreamYet => "it has no stream yet; try again in a moment",
            Refusal::BadRequest => "it could not read the request",
            Refusal::Stopping => "it is stopping",
        })
    }
}

/// Writes a message into `buf`; the number of bytes.
///
/// # Errors
///
/// [`Overflow`] if `buf` is too short; [`MAX_DATAGRAM_BYTES`] always do.
pub fn encode(
    team: TeamId,
    tag: Tag,
    message: Message<'_>,
    buf: &mut [u8],
) -> Result<usize, Overflow> {
    let envelope = Envelope { version: VERSION, team, tag, message };
    postcard::to_slice(&envelope, buf).map(|bytes| bytes.len()).map_err(|_| Overflow)
}

/// The buffer given was too short for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Parses a datagram or frame. Past it only legal values exist.
///
/// # Errors
///
/// [`Reject::Version`] or [`Reject::Malformed`].
pub fn decode(bytes: &[u8]) -> Result<Envelope<'_>, Reject> {
    if *bytes.first().ok_or(Reject::Malformed)? != VERSION {
        return Err(Reject::Version);
    }
    let (envelope, rest) =
        postcard::take_from_bytes::<Envelope<'_>>(bytes).map_err(|_| Reject::Malformed)?;
    let legal = match &envelope.message {
        Message::Chunk { payload, .. } => !payload.is_empty() && payload.len() <= MAX_CHUNK_BYTES,
        Message::Header { part } => part.len() <= MAX_HEADER_PART_BYTES,
        Message::Join { port, password, .. } => *port != 0 && password.len() <= MAX_TEXT_BYTES,
        Message::Welcome(welcome) => welcome.is_legal(),
        Message::Title { text, .. } => title::is_legal(text),
        _ => true,
    };
    if legal && rest.is_empty() { Ok(envelope) } else { Err(Reject::Malformed) }
}

/// As [`decode`], but turns away other teams before parsing the rest.
pub(crate) fn decode_for(team: TeamId, bytes: &[u8]) -> Result<Envelope<'_>, Reject> {
    match bytes {
        [VERSION, a, b, c, d, ..] if [*a, *b, *c, *d] != team.0.to_le_bytes() => {
            Err(Reject::OtherTeam)
        }
        _ => decode(bytes),
    }
}

impl Welcome<'_> {
    fn is_legal(&self) -> bool {
        (MIN_CHUNK_BYTES..=MAX_CHUNK_BYTES).contains(&usize::from(self.chunk_bytes))
            && (1..=MAX_BUFFER_CHUNKS).contains(&self.buffer_chunks)
            && (1..=MAX_TEAM).contains(&self.max_team)
            && self.header_bytes <= MAX_HEADER_BYTES
            && self.content_type.len() <= MAX_TEXT_BYTES
            && self.name.len() <= MAX_TEXT_BYTES
    }
}

/// Writes a frame of the join dialogue into `buf`: length and message.
///
/// # Errors
///
/// [`Overflow`] if `buf` is too short; [`MAX_FRAME_BYTES`] and
/// [`FRAME_LENGTH_BYTES`] together always do.
pub fn frame(team: TeamId, message: Message<'_>, buf: &mut [u8]) -> Result<usize, Overflow> {
    let (length, body) = buf.split_at_mut_checked(FRAME_LENGTH_BYTES).ok_or(Overflow)?;
    let len = encode(team, Tag::NONE, message, body)?;
    let short = u16::try_from(len).map_err(|_| Overflow)?;
    length.copy_from_slice(&short.to_le_bytes());
    Ok(FRAME_LENGTH_BYTES + len)
}

/// The body of a frame and what comes after it.
pub type Deframed<'a> = (&'a [u8], &'a [u8]);

/// Takes the first frame off `bytes`; `None` while it is not whole.
///
/// # Errors
///
/// [`Reject::Malformed`] if the frame is empty or longer than
/// [`MAX_FRAME_BYTES`].
pub fn deframe(bytes: &[u8]) -> Result<Option<Deframed<'_>>, Reject> {
    let Some((length, rest)) = bytes.split_first_chunk::<FRAME_LENGTH_BYTES>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_le_bytes(*length));
    if !(1..=MAX_FRAME_BYTES).contains(&len) {
        return Err(Reject::Malformed);
    }
    Ok(rest.split_at_checked(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlayerState;

    const TEAM: TeamId = TeamId(0x0403_0201);
    const ID: NodeId = NodeId { role: Role::Peer, number: 3 };

    fn v4() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 7], 8001))
    }

    fn v6() -> SocketAddr {
        SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, 9], 65535))
    }

    /// The message comes out as these bytes (after version, team and tag) and
    /// the bytes as the message; every shorter piece of it is malformed.
    #[track_caller]
    fn golden(message: Message<'_>, expected: &[u8]) {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let tag = Key::new([1; 16]).splitter_tag();
        let len = encode(TEAM, tag, message, &mut buf).unwrap();
        assert_eq!(buf[..5], [VERSION, 1, 2, 3, 4]);
        assert_eq!(&buf[13..len], expected);
        let envelope = decode(&buf[..len]).unwrap();
        assert_eq!((envelope.team, envelope.tag, envelope.message), (TEAM, tag, message));
        for short in 0..len {
            assert_eq!(decode(&buf[..short]), Err(Reject::Malformed), "cut at {short}");
        }
        assert_eq!(decode(&buf[..len + 1]), Err(Reject::Malformed), "a byte to spare");
        assert_eq!(encode(TEAM, tag, message, &mut [0; 13]), Err(Overflow));
    }

    #[test]
    fn golden_bytes() {
        golden(
            Message::Chunk { number: ChunkNumber::new(0x0a0b), origin: v4(), payload: b"abc" },
            &[0, 0x0b, 0x0a, 0, 0, 0, 10, 0, 0, 7, 0xc1, 0x3e, 3, b'a', b'b', b'c'],
        );
        let (dbs, ims) = (Rules::Dbs, Rules::Ims);
        let hello =
            Message::Hello { id: ID, answer: true, rules: dbs, unicast: false, status: None };
        golden(hello, &[1, 0, 3, 1, 0, 0, 0]);
        let hello =
            Message::Hello { id: ID, answer: false, rules: ims, unicast: true, status: None };
        golden(hello, &[1, 0, 3, 0, 1, 1, 0]);
        let (state, level_ms) = (PlayerState::Playing, 480);
        let status = Some(PlayerStatus { state, level_ms, concealed: 3, underruns: u32::MAX });
        let hello = Message::Hello { id: ID, answer: false, rules: ims, unicast: false, status };
        golden(hello, &[1, 0, 3, 0, 1, 0, 1, 1, 0xe0, 3, 3, 255, 255, 255, 255, 15]);
        golden(Message::Goodbye { id: ID, reason: Departure::Ended }, &[2, 0, 3, 4]);
        golden(Message::Lost { number: ChunkNumber::new(u32::MAX) }, &[3, 255, 255, 255, 255]);
        let role = Role::Monitor;
        let join = Message::Join { port: 9, role, rules: ims, password: b"k" };
        golden(join, &[4, 9, 1, 1, 1, b'k']);
        golden(Message::Header { part: &[7, 8] }, &[6, 2, 7, 8]);
        golden(
            Message::Member(Acquaintance { id: ID, endpoint: v6(), rules: ims, tag: Tag::NONE }),
            &[
                7, 0, 3, 1, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 255, 255, 3, 1,
                0, 0, 0, 0, 0, 0, 0, 0,
            ],
        );
        golden(Message::Admitted, &[8]);
        golden(Message::Refused(Refusal::TeamFull), &[9, 1]);
        let title = Message::Title { from: ChunkNumber::new(0x0a0b), text: "Ä b" };
        golden(title, &[10, 0x0b, 0x0a, 0, 0, 4, 0xc3, 0x84, b' ', b'b']);
    }

    fn welcome() -> Welcome<'static> {
        Welcome {
            id: ID,
            you: v4(),
            key: Key::new([5; 16]),
            group_tag: Tag::NONE,
            chunk_bytes: 1024,
            buffer_chunks: 32,
            max_team: 128,
            header_bytes: 300,
            content_type: "audio/mpeg",
            name: "x",
        }
    }

    #[test]
    fn golden_welcome() {
        let mut expected = [0; 54];
        expected[..10].copy_from_slice(&[5, 0, 3, 0, 10, 0, 0, 7, 0xc1, 0x3e]);
        expected[10..26].fill(5);
        expected[34..41].copy_from_slice(&[0x80, 8, 32, 0x80, 1, 0xac, 2]);
        expected[41] = 10;
        expected[42..52].copy_from_slice(b"audio/mpeg");
        expected[52..].copy_from_slice(&[1, b'x']);
        golden(Message::Welcome(welcome()), &expected);
    }

    #[test]
    fn values_out_of_range_do_not_pass() {
        let long = [b'x'; MAX_TEXT_BYTES + 1];
        let long = core::str::from_utf8(&long).unwrap();
        let w = welcome;
        let bad = [
            Message::Welcome(Welcome { chunk_bytes: 15, ..w() }),
            Message::Welcome(Welcome { chunk_bytes: 1401, ..w() }),
            Message::Welcome(Welcome { buffer_chunks: 0, ..w() }),
            Message::Welcome(Welcome { buffer_chunks: MAX_BUFFER_CHUNKS + 1, ..w() }),
            Message::Welcome(Welcome { max_team: 0, ..w() }),
            Message::Welcome(Welcome { max_team: MAX_TEAM + 1, ..w() }),
            Message::Welcome(Welcome { header_bytes: MAX_HEADER_BYTES + 1, ..w() }),
            Message::Welcome(Welcome { name: long, ..w() }),
            Message::Welcome(Welcome { content_type: long, ..w() }),
            Message::Chunk { number: ChunkNumber::ZERO, origin: v4(), payload: &[] },
            Message::Chunk { number: ChunkNumber::ZERO, origin: v4(), payload: &[0; 1401] },
            Message::Header { part: &[0; MAX_HEADER_PART_BYTES + 1] },
            Message::Join { port: 0, role: Role::Peer, rules: Rules::Dbs, password: &[] },
            Message::Title { from: ChunkNumber::ZERO, text: long },
            Message::Title { from: ChunkNumber::ZERO, text: "\u{1b}[2J" },
            Message::Join {
                port: 1,
                role: Role::Peer,
                rules: Rules::Dbs,
                password: &[0; MAX_TEXT_BYTES + 1],
            },
        ];
        for message in bad {
            let mut buf = [0; 2048];
            let len = encode(TEAM, Tag::NONE, message, &mut buf).unwrap();
            assert_eq!(decode(&buf[..len]), Err(Reject::Malformed), "{message:?}");
        }
    }

    /// Every value of a status is legal but a state that nobody knows.
    #[test]
    fn a_status_is_read_or_the_hello_turned_away() {
        let (state, level_ms) = (PlayerState::Playing, u16::MAX);
        let most = PlayerStatus { state, level_ms, concealed: u32::MAX, underruns: u32::MAX };
        let least =
            PlayerStatus { state: PlayerState::Buffering, level_ms: 0, concealed: 0, underruns: 0 };
        for status in [None, Some(most), Some(least)] {
            let (id, answer, rules, unicast) = (ID, false, Rules::Dbs, false);
            let hello = Message::Hello { id, answer, rules, unicast, status };
            let mut buf = [0; 64];
            let len = encode(TEAM, Tag::NONE, hello, &mut buf).unwrap();
            assert_eq!(decode(&buf[..len]).map(|envelope| envelope.message), Ok(hello));
        }
        let mut bytes = [0; 24];
        bytes[..5].copy_from_slice(&[VERSION, 1, 2, 3, 4]);
        bytes[13..].copy_from_slice(&[1, 0, 3, 0, 0, 0, 1, 1, 5, 0, 0]);
        assert!(decode(&bytes).is_ok());
        for (at, wrong, what) in [(19, 2, "neither none nor one"), (20, 2, "an unknown state")] {
            let mut bytes = bytes;
            bytes[at] = wrong;
            assert_eq!(decode(&bytes), Err(Reject::Malformed), "{what}");
        }
        let mut long = [0; 26];
        long[..21].copy_from_slice(&bytes[..21]);
        long[21..24].copy_from_slice(&[0x80, 0x80, 4]);
        assert_eq!(decode(&long), Err(Reject::Malformed), "a level of 65536");
    }

    #[test]
    fn the_longest_chunk_fits() {
        let message =
            Message::Chunk { number: ChunkNumber::ZERO, origin: v6(), payload: &[9; 1400] };
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        assert!(encode(TEAM, Tag::NONE, message, &mut buf).is_ok());
    }

    #[test]
    fn versions_and_teams_are_told_before_parsing() {
        assert_eq!(decode(&[]), Err(Reject::Malformed));
        assert_eq!(decode(&[VERSION + 1]), Err(Reject::Version));
        assert_eq!(decode(b"GET / HTTP/1.0\r\n"), Err(Reject::Version));
        assert_eq!(decode_for(TEAM, &[VERSION, 9, 9, 9, 9]), Err(Reject::OtherTeam));
        assert_eq!(decode_for(TEAM, &[VERSION, 1, 2, 3, 4]), Err(Reject::Malformed));
        assert_eq!(decode_for(TEAM, &[VERSION, 1]), Err(Reject::Malformed));
    }

    #[test]
    fn frames_come_out_of_a_byte_stream() {
        let mut buf = [0; 64];
        let len = frame(TEAM, Message::Admitted, &mut buf).unwrap();
        assert_eq!(buf[..2], [14, 0]);
        for short in 0..len {
            assert_eq!(deframe(&buf[..short]), Ok(None));
        }
        let (body, rest) = deframe(&buf[..len + 3]).unwrap().unwrap();
        assert_eq!(decode(body).unwrap().message, Message::Admitted);
        assert_eq!(rest.len(), 3);
        assert_eq!(deframe(&[0, 0]), Err(Reject::Malformed), "empty");
        assert_eq!(deframe(&[0xff, 0xff]), Err(Reject::Malformed), "too long");
        assert_eq!(frame(TEAM, Message::Admitted, &mut [0; 1]), Err(Overflow));
    }
}

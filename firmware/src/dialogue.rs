//! The join dialogue on TCP (PROTOCOL.md 3.1 to 3.5), the joiner's end.
//!
//! Bytes of the connection go in as they come; what they say goes into the
//! peer. Nothing is kept but the frame at hand and the beginning of the
//! stream's header.

use core::net::SocketAddr;

use p2psp_core::wire::{self, FRAME_LENGTH_BYTES, MAX_FRAME_BYTES, Message, Refusal, Welcome};
use p2psp_core::{Instant, JoinError, Lan, Peer, Reject, Role, Rules, TeamId};

use crate::stream::{Content, Stream};

/// Room for a frame with its length, or for a datagram.
pub const FRAME_BUFFER_BYTES: usize = FRAME_LENGTH_BYTES + MAX_FRAME_BYTES;

/// The longest request of a peer, in bytes.
pub const REQUEST_BYTES: usize = 40;

/// Why a splitter could not be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failure {
    /// No station that is wanted has answered.
    NoStation,
    /// It could not be reached.
    Unreachable,
    /// It broke off.
    BrokenOff,
    /// It said no.
    Refused(Refusal),
    /// What came is no answer of a splitter of this version.
    NotASplitter(Reject),
    /// The team is too large for this board's memory.
    TooLarge(JoinError),
}

impl Failure {
    /// What a user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Failure::NoStation => {
                "no station of this release answers: start a splitter on this network, or give \
                 its address"
            }
            Failure::Unreachable => "check the splitter's address and the network",
            Failure::BrokenOff => "is it a splitter? check the port",
            Failure::Refused(Refusal::NoStreamYet) => "it has no stream yet",
            Failure::Refused(Refusal::TeamFull) => "the team is full",
            Failure::Refused(Refusal::Version) | Failure::NotASplitter(Reject::Version) => {
                "use the same release on both ends"
            }
            Failure::Refused(_) => "the splitter refuses",
            Failure::NotASplitter(_) => "it does not answer as a splitter should: check the port",
            Failure::TooLarge(JoinError::TableTooSmall) => {
                "start the splitter with a smaller --max-team, or choose more memory"
            }
            Failure::TooLarge(_) => {
                "start the splitter with a smaller --latency or --buffer, or choose more memory"
            }
        }
    }
}

/// One attempt to join.
#[derive(Debug)]
pub struct Dialogue<'f> {
    splitter: SocketAddr,
    /// To play by IMS.
    lan: Option<Lan>,
    frame: &'f mut [u8; FRAME_BUFFER_BYTES],
    filled: usize,
    /// From the welcome on.
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    stream: Stream,
    header_left: u32,
    members_left: u16,
}

impl<'f> Dialogue<'f> {
    /// Before the first byte of the connection to `splitter`; with `lan` the
    /// peer will play by IMS there.
    pub fn new(
        splitter: SocketAddr,
        lan: Option<Lan>,
        frame: &'f mut [u8; FRAME_BUFFER_BYTES],
    ) -> Dialogue<'f> {
        Dialogue { splitter, lan, frame, filled: 0, begun: None }
    }

    /// Writes the request of a peer whose team socket is at `port`.
    pub fn request(&self, port: u16, out: &mut [u8; REQUEST_BYTES]) -> usize {
        let rules = if self.lan.is_some() { Rules::Ims } else { Rules::Dbs };
        let request = Message::Join { port, role: Role::Peer, rules, password: &[] };
        let written = wire::frame(TeamId(0), request, out);
        debug_assert!(written.is_ok(), "a request is short");
        written.unwrap_or(0)
    }

    /// Takes bytes of the connection; the stream, when the peer is admitted to
    /// the team.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the peer is not in the team then.
    pub fn take(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        peer: &mut Peer<'_>,
    ) -> Result<Option<Stream>, Failure> {
        while !bytes.is_empty() {
            let wanted = self.wanted()?;
            let more = wanted.saturating_sub(self.filled).min(bytes.len());
            self.frame[self.filled..self.filled + more].copy_from_slice(&bytes[..more]);
            self.filled += more;
            bytes = &bytes[more..];
            if self.wanted()? == self.filled && self.filled > FRAME_LENGTH_BYTES {
                let filled = core::mem::take(&mut self.filled);
                if let Some(stream) = self.frame_says(now, filled, peer)? {
                    return Ok(Some(stream));
                }
            }
        }
        Ok(None)
    }

    /// How long the frame at hand is with its length, as far as one knows.
    fn wanted(&self) -> Result<usize, Failure> {
        match self.frame[..self.filled].first_chunk::<FRAME_LENGTH_BYTES>() {
            None => Ok(FRAME_LENGTH_BYTES),
            Some(length) => match usize::from(u16::from_le_bytes(*length)) {
                len @ 1..=MAX_FRAME_BYTES => Ok(FRAME_LENGTH_BYTES + len),
                _ => Err(Failure::NotASplitter(Reject::Malformed)),
            },
        }
    }

    fn frame_says(
        &mut self,
        now: Instant,
        filled: usize,
        peer: &mut Peer<'_>,
    ) -> Result<Option<Stream>, Failure> {
        let envelope =
            wire::decode(&self.frame[FRAME_LENGTH_BYTES..filled]).map_err(Failure::NotASplitter)?;
        match (envelope.message, &mut self.begun) {
            (Message::Refused(refusal), _) => Err(Failure::Refused(refusal)),
            (Message::Welcome(welcome), None) => {
                peer.join(now, self.splitter, envelope.team, &welcome)
                    .map_err(Failure::TooLarge)?;
                if let Some(lan) = self.lan {
                    peer.use_lan(lan).map_err(Failure::TooLarge)?;
                }
                self.begun = Some(Begun::new(&welcome));
                Ok(None)
            }
            (Message::Header { part }, Some(begun)) if part.len() <= begun.header_left as usize => {
                begun.header_left -= part.len() as u32;
                begun.stream.append_header(part);
                Ok(None)
            }
            (Message::Member(member), Some(begun)) if begun.members_left > 0 => {
                begun.members_left -= 1;
                // What is wrong with the list is no question of memory.
                peer.add_member(&member).map_err(|error| match error {
                    JoinError::BadList => Failure::NotASplitter(Reject::Unexpected),
                    error => Failure::TooLarge(error),
                })?;
                Ok(None)
            }
            (Message::Admitted, Some(begun)) if begun.header_left == 0 => {
                peer.admitted(now);
                Ok(Some(begun.stream))
            }
            _ => Err(Failure::NotASplitter(Reject::Unexpected)),
        }
    }
}

impl Begun {
    fn new(welcome: &Welcome<'_>) -> Begun {
        let content = Content::of(welcome.content_type);
        Begun {
            stream: Stream::new(content, &[], welcome.header_bytes, welcome.chunk_bytes),
            header_left: welcome.header_bytes,
            members_left: welcome.max_team,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use p2psp_core::wire::Acquaintance;
    use p2psp_core::{Key, NodeId, Phase, Storage, Tag};

    type Memory = Storage<32, 16, 256>;
    const NOW: Instant = Instant::ZERO;
    const TEAM: TeamId = TeamId(9);

    fn splitter() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 8001))
    }

    fn id(number: u32) -> NodeId {
        NodeId { role: Role::Peer, number }
    }

    fn welcome() -> Welcome<'static> {
        Welcome {
            id: id(5),
            you: SocketAddr::from(([10, 0, 0, 5], 4552)),
            key: Key::new([5; 16]),
            group_tag: Tag::NONE,
            chunk_bytes: 256,
            buffer_chunks: 8,
            max_team: 32,
            header_bytes: 7,
            content_type: "audio/mpeg",
            name: "x",
        }
    }

    fn member(last: u8) -> Message<'static> {
        let endpoint = SocketAddr::from(([10, 0, 0, last], 4552));
        let (id, rules) = (id(last.into()), Rules::Dbs);
        Message::Member(Acquaintance { id, endpoint, rules, tag: Tag::NONE })
    }

    fn frames(messages: &[Message<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut frame = [0; FRAME_BUFFER_BYTES];
            let len = wire::frame(TEAM, *message, &mut frame).expect("it fits");
            bytes.extend_from_slice(&frame[..len]);
        }
        bytes
    }

    fn answer() -> Vec<Message<'static>> {
        vec![
            Message::Welcome(welcome()),
            Message::Header { part: b"abc" },
            Message::Header { part: b"defg" },
            member(1),
            member(2),
            Message::Admitted,
        ]
    }

    fn join(
        memory: &mut Memory,
        bytes: &[u8],
        at_a_time: usize,
    ) -> Result<Option<Stream>, Failure> {
        let mut peer = Peer::new(memory.memory());
        let mut frame = [0; FRAME_BUFFER_BYTES];
        let mut dialogue = Dialogue::new(splitter(), None, &mut frame);
        for piece in bytes.chunks(at_a_time) {
            if let Some(stream) = dialogue.take(NOW, piece, &mut peer)? {
                return Ok(Some(stream));
            }
        }
        Ok(None)
    }

    #[test]
    fn an_answer_makes_a_member_however_it_is_cut() {
        for at_a_time in [1, 2, 3, 50, 10_000] {
            let mut memory = Memory::new();
            let stream = join(&mut memory, &frames(&answer()), at_a_time);
            let expected = Stream::new(Content::Mp3, b"abcdefg", 7, 256);
            assert_eq!(stream, Ok(Some(expected)));
            let peer = Peer::new(memory.memory());
            assert_eq!((peer.phase(), peer.id(), peer.team()), (Phase::Member, id(5), TEAM));
            assert_eq!(peer.neighbours().count(), 2);
        }
    }

    #[test]
    fn wrong_answers_are_told_apart() {
        let unexpected = Failure::NotASplitter(Reject::Unexpected);
        let refused = Message::Refused(Refusal::TeamFull);
        let long = Message::Header { part: b"12345678" };
        let large = Message::Welcome(Welcome { max_team: 33, ..welcome() });
        let deep = Message::Welcome(Welcome { buffer_chunks: 9, ..welcome() });
        let begin = Message::Welcome(welcome());
        let cases: [(&[Message<'_>], Failure); 9] = [
            (&[refused], Failure::Refused(Refusal::TeamFull)),
            (&[begin, refused], Failure::Refused(Refusal::TeamFull)),
            (&[Message::Admitted], unexpected),
            (&[begin, Message::Admitted], unexpected),
            (&[begin, long], unexpected),
            (&[begin, begin], unexpected),
            (&[begin, member(1), member(1)], unexpected),
            (&[large], Failure::TooLarge(JoinError::TableTooSmall)),
            (&[deep], Failure::TooLarge(JoinError::BufferTooSmall)),
        ];
        for (messages, expected) in cases {
            assert_eq!(join(&mut Memory::new(), &frames(messages), 7), Err(expected));
            assert!(!expected.advice().is_empty());
        }
        for bytes in [&b"\0\0"[..], b"\xff\xff", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let failure = join(&mut Memory::new(), bytes, 5).expect_err("no splitter");
            assert_eq!(failure, Failure::NotASplitter(Reject::Malformed));
        }
        let old = join(&mut Memory::new(), &[2, 0, 0, 0], 9);
        assert_eq!(old, Err(Failure::NotASplitter(Reject::Version)));
    }

    #[test]
    fn mutated_answers_do_no_harm() {
        let whole = frames(&answer());
        let mut random = testing::random(7);
        let (mut failed, mut joined) = (0, 0);
        let mut memory = Memory::new();
        for _ in 0..10_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            match join(&mut memory, &bytes, 1 + random(300)) {
                Ok(stream) => joined += u32::from(stream.is_some()),
                Err(_) => failed += 1,
            }
        }
        assert!(failed > 3_000 && joined > 300, "{failed} failed, {joined} joined");
        // After all that, a good answer is as good as ever.
        assert!(join(&mut memory, &whole, 100).is_ok_and(|stream| stream.is_some()));
    }

    #[test]
    fn requests_say_by_which_rules_the_board_plays() {
        let address = [10, 0, 0, 5].into();
        let lan = Lan { address, prefix: 24, group: Lan::DEFAULT_GROUP };
        for (lan, rules) in [(None, Rules::Dbs), (Some(lan), Rules::Ims)] {
            let (mut frame, mut request) = ([0; FRAME_BUFFER_BYTES], [0; REQUEST_BYTES]);
            let dialogue = Dialogue::new(splitter(), lan, &mut frame);
            let len = dialogue.request(65_535, &mut request);
            let (frame, rest) = wire::deframe(&request[..len]).expect("legal").expect("whole");
            let expected = Message::Join { port: 65_535, role: Role::Peer, rules, password: &[] };
            assert_eq!(wire::decode(frame).map(|envelope| envelope.message), Ok(expected));
            assert_eq!(rest, b"");
        }
    }

    #[test]
    fn a_board_of_a_lan_serves_its_group() {
        let address = [10, 0, 0, 5].into();
        let lan = Lan { address, prefix: 24, group: Lan::DEFAULT_GROUP };
        let mut memory = Memory::new();
        let mut peer = Peer::new(memory.memory());
        let mut frame = [0; FRAME_BUFFER_BYTES];
        let mut dialogue = Dialogue::new(splitter(), Some(lan), &mut frame);
        let bytes = frames(&answer());
        let begin = Welcome { max_team: 31, ..welcome() };
        let taken = dialogue.take(NOW, &frames(&[Message::Welcome(begin)]), &mut peer);
        assert_eq!(taken, Ok(None));
        assert_eq!(peer.lan(), Some(&lan));
        // The group needs a place besides the team.
        let mut dialogue = Dialogue::new(splitter(), Some(lan), &mut frame);
        let full = Failure::TooLarge(JoinError::TableTooSmall);
        assert_eq!(dialogue.take(NOW, &bytes, &mut peer), Err(full));
    }
}

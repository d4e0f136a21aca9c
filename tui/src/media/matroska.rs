//! Matroska and WebM (RFC 9559, 8794): a tree of elements, each with an id
//! and a length that may be unknown.
//!
//! A joiner needs everything before the first Cluster (PROTOCOL.md 2.4), then
//! any Cluster. The walk is flat: it enters the elements that matter and
//! passes over all others, so that known and unknown lengths are all the same.

use super::clock::StampClock;
use super::window::{Header, Marks, Window};

/// Bytes that show what an element is: its header (an id of up to 4 bytes and
/// a length of up to 8) and the first of its content, which may be the header
/// of a child.
const LOOK_BYTES: usize = 24;

/// Nanoseconds of a tick unless the stream says otherwise.
const DEFAULT_SCALE_NS: u64 = 1_000_000;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const SCALE: u32 = 0x2a_d7b1;
pub(super) const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const SIMPLE_BLOCK: u32 = 0xa3;

/// Ids that a Cluster may begin with: Timestamp, PrevSize, Position, CRC-32,
/// Void.
const FIRST_IN_CLUSTER: [u32; 5] = [TIMESTAMP, 0xab, 0xa7, 0xbf, 0xec];

/// Follows elements.
#[derive(Debug)]
pub(super) struct Matroska {
    synced: bool,
    header: Header,
    capturing: bool,
    scale_ns: u64,
    clock: StampClock,
    cluster: Option<Cluster>,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    offset: u64,
    /// Offset of its end if its length is known.
    end: Option<u64>,
    /// Timestamp in ticks, once it has come.
    ticks: Option<i64>,
}

/// The header of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Element {
    id: u32,
    header_bytes: usize,
    /// `None`: unknown.
    length: Option<u64>,
}

impl Matroska {
    /// Before the first byte.
    pub(super) fn new() -> Matroska {
        Matroska {
            synced: true,
            header: Header::awaited(),
            capturing: false,
            scale_ns: DEFAULT_SCALE_NS,
            clock: StampClock::default(),
            cluster: None,
        }
    }

    /// In mid-stream, with everything before the first Cluster (or nothing).
    pub(super) fn resume(header: &[u8]) -> Matroska {
        let mut matroska = Matroska::new();
        let mut window = Window::new(0);
        // The last elements are seen only with something behind them.
        for piece in [header, &[0; LOOK_BYTES]] {
            let mut rest = piece;
            while !rest.is_empty() {
                rest = window.feed(rest);
                if !window.skipping() {
                    matroska.run(&mut window, &mut Marks::default());
                }
            }
        }
        matroska.capturing = false;
        matroska.synced = false;
        matroska.header = Header::known(header.to_vec());
        matroska
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self) {
        self.synced = false;
        self.capturing = false;
        self.cluster = None;
    }

    /// The header is too long.
    pub(super) fn give_header_up(&mut self) {
        self.capturing = false;
        self.header = Header::given_up();
    }

    /// Everything before the first Cluster.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() {
            if window.ahead().len() < LOOK_BYTES {
                return;
            }
            if self.synced {
                self.element(window, marks);
            } else {
                self.search(window);
            }
        }
    }

    /// One element further.
    fn element(&mut self, window: &mut Window, marks: &mut Marks) {
        let ahead = window.ahead();
        let Some(element) = Element::parse(ahead) else {
            self.synced = false;
            return;
        };
        if !self.fits(element, window.offset()) {
            self.synced = false;
            return window.consume(1);
        }
        let content = &ahead[element.header_bytes..];
        let enter = match element.id {
            EBML => {
                self.begin_document(window);
                false
            }
            CLUSTER => {
                self.begin_cluster(element, window, marks);
                true
            }
            SEGMENT | INFO | BLOCK_GROUP => true,
            SCALE => {
                self.scale_ns = unsigned(content, element.length)
                    .filter(|&scale| scale > 0)
                    .unwrap_or(DEFAULT_SCALE_NS);
                false
            }
            TIMESTAMP => {
                self.timestamp(unsigned(content, element.length), marks);
                false
            }
            SIMPLE_BLOCK | BLOCK => {
                self.block(window.offset(), content, marks);
                false
            }
            _ => false,
        };
        let content_bytes = match (enter, element.length) {
            (true, _) => 0,
            (false, Some(length)) => length,
            (false, None) => {
                // Only elements that are entered may have an unknown length.
                self.synced = false;
                return window.consume(1);
            }
        };
        window.consume(element.header_bytes as u64 + content_bytes);
    }

    /// Whether `element` at `offset` ends where its Cluster ends or before;
    /// otherwise a length is damaged.
    fn fits(&self, element: Element, offset: u64) -> bool {
        let cluster_end = self.cluster.and_then(|cluster| cluster.end);
        let end = offset.saturating_add(element.length.unwrap_or(0));
        match cluster_end {
            Some(cluster_end) if offset < cluster_end => end < cluster_end,
            _ => true,
        }
    }

    /// A document begins: also in mid-stream, when the source starts anew.
    fn begin_document(&mut self, window: &mut Window) {
        window.open_tap();
        self.capturing = true;
        self.scale_ns = DEFAULT_SCALE_NS;
        self.cluster = None;
        self.clock.splice();
    }

    fn begin_cluster(&mut self, element: Element, window: &mut Window, marks: &mut Marks) {
        if self.capturing {
            self.capturing = false;
            self.header = window.close_tap();
        } else if !self.header.complete() {
            // Joined in mid-stream: there will be no header.
            self.header = Header::known(Vec::new());
        }
        let offset = window.offset();
        marks.start(offset);
        self.cluster = Some(Cluster {
            offset,
            end: element.length.map(|length| {
                let content = offset.saturating_add(element.header_bytes as u64);
                content.saturating_add(length)
            }),
            ticks: None,
        });
    }

    fn timestamp(&mut self, ticks: Option<u64>, marks: &mut Marks) {
        let (Some(cluster), Some(ticks)) = (&mut self.cluster, ticks) else {
            return;
        };
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
        cluster.ticks = Some(ticks);
        let offset = cluster.offset;
        self.stamp(offset, ticks, marks);
    }

    /// A block tells its time relative to its Cluster's, after the number of
    /// its track.
    fn block(&mut self, offset: u64, content: &[u8], marks: &mut Marks) {
        let Some(ticks) = self.cluster.and_then(|cluster| cluster.ticks) else {
            return;
        };
        let track_bytes = content.first().map_or(0, |b| b.leading_zeros() as usize + 1);
        if let Some(relative) = content.get(track_bytes..track_bytes + 2) {
            let relative = i16::from_be_bytes([relative[0], relative[1]]);
            self.stamp(offset, ticks.saturating_add(i64::from(relative)), marks);
        }
    }

    fn stamp(&mut self, offset: u64, ticks: i64, marks: &mut Marks) {
        let at_us = i128::from(ticks) * i128::from(self.scale_ns) / 1000;
        let at_us = i64::try_from(at_us).unwrap_or(i64::MAX);
        if let Some(micros) = self.clock.at(at_us) {
            marks.time(offset, micros);
        }
    }

    /// Looks for a Cluster, or for another document.
    fn search(&mut self, window: &mut Window) {
        let ahead = window.ahead();
        if starts_document(ahead) || starts_cluster(ahead) {
            self.synced = true;
            return;
        }
        let next = ahead[1..].iter().position(|&byte| byte == 0x1f || byte == 0x1a);
        let step = next.map_or(ahead.len(), |next| next + 1);
        window.consume(step as u64);
    }
}

impl Element {
    /// The element whose header `bytes` begins with; `None` if it is none.
    fn parse(bytes: &[u8]) -> Option<Element> {
        let id_bytes = bytes.first()?.leading_zeros() as usize + 1;
        if id_bytes > 4 {
            return None;
        }
        let id = bytes.get(..id_bytes)?.iter().fold(0, |id, &b| id << 8 | u32::from(b));
        let first = *bytes.get(id_bytes)?;
        let length_bytes = first.leading_zeros() as usize + 1;
        if length_bytes > 8 {
            return None;
        }
        let field = bytes.get(id_bytes..id_bytes + length_bytes)?;
        let ones = (1u64 << (7 * length_bytes)) - 1;
        let length = field.iter().fold(0, |length, &b| length << 8 | u64::from(b)) & ones;
        Some(Element {
            id,
            header_bytes: id_bytes + length_bytes,
            length: (length != ones).then_some(length),
        })
    }
}

/// Whether a document begins here.
fn starts_document(bytes: &[u8]) -> bool {
    bytes.starts_with(&EBML.to_be_bytes())
        && Element::parse(bytes).is_some_and(|ebml| ebml.length.is_some_and(|length| length < 256))
}

/// Whether a Cluster begins here, with a child that it may begin with.
fn starts_cluster(bytes: &[u8]) -> bool {
    let Some(cluster) = Element::parse(bytes).filter(|element| element.id == CLUSTER) else {
        return false;
    };
    bytes.get(cluster.header_bytes..).and_then(Element::parse).is_some_and(|child| {
        let small = child.length.is_some_and(|length| length <= 8 || child.id == 0xec);
        FIRST_IN_CLUSTER.contains(&child.id) && small
    })
}

/// An unsigned integer of `length` bytes at the start of `content`.
fn unsigned(content: &[u8], length: Option<u64>) -> Option<u64> {
    let length = usize::try_from(length?).ok().filter(|&length| length <= 8)?;
    Some(content.get(..length)?.iter().fold(0, |value, &b| value << 8 | u64::from(b)))
}

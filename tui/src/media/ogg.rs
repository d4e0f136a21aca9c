//! Ogg (RFC 3533): pages, chains of logical streams, and their header pages.
//!
//! A player that joins in mid-stream needs the header pages of every logical
//! stream of the current chain (PROTOCOL.md 2.4), then any page that begins
//! with a new packet. Sound carries the clock (granule positions count its
//! samples); streams of video alone have none.

use super::clock::{StampClock, micros};
use super::window::{Header, Marks, Window};
use super::{MAX_HEADER_BYTES, ogg_codec};

use ogg_codec::{Codec, Headers};

/// Length of a page header without its lacing table.
const PAGE_HEADER_BYTES: usize = 27;

/// Logical streams of a chain that are told apart; further ones are ignored.
const MAX_STREAMS: usize = 32;

/// A first granule position within this is the end of a first page that
/// started at zero; beyond, the stream was joined in mid-stream.
const MAX_FIRST_PAGE_US: u64 = 4_000_000;

const FLAG_CONTINUED: u8 = 1;
const FLAG_FIRST: u8 = 2;
const FLAG_LAST: u8 = 4;

/// Follows the pages of a physical stream.
#[derive(Debug)]
pub(super) struct Ogg {
    synced: bool,
    /// The chain that `header` belongs to.
    current: Option<Chain>,
    /// The chain whose header pages are coming in.
    collecting: Option<Chain>,
    header: Header,
    clock: StampClock,
    /// No data page of this chain has gone by, seen or missed.
    fresh: bool,
    /// Media time at the end of the page that is being passed over.
    pending_micros: Option<u64>,
}

/// The logical streams between two changes of chain.
#[derive(Debug, Default)]
struct Chain {
    pages: Vec<u8>,
    overflow: bool,
    /// First pages of streams come before all other pages of a chain.
    only_first_pages: bool,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    serial: u32,
    codec: Codec,
    headers: Headers,
}

/// What a page header says.
#[derive(Debug, Clone, Copy)]
struct Page {
    flags: u8,
    granule: i64,
    serial: u32,
    header_bytes: usize,
    body_bytes: usize,
    /// Packets that end on this page.
    packets: u32,
}

impl Ogg {
    /// Before the first page.
    pub(super) fn new() -> Ogg {
        Ogg {
            synced: false,
            current: None,
            collecting: None,
            header: Header::awaited(),
            clock: StampClock::default(),
            fresh: false,
            pending_micros: None,
        }
    }

    /// In mid-stream, with the header pages of the chain (or none).
    pub(super) fn resume(header: &[u8]) -> Ogg {
        let mut ogg = Ogg::new();
        let mut window = Window::new(0);
        let mut rest = header;
        while !rest.is_empty() {
            rest = window.feed(rest);
            if !window.skipping() {
                ogg.run(&mut window, &mut Marks::default());
            }
        }
        ogg.synced = false;
        ogg.collecting = None;
        ogg.fresh = false;
        ogg.header = Header::known(header.to_vec());
        ogg
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self) {
        self.synced = false;
        self.fresh = false;
        self.pending_micros = None;
        self.collecting = None;
    }

    /// The header pages of the current chain.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() {
            if let Some(micros) = self.pending_micros.take() {
                marks.time(window.offset(), micros);
            }
            let ahead = window.ahead();
            if ahead.len() < PAGE_HEADER_BYTES {
                return;
            }
            if !plausible(ahead) {
                self.synced = false;
                window.consume(distance_to_capture(ahead) as u64);
                continue;
            }
            let Some(page) = Page::parse(ahead) else {
                return;
            };
            self.synced = true;
            let whole = page.header_bytes + page.body_bytes;
            if (self.collecting.is_some() || page.is_first()) && ahead.len() < whole {
                return;
            }
            self.page(page, window.offset(), ahead, marks);
            window.consume(whole as u64);
        }
    }

    /// Takes one page; `bytes` begins with it, and holds all of it if it may
    /// be a header page.
    fn page(&mut self, page: Page, offset: u64, bytes: &[u8], marks: &mut Marks) {
        if page.is_first() {
            let body = &bytes[page.header_bytes..page.header_bytes + page.body_bytes];
            self.begin_stream(page, body);
        }
        let was_header = match &mut self.collecting {
            Some(chain) => {
                let whole = &bytes[..page.header_bytes + page.body_bytes];
                let was_header = chain.take(page, whole);
                if chain.headers_complete() {
                    self.adopt();
                }
                was_header
            }
            None => false,
        };
        if !was_header && self.collecting.is_none() {
            self.data_page(page, offset, marks);
        }
    }

    /// The first page of a logical stream: of a new chain, unless that chain
    /// has only just begun.
    fn begin_stream(&mut self, page: Page, body: &[u8]) {
        let chain = match &mut self.collecting {
            Some(chain) if chain.only_first_pages => chain,
            _ => self.collecting.insert(Chain { only_first_pages: true, ..Chain::default() }),
        };
        if chain.streams.len() < MAX_STREAMS {
            let (codec, headers) = ogg_codec::identify(body);
            chain.streams.push(Stream { serial: page.serial, codec, headers });
        }
    }

    /// All header pages of the new chain are there: it is the current one.
    fn adopt(&mut self) {
        let Some(mut chain) = self.collecting.take() else {
            return;
        };
        let pages = std::mem::take(&mut chain.pages);
        self.header = if chain.overflow { Header::given_up() } else { Header::known(pages) };
        self.clock.splice();
        self.fresh = true;
        self.current = Some(chain);
    }

    fn data_page(&mut self, page: Page, offset: u64, marks: &mut Marks) {
        // Without its headers nobody can start with a stream: neither with
        // one of a chain whose header pages were missed, nor with a page that
        // looks like a header page (granule position 0).
        let startable = match &self.current {
            Some(chain) => chain.stream(page.serial).is_some(),
            None => page.granule != 0,
        };
        if startable && page.flags & FLAG_CONTINUED == 0 {
            marks.start(offset);
        }
        if let Some(chain) = &self.current
            && let Some(stream) = chain.clock_stream()
            && stream.serial == page.serial
            && let Ok(granule) = u64::try_from(page.granule)
        {
            let played = granule.saturating_sub(u64::from(stream.codec.pre_skip));
            let at_us = micros(played, stream.codec.rate);
            if std::mem::take(&mut self.fresh) && at_us <= MAX_FIRST_PAGE_US {
                marks.time(offset, self.clock.splice_at(0));
            }
            let at_us = i64::try_from(at_us).unwrap_or(i64::MAX);
            self.pending_micros = self.clock.at(at_us);
        }
    }
}

impl Chain {
    fn stream(&self, serial: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.serial == serial)
    }

    /// The stream whose granule positions are the clock.
    fn clock_stream(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.codec.rate > 0)
    }

    fn headers_complete(&self) -> bool {
        let done = |stream: &Stream| stream.headers == Headers::Packets(0);
        !self.streams.is_empty() && self.streams.iter().all(done)
    }

    /// Keeps `whole` if it is a header page of this chain.
    fn take(&mut self, page: Page, whole: &[u8]) -> bool {
        if !page.is_first() {
            self.only_first_pages = false;
        }
        let data = page.granule > 0;
        let Some(index) = self.streams.iter().position(|s| s.serial == page.serial) else {
            return false;
        };
        let headers = self.streams[index].headers;
        let is_header = match headers {
            Headers::Packets(left) => left > 0,
            Headers::UntilData => !data,
        };
        if data && !is_header {
            // No header page comes after the first data page (RFC 3533, 4).
            for stream in &mut self.streams {
                if stream.headers == Headers::UntilData {
                    stream.headers = Headers::Packets(0);
                }
            }
        }
        if !is_header {
            return false;
        }
        let over = page.flags & FLAG_LAST != 0;
        self.streams[index].headers = match headers {
            _ if over => Headers::Packets(0),
            Headers::Packets(left) => Headers::Packets(left.saturating_sub(page.packets)),
            Headers::UntilData => Headers::UntilData,
        };
        self.keep(whole);
        true
    }

    fn keep(&mut self, page: &[u8]) {
        if self.pages.len() + page.len() > MAX_HEADER_BYTES {
            // Given up: whatever else was awaited is not awaited any more.
            self.overflow = true;
            self.pages = Vec::new();
            for stream in &mut self.streams {
                stream.headers = Headers::Packets(0);
            }
        } else {
            self.pages.extend_from_slice(page);
        }
    }
}

impl Page {
    /// The page that `bytes` begins with; `None` until its lacing table is
    /// there. `bytes` is [`plausible`].
    fn parse(bytes: &[u8]) -> Option<Page> {
        let segments = usize::from(*bytes.get(26)?);
        let header_bytes = PAGE_HEADER_BYTES + segments;
        let lacing = bytes.get(PAGE_HEADER_BYTES..header_bytes)?;
        Some(Page {
            flags: bytes[5],
            granule: i64::from_le_bytes(bytes.get(6..14)?.try_into().ok()?),
            serial: u32::from_le_bytes(bytes.get(14..18)?.try_into().ok()?),
            header_bytes,
            body_bytes: lacing.iter().map(|&lace| usize::from(lace)).sum(),
            packets: lacing.iter().map(|&lace| u32::from(lace < 255)).sum(),
        })
    }

    fn is_first(&self) -> bool {
        self.flags & FLAG_FIRST != 0
    }
}

/// Whether a page can begin here: capture pattern, version, legal flags.
fn plausible(bytes: &[u8]) -> bool {
    bytes.starts_with(b"OggS\0") && bytes.get(5).is_some_and(|flags| flags & 0xf8 == 0)
}

/// How far the next place is where a page may begin; at least 1.
fn distance_to_capture(bytes: &[u8]) -> usize {
    let next = bytes[1..].iter().position(|&byte| byte == b'O');
    next.map_or(bytes.len(), |next| next + 1)
}

//! The tables of a member as the published figures show them: `F` (forward),
//! `P` (pending) and the buffer; and what a move has changed in them.

use std::fmt;

use p2psp_core::ChunkNumber;

use super::lans::node_at;
use super::{GROUP, Lab, Member, Name};

/// A member's tables at one moment. Members are named by their index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// `F`: for each origin who gets its chunks.
    pub forward: Vec<(u16, Vec<u16>)>,
    /// `P`: for each neighbour the chunks that it waits for.
    pub pending: Vec<(u16, Vec<ChunkNumber>)>,
    /// The chunks stored and not yet played, oldest first, with their origins.
    pub buffer: Vec<(ChunkNumber, Option<u16>)>,
    /// The slots: the chunk in each, played or not.
    pub slots: Vec<Option<ChunkNumber>>,
    /// The chunk whose turn to be played is next.
    pub cursor: Option<ChunkNumber>,
    /// Whether it plays.
    pub playing: bool,
}

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `F`
    Forward,
    /// `P`
    Pending,
    /// The buffer.
    Buffer,
}

/// What has changed in one table of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The member.
    pub member: u16,
    /// The table.
    pub table: Table,
    /// What, in the notation of the figures.
    pub what: String,
}

impl Tables {
    /// The tables of a member; empty ones if it is not there.
    pub fn of(member: &Member) -> Tables {
        let Some(mut storage) = member.storage.clone() else { return Tables::default() };
        let peer = storage.peer();
        let (me, group) = (peer.endpoint().map(node_at), peer.group_place());
        let neighbours: Vec<(usize, u16)> =
            peer.neighbours().map(|one| (one.place, node_at(one.endpoint))).collect();
        let node = |place: usize| {
            let found = neighbours.binary_search_by_key(&place, |(place, _)| *place).ok();
            match found {
                Some(found) => Some(neighbours[found].1),
                None if group == Some(place) => Some(GROUP),
                None if place == 0 => me,
                None => None,
            }
        };
        let buffer = peer.buffer();
        let slots: Vec<Option<(ChunkNumber, Option<usize>)>> =
            peer.slots().take(2 * buffer.chunks as usize).collect();
        let waits = |number: ChunkNumber| {
            buffer.cursor.is_some_and(|cursor| cursor.distance_to(number) >= 0)
        };
        let mut stored: Vec<(ChunkNumber, Option<u16>)> = slots
            .iter()
            .flatten()
            .filter(|(number, _)| waits(*number))
            .map(|(number, origin)| (*number, origin.and_then(node)))
            .collect();
        let first = buffer.cursor.unwrap_or(ChunkNumber::ZERO);
        stored.sort_by_key(|(number, _)| first.distance_to(*number));
        Tables {
            forward: peer
                .forward()
                .filter_map(|(origin, to)| Some((node(origin)?, to.filter_map(node).collect())))
                .collect(),
            pending: peer
                .pending()
                .filter_map(|(to, chunks)| Some((node(to)?, chunks.collect())))
                .collect(),
            buffer: stored,
            slots: slots.into_iter().map(|slot| slot.map(|(number, _)| number)).collect(),
            cursor: buffer.cursor,
            playing: buffer.playing,
        }
    }

    /// `{M0: [P1, P2]}`
    pub fn show_forward(&self, lab: &Lab) -> String {
        let rows = self.forward.iter().map(|(origin, to)| row(lab, *origin, names(lab, to)));
        set(rows)
    }

    /// `{M0: 3 4}`
    pub fn show_pending(&self, lab: &Lab) -> String {
        set(self.pending.iter().map(|(to, chunks)| row(lab, *to, numbers(chunks))))
    }

    /// `[2 3 . 5]`: from the next one to be played to the highest, dots for
    /// chunks that have not come.
    pub fn show_buffer(&self) -> String {
        let mut text = String::from("[");
        let mut next = self.buffer.first().map(|(number, _)| *number);
        if let (true, Some(cursor)) = (self.playing, self.cursor) {
            next = next.map(|_| cursor);
        }
        for (number, _) in &self.buffer {
            while next.is_some_and(|next| next.is_before(*number)) {
                text.push_str(". ");
                next = next.map(|next| next.next());
            }
            text.push_str(&number.to_string());
            text.push(' ');
            next = Some(number.next());
        }
        if text.ends_with(' ') {
            text.pop();
        }
        text + "]"
    }

    /// What is different from before.
    pub fn changes_since(&self, before: &Tables, lab: &Lab, member: u16) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut note = |table, what| changes.push(Change { member, table, what });
        let name = |node: u16| lab.name(node).to_string();
        for what in differences(&before.forward, &self.forward, lab, name) {
            note(Table::Forward, what);
        }
        let number = |chunk: ChunkNumber| chunk.to_string();
        for what in differences(&before.pending, &self.pending, lab, number) {
            note(Table::Pending, what);
        }
        let difference = |one: &Tables, other: &Tables| {
            let left = one.buffer.iter().filter(|here| !other.buffer.contains(here));
            left.map(|(number, _)| *number).collect::<Vec<_>>()
        };
        let (came, went) = (difference(self, before), difference(before, self));
        let gone = self.slots.is_empty();
        let parts = [(" + ", came), (if gone { " - " } else { " plays " }, went)];
        let parts = parts.into_iter().filter(|(_, chunks)| !chunks.is_empty());
        let parts: Vec<String> =
            parts.map(|(sign, chunks)| format!("{sign}{}", numbers(&chunks))).collect();
        if !parts.is_empty() {
            note(Table::Buffer, parts.join(","));
        }
        changes
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::Forward => "F",
            Table::Pending => "P",
            Table::Buffer => "B",
        })
    }
}

/// `[M0] + P2`: what each row has more and less than before; rows with the same
/// difference together.
fn differences<T: PartialEq + Copy>(
    before: &[(u16, Vec<T>)],
    after: &[(u16, Vec<T>)],
    lab: &Lab,
    show: impl Fn(T) -> String,
) -> Vec<String> {
    let row = |rows: &[(u16, Vec<T>)], key: u16| {
        rows.iter().find(|(one, _)| *one == key).map_or(Vec::new(), |(_, row)| row.clone())
    };
    let gone = before.iter().filter(|(key, _)| after.iter().all(|(one, _)| one != key));
    let mut groups: Vec<(String, Vec<u16>)> = Vec::new();
    for key in after.iter().chain(gone).map(|(key, _)| *key) {
        let (old, new) = (row(before, key), row(after, key));
        let more = new.iter().filter(|one| !old.contains(one)).map(|one| ("+ ", *one));
        let less = old.iter().filter(|one| !new.contains(one)).map(|one| ("- ", *one));
        let parts: Vec<String> =
            more.chain(less).map(|(sign, one)| format!("{sign}{}", show(one))).collect();
        let mut what = parts.join(" ");
        if what.is_empty() && before.iter().all(|(one, _)| *one != key) {
            what = "= []".to_owned();
        }
        match groups.iter_mut().find(|(one, _)| *one == what) {
            _ if what.is_empty() => {}
            Some((_, keys)) => keys.push(key),
            None => groups.push((what, vec![key])),
        }
    }
    let names = |keys: &[u16]| {
        keys.iter().map(|key| lab.name(*key).to_string()).collect::<Vec<_>>().join(", ")
    };
    groups.into_iter().map(|(what, keys)| format!("[{}] {what}", names(&keys))).collect()
}

fn names(lab: &Lab, list: &[u16]) -> String {
    let names: Vec<String> = list.iter().map(|node| lab.name(*node).to_string()).collect();
    format!("[{}]", names.join(", "))
}

fn numbers(list: &[ChunkNumber]) -> String {
    let numbers: Vec<String> = list.iter().map(ChunkNumber::to_string).collect();
    numbers.join(" ")
}

fn row(lab: &Lab, node: u16, value: String) -> String {
    let name: Name = lab.name(node);
    format!("{name}: {value}")
}

fn set(rows: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", rows.collect::<Vec<_>>().join(", "))
}

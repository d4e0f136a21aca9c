//! Who there is to list: whoever is seen from inside, is a member of the
//! splitter's team, or a neighbour of a peer that is alone on the screen.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::SocketAddr;

use p2psp_core::PlayerStatus;

use crate::observe::{Name, PeerSnapshot, Snapshot};

/// All that is known of one member. What nobody here can know is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// Its name.
    pub name: Name,
    /// Its public endpoint.
    pub endpoint: Option<SocketAddr>,
    /// How long it is in the team, in seconds.
    pub age_s: Option<f64>,
    /// Where it is in its life.
    pub state: Option<&'static str>,
    /// Chunks received: all, or those that came from it.
    pub received: Option<u64>,
    /// Chunks sent: all, or those that went to it.
    pub sent: Option<u64>,
    /// Chunks lost.
    pub lost: Option<u64>,
    /// Chunks that came twice.
    pub duplicates: Option<u64>,
    /// The lowest activity (8.2) that any neighbour here gives it.
    pub activity: Option<i8>,
    /// Whether it is in the same LAN as a peer here.
    pub lan: Option<bool>,
    /// Chunks it was the origin of.
    pub origin_of: Option<u64>,
    /// How many of them were complained about.
    pub complaints: Option<u32>,
    /// How its player is doing, as it tells the splitter (3.7).
    pub player: Option<PlayerStatus>,
}

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Join order.
    #[default]
    Name,
    /// How long in the team.
    Age,
    /// Chunks received.
    Received,
    /// Chunks sent.
    Sent,
    /// Chunks lost.
    Lost,
    /// Chunks that came twice.
    Duplicates,
    /// Activity.
    Activity,
}

impl Sort {
    /// All columns to sort by, in order.
    pub const ALL: [Sort; 7] = [
        Sort::Name,
        Sort::Age,
        Sort::Received,
        Sort::Sent,
        Sort::Lost,
        Sort::Duplicates,
        Sort::Activity,
    ];

    /// The column after this one.
    #[must_use]
    pub fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Sort::Name => Ordering::Equal,
            Sort::Age => a.age_s.unwrap_or(0.0).total_cmp(&b.age_s.unwrap_or(0.0)),
            Sort::Received => a.received.cmp(&b.received),
            Sort::Sent => a.sent.cmp(&b.sent),
            Sort::Lost => a.lost.cmp(&b.lost),
            Sort::Duplicates => a.duplicates.cmp(&b.duplicates),
            Sort::Activity => a.activity.cmp(&b.activity),
        }
    }
}

/// The peer that is seen from inside alone, without a splitter: the list is
/// of its neighbours, as it sees them.
pub fn alone(snapshot: &Snapshot) -> Option<&PeerSnapshot> {
    let mut peers = snapshot.peers();
    match (snapshot.splitter(), peers.next(), peers.next()) {
        (None, Some(peer), None) => Some(peer),
        _ => None,
    }
}

/// All members that there are to list and whose row has `filter` in it, sorted.
pub fn rows(snapshot: &Snapshot, filter: &str, sort: Sort, reversed: bool) -> Vec<Row> {
    let mut rows = all(snapshot);
    let filter = filter.to_lowercase();
    rows.retain(|row| row.matches(&filter));
    rows.sort_by(|a, b| {
        let order = sort.compare(a, b).then(a.name.order().cmp(&b.name.order()));
        if reversed { order.reverse() } else { order }
    });
    rows
}

/// Rows under construction, and where the one of an endpoint is.
#[derive(Default)]
struct Roster {
    rows: Vec<Row>,
    places: HashMap<SocketAddr, usize>,
}

impl Roster {
    fn at(&mut self, endpoint: SocketAddr) -> Option<&mut Row> {
        let place = *self.places.get(&endpoint)?;
        self.rows.get_mut(place)
    }

    /// The row of this node; a new one if there is none.
    fn of(&mut self, name: Name, endpoint: Option<SocketAddr>) -> &mut Row {
        let known = match endpoint {
            Some(endpoint) => self.places.get(&endpoint).copied(),
            None => self.rows.iter().position(|row| row.name == name),
        };
        let place = known.unwrap_or(self.rows.len());
        if known.is_none() {
            self.rows.push(Row { name, endpoint, ..Row::default() });
            self.places.extend(endpoint.map(|endpoint| (endpoint, place)));
        }
        &mut self.rows[place]
    }
}

fn all(snapshot: &Snapshot) -> Vec<Row> {
    let mut roster = Roster::default();
    for member in snapshot.splitter().iter().flat_map(|splitter| &splitter.team) {
        let row = roster.of(member.name, Some(member.endpoint));
        row.age_s = Some(member.age_s);
        row.origin_of = Some(member.chunks);
        row.complaints = Some(member.losses);
        row.state = member.status.map(|status| status.state.name());
        row.player = member.status;
    }
    let alone = alone(snapshot).is_some();
    for peer in snapshot.peers() {
        let row = roster.of(peer.name, peer.endpoint);
        row.age_s = row.age_s.or(Some(peer.age_s));
        row.state = Some(peer.state);
        // Alone, these are about its neighbours: from them and to them.
        row.received = Some(peer.counts.chunks_received).filter(|_| !alone);
        row.sent = Some(peer.counts.chunks_sent).filter(|_| !alone);
        row.lost = Some(peer.counts.chunks_lost);
        row.duplicates = Some(peer.counts.duplicates);
    }
    let neighbours = snapshot.peers().flat_map(|peer| &peer.neighbour_rows);
    for neighbour in neighbours.filter(|neighbour| neighbour.name != Name::Lan) {
        if alone {
            let row = roster.of(neighbour.name, Some(neighbour.endpoint));
            row.received = Some(neighbour.received.into());
            row.sent = Some(neighbour.sent.into());
            row.state = Some(if neighbour.served { "served" } else { "silent" });
        }
        let Some(row) = roster.at(neighbour.endpoint) else { continue };
        let activity = row.activity.map_or(neighbour.activity, |low| low.min(neighbour.activity));
        row.activity = Some(activity);
        row.lan = Some(row.lan.unwrap_or(false) || neighbour.lan);
    }
    roster.rows
}

impl Row {
    /// `monitor` or `peer`.
    pub fn role(&self) -> &'static str {
        if self.name.is_monitor() { "monitor" } else { "peer" }
    }

    fn matches(&self, lowercase: &str) -> bool {
        lowercase.is_empty()
            || self.name.to_string().to_lowercase().contains(lowercase)
            || self.role().contains(lowercase)
            || self.state.is_some_and(|state| state.contains(lowercase))
            || self.endpoint.is_some_and(|at| at.to_string().contains(lowercase))
    }
}

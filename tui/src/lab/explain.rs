//! A step in one sentence, with the rules of PROTOCOL.md that it follows.

use p2psp_core::{ChunkNumber, Departure, Reject};

use super::tables::Tables;
use super::{Brief, Deed, Effect, End, Event, EventKind, GROUP, Lab, Loss, Outcome, SPLITTER};

/// Names and chunks that a sentence lists; more are counted.
const MAX_LISTED: usize = 8;

/// What happened in a step, and why. `lab` is as the step has left it.
pub fn explain(lab: &Lab, event: &Event, effects: &[Effect]) -> String {
    let say = Sentence { lab, effects };
    let mut text = match event.kind {
        EventKind::Asked { member, refusal } => {
            say.asked(member, refusal.map(|one| one.to_string()))
        }
        EventKind::Entered { member } => {
            format!("{} has the list of the team{}", say.name(member), say.greetings(member))
        }
        EventKind::Cut { chunk, origin: Some(origin) } => {
            let name = say.name(origin);
            format!("S cuts chunk {chunk}; it is the turn of {name} to be its origin (2.2)")
        }
        EventKind::Cut { chunk, origin: None } => {
            format!("S cuts chunk {chunk}, and there is no team to give it to")
        }
        EventKind::Delivered { from, to, brief, multicast, outcome } => {
            say.delivered(from, to, brief, multicast, outcome)
        }
        EventKind::Timer { node } => say.timer(node),
        EventKind::Leaves { member } => {
            format!("{} leaves and says so to S first (7.1)", say.name(member))
        }
        EventKind::Crashed { member } => format!("{} dies without a word", say.name(member)),
        EventKind::Cheats { member } => {
            format!("{} turns selfish: from now on it forwards nothing", say.name(member))
        }
        EventKind::Parted { partition } => {
            format!("{} can't be reached by the others any more", say.island(partition))
        }
        EventKind::Healed { partition } => {
            format!("{} can be reached by the others again", say.island(partition))
        }
        EventKind::ByHand(deed) => format!("By hand: {}", say.deed(deed)),
        EventKind::Ended(end) => match end {
            End::Chunks => "All chunks are cut and had their time: the run is over".to_owned(),
            End::Time => "The time is over, and so is the run".to_owned(),
            End::Losses => "As many chunks are lost as the scenario waits for".to_owned(),
            End::Violation => "A rule is broken".to_owned(),
        },
    };
    say.add_fate(&mut text);
    say.add_playing(&mut text);
    say.add_team(&mut text);
    if let Some(violation) = lab.violation().filter(|one| one.step == lab.steps()) {
        text.push_str(&format!("; BROKEN: {} {}", lab.name(violation.node), violation.broken));
    }
    text.push('.');
    text
}

/// What there is to say something about.
struct Sentence<'a> {
    lab: &'a Lab,
    effects: &'a [Effect],
}

impl Sentence<'_> {
    fn name(&self, node: u16) -> String {
        self.lab.name(node).to_string()
    }

    fn asked(&self, member: u16, refusal: Option<String>) -> String {
        let name = self.name(member);
        if let Some(reason) = refusal {
            return format!("{name} asks to join, but S refuses: {reason} (3.5)");
        }
        let (lab, place) = (self.lab, usize::from(member) - 1);
        if lab.air.links.are_parted(member, SPLITTER) {
            return format!("{name} asks to join, but can't reach S");
        }
        match lab.members[place].invitation {
            Some(_) => {
                format!("{name} asks to join; S answers with the list of the team (3.1, 3.2)")
            }
            None => format!(
                "{name} asks to join and gets the list of the team (3.1, 3.2){}",
                self.greetings(member)
            ),
        }
    }

    /// `, says [hello] to M0 and P1, and to S last`
    fn greetings(&self, member: u16) -> String {
        let to: Vec<u16> = self.sent(member, |brief| brief == Brief::Hello);
        let others: Vec<u16> = to.iter().copied().filter(|to| *to != SPLITTER).collect();
        match (others.is_empty(), to.len() > others.len()) {
            (true, true) => ", which is empty, and says [hello] to S (3.3)".to_owned(),
            (false, true) => {
                format!(" and says [hello] to {}, and to S last (3.3)", self.names(&others))
            }
            _ => String::new(),
        }
    }

    fn delivered(
        &self,
        from: u16,
        to: u16,
        brief: Brief,
        multicast: bool,
        outcome: Outcome,
    ) -> String {
        let (mut sender, receiver) = (self.name(from), self.name(to));
        if multicast {
            sender.push_str(" over the LAN (9.1)");
        }
        let what = say(brief);
        match (brief, outcome) {
            (_, Outcome::Unheard) => {
                format!("{what} from {sender} comes to {receiver}, who is not there any more")
            }
            (_, Outcome::Rejected(reject)) => {
                format!("{receiver} turns {what} from {sender} away: {}", because(reject))
            }
            (Brief::Chunk(chunk), Outcome::Duplicate) => format!(
                "{receiver} got chunk {chunk} from {sender}, but has it already: it is not stored \
                 nor forwarded (5.1)"
            ),
            (Brief::Chunk(chunk), Outcome::Late) => format!(
                "{receiver} got chunk {chunk} from {sender} after its turn: it is not stored (5.1)\
                 {}",
                self.turn(to)
            ),
            (Brief::Chunk(chunk), Outcome::Taken) => self.received(from, to, chunk, &sender),
            (Brief::Hello, _) if to == SPLITTER => {
                let joins = self.effects.contains(&Effect::Joined { member: from });
                match joins {
                    true => format!("S got [hello] from {sender}: it is ready (3.5)"),
                    false => format!("S got [hello] from {sender}, which is still there (3.6)"),
                }
            }
            (Brief::Hello, _) if from == SPLITTER => {
                format!("{receiver} got [hello] from S, which has it in the team (3.6)")
            }
            (Brief::Hello, _) => {
                let tables = Tables::of(&self.lab.members[usize::from(to) - 1]);
                let serves = |node| {
                    tables.forward.iter().any(|(origin, all)| *origin == to && all.contains(&node))
                };
                let so = match (serves(from), serves(GROUP)) {
                    (true, _) => format!("so {} is in F({receiver}) (3.4)", self.name(from)),
                    (_, true) => format!("so the LAN is in F({receiver}) (9.1)"),
                    _ => "which changes nothing".to_owned(),
                };
                format!("{receiver} got [hello] from {sender}, {so}")
            }
            (Brief::Goodbye, _) if to == SPLITTER => {
                format!("S got [goodbye] from {sender} and answers (7.2)")
            }
            (Brief::Goodbye, _) if from == SPLITTER => {
                format!("{receiver} got [goodbye] from S: it is out of the team (7.1)")
            }
            (Brief::Goodbye, _) => format!(
                "{receiver} got [goodbye] from {sender} and takes it out of its tables (7.2)"
            ),
            (Brief::Lost(chunk), _) => {
                format!("S got [lost {chunk}] from {sender} and charges it to its origin (8.1)")
            }
            _ => format!("{receiver} got {what} from {sender}"),
        }
    }

    /// A chunk was stored.
    fn received(&self, from: u16, to: u16, chunk: ChunkNumber, sender: &str) -> String {
        let receiver = self.name(to);
        let turn = self.turn(to);
        if from != SPLITTER {
            return format!("{receiver} got chunk {chunk} from {sender}{turn}");
        }
        let tables = Tables::of(&self.lab.members[usize::from(to) - 1]);
        let own = tables.forward.iter().find(|(origin, _)| *origin == to);
        match own.filter(|(_, all)| !all.is_empty()) {
            Some((_, all)) => format!(
                "{receiver} got chunk {chunk} from S: as its origin it has to give it to {} (5.4){turn}",
                self.names(all)
            ),
            None => {
                format!("{receiver} got chunk {chunk} from S and has nobody to give it to (5.4)")
            }
        }
    }

    /// Whom a received chunk has served (5.5).
    fn turn(&self, member: u16) -> String {
        let lab_member = &self.lab.members[usize::from(member) - 1];
        let mut chunks = Vec::new();
        let mut neighbour = None;
        for effect in self.effects {
            match *effect {
                Effect::Sent { from, to, brief: Brief::Chunk(chunk) } if from == member => {
                    neighbour = Some(to);
                    chunks.push(chunk);
                }
                Effect::Kept { from, to, chunk } if from == member => {
                    neighbour = Some(to);
                    chunks.push(chunk);
                }
                _ => {}
            }
        }
        let Some(neighbour) = neighbour else {
            return "; it may serve one neighbour (5.5), but none waits for a chunk".to_owned();
        };
        let (name, what) = match neighbour {
            GROUP => ("the LAN, in one datagram (9.1)".to_owned(), chunks_in_words(&chunks)),
            _ => (self.name(neighbour), chunks_in_words(&chunks)),
        };
        match lab_member.selfish {
            true => format!(
                "; it should serve one neighbour (5.5), {name}, which waits for {what}, but is \
                 selfish and keeps it"
            ),
            false => format!(
                ", so it may serve one neighbour (5.5): next is {name}, which waits for {what}"
            ),
        }
    }

    fn timer(&self, node: u16) -> String {
        let name = self.name(node);
        if node == SPLITTER {
            return "S looks for members that have fallen silent (3.6)".to_owned();
        }
        let hello = self.sent(node, |brief| brief == Brief::Hello);
        let goodbye = self.sent(node, |brief| brief == Brief::Goodbye);
        let others: Vec<u16> = hello.iter().copied().filter(|to| *to != SPLITTER).collect();
        match (hello.len() > others.len(), goodbye.is_empty()) {
            (true, _) if others.is_empty() => {
                format!("{name} says [hello] to S, as every second (3.6)")
            }
            (true, _) => format!(
                "{name} says [hello] to S, as every second (3.6), and again to {}, which it has not \
                 heard (3.3)",
                self.names(&others)
            ),
            (false, false) => {
                format!("{name} has got no answer and says [goodbye] again (7.1)")
            }
            (false, true) => format!("A deadline of {name} has come"),
        }
    }

    fn deed(&self, deed: Deed) -> String {
        let of = |from: u16, to: u16, brief: Brief| {
            format!("{} from {} to {}", say(brief), self.name(from), self.name(to))
        };
        for effect in self.effects {
            match *effect {
                Effect::Dropped { from, to, brief, loss: Loss::ByHand } => {
                    return format!("{} is dropped", of(from, to, brief));
                }
                Effect::Delayed { from, to, brief, by_us } => {
                    let by = self.lab.chunk_times(by_us);
                    return format!("{} comes {by} chunk times later", of(from, to, brief));
                }
                Effect::Duplicated { from, to, brief } => {
                    return format!("{} will come twice", of(from, to, brief));
                }
                _ => {}
            }
        }
        match deed {
            Deed::Drop | Deed::Delay(_) | Deed::Duplicate => "no datagram was under way".to_owned(),
            Deed::Kill(node) => format!("{} dies without a word", self.name(node)),
            Deed::Leave(node) => {
                format!("{} leaves and says so to S first (7.1)", self.name(node))
            }
            Deed::Cheat(node) => format!("{} turns selfish", self.name(node)),
            Deed::Add => {
                let node = self.lab.members.len() as u16;
                format!("a new peer comes, {}, and asks to join (3.1)", self.name(node))
            }
            Deed::Part(node) => format!("{} is cut off from all others", self.name(node)),
            Deed::Heal(node) => format!("{} is no longer cut off", self.name(node)),
        }
    }

    /// What the network did to what was sent.
    fn add_fate(&self, text: &mut String) {
        for effect in self.effects {
            if let Effect::Dropped { to, brief, loss, .. } = *effect {
                let why = match loss {
                    Loss::Random => "the network loses",
                    Loss::Congestion => "the link is full and loses",
                    Loss::Partition => "there is no way for",
                    Loss::ByHand => continue,
                };
                text.push_str(&format!("; {why} {} to {}", say(brief), self.name(to)));
            }
        }
    }

    /// What was played and lost.
    fn add_playing(&self, text: &mut String) {
        let mut played = Vec::new();
        for effect in self.effects {
            match *effect {
                Effect::Playing { first, .. } => {
                    text.push_str(&format!("; chunk {first} is the first to be played (6.1)"));
                }
                Effect::Played { chunk, .. } => played.push(chunk),
                Effect::Lost { chunk, chunks, member } => {
                    let what = match chunks {
                        1 => format!("chunk {chunk} is"),
                        _ => format!("chunks {chunk} to {} are", chunk.plus(chunks - 1)),
                    };
                    text.push_str(&format!("; {what} lost, not having come in time (6.3)"));
                    let complains =
                        !self.sent(member, |brief| matches!(brief, Brief::Lost(_))).is_empty();
                    if complains {
                        text.push_str(", of which it complains to S (8.1)");
                    }
                }
                _ => {}
            }
        }
        if !played.is_empty() {
            text.push_str(&format!("; it plays {} (6.2)", chunks_in_words(&played)));
        }
    }

    /// Who came into the team and who went.
    fn add_team(&self, text: &mut String) {
        for effect in self.effects {
            match *effect {
                Effect::Joined { member } => {
                    let name = self.name(member);
                    text.push_str(&format!("; {name} is now the last of the team (3.5)"));
                }
                Effect::Left { member, reason } => {
                    let why = match reason {
                        Departure::Goodbye => "who said so (7.2)",
                        Departure::Silent => "who was silent for too long (3.6)",
                        Departure::Losses => "to whom too many losses were charged (8.1)",
                        _ => "as the stream is over (7.3)",
                    };
                    text.push_str(&format!(
                        "; S takes {} out of the team, {why}",
                        self.name(member)
                    ));
                }
                _ => {}
            }
        }
    }

    fn island(&self, partition: u16) -> String {
        let island = self.lab.plan().islands.get(usize::from(partition));
        let all = island.map(|island| {
            let all = island.iter().enumerate().filter(|(_, inside)| **inside);
            all.map(|(node, _)| node as u16).collect::<Vec<_>>()
        });
        self.names(&all.unwrap_or_default())
    }

    /// To whom a node has sent something of a kind.
    fn sent(&self, node: u16, kind: impl Fn(Brief) -> bool) -> Vec<u16> {
        let sent = self.effects.iter().filter_map(|effect| match *effect {
            Effect::Sent { from, to, brief } if from == node && kind(brief) => Some(to),
            _ => None,
        });
        sent.collect()
    }

    fn names(&self, nodes: &[u16]) -> String {
        list(&nodes.iter().map(|node| self.name(*node)).collect::<Vec<_>>())
    }
}

fn say(brief: Brief) -> String {
    match brief {
        Brief::Chunk(chunk) => format!("chunk {chunk}"),
        Brief::Hello => "[hello]".to_owned(),
        Brief::Goodbye => "[goodbye]".to_owned(),
        Brief::Lost(chunk) => format!("[lost {chunk}]"),
        Brief::Other => "a message".to_owned(),
    }
}

fn chunks_in_words(chunks: &[ChunkNumber]) -> String {
    let mut rows: Vec<(ChunkNumber, ChunkNumber)> = Vec::new();
    for chunk in chunks {
        match rows.last_mut() {
            Some((_, last)) if last.next() == *chunk => *last = *chunk,
            _ => rows.push((*chunk, *chunk)),
        }
    }
    let rows: Vec<String> = rows
        .iter()
        .flat_map(|(first, last)| match first.distance_to(*last) {
            0 => vec![first.to_string()],
            1 => vec![first.to_string(), last.to_string()],
            _ => vec![format!("{first} to {last}")],
        })
        .collect();
    let noun = if chunks.len() == 1 { "chunk" } else { "chunks" };
    format!("{noun} {}", list(&rows))
}

/// `a`, `a and b`, `a, b and c`, `a, b and 7 more`
fn list(all: &[String]) -> String {
    match all {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [init @ .., last] if all.len() <= MAX_LISTED => format!("{} and {last}", init.join(", ")),
        _ => {
            let (shown, rest) = all.split_at(MAX_LISTED - 1);
            format!("{} and {} more", shown.join(", "), rest.len())
        }
    }
}

fn because(reject: Reject) -> &'static str {
    match reject {
        Reject::Version => "it is of another version of the protocol",
        Reject::Malformed => "it can't be read",
        Reject::OtherTeam => "it is of another team",
        Reject::Stranger => "it knows no such member",
        Reject::Forged => "it proves nothing",
        Reject::Unexpected => "it takes no such thing from there",
        Reject::OutOfRange => "its number is too far from the others to be true",
        Reject::TableFull => "its tables are full",
        Reject::NotJoined => "it is not in a team",
    }
}

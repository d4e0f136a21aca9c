//! What every driver does with a node of the core, written once.

use p2psp_core::Node;

use super::socket::Outbox;
use crate::observe::{Observer, Sightings};

/// Moves all datagrams that the node has to send into the outbox; a screen
/// wants to know of the chunks among them.
pub(super) fn drain_transmits<N: Node>(
    node: &mut N,
    outbox: &mut Outbox,
    sightings: &mut Sightings,
    observer: &Observer,
) {
    while let Some(to) = node.poll_destination() {
        outbox.push(to, |buf| {
            let len = node.poll_transmit(buf)?.len;
            if sightings.wanted() {
                sightings.see(observer.elapsed(), true, to, &buf[..len]);
            }
            Some(len)
        });
    }
}

//! What every driver does with a node of the core, written once.

use p2psp_core::Node;

use super::socket::Outbox;

/// Moves all datagrams that the node has to send into the outbox.
pub(super) fn drain_transmits<N: Node>(node: &mut N, outbox: &mut Outbox) {
    while let Some(to) = node.poll_destination() {
        outbox.push(to, |buf| node.poll_transmit(buf).map(|transmit| transmit.len));
    }
}

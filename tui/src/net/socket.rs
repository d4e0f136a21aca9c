//! The team socket: UDP in batches.
//!
//! Datagrams to one destination leave in one system call (segmentation
//! offload) and come in many at a time (receive offload, `recvmmsg`), where
//! the kernel can do that; elsewhere one by one. What a group is sent leaves
//! from the same socket, since members are known by its address; a second one
//! hears the group.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

use p2psp_core::Lan;
use p2psp_core::wire::MAX_DATAGRAM_BYTES;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::lan::{self, LanError, LanPlace};

/// Kernel buffer that the socket asks for, in bytes. The default of 208 KiB
/// overflows in a burst long before the CPU is busy.
const KERNEL_BUFFER_BYTES: usize = 4 << 20;
/// Buffers for one receive call; each takes what came from one sender.
const RECEIVE_BUFFERS: usize = 8;
/// Bytes of such a buffer: the most that receive offload puts together.
const RECEIVE_BUFFER_BYTES: usize = 64 << 10;
/// Most bytes of one segmented send.
const MAX_BATCH_BYTES: usize = 65_000;
/// How long a send waits for room in the kernel before the datagram is given
/// up, as the network would.
const SEND_PATIENCE: Duration = Duration::from_millis(50);

/// A UDP socket with batches in both directions.
#[derive(Debug)]
pub struct TeamSocket {
    io: UdpSocket,
    state: UdpSocketState,
    receive: Vec<u8>,
    outbox: Outbox,
    group: Option<Group>,
    /// Datagrams that the kernel did not take.
    pub unsent: u64,
}

/// The group of a LAN (PROTOCOL.md 9).
#[derive(Debug)]
struct Group {
    place: LanPlace,
    io: UdpSocket,
    state: UdpSocketState,
}

impl TeamSocket {
    /// Binds to `addr`.
    ///
    /// # Errors
    ///
    /// The kernel's: the port is in use, the address is not of this host.
    pub fn bind(addr: SocketAddr) -> io::Result<TeamSocket> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let state = state_of(&socket)?;
        state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER_BYTES)?;
        Ok(TeamSocket {
            outbox: Outbox { batches: Vec::new(), used: 0, segments: state.max_gso_segments() },
            io: UdpSocket::from_std(socket)?,
            state,
            receive: vec![0; RECEIVE_BUFFERS * RECEIVE_BUFFER_BYTES],
            group: None,
            unsent: 0,
        })
    }

    /// Hears the group of a LAN from now on, and can send to it.
    ///
    /// # Errors
    ///
    /// [`LanError::Socket`]
    pub fn join_group(&mut self, place: LanPlace) -> Result<(), LanError> {
        let socket = lan::listen(&place)?;
        let fail = |error| LanError::Socket(place.lan.group, error);
        lan::prepare_sender(&socket2::SockRef::from(&self.io), &place).map_err(fail)?;
        let state = state_of(&socket).map_err(fail)?;
        let io = UdpSocket::from_std(socket).map_err(fail)?;
        self.group = Some(Group { place, io, state });
        Ok(())
    }

    /// Does not hear the group any more.
    pub fn leave_group(&mut self) {
        self.group = None;
    }

    /// The LAN whose group it hears.
    pub fn lan(&self) -> Option<&Lan> {
        self.group.as_ref().map(|group| &group.place.lan)
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits until something can be received.
    ///
    /// # Errors
    ///
    /// The runtime's, when it shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.group {
            None => self.io.readable().await,
            Some(group) => tokio::select! {
                ready = self.io.readable() => ready,
                ready = group.io.readable() => ready,
            },
        }
    }

    /// Receives one batch without waiting and hands each datagram to `each`,
    /// together with the outbox for what it causes. Tells how many came.
    pub fn receive(&mut self, mut each: impl FnMut(SocketAddr, &[u8], &mut Outbox)) -> usize {
        let TeamSocket { io, state, receive, outbox, group, .. } = self;
        let mut datagrams = receive_from(io, state, receive, outbox, &mut each);
        if let Some(Group { io, state, .. }) = group {
            datagrams += receive_from(io, state, receive, outbox, &mut each);
        }
        datagrams
    }

    /// Where to put datagrams that no received one has caused.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Sends everything in the outbox.
    pub async fn flush(&mut self) {
        for index in 0..self.outbox.used {
            let batch = &self.outbox.batches[index];
            if batch.len > 0 && !self.send(batch.to, &batch.bytes[..batch.len], batch.segment).await
            {
                // Offload was refused, by a device maybe: one by one, then.
                for datagram in batch.bytes[..batch.len].chunks(batch.segment) {
                    if !self.send(batch.to, datagram, datagram.len()).await {
                        self.unsent += 1;
                    }
                }
                self.outbox.segments = self.state.max_gso_segments();
            }
        }
        self.outbox.used = 0;
    }

    async fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> bool {
        let segment_size = (segment < contents.len()).then_some(segment);
        // Members know each other by address: on IPv6 the kernel would take
        // another one for the group of a link.
        let lan = self.lan().filter(|lan| lan.group == to);
        let src_ip = lan.map(|lan| lan.address);
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip };
        let (io, state) = (&self.io, &self.state);
        loop {
            let sent = io.try_io(Interest::WRITABLE, || state.try_send(io.into(), &transmit));
            match sent {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match tokio::time::timeout(SEND_PATIENCE, io.writable()).await {
                        Ok(Ok(())) => {}
                        _ => return false,
                    }
                }
                Err(_) => return false,
            }
        }
    }
}

/// A socket's batches, with a large receive buffer in the kernel.
fn state_of(socket: &std::net::UdpSocket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket.into())?;
    // Beyond the system's limit only with privilege; within it always.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, KERNEL_BUFFER_BYTES).is_err()
    {
        state.set_recv_buffer_size(socket.into(), KERNEL_BUFFER_BYTES)?;
    }
    Ok(state)
}

/// Receives one batch from one socket.
fn receive_from(
    io: &UdpSocket,
    state: &UdpSocketState,
    receive: &mut [u8],
    outbox: &mut Outbox,
    each: &mut impl FnMut(SocketAddr, &[u8], &mut Outbox),
) -> usize {
    let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
    let mut buffers = receive.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
    let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
        std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
    let received = io
        .try_io(Interest::READABLE, || state.recv(io.into(), &mut slices, &mut metas))
        // Errors of earlier sends (a peer that is gone) come up here: the
        // protocol deals with silence, so they say nothing new.
        .unwrap_or(0);
    let mut datagrams = 0;
    for (meta, slice) in metas.iter().zip(&slices).take(received) {
        for datagram in slice[..meta.len].chunks(meta.stride.max(1)) {
            each(unmapped(meta.addr), datagram, outbox);
            datagrams += 1;
        }
    }
    datagrams
}

/// Datagrams waiting to be sent, put together by destination. Between two
/// flushes the order is kept for each destination.
#[derive(Debug)]
pub struct Outbox {
    batches: Vec<Batch>,
    used: usize,
    segments: usize,
}

#[derive(Debug)]
struct Batch {
    to: SocketAddr,
    bytes: Vec<u8>,
    len: usize,
    /// Length of every datagram in it, but for a shorter last one.
    segment: usize,
    /// A shorter one came: nothing fits behind it.
    closed: bool,
}

impl Outbox {
    /// Lets `write` put a datagram of at most [`MAX_DATAGRAM_BYTES`] for `to`
    /// into the buffer it gets; `write` tells the length.
    pub fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let index = match self.open_batch(to) {
            Some(index) => index,
            None => self.new_batch(to),
        };
        let batch = &mut self.batches[index];
        let start = batch.len;
        if batch.bytes.len() < start + MAX_DATAGRAM_BYTES {
            batch.bytes.resize(start + MAX_DATAGRAM_BYTES, 0);
        }
        let Some(len) = write(&mut batch.bytes[start..start + MAX_DATAGRAM_BYTES]) else { return };
        if start == 0 {
            batch.segment = len;
            batch.len = len;
        } else if len <= batch.segment {
            batch.len += len;
            batch.closed = len < batch.segment;
        } else {
            // Longer than the others: it begins a batch of its own.
            batch.closed = true;
            let datagram = batch.bytes[start..start + len].to_vec();
            let index = self.new_batch(to);
            let batch = &mut self.batches[index];
            batch.bytes.clear();
            batch.bytes.extend_from_slice(&datagram);
            batch.segment = len;
            batch.len = len;
        }
    }

    fn open_batch(&self, to: SocketAddr) -> Option<usize> {
        let index = self.batches[..self.used].iter().rposition(|batch| batch.to == to)?;
        let batch = &self.batches[index];
        let full = batch.closed
            || batch.len + batch.segment > MAX_BATCH_BYTES
            || (batch.len > 0 && batch.len >= batch.segment * self.segments);
        (!full).then_some(index)
    }

    fn new_batch(&mut self, to: SocketAddr) -> usize {
        if self.used == self.batches.len() {
            let bytes = Vec::new();
            self.batches.push(Batch { to, bytes, len: 0, segment: 0, closed: false });
        }
        let batch = &mut self.batches[self.used];
        (batch.to, batch.len, batch.segment, batch.closed) = (to, 0, 0, false);
        self.used += 1;
        self.used - 1
    }
}

/// An IPv4 sender as such, also on a socket for both families.
fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is pushed arrives, in order, whatever the lengths.
    #[tokio::test]
    async fn batches_carry_what_was_pushed_in_order() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sender = TeamSocket::bind(any).unwrap();
        let mut receiver = TeamSocket::bind(any).unwrap();
        let to = receiver.local_addr().unwrap();
        let lengths: Vec<usize> =
            (0..150).map(|n| [1000, 1000, 1000, 1000, 30, 1400, 1400, 7][n % 8]).collect();
        for (n, len) in lengths.iter().enumerate() {
            sender.outbox().push(to, |buf| {
                buf[..*len].fill(n as u8);
                Some(*len)
            });
        }
        sender.flush().await;
        let mut got = Vec::new();
        while got.len() < lengths.len() {
            let waited = tokio::time::timeout(Duration::from_secs(10), receiver.readable()).await;
            waited.expect("all arrive in time").unwrap();
            receiver.receive(|from, datagram, _| {
                assert_eq!(from, sender.local_addr().unwrap());
                assert!(datagram.iter().all(|byte| *byte == got.len() as u8));
                got.push(datagram.len());
            });
        }
        assert_eq!(got, lengths);
        assert_eq!(sender.unsent, 0);
    }

    #[test]
    fn a_datagram_that_is_not_written_leaves_no_trace() {
        let mut outbox = Outbox { batches: Vec::new(), used: 0, segments: 64 };
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        outbox.push(to, |_| None);
        outbox.push(to, |_| Some(5));
        assert_eq!((outbox.used, outbox.batches[0].len, outbox.batches[0].segment), (1, 5, 5));
    }
}

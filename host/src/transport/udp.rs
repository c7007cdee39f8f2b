//! One UDP socket of one shard: non-blocking, read-only in the poll.
//!
//! Only readability is watched. A socket that is also watched for room to write wakes its thread
//! once for each datagram that the kernel has finished sending, which is pure loss: a datagram that
//! finds no room is dropped, as UDP may, and SIP's timers send it again.

use std::io;
use std::net::SocketAddr;

use intertrunk_proto::{Flow, ListenerId};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// The largest datagram that UDP can carry.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Wanted of the kernel for each direction: room for bursts while a policy compiles next door.
/// Linux gives at most `net.core.rmem_max` and `wmem_max`.
const KERNEL_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// One listener's socket in one shard.
#[derive(Debug)]
pub struct UdpSocket {
    listener: ListenerId,
    socket: mio::net::UdpSocket,
}

impl UdpSocket {
    /// Opens it. `shared`: other sockets of this process will have the same port, and the kernel
    /// spreads peers over them.
    pub fn bind(listener: ListenerId, address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        // Best effort: the kernel's own default still works.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER_BYTES);
        socket.bind(&address.into())?;
        Ok(UdpSocket {
            listener,
            socket: mio::net::UdpSocket::from_std(socket.into()),
        })
    }

    /// Fails when any socket has this address, even one that would share it.
    pub fn probe(address: SocketAddr) -> io::Result<()> {
        std::net::UdpSocket::bind(address).map(drop)
    }

    /// Which listener it is of.
    pub fn listener(&self) -> ListenerId {
        self.listener
    }

    /// Where it is bound.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Asks for an event with `token` when datagrams come in after the last one was taken.
    pub fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Takes one datagram into `buffer`; `None` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(Flow, usize)>> {
        match self.socket.recv_from(buffer) {
            Ok((length, remote)) => Ok(Some((Flow::to(self.listener, remote), length))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one datagram; false when the kernel has no room for it.
    pub fn send(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<bool> {
        match self.socket.send_to(bytes, remote) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

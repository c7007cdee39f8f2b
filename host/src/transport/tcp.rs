//! TCP sockets as the system gives them: listening, connecting, never waiting.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// What the kernel holds of what we send: enough for bursts, little enough that a peer that does
/// not read is noticed.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Opens a listener. `shared`: other sockets of this process will have the same port, and the
/// kernel spreads connections over them.
pub fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    // Connections of the process before us may still be closing.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Fails when any socket listens on this address, even one that would share it.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    listen(address, false).map(drop)
}

/// Begins a connection from one of our addresses. It has come about when [`is_connected`] says so.
pub fn connect(from: IpAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = new_socket(remote)?;
    if !from.is_unspecified() {
        // Peers know us by our address.
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from_std(socket.into());
    prepare(&stream);
    Ok(stream)
}

/// "Operation now in progress" on Linux.
const EINPROGRESS: i32 = 115;

/// Whether a connection that was begun has come about; an error if it never will.
pub fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends small messages at once, and holds little of what the peer does not take.
pub fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Best effort: without them it still works.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

//! What a telephone's bytes travel over: datagrams, or connections that it makes and takes.
//!
//! Written from the RFCs with the standard library; only TLS itself is rustls, as in the host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::phone::PATIENCE;

/// How long one connection is listened to before the next one has its turn.
const GLANCE: Duration = Duration::from_millis(2);

/// One telephone's way to the world.
pub enum Line {
    Udp(UdpSocket),
    Stream(Box<Streams>),
}

/// A listening socket and all connections, made and taken.
pub struct Streams {
    listener: TcpListener,
    tls: Option<TlsOfPhone>,
    links: RefCell<Vec<Link>>,
    /// Where each request came in, by its top Via.
    came_by: RefCell<HashMap<String, usize>>,
}

/// What a telephone shows and believes.
#[derive(Clone)]
pub struct TlsOfPhone {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    /// The name that it asks the host for.
    pub host: ServerName<'static>,
}

/// One connection.
struct Link {
    socket: TcpStream,
    remote: SocketAddr,
    tls: Option<rustls::Connection>,
    buffer: Vec<u8>,
    open: bool,
    /// Nothing is read from it.
    deaf: bool,
}

impl Line {
    pub fn udp(address: &str) -> Line {
        Line::Udp(UdpSocket::bind(address).unwrap())
    }

    pub fn stream(address: &str, tls: Option<TlsOfPhone>) -> Line {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Line::Stream(Box::new(Streams {
            listener,
            tls,
            links: RefCell::default(),
            came_by: RefCell::default(),
        }))
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Line::Udp(socket) => socket.local_addr().unwrap(),
            Line::Stream(streams) => streams.listener.local_addr().unwrap(),
        }
    }

    /// As written in Via.
    pub fn transport(&self) -> &'static str {
        match self {
            Line::Udp(_) => "UDP",
            Line::Stream(streams) if streams.tls.is_some() => "TLS",
            Line::Stream(_) => "TCP",
        }
    }

    /// Sends to a host, on the first connection with it that is open, or on a new one.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        match self {
            Line::Udp(socket) => drop(socket.send_to(bytes, to).unwrap()),
            Line::Stream(streams) => {
                let link = streams.link_to(to);
                streams.links.borrow_mut()[link].send(bytes);
            }
        }
    }

    /// Answers where a request with this top Via came from.
    pub fn answer(&self, via: &str, bytes: &[u8]) {
        match self {
            Line::Udp(socket) => {
                let sent_by = via.split([' ', ';']).nth(1).unwrap();
                socket.send_to(bytes, sent_by).unwrap();
            }
            Line::Stream(streams) => {
                let link = streams.came_by.borrow()[via];
                streams.links.borrow_mut()[link].send(bytes);
            }
        }
    }

    /// The next message, if one comes in time.
    pub fn receive(&self, until: Instant) -> Option<String> {
        match self {
            Line::Udp(socket) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                socket.set_read_timeout(Some(left)).unwrap();
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).ok()?;
                buffer.truncate(length);
                Some(String::from_utf8(buffer).unwrap())
            }
            Line::Stream(streams) => loop {
                if let Some(text) = streams.look() {
                    return Some(text);
                }
                if Instant::now() >= until {
                    return None;
                }
            },
        }
    }

    fn streams(&self) -> &Streams {
        match self {
            Line::Stream(streams) => streams,
            Line::Udp(_) => panic!("datagrams have no connections"),
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        let streams = self.streams();
        streams.look_around();
        streams.links.borrow().iter().filter(|l| l.open).count()
    }

    /// Closes all connections.
    pub fn hang_up_all(&self) {
        for link in self.streams().links.borrow_mut().iter_mut() {
            link.open = false;
            let _gone_already = link.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Reads nothing any more, from the connections that there are.
    pub fn go_deaf(&self) {
        let streams = self.streams();
        streams.look_around();
        for link in streams.links.borrow_mut().iter_mut() {
            link.deaf = true;
        }
    }

    /// Writes bytes as they are on the first open connection with `to`, in pieces of these lengths and
    /// the rest; each is a segment of its own.
    pub fn write_raw(&self, to: SocketAddr, bytes: &[u8], pieces: &[usize]) {
        let streams = self.streams();
        let link = streams.link_to(to);
        let mut rest = bytes;
        let mut links = streams.links.borrow_mut();
        for piece in pieces {
            let (now, later) = rest.split_at(*piece);
            links[link].send(now);
            rest = later;
        }
        links[link].send(rest);
    }

    /// Waits until a connection has given these bytes outside of any message.
    pub fn hears_raw(&self, wanted: &[u8], until: Instant) -> bool {
        let streams = self.streams();
        loop {
            streams.look_around();
            let mut links = streams.links.borrow_mut();
            if let Some(link) = links.iter_mut().find(|l| l.buffer.starts_with(wanted)) {
                link.buffer.drain(..wanted.len());
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }
}

impl Streams {
    fn link_to(&self, to: SocketAddr) -> usize {
        self.look_around();
        let mut links = self.links.borrow_mut();
        // One that the host has made serves as well.
        let fits = |l: &Link| l.open && !l.deaf && l.remote.ip() == to.ip();
        if let Some(link) = links.iter().position(fits) {
            return link;
        }
        let socket = self.connect(to);
        let tls = self.tls.as_ref().map(|tls| {
            let session = rustls::ClientConnection::new(Arc::clone(&tls.client), tls.host.clone());
            session.unwrap().into()
        });
        links.push(Link::new(socket, to, tls));
        links.len() - 1
    }

    /// From the address that the telephone is known by.
    fn connect(&self, to: SocketAddr) -> TcpStream {
        let domain = socket2::Domain::for_address(to);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        let mine = self.listener.local_addr().unwrap().ip();
        socket.bind(&SocketAddr::new(mine, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket.into()
    }

    /// Takes connections and bytes.
    fn look_around(&self) {
        let mut links = self.links.borrow_mut();
        while let Ok((socket, remote)) = self.listener.accept() {
            socket.set_nonblocking(false).unwrap();
            let tls = self.tls.as_ref().map(|tls| {
                let session = rustls::ServerConnection::new(Arc::clone(&tls.server));
                session.unwrap().into()
            });
            links.push(Link::new(socket, remote, tls));
        }
        for link in links.iter_mut().filter(|l| l.open && !l.deaf) {
            link.listen();
        }
    }

    fn look(&self) -> Option<String> {
        self.look_around();
        let mut links = self.links.borrow_mut();
        for (place, link) in links.iter_mut().enumerate() {
            if let Some(text) = link.cut() {
                let via = text.lines().find_map(|l| l.strip_prefix("Via: "));
                if let Some(via) = via.filter(|_| !text.starts_with("SIP/2.0")) {
                    self.came_by.borrow_mut().insert(via.to_owned(), place);
                }
                return Some(text);
            }
        }
        None
    }
}

impl Link {
    fn new(socket: TcpStream, remote: SocketAddr, tls: Option<rustls::Connection>) -> Link {
        socket.set_read_timeout(Some(GLANCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Link {
            socket,
            remote,
            tls,
            buffer: Vec::new(),
            open: true,
            deaf: false,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            None => self.open &= self.socket.write_all(bytes).is_ok(),
            Some(tls) => {
                tls.writer().write_all(bytes).unwrap();
                self.turn_tls();
                // Nobody else turns it while another telephone is waited for.
                let give_up = Instant::now() + PATIENCE;
                while self.open && self.shakes_hands() && Instant::now() < give_up {
                    self.turn_tls();
                }
            }
        }
    }

    fn shakes_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    fn listen(&mut self) {
        if self.tls.is_some() {
            return self.turn_tls();
        }
        let mut bytes = [0; 65_536];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.open = false,
            Ok(length) => self.buffer.extend_from_slice(&bytes[..length]),
            Err(error) => self.open &= is_patience(&error),
        }
    }

    /// Reads and writes what TLS wants, until it wants nothing.
    fn turn_tls(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        loop {
            while tls.wants_write() {
                if tls.write_tls(&mut self.socket).is_err() {
                    self.open = false;
                    return;
                }
            }
            match tls.read_tls(&mut self.socket) {
                Ok(0) => self.open = false,
                Ok(_) => {}
                Err(error) if is_patience(&error) => return,
                Err(_) => self.open = false,
            }
            self.open &= tls.process_new_packets().is_ok();
            let mut plain = [0; 16_384];
            while let Ok(length @ 1..) = tls.reader().read(&mut plain) {
                self.buffer.extend_from_slice(&plain[..length]);
            }
            if !self.open {
                return;
            }
        }
    }

    /// The first whole message of what has come.
    fn cut(&mut self) -> Option<String> {
        let head = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&self.buffer[..head]).unwrap();
        let length = text
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "))?;
        let whole = head + length.trim().parse::<usize>().unwrap();
        let message: Vec<u8> = self.buffer.get(..whole)?.to_vec();
        self.buffer.drain(..whole);
        Some(String::from_utf8(message).unwrap())
    }
}

fn is_patience(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

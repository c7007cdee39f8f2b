//! The world of the demonstration: a node as `intertrunk run` starts it, and peers on sockets of
//! their own, all on loopback.
//!
//! One thread carries datagrams between sockets and the sans-IO peers. Nothing waits longer than
//! [`PATIENCE`].

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use intertrunk_proto::Record;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::calls::{SWAP, TRUNKS};
use super::peer::Peer;
use crate::builtin;
use crate::config::{self, Interner};
use crate::node::{Node, NodeOptions};

/// The longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a call is up before somebody hangs up.
const TALKS_FOR: Duration = Duration::from_millis(30);
/// How often the node's records are looked for: their channel wakes no poll.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running node and its peers.
pub struct World {
    node: Node,
    records: Receiver<Arc<Record>>,
    kept: HashMap<String, Arc<Record>>,
    poll: Poll,
    stations: Vec<Station>,
    folder: Folder,
    host: SocketAddr,
}

/// A peer and its socket.
struct Station {
    peer: Peer,
    socket: UdpSocket,
}

impl World {
    /// Starts all of it.
    pub fn start() -> Result<World> {
        let folder = Folder::create()?;
        let poll = Poll::new()?;
        let mut sockets = Vec::new();
        let mut file = include_str!("intertrunk.toml").to_owned();
        for (place, (trunk, _)) in TRUNKS.iter().enumerate() {
            let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            poll.registry()
                .register(&mut socket, Token(place), Interest::READABLE)?;
            file = file.replace(&format!("{{{trunk}}}"), &socket.local_addr()?.to_string());
            sockets.push(socket);
        }
        let path = folder.write("intertrunk.toml", file.as_bytes())?;
        folder.write("dialplan.toml", include_bytes!("dialplan.toml"))?;
        folder.write("hostile.wasm", builtin::HOSTILE)?;

        let mut interner = Interner::default();
        let built = config::load(&path, &mut interner).map_err(|faults| anyhow!("{faults}"))?;
        let node = Node::start(
            built,
            NodeOptions {
                interner,
                ..NodeOptions::default()
            },
        )?;
        let (_, host) = *node
            .addresses()
            .first()
            .context("the node has one listener")?;
        let stations = TRUNKS.iter().zip(sockets).map(|((name, manner), socket)| {
            let peer = Peer::new(name, socket.local_addr()?, host, *manner);
            Ok(Station { peer, socket })
        });
        Ok(World {
            records: node.records(),
            kept: HashMap::new(),
            stations: stations.collect::<io::Result<_>>()?,
            poll,
            folder,
            host,
            node,
        })
    }

    /// Where the node takes calls.
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// The peer of a trunk.
    pub fn peer(&mut self, trunk: &str) -> &mut Peer {
        let station = self.stations.iter_mut().find(|s| s.peer.name == trunk);
        &mut station.expect("calls name trunks of this world").peer
    }

    /// The record of a call that ended, by the caller's Call-ID.
    pub fn record(&self, call_id: &str) -> Option<&Arc<Record>> {
        self.kept.get(call_id)
    }

    /// Calls that the node says are up.
    pub fn calls_up(&self) -> Result<usize> {
        Ok(self.node.calls()?.len())
    }

    /// What an operator does: changes the dial plan, then has the node reload.
    pub fn swap(&self) -> Result<Duration> {
        let (old, new) = SWAP;
        let plan = include_str!("dialplan.toml").replacen(old, new, 1);
        self.folder.write("dialplan.toml", plan.as_bytes())?;
        let began = Instant::now();
        let reloaded = self.node.reload()?;
        reloaded
            .promoted
            .first()
            .context("the changed policy went live")?;
        Ok(began.elapsed())
    }

    /// Lets the parties talk.
    pub fn talk(&mut self) -> Result<()> {
        let over = Instant::now() + TALKS_FOR;
        self.until(|_| Instant::now() >= over)?;
        Ok(())
    }

    /// Carries datagrams until `done`; false if that takes too long.
    pub fn until(&mut self, mut done: impl FnMut(&mut World) -> bool) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(TRUNKS.len());
        loop {
            self.send()?;
            if done(self) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            match self.poll.poll(&mut events, Some(LOOK_EVERY)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            // All sockets, whatever the events say: there are six of them.
            self.receive()?;
            while let Ok(record) = self.records.try_recv() {
                self.kept.insert(record.sip_call_id.clone(), record);
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for Station { peer, socket } in &mut self.stations {
            peer.pass(now);
            while let Some(bytes) = peer.poll_transmit() {
                socket.send_to(&bytes, self.host)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        let now = Instant::now();
        for Station { peer, socket } in &mut self.stations {
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((n, _)) => peer.receive(Bytes::copy_from_slice(&buffer[..n]), now),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// A folder for the configuration, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("intertrunk-demo-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Folder(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed from the folder for temporary files is the system's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

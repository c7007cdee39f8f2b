//! All transactions of a shard: matching, bytes, retransmission, and telling the owners.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use intertrunk_sip::{BRANCH_COOKIE, Message, Method, Token};
use slotmap::{Key, KeyData, SlotMap, new_key_type};

use super::client_invite::ClientInvite;
use super::client_plain::ClientPlain;
use super::clocks::Clocks;
use super::key::ServerTxKey;
use super::server_invite::ServerInvite;
use super::server_plain::ServerPlain;
use super::told::{Challenged, Incoming, Owner, Sending, Told};
use super::{ClientInput, ClientStep, ServerInput, ServerStep};
use crate::auth::again::TRIES_MAX;
use crate::call::CallKey;
use crate::event::Event;
use crate::io::{Flow, Output, TransmitId};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timer::{Alarm, TimerOwner, Timers};

new_key_type! {
    /// A client transaction of this shard.
    pub(crate) struct ClientKey;
    /// A server transaction of this shard.
    pub(crate) struct ServerKey;
}

/// What the table needs of its surroundings for one step.
pub(crate) struct Env<'a> {
    pub(crate) now: Instant,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) timers: &'a mut Timers,
    pub(crate) out: &'a mut VecDeque<Output>,
}

impl Env<'_> {
    fn clocks(&self, flow: Flow) -> Clocks {
        let transport = self.snapshot.listeners.transport(flow.listener);
        Clocks::of(&self.snapshot.timers, transport.is_reliable())
    }
}

#[derive(Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Plain(ClientPlain),
}

impl ClientMachine {
    fn start(invite: bool, flow: Flow, env: &Env<'_>) -> ClientMachine {
        let clocks = env.clocks(flow);
        match invite {
            true => ClientMachine::Invite(ClientInvite::start(env.now, &clocks)),
            false => ClientMachine::Plain(ClientPlain::start(env.now, &clocks)),
        }
    }
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    owner: Owner,
    flow: Flow,
    branch: u64,
    /// Emptied once nothing can ask for it again.
    request: Bytes,
    /// The ACK of a failure, to repeat.
    ack: Option<Bytes>,
    /// The same request over UDP, for when it cannot be sent.
    fallback: Option<Box<(Flow, Bytes)>>,
    /// How often its request has been sent with credentials.
    tries: u8,
    alarm: Alarm,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Plain(ServerPlain),
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    /// The call of an INVITE.
    call: Option<CallKey>,
    flow: Flow,
    key: ServerTxKey,
    /// Just its bytes: most transactions are finished, wait half a minute, and are never asked again.
    last_response: Box<[u8]>,
    alarm: Alarm,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    clients: SlotMap<ClientKey, Client>,
    servers: SlotMap<ServerKey, Server>,
    by_branch: HashMap<(u64, bool), ClientKey>,
    by_request: HashMap<ServerTxKey, ServerKey>,
    hash_key: (u64, u64),
    told: VecDeque<Told>,
}

impl Table {
    pub(crate) fn new(hash_key: (u64, u64)) -> Self {
        Self {
            hash_key,
            ..Self::default()
        }
    }

    /// Transactions, client and server together.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Whether a peer still owes us something: a final response, or the ACK of a failure.
    pub(crate) fn is_waiting(&self) -> bool {
        let client_waits = self.clients.values().any(|c| match c.machine {
            ClientMachine::Invite(m) => {
                matches!(m, ClientInvite::Calling { .. } | ClientInvite::Proceeding)
            }
            ClientMachine::Plain(m) => {
                matches!(
                    m,
                    ClientPlain::Trying { .. } | ClientPlain::Proceeding { .. }
                )
            }
        });
        let server_waits = self.servers.values().any(|s| match s.machine {
            ServerMachine::Invite(m) => {
                matches!(m, ServerInvite::Proceeding | ServerInvite::Completed { .. })
            }
            ServerMachine::Plain(m) => {
                matches!(m, ServerPlain::Trying | ServerPlain::Proceeding)
            }
        });
        client_waits || server_waits
    }

    /// What owners have to be told, one by one.
    pub(crate) fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    // ---- client side ----

    /// Sends a request and opens its transaction.
    pub(crate) fn send(&mut self, sending: Sending, env: &mut Env<'_>) -> ClientKey {
        let machine = ClientMachine::start(sending.invite, sending.flow, env);
        let key = self.clients.insert(Client {
            machine,
            owner: sending.owner,
            flow: sending.flow,
            branch: sending.branch.0,
            request: sending.bytes.clone(),
            ack: None,
            fallback: None,
            tries: 0,
            alarm: Alarm::default(),
        });
        self.by_branch
            .insert((sending.branch.0, sending.invite), key);
        transmit(env, sending.flow, sending.bytes, Some(key));
        self.arm_client(key, env);
        key
    }

    /// The request of an INVITE transaction that has no final response yet, for its CANCEL.
    pub(crate) fn pending_request(&self, key: ClientKey) -> Option<(Bytes, Flow, Token)> {
        let client = self.clients.get(key)?;
        let pending = matches!(
            client.machine,
            ClientMachine::Invite(ClientInvite::Calling { .. } | ClientInvite::Proceeding)
        );
        pending.then(|| (client.request.clone(), client.flow, Token(client.branch)))
    }

    /// How often the request of this transaction has been sent with credentials.
    pub(crate) fn tried(&mut self, key: ClientKey, tries: u8) {
        if let Some(client) = self.clients.get_mut(key) {
            client.tries = tries;
        }
    }

    /// Ends a transaction that its owner has given up, without telling anybody but that it is over.
    pub(crate) fn abandon(&mut self, key: ClientKey) {
        self.drop_client(key);
    }

    /// Matches a response by the branch that we minted and the method (RFC 3261 §17.1.3). False if
    /// it belongs to no transaction.
    pub(crate) fn response_received(&mut self, response: Message, env: &mut Env<'_>) -> bool {
        let Some(key) = self.client_of(&response) else {
            return false;
        };
        let input = match response.status() {
            100..=199 => ClientInput::Provisional,
            200..=299 => ClientInput::Success,
            _ => ClientInput::Failure,
        };
        let Some(client) = self.clients.get_mut(key) else {
            return false;
        };
        // On a stream the transaction is gone with its answer, so what may be sent again is handed up.
        let request = match (response.status(), client.owner) {
            (401 | 407, _) if client.tries < TRIES_MAX => client.request.clone(),
            (422, Owner::Attempt(..)) => client.request.clone(),
            _ => Bytes::new(),
        };
        let step = client.step(input, env);
        if step.ack {
            client.acknowledge(&response, env);
        }
        let owner = client.owner;
        if step.tell && !request.is_empty() {
            client.owner = owner.without_part();
            self.told.push_back(Told::Challenged(Box::new(Challenged {
                owner,
                flow: client.flow,
                request,
                response,
                tries: client.tries,
            })));
        } else if step.tell {
            self.told.push_back(Told::Response { owner, response });
        } else {
            env.out
                .push_back(Output::Event(Event::Retransmitted { flow: client.flow }));
        }
        self.after_client_step(key, step, env);
        true
    }

    /// What is sent instead, and where to, if the request cannot be sent.
    pub(crate) fn fall_back_to(&mut self, key: ClientKey, datagram: Box<(Flow, Bytes)>) {
        if let Some(client) = self.clients.get_mut(key) {
            client.fallback = Some(datagram);
        }
    }

    /// The transport could not send a request (RFC 3261 §17.1.4). If there is something to send
    /// instead, the transaction begins anew with that, and the way that failed is given back.
    pub(crate) fn transmit_failed(&mut self, id: TransmitId, env: &mut Env<'_>) -> Option<Flow> {
        let key = ClientKey::from(KeyData::from_ffi(id.0));
        let client = self.clients.get_mut(key)?;
        let awaiting = match client.machine {
            ClientMachine::Invite(m) => matches!(m, ClientInvite::Calling { .. }),
            ClientMachine::Plain(m) => matches!(m, ClientPlain::Trying { .. }),
        };
        if !awaiting {
            return None;
        }
        if let Some(datagram) = client.fallback.take() {
            let failed = client.flow;
            (client.flow, client.request) = *datagram;
            let invite = matches!(client.machine, ClientMachine::Invite(_));
            client.machine = ClientMachine::start(invite, client.flow, env);
            transmit(env, client.flow, client.request.clone(), Some(key));
            self.arm_client(key, env);
            return Some(failed);
        }
        self.told.push_back(Told::Unsendable {
            owner: client.owner,
        });
        self.drop_client(key);
        None
    }

    fn client_of(&self, response: &Message) -> Option<ClientKey> {
        let branch = response.branch()?;
        let token = Token::parse(branch.strip_prefix(BRANCH_COOKIE.as_bytes())?)?;
        let invite = *response.method() == Method::Invite;
        self.by_branch.get(&(token.0, invite)).copied()
    }

    fn after_client_step(&mut self, key: ClientKey, step: ClientStep, env: &mut Env<'_>) {
        if step.timed_out
            && let Some(client) = self.clients.get(key)
        {
            self.told.push_back(Told::TimedOut {
                owner: client.owner,
            });
        }
        if step.terminated {
            self.drop_client(key);
        } else {
            self.arm_client(key, env);
        }
    }

    fn drop_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.remove(key) {
            let invite = matches!(client.machine, ClientMachine::Invite(_));
            self.by_branch.remove(&(client.branch, invite));
            self.told.push_back(Told::ClientOver {
                owner: client.owner,
            });
        }
    }

    fn arm_client(&mut self, key: ClientKey, env: &mut Env<'_>) {
        if let Some(client) = self.clients.get_mut(key) {
            let deadline = match client.machine {
                ClientMachine::Invite(m) => m.deadline(),
                ClientMachine::Plain(m) => m.deadline(),
            };
            env.timers
                .ensure(TimerOwner::Client(key), &mut client.alarm, deadline);
        }
    }

    // ---- server side ----

    /// Says what a request is to the transactions that there are.
    pub(crate) fn request_received(&mut self, request: &Message, env: &mut Env<'_>) -> Incoming {
        let is_ack = *request.method() == Method::Ack;
        let key = ServerTxKey::of(request, self.hash_key);
        if let Some(&server_key) = self.by_request.get(&key)
            && let Some(server) = self.servers.get_mut(server_key)
        {
            if is_ack && server.is_accepted() {
                // A peer that reuses the INVITE's branch for the ACK of a 2xx.
                return Incoming::Ack;
            }
            let input = if is_ack {
                ServerInput::Ack
            } else {
                ServerInput::Again
            };
            let step = server.step(input, env);
            self.after_server_step(server_key, step, env);
            return Incoming::Absorbed;
        }
        match request.method() {
            Method::Ack => Incoming::Ack,
            Method::Cancel => {
                let invite = ServerTxKey::of_cancelled(request, self.hash_key);
                let found = self.by_request.get(&invite).copied();
                Incoming::Cancel(found.and_then(|key| Some((key, self.servers.get(key)?.call?))))
            }
            _ => Incoming::New,
        }
    }

    /// Opens the transaction of a new request. `call` is told when an INVITE's is over.
    pub(crate) fn open(
        &mut self,
        request: &Message,
        flow: Flow,
        call: Option<CallKey>,
    ) -> ServerKey {
        let machine = match request.method() {
            Method::Invite => ServerMachine::Invite(ServerInvite::Proceeding),
            _ => ServerMachine::Plain(ServerPlain::Trying),
        };
        let key = ServerTxKey::of(request, self.hash_key);
        let server = Server {
            machine,
            call,
            flow: flow.back_to_sender(request),
            key,
            last_response: Box::default(),
            alarm: Alarm::default(),
        };
        let server_key = self.servers.insert(server);
        self.by_request.insert(key, server_key);
        server_key
    }

    /// Whether the transaction still waits for its final response.
    pub(crate) fn is_pending(&self, key: ServerKey) -> bool {
        self.servers.get(key).is_some_and(|s| match s.machine {
            ServerMachine::Invite(m) => matches!(m, ServerInvite::Proceeding),
            ServerMachine::Plain(m) => matches!(m, ServerPlain::Trying | ServerPlain::Proceeding),
        })
    }

    /// Our tag in what was answered last.
    pub(crate) fn tag_said(&self, key: ServerKey) -> Option<Token> {
        let said = Bytes::copy_from_slice(&self.servers.get(key)?.last_response);
        Token::parse(Message::parse(said).ok()?.to_tag()?)
    }

    /// Answers a request. A second final answer is not sent: the machine knows only one.
    pub(crate) fn respond(
        &mut self,
        key: ServerKey,
        status: u16,
        response: Bytes,
        env: &mut Env<'_>,
    ) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let input = match status {
            100..=199 => ServerInput::Provisional,
            200..=299 => ServerInput::Success,
            _ => ServerInput::Failure,
        };
        let step = server.step(input, env);
        if step.send {
            server.last_response = Box::from(&response[..]);
            transmit(env, server.flow, response, None);
        }
        self.after_server_step(key, step, env);
    }

    fn after_server_step(&mut self, key: ServerKey, step: ServerStep, env: &mut Env<'_>) {
        if step.terminated {
            if let Some(server) = self.servers.remove(key) {
                self.by_request.remove(&server.key);
                if let Some(call) = server.call {
                    self.told.push_back(Told::ServerOver { call });
                }
            }
        } else if let Some(server) = self.servers.get_mut(key) {
            let deadline = match server.machine {
                ServerMachine::Invite(m) => m.deadline(),
                ServerMachine::Plain(m) => m.deadline(),
            };
            env.timers
                .ensure(TimerOwner::Server(key), &mut server.alarm, deadline);
        }
    }

    // ---- time ----

    /// An entry of the timer queue came up.
    pub(crate) fn client_clock(&mut self, key: ClientKey, at: Instant, env: &mut Env<'_>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.alarm.take(at) {
            let step = client.step(ClientInput::Clock, env);
            self.after_client_step(key, step, env);
        }
    }

    /// An entry of the timer queue came up.
    pub(crate) fn server_clock(&mut self, key: ServerKey, at: Instant, env: &mut Env<'_>) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if server.alarm.take(at) {
            let step = server.step(ServerInput::Clock, env);
            self.after_server_step(key, step, env);
        }
    }
}

impl Client {
    fn step(&mut self, input: ClientInput, env: &mut Env<'_>) -> ClientStep {
        let clocks = env.clocks(self.flow);
        let step = match &mut self.machine {
            ClientMachine::Invite(m) => m.handle(input, env.now, &clocks),
            ClientMachine::Plain(m) => m.handle(input, env.now, &clocks),
        };
        if step.resend {
            env.out
                .push_back(Output::Event(Event::Retransmitted { flow: self.flow }));
            transmit(env, self.flow, self.request.clone(), None);
        }
        let over = match self.machine {
            ClientMachine::Invite(m) => matches!(m, ClientInvite::Accepted { .. }),
            ClientMachine::Plain(m) => matches!(m, ClientPlain::Completed { .. }),
        };
        if over {
            self.request = Bytes::new();
        }
        step
    }

    fn acknowledge(&mut self, failure: &Message, env: &mut Env<'_>) {
        if self.ack.is_none() {
            self.ack = crate::dialog::ack_of_failure(&self.request, failure);
            if failure.status() != 422 {
                self.request = Bytes::new();
            }
        }
        if let Some(ack) = &self.ack {
            transmit(env, self.flow, ack.clone(), None);
        }
    }
}

impl Server {
    fn is_accepted(&self) -> bool {
        matches!(
            self.machine,
            ServerMachine::Invite(ServerInvite::Accepted { .. })
        )
    }

    fn step(&mut self, input: ServerInput, env: &mut Env<'_>) -> ServerStep {
        let clocks = env.clocks(self.flow);
        let step = match &mut self.machine {
            ServerMachine::Invite(m) => m.handle(input, env.now, &clocks),
            ServerMachine::Plain(m) => m.handle(input, env.now, &clocks),
        };
        if step.resend && !self.last_response.is_empty() {
            env.out
                .push_back(Output::Event(Event::Retransmitted { flow: self.flow }));
            let again = Bytes::copy_from_slice(&self.last_response);
            transmit(env, self.flow, again, None);
        }
        if self.is_accepted() {
            self.last_response = Box::default();
        }
        step
    }
}

fn transmit(env: &mut Env<'_>, flow: Flow, bytes: Bytes, request: Option<ClientKey>) {
    let request = request.map(|key| TransmitId(key.data().as_ffi()));
    env.out.push_back(Output::Transmit {
        flow,
        bytes,
        request,
    });
}

#[cfg(test)]
mod tests;

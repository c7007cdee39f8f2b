//! A name server of a few lines: answers from a zone that a test may change, or not at all.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};

/// The server. Its thread ends with the test's process.
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: Vec<Record>,
    silent: bool,
}

impl NameServer {
    pub fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let server = NameServer {
            address,
            zone: Arc::clone(&zone),
        };
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let query = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(response) = zone.lock().unwrap().answer(&query) {
                    socket.send_to(&response.to_vec().unwrap(), from).unwrap();
                }
            }
        });
        server
    }

    /// `[dns]` with this server alone, impatient enough for a test.
    pub fn section(&self) -> String {
        format!(
            "[dns]\nservers = [\"{}\"]\ntimeout = \"300ms\"\nattempts = 1\nttl_min = \"100ms\"\n\
             retry_min = \"100ms\"\nretry_max = \"100ms\"\n",
            self.address
        )
    }

    /// Answers nothing from now on, or answers again.
    pub fn silence(&self, silent: bool) {
        self.zone.lock().unwrap().silent = silent;
    }

    /// Knows nothing any more.
    pub fn forget(&self) {
        self.zone.lock().unwrap().records.clear();
    }

    /// `host` is 127.0.0.1.
    pub fn address(&self, host: &str) {
        self.put(host, RData::A(Ipv4Addr::LOCALHOST.into()));
    }

    pub fn srv(&self, owner: &str, priority: u16, port: u16, host: &str) {
        self.put(owner, RData::SRV(SRV::new(priority, 1, port, name(host))));
    }

    pub fn naptr(&self, owner: &str, order: u16, service: &str, replacement: &str) {
        let text = |text: &str| text.as_bytes().into();
        let naptr = NAPTR::new(
            order,
            1,
            text("s"),
            text(service),
            text(""),
            name(replacement),
        );
        self.put(owner, RData::NAPTR(naptr));
    }

    /// A rule of ENUM: `regexp` makes a URI of the number that `owner` stands for.
    pub fn rule(&self, owner: &str, order: u16, service: &str, regexp: &str) {
        let text = |text: &str| text.as_bytes().into();
        let rule = NAPTR::new(
            order,
            1,
            text("u"),
            text(service),
            text(regexp),
            Name::root(),
        );
        self.put(owner, RData::NAPTR(rule));
    }

    fn put(&self, owner: &str, data: RData) {
        let record = Record::from_rdata(name(owner), 0, data);
        self.zone.lock().unwrap().records.push(record);
    }
}

impl Zone {
    fn answer(&self, query: &Message) -> Option<Message> {
        if self.silent {
            return None;
        }
        let mut response = Message::response(query.metadata.id, OpCode::Query);
        let asked = query.queries.first()?;
        response.add_query(asked.clone());
        let of_name = |r: &&Record| r.name == *asked.name();
        let of_type = |r: &&Record| r.data.record_type() == asked.query_type();
        let named: Vec<&Record> = self.records.iter().filter(of_name).collect();
        if named.is_empty() {
            response.metadata.response_code = ResponseCode::NXDomain;
        }
        response.add_answers(named.into_iter().filter(of_type).cloned());
        Some(response)
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

//! The network: datagrams on their way, and the weather that they travel through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_proto::{Instant, Rng};

use crate::ms;

/// What happens to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a hundred, how many are lost.
    pub loss: u64,
    /// Of a hundred, how many arrive twice.
    pub twice: u64,
    /// Longest delay in milliseconds; different delays reorder.
    pub delay_ms: u64,
}

/// A datagram on its way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Datagram {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Payload.
    pub bytes: Bytes,
    /// Under a schedule: others may arrive before it.
    pub late: bool,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    weather: Weather,
    rng: Rng,
    /// Start of the first line of datagrams that are lost, each once.
    pub lose: Vec<&'static str>,
    /// Under a schedule: datagrams that wait until it is their turn, in the order of departure.
    pub held: Option<Vec<Datagram>>,
    /// By arrival, then by departure: equal arrivals keep their order.
    under_way: BinaryHeap<Reverse<(Instant, u64, Datagram)>>,
    sent: u64,
}

impl Net {
    /// An empty network.
    pub fn new(weather: Weather, rng: Rng) -> Net {
        Net {
            weather,
            rng,
            lose: Vec::new(),
            held: None,
            under_way: BinaryHeap::new(),
            sent: 0,
        }
    }

    /// Whether a draw from a hundred is below `percent`.
    fn happens(&mut self, percent: u64) -> bool {
        percent > 0 && self.rng.next_u64() % 100 < percent
    }

    /// Puts a datagram on its way.
    pub fn send(&mut self, datagram: &Datagram, now: Instant) {
        if let Some(place) = self
            .lose
            .iter()
            .position(|l| datagram.bytes.starts_with(l.as_bytes()))
        {
            self.lose.remove(place);
            return;
        }
        if let Some(held) = &mut self.held {
            return held.push(datagram.clone());
        }
        let copies = 1 + u32::from(self.happens(self.weather.twice));
        for _ in 0..copies {
            if self.happens(self.weather.loss) {
                continue;
            }
            let delay = match self.weather.delay_ms {
                0 => ms(1),
                most => ms(1 + self.rng.next_u64() % most),
            };
            self.sent += 1;
            self.under_way
                .push(Reverse((now + delay, self.sent, datagram.clone())));
        }
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next datagram that has arrived.
    pub fn arrived(&mut self, now: Instant) -> Option<Datagram> {
        let due = self.next().is_some_and(|at| at <= now);
        due.then(|| self.under_way.pop())
            .flatten()
            .map(|Reverse((.., datagram))| datagram)
    }
}

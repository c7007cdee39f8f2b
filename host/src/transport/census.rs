//! How many connections a listener has, over all shards, and with whom.
//!
//! Looked at when a connection begins or ends, never while it is used.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of one listener.
#[derive(Debug, Default)]
pub struct Census(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    all: u32,
    by_host: HashMap<IpAddr, u32>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    census: Arc<Census>,
    host: IpAddr,
}

impl Census {
    /// Takes a place for a connection with `host`; none when `max` of them are taken, or
    /// `host_max` by this host.
    pub fn take(self: &Arc<Self>, host: IpAddr, max: u32, host_max: u32) -> Option<Place> {
        let host = host.to_canonical();
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host = count.by_host.get(&host).copied().unwrap_or(0);
        if count.all >= max || of_host >= host_max {
            return None;
        }
        count.all += 1;
        count.by_host.insert(host, of_host + 1);
        Some(Place {
            census: Arc::clone(self),
            host,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.census.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.all -= 1;
        if let Some(of_host) = count.by_host.get_mut(&self.host) {
            *of_host -= 1;
            if *of_host == 0 {
                count.by_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_few_for_each_and_for_all_and_come_back() {
        let census = Arc::<Census>::default();
        let take = |host: &str| census.take(host.parse().unwrap(), 3, 2);
        let one = take("127.0.0.1").unwrap();
        let _two = take("::ffff:127.0.0.1").unwrap();
        assert!(take("127.0.0.1").is_none(), "two of one host");
        let _three = take("127.0.0.2").unwrap();
        assert!(take("127.0.0.3").is_none(), "three of all");
        drop(one);
        assert!(take("127.0.0.1").is_some());
        assert_eq!(
            census.0.lock().unwrap().by_host.len(),
            2,
            "nothing is left behind"
        );
    }
}

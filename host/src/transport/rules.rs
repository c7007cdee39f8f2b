//! What the configuration says of a listener's connections. Replaced as a whole by a reload;
//! connections that there are keep the TLS that they began with.

use std::time::Duration;

use super::streams::SHARD_QUEUE_BYTES_MAX;
use super::tls::Tls;

/// Rules of one stream listener.
#[derive(Clone, Debug)]
pub struct StreamRules {
    /// How long making a connection may take, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long a connection may be without a message.
    pub idle: Duration,
    /// Most connections, over all shards; none over UDP.
    pub connections_max: u32,
    /// Most connections with one address, over all shards.
    pub connections_per_peer_max: u32,
    /// Certificates; only for TLS.
    pub tls: Option<Tls>,
}

/// What one connection may hold: an unfinished message, one read, and the buffers of TLS.
const CONNECTION_BYTES: usize = 192 * 1024;

impl StreamRules {
    /// What the connections of listeners with these rules may hold in memory, over all shards.
    pub fn bytes(all: &[StreamRules], shards: u16) -> usize {
        let max =
            |rules: &StreamRules| usize::try_from(rules.connections_max).unwrap_or(usize::MAX);
        let connections = all.iter().map(max).fold(0, usize::saturating_add);
        let queues = match connections {
            0 => 0,
            _ => SHARD_QUEUE_BYTES_MAX * usize::from(shards),
        };
        connections
            .saturating_mul(CONNECTION_BYTES)
            .saturating_add(queues)
    }
}

impl Default for StreamRules {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle: Duration::from_secs(15 * 60),
            connections_max: 1000,
            connections_per_peer_max: 100,
            tls: None,
        }
    }
}

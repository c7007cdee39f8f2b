//! One outside source: how it is asked, and what is remembered of its answers.

use std::time::Duration;

use intertrunk_proto::ask::NoAnswer;
use intertrunk_proto::meter::{KEY_MEMORY, MeterRules};
use moka::sync::Cache;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, StatusCode, redirect};

use crate::resolve::{Dns, Enum};

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// `[source.NAME]` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// As policies name it.
    pub name: String,
    /// How it is asked.
    pub kind: Kind,
    /// How long it may take; a policy may wait for less.
    pub timeout: Duration,
    /// How long an answer is believed; failures never are.
    pub cache: Duration,
    /// Answers that are remembered.
    pub cache_max: usize,
}

impl Source {
    /// Whether this node is asked itself.
    pub fn is_meter(&self) -> bool {
        matches!(self.kind, Kind::Meter(_))
    }

    /// What it takes of memory as a meter, at most.
    pub fn meter_bytes(&self) -> usize {
        match self.kind {
            Kind::Meter(rules) => rules.keys_max.saturating_mul(KEY_MEMORY),
            Kind::Http { .. } | Kind::Enum { .. } => 0,
        }
    }
}

/// How a source is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// GET; the answer is the body, or empty if there is none of this key (404).
    Http {
        /// With `{key}` in it.
        url: String,
    },
    /// RFC 6116; the answer is the first SIP URI, or empty.
    Enum {
        /// The zone that numbers lie in.
        zone: String,
    },
    /// Counters of this node, of calls with a tag of the source's name.
    Meter(MeterRules),
}

/// A source that can be asked.
pub(super) struct Known {
    asked: Asked,
    timeout: Duration,
    cache: Option<Cache<String, String>>,
}

enum Asked {
    Http {
        client: Client,
        url: String,
    },
    Enum(Box<Enum>),
    /// Its shard knows the answer when all others are there.
    Meter,
    /// What it takes to ask it could not be had.
    Nobody,
}

impl Known {
    pub fn new(source: &Source, dns: &Dns) -> Known {
        let asked = match &source.kind {
            Kind::Http { url } => http(url),
            Kind::Enum { zone } => Enum::new(dns, zone)
                .map(|zone| Asked::Enum(Box::new(zone)))
                .map_err(|fault| fault.to_string()),
            Kind::Meter(_) => Ok(Asked::Meter),
        };
        let cache = (!source.cache.is_zero()).then(|| {
            Cache::builder()
                .max_capacity(source.cache_max as u64)
                .time_to_live(source.cache)
                .build()
        });
        Known {
            asked: asked.unwrap_or_else(|fault| {
                tracing::error!(source = source.name, "cannot be asked: {fault}");
                Asked::Nobody
            }),
            timeout: source.timeout,
            cache,
        }
    }

    /// What it says of `key`, within `patience`.
    pub async fn look_up(&self, key: &str, patience: Duration) -> Result<String, NoAnswer> {
        if let Some(known) = self.cache.as_ref().and_then(|cache| cache.get(key)) {
            return Ok(known);
        }
        let patience = patience.min(self.timeout);
        let asked = tokio::time::timeout(patience, self.ask(key)).await;
        let answer = asked.map_err(|_| NoAnswer::Timeout)??;
        if let Some(cache) = &self.cache {
            cache.insert(key.to_owned(), answer.clone());
        }
        Ok(answer)
    }

    async fn ask(&self, key: &str) -> Result<String, NoAnswer> {
        match &self.asked {
            Asked::Http { client, url } => get(client, url, key).await,
            Asked::Enum(zone) => zone.uri(key).await.map_err(|fault| {
                tracing::debug!(key, "ENUM failed: {fault}");
                NoAnswer::Failed
            }),
            Asked::Meter => Ok(String::new()),
            Asked::Nobody => Err(NoAnswer::Failed),
        }
    }
}

fn http(url: &str) -> Result<Asked, String> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("intertrunk/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Asked::Http {
        client: client.map_err(|fault| fault.to_string())?,
        url: url.to_owned(),
    })
}

async fn get(client: &Client, url: &str, key: &str) -> Result<String, NoAnswer> {
    let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    let failed = |fault: reqwest::Error| {
        tracing::debug!("an outside source failed: {fault}");
        NoAnswer::Failed
    };
    let request = client.get(url.replace("{key}", &key));
    let mut response = request.send().await.map_err(failed)?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(String::new());
    }
    if !response.status().is_success() {
        tracing::debug!(status = %response.status(), "an outside source failed");
        return Err(NoAnswer::Failed);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(NoAnswer::Failed);
        }
    }
    let text = String::from_utf8(body).map_err(|_| NoAnswer::Failed)?;
    Ok(text.trim().to_owned())
}

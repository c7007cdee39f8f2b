//! The line to a baresip: its module ctrl_tcp, which takes commands and tells events as JSON in
//! netstrings.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How long any one thing that a phone does may take.
const PATIENCE: Duration = Duration::from_secs(5);
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// A connection to one baresip.
pub struct Control {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Events that nobody has asked for yet, oldest first.
    events: VecDeque<Value>,
}

impl Control {
    /// Connects as soon as it listens.
    pub fn connect(address: &str) -> Result<Control> {
        let deadline = Instant::now() + STARTS_WITHIN;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(why) => ensure!(Instant::now() < deadline, "baresip at {address}: {why}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        Ok(Control {
            stream,
            unread: Vec::new(),
            events: VecDeque::new(),
        })
    }

    /// Gives a command and waits for what it prints.
    pub fn command(&mut self, name: &str, params: &str) -> Result<String> {
        let command = json!({ "command": name, "params": params, "token": name });
        self.stream.write_all(&netstring(&command.to_string()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self
                .next(deadline)?
                .with_context(|| format!("no answer to /{name} within {PATIENCE:?}"))?;
            if said["response"] != true {
                self.events.push_back(said);
                continue;
            }
            let text = said["data"].as_str().unwrap_or_default();
            ensure!(said["ok"] == true, "/{name} {params}: {text}");
            return Ok(text.to_owned());
        }
    }

    /// Waits for an event of this type, past others that came before it.
    pub fn expect(&mut self, event: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        while let Some(said) = match self.events.pop_front() {
            Some(said) => Some(said),
            None => self.next(deadline)?,
        } {
            let kind = said["type"].as_str().unwrap_or_default();
            if kind == event {
                return Ok(said);
            }
            passed.push(format!("{kind} {}", said["param"]));
        }
        bail!(
            "no {event} within {PATIENCE:?}, only [{}]",
            passed.join(", ")
        )
    }

    /// Forgets the events that have come so far.
    pub fn forget(&mut self) -> Result<()> {
        while self.next(Instant::now())?.is_some() {}
        self.events.clear();
        Ok(())
    }

    /// The next thing that it says; `None` when nothing comes in time.
    fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some((text, length)) = first_netstring(&self.unread)? {
                let said = serde_json::from_str(text).context("baresip says JSON")?;
                self.unread.drain(..length);
                return Ok(Some(said));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean no timeout at all.
            let patience = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(patience))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("baresip is gone"),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

/// The text of the first netstring and the length of the whole of it; `None` if more is to come.
fn first_netstring(bytes: &[u8]) -> Result<Option<(&str, usize)>> {
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else {
        return Ok(None);
    };
    let length = std::str::from_utf8(&bytes[..colon])?
        .parse::<usize>()
        .context("a netstring begins with its length")?;
    let (start, end) = (colon + 1, colon + 1 + length);
    let Some(comma) = bytes.get(end) else {
        return Ok(None);
    };
    ensure!(*comma == b',', "a netstring ends with a comma");
    Ok(Some((std::str::from_utf8(&bytes[start..end])?, end + 1)))
}

#[cfg(test)]
mod tests {
    use super::{first_netstring, netstring};

    #[test]
    fn netstrings_are_cut_where_they_end() {
        let mut bytes = netstring("{}");
        bytes.extend(netstring("später"));
        let (text, length) = first_netstring(&bytes).expect("legal").expect("whole");
        assert_eq!((text, length), ("{}", 5));
        let (text, _) = first_netstring(&bytes[5..]).expect("legal").expect("whole");
        assert_eq!(text, "später");
        for cut in 0..4 {
            assert!(matches!(first_netstring(&bytes[..cut]), Ok(None)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_netstring_is_refused() {
        for bytes in [&b"x:a,"[..], b"1:ab", b"-1:,"] {
            assert!(first_netstring(bytes).is_err(), "{bytes:?}");
        }
    }
}

//! Edits laid over a received message and applied in one output pass. What is not edited is copied
//! byte for byte: order, case, compact names, folds and blanks (the message on the wire stays the
//! sender's but for what we meant to change).

use crate::header::Name;
use crate::message::{Line, Message};
use crate::print::{put, put_header};
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Text for an edit, borrowed or owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value<'m>(Cow<'m, [u8]>);

impl<'m> From<&'m str> for Value<'m> {
    fn from(text: &'m str) -> Self {
        Value(Cow::Borrowed(text.as_bytes()))
    }
}

impl<'m> From<&'m [u8]> for Value<'m> {
    fn from(bytes: &'m [u8]) -> Self {
        Value(Cow::Borrowed(bytes))
    }
}

impl<'m, const N: usize> From<&'m [u8; N]> for Value<'m> {
    fn from(bytes: &'m [u8; N]) -> Self {
        Value(Cow::Borrowed(bytes))
    }
}

impl<'m> From<&'m Bytes> for Value<'m> {
    fn from(bytes: &'m Bytes) -> Self {
        Value(Cow::Borrowed(bytes))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Value(Cow::Owned(bytes))
    }
}

impl<'m> From<Cow<'m, str>> for Value<'m> {
    fn from(text: Cow<'m, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

/// A received message and what shall be different about it.
#[derive(Clone, Debug)]
pub struct Overlay<'m> {
    message: &'m Message,
    start_line: Option<Value<'m>>,
    edits: SmallVec<[Edit<'m>; 8]>,
    body: Option<Value<'m>>,
}

#[derive(Clone, Debug)]
enum Edit<'m> {
    Replace(Name, Value<'m>),
    Remove(Name),
    RemoveNamed(Cow<'m, str>),
    Append(Name, Value<'m>),
    Prepend(Name, Value<'m>),
}

impl<'m> Overlay<'m> {
    /// No edits yet.
    pub fn new(message: &'m Message) -> Overlay<'m> {
        Overlay {
            message,
            start_line: None,
            edits: SmallVec::new(),
            body: None,
        }
    }

    /// Another start line, given without its CRLF.
    pub fn start_line(&mut self, line: impl Into<Value<'m>>) -> &mut Self {
        self.start_line = Some(line.into());
        self
    }

    /// One line instead of all received lines of this name: in the place of the first, or at the
    /// end when there is none. The last call for a name counts.
    pub fn replace(&mut self, name: Name, value: impl Into<Value<'m>>) -> &mut Self {
        self.edits
            .retain(|edit| !matches!(edit, Edit::Replace(n, _) if *n == name));
        self.edits.push(Edit::Replace(name, value.into()));
        self
    }

    /// Leaves out all received lines of this name; `Name::Other` means every line without a known one.
    pub fn remove(&mut self, name: Name) -> &mut Self {
        self.edits.push(Edit::Remove(name));
        self
    }

    /// Leaves out all received lines of any name, known or not, in any case.
    pub fn remove_named(&mut self, name: impl Into<Cow<'m, str>>) -> &mut Self {
        let name = name.into();
        self.edits.push(match Name::of(name.as_bytes()) {
            Name::Other => Edit::RemoveNamed(name),
            known => Edit::Remove(known),
        });
        self
    }

    /// A new line at the end of the header section.
    pub fn append(&mut self, name: Name, value: impl Into<Value<'m>>) -> &mut Self {
        self.edits.push(Edit::Append(name, value.into()));
        self
    }

    /// A new line before all others of this name, or at the top when there is none. The last call
    /// comes out first, as a hop's own Via or Record-Route should.
    pub fn prepend(&mut self, name: Name, value: impl Into<Value<'m>>) -> &mut Self {
        self.edits.push(Edit::Prepend(name, value.into()));
        self
    }

    /// Another body; Content-Length follows.
    pub fn body(&mut self, body: impl Into<Value<'m>>) -> &mut Self {
        self.body = Some(body.into());
        self
    }

    /// The message with its edits; without any, the very bytes that were received, shared.
    pub fn finish(&self) -> Bytes {
        let Overlay {
            message,
            start_line,
            edits,
            body,
        } = self;
        if start_line.is_none() && edits.is_empty() && body.is_none() {
            return message.bytes().clone();
        }
        let old = &message.bytes()[..];
        let old_body = message.body();
        let new_body = body.as_ref().map_or(&old_body[..], |body| &body.0);
        let added: usize = edits.iter().map(Edit::size).sum();
        let mut out = Vec::with_capacity(old.len() + new_body.len() + added + 64);
        match start_line {
            Some(line) => put(&mut out, &[&line.0, b"\r\n"]),
            None => out.extend_from_slice(&old[..start_line_len(old)]),
        }
        self.put_lines(&mut out, new_body.len());
        put(&mut out, &[b"\r\n", new_body]);
        Bytes::from(out)
    }

    fn put_lines(&self, out: &mut Vec<u8>, body_len: usize) {
        let has = |name| self.message.header(name).is_some();
        let length = self.body.as_ref().map(|_| body_len.to_string());
        self.put_prepended(out, |name| !has(name));
        let mut seen = 0u128;
        for line in self.message.lines() {
            let first = line.name != Name::Other && seen & line.name.bit() == 0;
            seen |= line.name.bit();
            if first {
                self.put_prepended(out, |name| name == line.name);
            }
            match &length {
                Some(length) if line.name == Name::ContentLength => {
                    put_header(out, line.name, length.as_bytes());
                }
                _ => self.put_line(out, line, first),
            }
        }
        for edit in &self.edits {
            match edit {
                Edit::Append(name, value) => put_header(out, *name, &value.0),
                Edit::Replace(name, value) if !has(*name) => put_header(out, *name, &value.0),
                _ => {}
            }
        }
        if let Some(length) = length.filter(|_| !has(Name::ContentLength)) {
            put_header(out, Name::ContentLength, length.as_bytes());
        }
    }

    fn put_prepended(&self, out: &mut Vec<u8>, wanted: impl Fn(Name) -> bool) {
        for edit in self.edits.iter().rev() {
            match edit {
                Edit::Prepend(name, value) if wanted(*name) => put_header(out, *name, &value.0),
                _ => {}
            }
        }
    }

    /// A received line: as it is, replaced, or left out.
    fn put_line(&self, out: &mut Vec<u8>, line: Line<'_>, first: bool) {
        match self.edits.iter().rev().find(|edit| edit.concerns(&line)) {
            None => out.extend_from_slice(line.raw),
            Some(Edit::Replace(name, value)) if first => put_header(out, *name, &value.0),
            Some(_) => {}
        }
    }
}

impl Edit<'_> {
    /// Whether the received line does not stay as it is.
    fn concerns(&self, line: &Line<'_>) -> bool {
        match self {
            Edit::Replace(name, _) | Edit::Remove(name) => *name == line.name,
            Edit::RemoveNamed(name) => line.name_bytes.eq_ignore_ascii_case(name.as_bytes()),
            Edit::Append(..) | Edit::Prepend(..) => false,
        }
    }

    /// The bytes that this edit can add.
    fn size(&self) -> usize {
        match self {
            Edit::Replace(name, value) | Edit::Append(name, value) | Edit::Prepend(name, value) => {
                name.as_str().len() + value.0.len() + 4
            }
            Edit::Remove(_) | Edit::RemoveNamed(_) => 0,
        }
    }
}

fn start_line_len(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).expect("read found the start line's end") + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Overlay;
    use crate::header::Name;
    use crate::message::Message;
    use bytes::Bytes;

    const HEAD: &str = "INVITE sip:bob@b.example SIP/2.0\r\nv:SIP/2.0/UDP a\r\n";
    const TAIL: &str = "f: <sip:a@a>;tag=1\r\nt: <sip:b@b>\r\ni: 1\r\nCSeq:\r\n 1 INVITE\r\n\
        X-a: 1\r\nRoute: <sip:r1>\r\nx-A: 2\r\nRoute: <sip:r2>\r\nl: 4\r\n";

    fn message() -> Message {
        Message::parse(Bytes::from(format!("{HEAD}{TAIL}\r\nbody"))).unwrap()
    }

    fn edited(edit: impl FnOnce(&mut Overlay<'_>)) -> String {
        let message = message();
        let mut overlay = Overlay::new(&message);
        edit(&mut overlay);
        String::from_utf8(overlay.finish().to_vec()).unwrap()
    }

    #[test]
    fn untouched_is_the_same_memory() {
        let message = message();
        let out = Overlay::new(&message).finish();
        assert_eq!(out.as_ptr(), message.bytes().as_ptr());
        assert_eq!(&out, message.bytes());
    }

    #[test]
    fn edits_touch_nothing_else() {
        assert_eq!(
            edited(|o| {
                o.start_line("INVITE sip:x SIP/2.0")
                    .prepend(Name::Via, "SIP/2.0/UDP me");
            }),
            format!(
                "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP me\r\nv:SIP/2.0/UDP a\r\n{TAIL}\r\nbody"
            )
        );
        assert_eq!(
            edited(|o| {
                o.replace(Name::Route, "<sip:old>")
                    .replace(Name::Route, "<sip:new>");
            }),
            format!("{HEAD}{TAIL}\r\nbody")
                .replace("Route: <sip:r1>", "Route: <sip:new>")
                .replace("Route: <sip:r2>\r\n", "")
        );
        assert_eq!(
            edited(|o| {
                o.remove(Name::Route)
                    .remove_named("X-A")
                    .append(Name::Route, "<sip:r3>");
            }),
            format!("{HEAD}{TAIL}Route: <sip:r3>\r\n\r\nbody").replace(
                "X-a: 1\r\nRoute: <sip:r1>\r\nx-A: 2\r\nRoute: <sip:r2>\r\n",
                ""
            )
        );
    }

    #[test]
    fn what_is_not_there_comes_at_the_edge() {
        assert_eq!(
            edited(|o| {
                o.prepend(Name::RecordRoute, "<sip:1>")
                    .prepend(Name::RecordRoute, "<sip:2>");
                o.replace(Name::Subject, "s".to_owned());
            }),
            format!("{HEAD}{TAIL}Subject: s\r\n\r\nbody").replace(
                "SIP/2.0\r\nv:",
                "SIP/2.0\r\nRecord-Route: <sip:2>\r\nRecord-Route: <sip:1>\r\nv:"
            )
        );
    }

    #[test]
    fn content_length_follows_the_body() {
        let out = edited(|o| {
            o.body("twelve bytes");
        });
        assert_eq!(
            out,
            format!("{HEAD}{TAIL}\r\ntwelve bytes").replace("l: 4", "Content-Length: 12")
        );
        let without = format!("{HEAD}{TAIL}\r\nbody").replace("l: 4\r\n", "");
        let message = Message::parse(Bytes::from(without)).unwrap();
        let out = Overlay::new(&message).body(b"x").finish();
        assert!(out.ends_with(b"\r\nContent-Length: 1\r\n\r\nx"));
    }
}

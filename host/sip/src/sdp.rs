//! Session descriptions (RFC 8866) as far as they name whoever wrote them: the origin line becomes
//! ours, lines for people and the name of the peer's software go.
//!
//! One pass over lines, no model of a session: media lines (`m=`, `c=`, `a=`, `b=`, `t=`) are copied
//! byte for byte, since media flows end to end. Knows nothing of offers and answers.

use std::io::Write;
use std::ops::Range;

use crate::grammar::{trim, trim_start, unquote};
use crate::param::Params;
use crate::print::decimal_of;

/// Who we are in an `o=` line (RFC 8866 §5.2).
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Session id: the same in all descriptions of one dialog.
    pub session: u32,
    /// Host name or address, an IPv6 address with or without brackets.
    pub host: &'a str,
}

/// Appends `body` to `out` with each session description in it under our origin, also inside of a
/// multipart body (RFC 5621); any other body is appended as it is. `version` is told a digest of
/// what a description says beside its origin, and gives the version to write.
pub fn put_body(
    out: &mut Vec<u8>,
    content_type: &[u8],
    body: &[u8],
    origin: Origin<'_>,
    version: &mut dyn FnMut(u64) -> u32,
) {
    let (media_type, params) = split_type(content_type);
    if media_type.eq_ignore_ascii_case(b"application/sdp") {
        put_sdp(out, body, origin, version);
    } else if let Some(boundary) = boundary(media_type, params) {
        put_parts(out, &boundary, body, origin, version);
    } else {
        out.extend_from_slice(body);
    }
}

/// A session description without its directions: who says nothing of them sends and receives (RFC
/// 8866 §6.7). So a party that was on hold is offered to another one.
pub fn without_direction(body: &[u8]) -> Vec<u8> {
    let is_direction = |line: &&[u8]| {
        matches!(
            trim(line),
            b"a=sendrecv" | b"a=sendonly" | b"a=recvonly" | b"a=inactive"
        )
    };
    let lines = body.split_inclusive(|b| *b == b'\n');
    lines
        .filter(|line| !is_direction(line))
        .flatten()
        .copied()
        .collect()
}

/// An answer that takes each stream of an offer, and moves no media yet (RFC 3264 §6): all are
/// inactive, at no address. Streams that need keys or more of an answer are refused.
pub fn idle_answer(offer: &[u8]) -> Vec<u8> {
    const INACTIVE: &[u8] = b"a=inactive\r\n";
    let mut answer = Vec::with_capacity(offer.len() + INACTIVE.len());
    let mut in_media = false;
    for line in offer.split(|b| *b == b'\n').map(trim) {
        match line {
            [b'm', b'=', ..] => {
                if std::mem::replace(&mut in_media, true) {
                    answer.extend_from_slice(INACTIVE);
                }
                let mut words = line.split(|b| *b == b' ');
                let (media, port) = (words.next(), words.next());
                let rest: Vec<&[u8]> = words.collect();
                let plain = rest.first().is_some_and(|p| p.starts_with(b"RTP/AVP"));
                let takes = plain && port.is_some_and(|p| p != b"0");
                let port: &[u8] = if takes { b"9" } else { b"0" };
                let head = [media.unwrap_or(line), port];
                answer.extend_from_slice(&[&head[..], &rest].concat().join(&b' '));
            }
            [b'c', b'=', ..] if line.windows(3).any(|w| w == b"IP6") => {
                answer.extend_from_slice(b"c=IN IP6 ::");
            }
            [b'c', b'=', ..] => answer.extend_from_slice(b"c=IN IP4 0.0.0.0"),
            [b'v' | b'o' | b's' | b't', b'=', ..] => answer.extend_from_slice(line),
            _ if line.starts_with(b"a=rtpmap:") || line.starts_with(b"a=fmtp:") => {
                answer.extend_from_slice(line);
            }
            _ => continue,
        }
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(INACTIVE);
    answer
}

/// What becomes of a line.
enum Fate {
    Kept,
    Origin,
    Subject,
    Dropped,
}

fn fate(line: &[u8]) -> Fate {
    match line {
        [b'o', b'=', ..] => Fate::Origin,
        // A description without a subject is not legal (RFC 8866 §5.3).
        [b's', b'=', ..] => Fate::Subject,
        // Information, URI, e-mail and telephone of whoever organises the session.
        [b'i' | b'u' | b'e' | b'p', b'=', ..] => Fate::Dropped,
        // Name and version of the software (RFC 8866 §6.4).
        [b'a', b'=', b't', b'o', b'o', b'l', b':', ..] => Fate::Dropped,
        _ => Fate::Kept,
    }
}

fn put_sdp(
    out: &mut Vec<u8>,
    body: &[u8],
    origin: Origin<'_>,
    version: &mut dyn FnMut(u64) -> u32,
) {
    let start = out.len();
    let mut version_at = None;
    let (mut kept, mut at) = (0, 0);
    while at < body.len() {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n + 1);
        let line = &body[at..end];
        let fate = fate(line);
        if !matches!(fate, Fate::Kept) {
            out.extend_from_slice(&body[kept..at]);
            kept = end;
        }
        match fate {
            Fate::Origin if version_at.is_none() => {
                version_at = Some(put_origin(out, origin));
                out.extend_from_slice(line_end(line));
            }
            Fate::Subject => {
                out.extend_from_slice(b"s=-");
                out.extend_from_slice(line_end(line));
            }
            Fate::Kept | Fate::Origin | Fate::Dropped => {}
        }
        at = end;
    }
    out.extend_from_slice(&body[kept..]);
    if let Some(place) = version_at {
        // Of what is passed on, as it stands there: a description that came through two legs of
        // ours says what it said.
        let version = version(digest(&out[start..]));
        let mut digits = [0; 10];
        out.splice(
            place..place,
            decimal_of(version, &mut digits).iter().copied(),
        );
    }
}

/// Writes an origin line without its version and its end; gives the place of the version.
fn put_origin(out: &mut Vec<u8>, origin: Origin<'_>) -> usize {
    let host = origin.host.trim_matches(['[', ']']);
    let family = if host.contains(':') { "IP6" } else { "IP4" };
    write!(out, "o=- {} ", origin.session).expect("a Vec takes every byte");
    let place = out.len();
    write!(out, " IN {family} {host}").expect("a Vec takes every byte");
    place
}

fn line_end(line: &[u8]) -> &'static [u8] {
    match line {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    }
}

/// A hash of a description, to see whether it has changed. Not against an adversary: who makes his
/// own descriptions collide has one version number of his own too few.
fn digest(text: &[u8]) -> u64 {
    let mix = |hash: u64, word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    let (words, rest) = text.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, *word));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash, last)
}

// ---- multipart ----

fn split_type(content_type: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let (media_type, params) = content_type.split_at(end);
    (trim(media_type), params)
}

/// The delimiter of a multipart body, its two hyphens included (RFC 2046 §5.1.1).
fn boundary(media_type: &[u8], params: &[u8]) -> Option<Vec<u8>> {
    let multipart = media_type.get(..10)?.eq_ignore_ascii_case(b"multipart/");
    let params = Params::parse(params).ok().filter(|_| multipart)?;
    let value = unquote(params.get("boundary")??.as_bytes());
    (!value.is_empty()).then(|| [b"--", value.as_bytes()].concat())
}

fn put_parts(
    out: &mut Vec<u8>,
    delimiter: &[u8],
    body: &[u8],
    origin: Origin<'_>,
    version: &mut dyn FnMut(u64) -> u32,
) {
    let finder = memchr::memmem::Finder::new(delimiter);
    let starts = |at: &usize| *at == 0 || body[at - 1] == b'\n';
    let mut delimiters = finder.find_iter(body).filter(starts).peekable();
    let mut copied = 0;
    while let Some(from) = delimiters.next() {
        let end = delimiters.peek().copied().unwrap_or(body.len());
        if let Some(content) = sdp_within(body, from..end) {
            out.extend_from_slice(&body[copied..content.start]);
            put_sdp(out, &body[content.clone()], origin, version);
            copied = content.end;
        }
    }
    out.extend_from_slice(&body[copied..]);
}

/// Where the description lies in a part, if the part is one. The part begins with its delimiter.
fn sdp_within(body: &[u8], part: Range<usize>) -> Option<Range<usize>> {
    let mut at = part.start;
    let mut is_sdp = false;
    while at < part.end {
        let end = memchr::memchr(b'\n', &body[at..part.end]).map(|n| at + n + 1)?;
        let line = trim(&body[at..end]);
        at = end;
        if line.is_empty() {
            return is_sdp.then_some(at..part.end);
        }
        if let Some((name, value)) = line.split_at_checked(12)
            && name.eq_ignore_ascii_case(b"content-type")
            && let Some(value) = trim_start(value).strip_prefix(b":")
        {
            is_sdp = split_type(value).0.eq_ignore_ascii_case(b"application/sdp");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Origin, put_body};

    const OURS: Origin<'static> = Origin {
        session: 77,
        host: "sbc.example.com",
    };

    fn rewritten(content_type: &str, body: &str) -> String {
        let mut out = b"before ".to_vec();
        put_body(
            &mut out,
            content_type.as_bytes(),
            body.as_bytes(),
            OURS,
            &mut |_| 3,
        );
        String::from_utf8(out).unwrap().split_off(7)
    }

    fn digest(body: &str) -> u64 {
        let mut seen = 0;
        let mut version = |digest| {
            seen = digest;
            1
        };
        put_body(
            &mut Vec::new(),
            b"application/sdp",
            body.as_bytes(),
            OURS,
            &mut version,
        );
        seen
    }

    const MEDIA: &str = "c=IN IP4 198.51.100.7\r\nb=AS:64\r\nt=0 0\r\nk=clear:x\r\na=sendrecv\r\n\
                         m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\na=rtpmap:0 PCMU/8000\r\n\
                         a=candidate:1 1 UDP 1 198.51.100.7 4000 typ host\r\na=toolbox:1\r\n";

    #[test]
    fn the_origin_is_ours_and_media_is_untouched() {
        let body = format!(
            "v=0\r\no=alice 1 2 IN IP4 10.0.0.1\r\ns=At Alice's\r\ni=room 4\r\nu=http://alice\r\n\
             e=a@alice\r\np=+1 425\r\na=tool:softphone 1.2\r\n{MEDIA}i=of the media\r\n"
        );
        let expected = format!("v=0\r\no=- 77 3 IN IP4 sbc.example.com\r\ns=-\r\n{MEDIA}");
        assert_eq!(rewritten("application/sdp", &body), expected);
        assert_eq!(rewritten("Application/SDP ;charset=utf-8", &body), expected);
        assert_eq!(
            rewritten("application/sdp", MEDIA),
            MEDIA,
            "nothing is added"
        );
        for other in [
            "application/isup",
            "text/plain",
            "",
            "multipart/mixed",
            "application/sdpx",
        ] {
            assert_eq!(rewritten(other, &body), body, "{other}");
        }
    }

    #[test]
    fn who_was_on_hold_sends_and_receives() {
        let held = "v=0\r\na=inactive\r\nm=audio 1\r\na=recvonly\r\na=recvonlyx\r\na=sendonly";
        let active = super::without_direction(held.as_bytes());
        assert_eq!(active, b"v=0\r\nm=audio 1\r\na=recvonlyx\r\n");
    }

    #[test]
    fn an_idle_answer_takes_streams_and_moves_nothing() {
        let offer = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=x\r\nc=IN IP4 10.0.0.1\r\nb=AS:64\r\nt=0 0\r\n\
                     a=ice-lite\r\nm=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=sendonly\r\n\
                     m=audio 4002 RTP/SAVP 0\r\nc=IN IP6 2001:db8::1\r\na=crypto:1 x\r\nm=image 0 udptl t38";
        let answer = super::idle_answer(offer.as_bytes());
        let expected = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                        m=audio 9 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=inactive\r\n\
                        m=audio 0 RTP/SAVP 0\r\nc=IN IP6 ::\r\na=inactive\r\n\
                        m=image 0 udptl t38\r\na=inactive\r\n";
        assert_eq!(String::from_utf8_lossy(&answer), expected);
        assert_eq!(super::idle_answer(b"m="), b"m= 0\r\na=inactive\r\n");
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        assert_eq!(
            rewritten("application/sdp", "v=0\no=a 1 1 IN IP4 x\ns=x\nm=audio 1"),
            "v=0\no=- 77 3 IN IP4 sbc.example.com\ns=-\nm=audio 1"
        );
        assert_eq!(
            rewritten("application/sdp", "o=x\r\no=y"),
            "o=- 77 3 IN IP4 sbc.example.com\r\n",
            "a second origin goes"
        );
        assert_eq!(
            rewritten("application/sdp", "o=x"),
            "o=- 77 3 IN IP4 sbc.example.com"
        );
        assert_eq!(rewritten("application/sdp", ""), "");
    }

    #[test]
    fn an_ipv6_address_is_one() {
        let mut out = Vec::new();
        let ours = Origin {
            session: 1,
            host: "[2001:db8::1]",
        };
        put_body(&mut out, b"application/sdp", b"o=x", ours, &mut |_| {
            u32::MAX
        });
        assert_eq!(out, b"o=- 1 4294967295 IN IP6 2001:db8::1");
    }

    #[test]
    fn twice_under_our_origin_is_once() {
        let body = "v=0\r\no=a 1 1 IN IP4 x\r\ns=aaa\r\ni=b\r\nm=audio 1\r\n";
        let once = rewritten("application/sdp", body);
        assert_eq!(digest(&once), digest(body));
    }

    #[test]
    fn the_digest_tells_changes_of_what_is_passed_on() {
        let one = digest("v=0\r\no=a 1 1 IN IP4 x\r\ns=a\r\nm=audio 1\r\n");
        assert_eq!(
            one,
            digest("v=0\r\no=b 2 9 IN IP4 y\r\ns=bb\r\nm=audio 1\r\n")
        );
        assert_ne!(
            one,
            digest("v=0\r\no=a 1 1 IN IP4 x\r\ns=a\r\nm=audio 2\r\n")
        );
        assert_ne!(
            one,
            digest("v=0\r\no=a 1 1 IN IP4 x\r\ns=a\r\nm=audio 1\r\na=sendonly\r\n")
        );
    }

    #[test]
    fn a_description_within_a_multipart_body_is_found() {
        let parts = |origin: &str| {
            format!(
                "preamble --b1 o=\r\n--b1\r\nContent-Type: application/pidf+xml\r\n\r\no=loc\r\n\
                 --b1\r\nContent-Disposition: session\r\ncontent-type : Application/SDP;x=1\r\n\r\n\
                 v=0\r\n{origin}\r\nm=audio 1\r\n--b1--\r\no=epilogue"
            )
        };
        let body = parts("o=alice 1 1 IN IP4 10.0.0.1");
        let ours = parts("o=- 77 3 IN IP4 sbc.example.com");
        assert_eq!(rewritten("multipart/mixed;boundary=b1", &body), ours);
        assert_eq!(rewritten("Multipart/Mixed; boundary=\"b1\"", &body), ours);
        assert_eq!(rewritten("multipart/mixed;boundary=b2", &body), body);
        for cut in 0..body.len() {
            rewritten("multipart/mixed;boundary=b1", &body[..cut]);
        }
    }
}

//! One connection's stream in two ways, whole and in pieces: the same messages, the same fault, and
//! nothing over the limits.

use bytes::Bytes;
use intertrunk_sip::{FrameFault, Framed, Framer, Limits, Read, read};

use crate::take::Take;

/// The first byte says how many pieces there are, the next ones how long each is, the rest is what
/// they are cut from.
pub fn stream(data: &[u8]) {
    let mut take = Take::new(data);
    let limits = Limits {
        message_bytes_max: take.of(&[65_535, 65_535, 1_000, 120]),
        ..Limits::default()
    };
    let count = usize::from(take.byte() % 32);
    let cuts = take.slice(count);
    let stream = take.rest();
    let (whole, whole_fault) = frames(&[stream], &limits);
    let mut pieces = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    let (cut, cut_fault) = frames(&pieces, &limits);
    assert_eq!(
        messages(&whole),
        messages(&cut),
        "where it is cut says nothing"
    );
    assert_eq!(whole_fault, cut_fault, "nor does it of the fault");
    // The third byte of a ping, if it is the last, is waited for only by who has seen the first two.
    let unfinished = usize::from(stream.ends_with(b"\r\n\r"));
    let ends = line_ends(&whole);
    assert!(
        (ends..=ends + unfinished).contains(&line_ends(&cut)),
        "nor of the keep-alives"
    );
    let framed: usize = messages(&whole).iter().map(|m| m.len()).sum();
    assert!(framed + 2 * line_ends(&whole) <= stream.len());
    for message in messages(&whole) {
        assert!(message.len() <= limits.message_bytes_max);
        // A frame is one message to the reader too: nothing of it is left over.
        if let Read::Message(read) = read(message.clone(), &limits) {
            assert_eq!(read.bytes(), message);
        }
    }
}

fn frames(pieces: &[&[u8]], limits: &Limits) -> (Vec<Framed>, Option<FrameFault>) {
    let mut framer = Framer::new(limits.clone());
    let mut out = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(framed)) => out.push(framed),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(framer.next(), Err(fault), "a fault stays");
                    return (out, Some(fault));
                }
            }
        }
    }
    (out, None)
}

fn messages(frames: &[Framed]) -> Vec<&Bytes> {
    let message = frames.iter().map(|framed| match framed {
        Framed::Message(message) => Some(message),
        Framed::Ping | Framed::Pong => None,
    });
    message.flatten().collect()
}

/// Line ends between messages. One that came alone is a pong, and the one behind it makes both a
/// ping: so two pieces may say "pong, ping" where one says "ping".
fn line_ends(frames: &[Framed]) -> usize {
    let mut ends = 0;
    let mut after_pong = false;
    for framed in frames {
        ends += match framed {
            Framed::Ping if after_pong => 1,
            Framed::Ping => 2,
            Framed::Pong => 1,
            Framed::Message(_) => 0,
        };
        after_pong = *framed == Framed::Pong;
    }
    ends
}

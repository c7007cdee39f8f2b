//! Hostile: the called user names the misdeed. `sane` is routed, to show that nobody else is harmed;
//! a user that is no misdeed waits for ever.
//!
//! | called user | what it does | what it is called |
//! |---|---|---|
//! | `trap` | panics | `trap` |
//! | `hoard` | takes memory until there is none | `memory` |
//! | `boast` | returns more than a megabyte | `trap` |
//! | `recurse` | calls itself without end | `stack` |
//! | `crowd` | returns 10,000 candidates | `trap` |
//! | `forge` | sets a header with CR LF in it | `verdict` |
//! | `nowhere` | names a trunk that there is not | `verdict` |
//! | `back` | names the trunk that the call came in on | `verdict` |
//! | `dialog` | touches headers that make the dialog | `verdict` |
//! | `dialog-…` | touches one of them, by its last digit, and names `gw-b` next | nothing: that is legal |
//! | `toll` | goes to `gw-b`, wherever the call comes from | `verdict`, from the PSTN |
//! | `look-…` | goes where the table `lcr` says of what follows, by its longest prefix | nothing: that is legal |
//! | `heed-…` | goes to the trunk of that name if it is usable, else to `gw-b` | nothing: that is legal |
//! | `again` | goes to `gw-a`, and when that has failed to `gw-b` | nothing: that is legal |
//! | `for-ever` | goes to `gw-a`, again and again | nothing: that is legal |
//! | `echo-…` | repeats the question, or gives one of the other kinds of verdict | nothing: that is legal |
//! | anything else | never returns | `timeout` |
//!
//! Settings that say `loop` make `configure` hang as well.

use std::cell::Cell;
use std::hint::black_box;

use intertrunk_sdk::{
    Candidate, Fault, Identity, Inquiry, Manifest, Media, Param, Plan, Policy, Query, Rejection,
    Verdict, policy, table, trunk,
};

const MIB: usize = 1 << 20;

/// Misbehaves.
#[derive(Default)]
pub struct Hostile {
    asked: Cell<u32>,
}

impl Policy for Hostile {
    fn describe() -> Manifest {
        Manifest::default().table("*")
    }

    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        match text.trim() {
            "loop" => spin(),
            "look" => {
                looked_up("+44");
                Ok(Hostile::default())
            }
            _ => Ok(Hostile::default()),
        }
    }

    fn decide(&self, query: &Query) -> Verdict {
        self.asked.set(self.asked.get() + 1);
        let to = || Candidate::on("gw-a");
        let plan = match query.callee().user.as_str() {
            user if user.starts_with("dialog-") => one_by_one(user).or("gw-b"),
            // How often this instance was asked shows whether it is the one that failed before.
            "sane" => Plan::to(to()).tag("asked", self.asked.get().to_string()),
            "trap" => panic!("no idea where {} is", query.callee().user),
            "hoard" => hoard(),
            "boast" => Plan::to(to()).cookie(vec![0; MIB + 1]),
            "recurse" => Plan::to(to()).max_duration_s(deeper(1)),
            "crowd" => (0..10_000).map(|_| to()).collect(),
            "forge" => Plan::to(to().set_header("X-Note", "a\r\nX-Forged: b")),
            "nowhere" => Plan::to("no-such-trunk"),
            "back" => Plan::to(query.ingress()),
            "dialog" => Plan::to(to().set_header("Call-ID", "mine").remove_header("Via")),
            "toll" => Plan::to("gw-b"),
            user if user.starts_with("echo") => return echo(user, query),
            user if user.starts_with("look-") => looked_up(&user["look-".len()..]),
            user if user.starts_with("heed-") => match &user["heed-".len()..] {
                wanted if trunk(wanted).is_usable() => Plan::to(wanted),
                _ => Plan::to("gw-b"),
            },
            "again" if query.attempts().is_empty() => Plan::to(to()).cookie("again").ask_again(),
            "again" if query.cookie == b"again" => Plan::to("gw-b"),
            "for-ever" => Plan::to(to()).ask_again(),
            _ => spin(),
        };
        plan.into()
    }
}

/// A verdict of one kind, with something, and where there is room the question, in each of its fields.
fn echo(kind: &str, query: &Query) -> Verdict {
    let question = format!("{query:?}");
    let param = || Param {
        name: "note".to_owned(),
        value: Some(question.clone()),
    };
    let mut full = Candidate::on("gw-a")
        .peer("127.0.0.3:5060")
        .callee("+1")
        .caller(Identity::named("bob", "Bob"))
        .withhold_caller()
        .set_header("X-Question", &*question)
        .remove_header("X-Site")
        .no_progress_ms(300)
        .ring_ms(70_000)
        .failover([503, 486])
        .media(Media::Relay);
    full.group = 255;
    full.extra = vec![param()];
    match kind {
        "echo-bare" => Plan::to("gw-a").tag("question", question).into(),
        "echo-reject" => Rejection::with(486)
            .phrase("Büsy")
            .q850(17)
            .retry_after_s(70_000)
            .into(),
        "echo-redirect" => Verdict::Redirect(vec![query.call.caller.clone()]),
        "echo-inquire" => Inquiry::of("lnp", question)
            .and("cnam", "+1")
            .timeout_ms(500)
            .cookie([1, 255])
            .into(),
        "echo-pass" => Verdict::Pass,
        _ => {
            let mut plan = Plan::to(full)
                .or_reply(480)
                .map_code(503, 480)
                .max_duration_s(3600)
                .tag("question", &*question)
                .cookie([0, 128]);
            plan.extra = vec![param()];
            plan.into()
        }
    }
}

fn looked_up(key: &str) -> Plan {
    let row = table("lcr").longest_prefix(key);
    let to = row.as_ref().and_then(|row| row.column(0));
    Plan::to(to.unwrap_or("pbx-a"))
}

fn one_by_one(user: &str) -> Plan {
    const HEADERS: [&str; 10] = [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Record-Route",
        "Route",
        "Content-Length",
        "Max-Forwards",
    ];
    let digit = user.bytes().last().unwrap_or_default() % 10;
    let forged = Candidate::on("gw-a").set_header(HEADERS[usize::from(digit)], "sip:forged@x");
    Plan::to(forged)
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; MIB]));
    }
}

fn deeper(depth: u32) -> u32 {
    match black_box(depth) {
        0 => 0,
        depth => deeper(depth.wrapping_add(1) | 1).wrapping_add(black_box(1)),
    }
}

policy!(Hostile);

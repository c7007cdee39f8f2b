//! Policies that reach for what is the host's.

use intertrunk_proto::ask::{HeaderField, Verdict};
use intertrunk_proto::{Fallback, TrunkId};
use sim::policy::plan_to;
use sim::{Errand, Mood, Weather, World};

use super::call;

const GW_B: TrunkId = TrunkId(3);

/// What belongs to the dialog (docs/headers.md).
const DIALOG: [&str; 9] = [
    "Via",
    "v",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Record-Route",
    "content-length",
];

/// K16: a verdict that would set a header of the dialog is none at all: the fallback decides, and
/// nothing of what the policy wrote is sent.
#[test]
fn no_policy_sets_a_header_of_the_dialog() {
    for name in DIALOG {
        let mood = Mood::verdict(move || {
            let mut plan = plan_to(&["gw-a"]);
            plan.candidates[0].set_headers = vec![HeaderField {
                name: name.to_owned(),
                value: "<sip:evil@192.0.2.66>".to_owned(),
            }];
            Verdict::Connect(plan)
        });
        let mut w = World::new(1, Weather::default(), mood);
        w.fall_back_to(Fallback::Route(vec![GW_B]));
        call(&mut w, &Errand::to("1"));
        let [record] = w.records()[..] else {
            panic!("{name}: one call")
        };
        assert!(record.fallback.is_some(), "{name}");
        assert_eq!(record.final_code, 200, "{name}");
        assert_eq!(&*record.attempts[0].trunk, "gw-b", "{name}");
        assert_eq!(record.attempts.len(), 1, "{name}");
        let evil = |(_, bytes): &(_, bytes::Bytes)| bytes.windows(4).any(|w| w == b"evil");
        assert!(!w.sent.iter().any(evil), "{name}");
    }
}

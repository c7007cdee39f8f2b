//! The types of the contract in bytes: fields and cases in the order of `wit/policy.wit`.

use super::{Bytes, Pack, Unpack, read, torn};
use crate::{
    Answer, Attempt, Call, Candidate, Cause, CodeMap, ExhaustedAction, Header, Identity, Inquiry,
    LookUp, Media, NoAnswer, Param, Party, Plan, Privacy, Query, Rejection, Scheme, Tag, Transfer,
    Verdict,
};

/// Records.
macro_rules! records {
    (@unpack $($record:ident { $($field:ident),* })*) => {$(
        impl Unpack for $record {
            const BLANK: Self = $record { $($field: Unpack::BLANK),* };

            #[inline]
            fn unpack(&mut self, from: &mut Bytes<'_>) {
                $(self.$field.unpack(from);)*
            }
        }
    )*};
    (@pack $($record:ident { $($field:ident),* })*) => {$(
        impl Pack for $record {
            #[inline]
            fn pack(&self, to: &mut Vec<u8>) {
                let $record { $($field),* } = self;
                $($field.pack(to);)*
            }
        }
    )*};
}

records! { @unpack
    Query { call, cause, cookie, unix_ms, seed, explain }
    Call {
        id, ingress, request_uri, caller, callee, asserted, diverted, privacy, source, emergency,
        hops_left, headers, extra
    }
    Attempt { trunk, peer, code, q850, progressed, elapsed_ms }
    Transfer { by, target, replaces }
    Answer { source, key, outcome }
    Party { display, scheme, user, host, params }
    Header { name, value }
    Param { name, value }
}

records! { @pack
    Plan { candidates, when_exhausted, code_maps, max_duration_s, tags, cookie, extra }
    Candidate {
        trunk, peer, callee, caller, withhold_caller, set_headers, remove_headers, no_progress_ms,
        ring_ms, failover, media, group, extra
    }
    Identity { user, display }
    CodeMap { from_code, q850, to_code }
    Tag { name, value }
    LookUp { source, key, timeout_ms }
    Inquiry { look_ups, cookie }
    Rejection { code, phrase, q850, retry_after_s }
    Party { display, scheme, user, host, params }
    Header { name, value }
    Param { name, value }
}

/// Enums without values.
macro_rules! enums {
    ($($name:ident { $first:ident $(, $case:ident)* })*) => {$(
        impl Unpack for $name {
            const BLANK: Self = $name::$first;

            #[inline]
            fn unpack(&mut self, from: &mut Bytes<'_>) {
                const CASES: &[$name] = &[$name::$first $(, $name::$case)*];
                *self = CASES.get(from.size()).copied().unwrap_or_else(|| torn());
            }
        }

        impl Pack for $name {
            #[inline]
            fn pack(&self, to: &mut Vec<u8>) {
                to.push(*self as u8);
            }
        }
    )*};
}

enums! {
    Scheme { Sip, Sips, Tel, Other }
    Privacy { None, User, Full }
    NoAnswer { UnknownSource, Denied, Timeout, Failed }
    Media { TrunkDefault, Direct, Relay }
}

impl Unpack for Cause {
    const BLANK: Self = Cause::NewCall;

    #[inline]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        *self = match from.size() {
            0 => Cause::NewCall,
            1 => Cause::Exhausted(read(from)),
            2 => Cause::Redirected(read(from)),
            3 => Cause::Transferred(read(from)),
            4 => Cause::Answered(read(from)),
            _ => torn(),
        };
    }
}

impl Unpack for Result<String, NoAnswer> {
    const BLANK: Self = Ok(String::new());

    fn unpack(&mut self, from: &mut Bytes<'_>) {
        *self = match from.size() {
            0 => Ok(read(from)),
            1 => Err(read(from)),
            _ => torn(),
        };
    }
}

impl Pack for ExhaustedAction {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        match self {
            ExhaustedAction::RelayLast => to.push(0),
            ExhaustedAction::AskAgain => to.push(1),
            ExhaustedAction::Reply(code) => {
                to.push(2);
                code.pack(to);
            }
        }
    }
}

impl Pack for Verdict {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        match self {
            Verdict::Connect(plan) => {
                to.push(0);
                plan.pack(to);
            }
            Verdict::Reject(rejection) => {
                to.push(1);
                rejection.pack(to);
            }
            Verdict::Redirect(parties) => {
                to.push(2);
                parties.pack(to);
            }
            Verdict::Inquire(inquiry) => {
                to.push(3);
                inquiry.pack(to);
            }
            Verdict::Pass => to.push(4),
        }
    }
}

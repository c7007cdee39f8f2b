//! Counters: one set for each shard, written by its thread alone and summed when somebody reads.
//!
//! What is up at this moment (calls, trunks) is never counted here: it is asked of the shards.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use intertrunk_proto::ask::PolicyFault;
use intertrunk_proto::trunk::{Health, Registered};
use intertrunk_proto::{DropCause, Load};

/// Declares [`Count`] and the series behind each of its members.
macro_rules! counts {
    ($($name:ident = $series:literal $({ $label:literal })?, $help:literal;)+) => {
        /// One counter. Members of one metric stand together.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Count { $(#[doc = $help] $name,)+ }

        const SERIES: &[Series] = &[$(Series {
            metric: concat!("intertrunk_", $series, "_total"),
            label: concat!("", $($label)?),
            help: $help,
        },)+];
    };
}

counts! {
    DatagramsReceived = "datagrams_received", "Datagrams that the sockets gave.";
    DatagramsSent = "datagrams_sent", "Datagrams that the kernel took.";
    DatagramsUnsent = "datagrams_unsent", "Datagrams that the kernel did not take.";
    DatagramsForwarded = "datagrams_forwarded", "Datagrams handed to the shard that owns the call.";
    DatagramsShed = "datagrams_shed", "Datagrams that found the owner's mailbox full.";
    StreamMessagesReceived = "stream_messages_received", "Messages that connections brought.";
    StreamMessagesSent = "stream_messages_sent", "Messages handed to connections.";
    StreamMessagesUnsent = "stream_messages_unsent", "Messages that found the mailbox of their connection's shard full.";
    ConnectionsOpened = "connections_opened", "Connections that came about, both ways.";
    ConnectionsFailed = "connections_failed", "Connections that we asked for in vain.";
    ConnectionsRefused = "connections_refused", "Connections not taken: there were too many, or their source is blocked.";
    ConnectionsSlow = "connections_slow", "Connections closed because their peer did not read.";
    ConnectionsUnframed = "connections_unframed", "Connections closed because their bytes were no messages.";
    DroppedMalformed = "datagrams_dropped" { "cause=\"malformed\"" }, "Datagrams thrown away.";
    DroppedUnknownSource = "datagrams_dropped" { "cause=\"unknown-source\"" }, "Datagrams thrown away.";
    DroppedStrayResponse = "datagrams_dropped" { "cause=\"stray-response\"" }, "Datagrams thrown away.";
    DroppedStrayAck = "datagrams_dropped" { "cause=\"stray-ack\"" }, "Datagrams thrown away.";
    DroppedScanner = "datagrams_dropped" { "cause=\"scanner\"" }, "Datagrams thrown away.";
    DroppedBlocked = "datagrams_dropped" { "cause=\"blocked\"" }, "Datagrams thrown away.";
    DroppedOverload = "datagrams_dropped" { "cause=\"overload\"" }, "Datagrams thrown away.";
    Blocks = "blocks", "Sources blocked, each time counted.";
    Challenges = "challenges_sent", "Requests that have to show credentials first.";
    WrongCredentials = "credentials_refused", "Requests with wrong credentials.";
    Retransmissions = "retransmissions_absorbed", "Messages that came again.";
    RequestsRefused = "requests_refused", "Requests refused before they became a call.";
    ShedCalls = "calls_shed" { "load=\"calls\"" }, "New calls refused because of overload.";
    ShedRate = "calls_shed" { "load=\"rate\"" }, "New calls refused because of overload.";
    ShedLag = "calls_shed" { "load=\"lag\"" }, "New calls refused because of overload.";
    ShedMailbox = "calls_shed" { "load=\"mailbox\"" }, "New calls refused because of overload.";
    ShedTrunk = "calls_shed" { "load=\"trunk\"" }, "New calls refused because of overload.";
    CallsStarted = "calls_started", "INVITEs admitted.";
    CallsAnswered = "calls_answered", "Calls answered.";
    Ended2xx = "calls_ended" { "class=\"2xx\"" }, "Calls that ended, by the code that the caller got.";
    Ended3xx = "calls_ended" { "class=\"3xx\"" }, "Calls that ended, by the code that the caller got.";
    Ended4xx = "calls_ended" { "class=\"4xx\"" }, "Calls that ended, by the code that the caller got.";
    Ended5xx = "calls_ended" { "class=\"5xx\"" }, "Calls that ended, by the code that the caller got.";
    Ended6xx = "calls_ended" { "class=\"6xx\"" }, "Calls that ended, by the code that the caller got.";
    AttemptsStarted = "attempts_started", "Attempts sent.";
    AttemptsFailed = "attempts_failed", "Attempts that ended without an answer.";
    Decisions = "decisions", "Decisions, those of fallbacks included.";
    DecisionMicros = "decision_microseconds", "Time that policies took for them.";
    CandidatesRefused = "candidates_refused", "Candidates that the host refused.";
    FaultTimeout = "policy_faults" { "kind=\"timeout\"" }, "Decisions that a fallback made.";
    FaultTrap = "policy_faults" { "kind=\"trap\"" }, "Decisions that a fallback made.";
    FaultMemory = "policy_faults" { "kind=\"memory\"" }, "Decisions that a fallback made.";
    FaultStack = "policy_faults" { "kind=\"stack\"" }, "Decisions that a fallback made.";
    FaultNotReady = "policy_faults" { "kind=\"not-ready\"" }, "Decisions that a fallback made.";
    FaultQuarantined = "policy_faults" { "kind=\"quarantined\"" }, "Decisions that a fallback made.";
    FaultVerdict = "policy_faults" { "kind=\"verdict\"" }, "Decisions that a fallback made.";
    TagsUncounted = "meter_tags_uncounted", "Tags of calls that a meter had no room for.";
    LateAnswers = "answers_late", "Answers of policies that came too late to matter.";
    DecisionsWritten = "decisions_written", "Decisions written to their journal.";
    DecisionsLost = "decisions_lost", "Decisions that the journal and the shadows did not get.";
    TrunkUp = "trunk_health_changes" { "to=\"up\"" }, "Changes of the health of trunks.";
    TrunkDegraded = "trunk_health_changes" { "to=\"degraded\"" }, "Changes of the health of trunks.";
    TrunkDown = "trunk_health_changes" { "to=\"down\"" }, "Changes of the health of trunks.";
    RegistrationsMade = "registrations" { "result=\"made\"" }, "Answers to our REGISTERs.";
    RegistrationsFailed = "registrations" { "result=\"failed\"" }, "Answers to our REGISTERs.";
    RegistrationsLeft = "registrations" { "result=\"left\"" }, "Answers to our REGISTERs.";
    TrunkNearLimit = "trunk_limits_neared", "Times that a trunk came to 90 % of a limit.";
    RecordsWritten = "records_written", "Call records written to their file.";
    AuditWritten = "audit_lines_written", "Changes written to the audit log.";
    AuditLost = "audit_lines_lost", "Changes that the audit log did not get.";
    RecordsLost = "records_lost", "Call records that could not be written.";
}

struct Series {
    metric: &'static str,
    label: &'static str,
    help: &'static str,
}

/// One set of counters.
#[derive(Debug)]
pub struct Counters([AtomicU64; SERIES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// One more.
    pub fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    /// `n` more.
    pub fn add_many(&self, count: Count, n: u64) {
        self.0[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn read(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }
}

impl From<DropCause> for Count {
    fn from(cause: DropCause) -> Count {
        match cause {
            DropCause::Malformed => Count::DroppedMalformed,
            DropCause::UnknownSource => Count::DroppedUnknownSource,
            DropCause::StrayResponse => Count::DroppedStrayResponse,
            DropCause::StrayAck => Count::DroppedStrayAck,
            DropCause::Scanner => Count::DroppedScanner,
            DropCause::Overload => Count::DroppedOverload,
        }
    }
}

impl From<Load> for Count {
    fn from(load: Load) -> Count {
        match load {
            Load::Calls => Count::ShedCalls,
            Load::Rate => Count::ShedRate,
            Load::Lag => Count::ShedLag,
            Load::Mailbox => Count::ShedMailbox,
            Load::Trunk => Count::ShedTrunk,
        }
    }
}

impl From<&PolicyFault> for Count {
    fn from(fault: &PolicyFault) -> Count {
        match fault {
            PolicyFault::Timeout => Count::FaultTimeout,
            PolicyFault::Trap(_) => Count::FaultTrap,
            PolicyFault::Memory => Count::FaultMemory,
            PolicyFault::Stack => Count::FaultStack,
            PolicyFault::NotReady => Count::FaultNotReady,
            PolicyFault::Quarantined => Count::FaultQuarantined,
            PolicyFault::Verdict(_) => Count::FaultVerdict,
        }
    }
}

impl Count {
    /// The counter of trunks that have come to be so.
    pub fn trunk_is(health: Health) -> Count {
        match health {
            Health::Up => Count::TrunkUp,
            Health::Degraded => Count::TrunkDegraded,
            Health::Down | Health::Disabled => Count::TrunkDown,
        }
    }

    /// The counter of what came of REGISTER.
    pub fn registered(how: Registered) -> Count {
        match how {
            Registered::Yes => Count::RegistrationsMade,
            Registered::Trying | Registered::Failed => Count::RegistrationsFailed,
            Registered::No => Count::RegistrationsLeft,
        }
    }

    /// The counter of calls that ended with this code.
    pub fn ended(code: u16) -> Count {
        match code / 100 {
            0..=2 => Count::Ended2xx,
            3 => Count::Ended3xx,
            4 => Count::Ended4xx,
            5 => Count::Ended5xx,
            _ => Count::Ended6xx,
        }
    }
}

/// The sums of all `sets`, by the name of their series.
pub fn totals<'c>(sets: impl Iterator<Item = &'c Counters>) -> Vec<(String, u64)> {
    let name = |s: &Series| match s.label {
        "" => s.metric.to_owned(),
        label => format!("{}{{{label}}}", s.metric),
    };
    SERIES.iter().map(name).zip(sums(sets)).collect()
}

/// The sums of all `sets` in the text format of Prometheus.
pub fn exposition<'c>(sets: impl Iterator<Item = &'c Counters>) -> String {
    let mut text = String::with_capacity(8 * 1024);
    let mut last = "";
    for (series, sum) in SERIES.iter().zip(sums(sets)) {
        if series.metric != last {
            head(&mut text, series.metric, "counter", series.help);
            last = series.metric;
        }
        sample(&mut text, series.metric, series.label, sum);
    }
    text
}

/// Writes the two lines that introduce a metric.
pub fn head(text: &mut String, metric: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
}

/// Writes one sample; `labels` as they stand between the braces, already escaped.
pub fn sample(text: &mut String, metric: &str, labels: &str, value: u64) {
    let _ = match labels {
        "" => writeln!(text, "{metric} {value}"),
        labels => writeln!(text, "{metric}{{{labels}}} {value}"),
    };
}

fn sums<'c>(sets: impl Iterator<Item = &'c Counters>) -> [u64; SERIES.len()] {
    let mut sums = [0; SERIES.len()];
    for set in sets {
        for (sum, counter) in sums.iter_mut().zip(&set.0) {
            *sum += counter.load(Ordering::Relaxed);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_and_a_metric_is_introduced_once() {
        let (one, two) = (Counters::default(), Counters::default());
        one.add(Count::from(DropCause::Malformed));
        two.add(Count::from(DropCause::Malformed));
        two.add(Count::ended(404));
        let text = exposition([&one, &two].into_iter());
        assert!(text.contains("intertrunk_datagrams_dropped_total{cause=\"malformed\"} 2\n"));
        assert!(text.contains("intertrunk_calls_ended_total{class=\"4xx\"} 1\n"));
        assert!(text.contains("intertrunk_calls_started_total 0\n"));
        assert_eq!(
            text.matches("# TYPE intertrunk_datagrams_dropped_total counter")
                .count(),
            1
        );
    }

    #[test]
    fn every_series_has_its_own_name() {
        let mut names: Vec<String> = totals(std::iter::empty())
            .into_iter()
            .map(|t| t.0)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn faults_are_counted_by_kind() {
        for (fault, kind) in [
            (PolicyFault::Timeout, Count::FaultTimeout),
            (PolicyFault::Trap(String::new()), Count::FaultTrap),
            (PolicyFault::Verdict(String::new()), Count::FaultVerdict),
        ] {
            assert_eq!(Count::from(&fault), kind);
            assert!(SERIES[kind as usize].label.contains(fault.kind()));
        }
    }
}

//! Schedules: instead of one random order, every order in which a small world can happen.
//!
//! Nothing here has a delay. At each point the world can go on in several ways: a datagram arrives, is
//! lost or arrives and stays for a second time; a user agent does what it was told to do; the policy
//! answers; the next timer fires although other things could have happened first. [`explore`] takes
//! all of them, depth first, each time from the beginning: the machines follow from their seed, so the
//! same choices give the same world.
//!
//! Each cause of explosion has a bound ([`Bounds`]); within the bounds nothing is left out but what is
//! the same, in two ways:
//!
//! - Two points of two schedules are the same if the clock, what is under way, what is left of the
//!   bounds, and for each party the inputs that it has had, in their order and with their times, are
//!   equal. Host and user agents share nothing, each is a function of its own inputs, so everything that
//!   follows is equal too. What merges are orders that differ only in which of two parties was first.
//! - If a user agent can do nothing but take one datagram, and no timer can fire first, then only the
//!   fates of that datagram are tried (`Run::alone`). It waits first in its line, so nothing else comes to
//!   that user agent before it; whatever the others do meanwhile, they can as well do after it.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use intertrunk_proto::ask::{Answer, PolicyFault, Verdict};
use intertrunk_proto::{Input, Instant};

use crate::net::Datagram;
use crate::rules;
use crate::ua::{Deed, Ua};
use crate::world::World;

/// How far schedules differ from the plain course of things.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bounds {
    /// Datagrams that are lost.
    pub lost: u8,
    /// Datagrams that arrive twice, the second time at any time.
    pub twice: u8,
    /// Datagrams that arrive at any time. All others keep the order in which they were sent, between
    /// each two parties.
    pub late: u8,
    /// Timers that fire while something else could have happened.
    pub early: u8,
}

/// What comes of a question, in one of the alternatives of a script.
pub type Outcome = Result<Verdict, PolicyFault>;

/// A small world and what can happen in it.
pub struct Script {
    /// What follows a failure's first line, such as the name of the test.
    pub name: &'static str,
    /// Makes the world: calls placed, manners set, nothing delivered yet.
    pub build: fn() -> World,
    /// What the policy may answer to each question.
    pub outcomes: fn() -> Vec<Outcome>,
    /// What must hold at the end, beside all that [`rules`] says.
    pub check: fn(&World) -> Vec<String>,
}

impl Script {
    /// One that asks for nothing but the rules, with a policy that decides as its world has it.
    pub fn new(name: &'static str, build: fn() -> World) -> Script {
        Script {
            name,
            build,
            outcomes: Vec::new,
            check: |_| Vec::new(),
        }
    }
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explored {
    /// Schedules run to their end.
    pub schedules: u64,
    /// Points from which the world could go on in several ways.
    pub forks: u64,
    /// Schedules that came to a point which another one had been at.
    pub merged: u64,
    /// Steps of the longest schedule.
    pub longest: usize,
}

/// More steps than any call of a script takes.
const STEPS_MAX: usize = 2_000;

/// One way to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// A datagram that is under way arrives.
    Arrive(usize),
    /// It arrives, and a copy is still under way.
    Twice(usize),
    /// It leaves its line: others may come before it.
    Delay(usize),
    /// It is lost.
    Lose(usize),
    /// A user agent does something.
    Do(usize, String, Deed),
    /// A question gets one of the outcomes.
    Verdict(usize, usize),
    /// The next timer fires.
    Wake,
}

/// Runs every schedule of a script within the bounds. With a schedule in `INTERTRUNK_SCHEDULE`, as a
/// failure prints it, runs that one alone and prints its ladder.
///
/// # Panics
/// With the schedule, its ladder and the command that repeats it, if a rule is broken.
pub fn explore(script: &Script, bounds: Bounds) -> Explored {
    let mut explored = Explored::default();
    if let Ok(named) = std::env::var("INTERTRUNK_SCHEDULE") {
        if let Some(choices) = named.strip_prefix(&format!("{} {bounds} ", script.name)) {
            show(script, bounds, choices);
        }
        return explored;
    }
    let mut seen = HashSet::new();
    let mut path = Path::default();
    loop {
        let mut run = Run::new(script, bounds, true);
        for (chosen, steps) in &path.0 {
            run.take(&steps[*chosen]);
        }
        if run.go_on(&mut path, &mut seen, &mut explored) {
            let broken = run.finish(script);
            if !broken.is_empty() {
                show(script, bounds, &path.to_string());
            }
        }
        if !path.next() {
            return explored;
        }
    }
}

/// Runs one schedule, prints it, and panics if it breaks a rule.
fn show(script: &Script, bounds: Bounds, choices: &str) {
    let mut run = Run::new(script, bounds, false);
    let mut numbers = choices.split('.');
    while run.world.broken.is_empty() {
        let steps = run.steps();
        let number = match steps.len() {
            0 => break,
            1 => 0,
            _ => numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0),
        };
        let step = steps[number.min(steps.len() - 1)].clone();
        let what = run.tell(&step);
        run.world.ladder.push(what);
        run.take(&step);
    }
    let broken = run.finish(script);
    let ladder = run.world.ladder.join("\n");
    println!("{} {bounds} {choices}\n{ladder}", script.name);
    assert!(
        broken.is_empty(),
        "{}\n\nagain: INTERTRUNK_SCHEDULE='{} {bounds} {choices}' cargo test -p intertrunk-tests --test \
         schedules -- --nocapture",
        broken.join("\n"),
        script.name,
    );
}

/// The choices that lead to a point: which of which steps was taken at each.
#[derive(Debug, Default)]
struct Path(Vec<(usize, Vec<Step>)>);

impl Path {
    /// Turns to the next alternative of the latest point that has one; false if there is none.
    fn next(&mut self) -> bool {
        while let Some((chosen, steps)) = self.0.last_mut() {
            *chosen += 1;
            if *chosen < steps.len() {
                return true;
            }
            self.0.pop();
        }
        false
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forks = self.0.iter().filter(|(_, steps)| steps.len() > 1);
        let numbers: Vec<String> = forks.map(|(chosen, _)| chosen.to_string()).collect();
        f.write_str(&numbers.join("."))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds {
            lost,
            twice,
            late,
            early,
        } = self;
        write!(f, "{lost}-{twice}-{late}-{early}")
    }
}

/// One schedule on its way.
struct Run {
    world: World,
    left: Bounds,
    outcomes: Vec<Outcome>,
    /// A hash of all inputs so far: of the host, then of each user agent.
    past: [u64; 5],
}

impl Run {
    fn new(script: &Script, bounds: Bounds, quiet: bool) -> Run {
        let mut world = (script.build)();
        world.quiet = quiet;
        world.reference.get_or_insert_default();
        world.net.held = Some(Vec::new());
        world.open_questions = Some(Vec::new());
        for ua in &mut world.uas {
            ua.by_choice = true;
        }
        world.post();
        Run {
            world,
            left: bounds,
            outcomes: (script.outcomes)(),
            past: [0; 5],
        }
    }

    /// Goes on to the end, always by the first choice. False if another schedule has been here.
    fn go_on(&mut self, path: &mut Path, seen: &mut HashSet<u64>, e: &mut Explored) -> bool {
        loop {
            let steps = self.steps();
            if steps.len() > 1 && !seen.insert(self.key()) {
                e.merged += 1;
                return false;
            }
            let Some(step) = steps.first().cloned() else {
                break;
            };
            if !self.world.broken.is_empty() {
                break;
            }
            if path.0.len() > STEPS_MAX {
                self.world.broken.push("does not come to rest".to_owned());
                break;
            }
            e.forks += u64::from(steps.len() > 1);
            path.0.push((0, steps));
            self.take(&step);
        }
        e.schedules += 1;
        e.longest = e.longest.max(path.0.len());
        true
    }

    /// What identifies this point: see the head of this file.
    fn key(&self) -> u64 {
        let mut under_way = 0_u64;
        for (n, datagram) in self.held().iter().enumerate() {
            let Datagram {
                from,
                to,
                bytes,
                late,
            } = datagram;
            let place = self.before(n).count();
            under_way = under_way.wrapping_add(hash(&(place, from, to, bytes, late)));
        }
        hash(&(self.world.now, self.past, self.left, under_way))
    }

    fn held(&self) -> &[Datagram] {
        self.world.net.held.as_deref().unwrap_or_default()
    }

    /// What has to arrive before the n-th datagram that is under way: what stands in its line.
    fn before(&self, n: usize) -> impl Iterator<Item = &Datagram> {
        let datagram = &self.held()[n];
        let held = self.held()[..n].iter();
        held.filter(|d| !d.late && !datagram.late && same_way(d, datagram))
    }

    /// Every way to go on from here.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut first: Vec<usize> = Vec::new();
        for (n, datagram) in self.held().iter().enumerate() {
            let twin = first.iter().any(|m| self.held()[*m] == *datagram);
            if !twin && self.before(n).next().is_none() {
                first.push(n);
            }
        }
        if self.left.early == 0
            && let Some(n) = first.iter().find(|n| self.alone(**n, &first))
        {
            self.fates(*n, &mut steps);
            return steps;
        }
        for n in first {
            self.fates(n, &mut steps);
        }
        for (n, ua) in self.world.uas.iter().enumerate() {
            let choices = ua.choices().into_iter();
            steps.extend(choices.map(|(call, deed)| Step::Do(n, call.to_owned(), deed)));
        }
        let questions = self.world.open_questions.as_ref().map_or(0, Vec::len);
        for question in 0..questions {
            steps.extend((0..self.outcomes.len()).map(|o| Step::Verdict(question, o)));
        }
        if (steps.is_empty() || self.left.early > 0) && self.next_timer().is_some() {
            steps.push(Step::Wake);
        }
        steps
    }

    /// Whether the n-th datagram is all that a user agent can take or do now; see the head of this
    /// file.
    fn alone(&self, n: usize, first: &[usize]) -> bool {
        let datagram = &self.held()[n];
        let others = first.iter().filter(|m| self.held()[**m].to == datagram.to);
        let ua = self.world.uas.iter().find(|u| u.address == datagram.to);
        !datagram.late && others.count() == 1 && ua.is_some_and(|u| u.choices().is_empty())
    }

    /// What can become of a datagram that stands first in its line.
    fn fates(&self, n: usize, steps: &mut Vec<Step>) {
        let waits = !self.held()[n].late;
        steps.push(Step::Arrive(n));
        steps.extend((waits && self.left.twice > 0).then_some(Step::Twice(n)));
        steps.extend((waits && self.left.late > 0).then_some(Step::Delay(n)));
        steps.extend((self.left.lost > 0).then_some(Step::Lose(n)));
    }

    fn next_timer(&self) -> Option<Instant> {
        let of_uas = self.world.uas.iter().filter_map(Ua::deadline);
        of_uas.chain(self.world.b2bua.poll_timeout()).min()
    }

    /// Takes a step. A machine that panics has broken a rule.
    fn take(&mut self, step: &Step) {
        let taken = catch_unwind(AssertUnwindSafe(|| self.take_it(step)));
        if let Err(panic) = taken {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let what = format!("panic: {}", text.unwrap_or("of no words"));
            self.world.broken.push(what);
        }
    }

    fn take_it(&mut self, step: &Step) {
        match step {
            Step::Arrive(n) => {
                let datagram = self.taken_out(*n);
                self.arrive(datagram);
            }
            Step::Twice(n) => {
                self.left.twice -= 1;
                self.delay(*n);
                let datagram = self.held()[*n].clone();
                self.arrive(datagram);
            }
            Step::Delay(n) => {
                self.left.late -= 1;
                self.delay(*n);
            }
            Step::Lose(n) => {
                self.left.lost -= 1;
                drop(self.taken_out(*n));
            }
            Step::Do(ua, call_id, deed) => {
                self.remember(1 + ua, (call_id, deed));
                let now = self.world.now;
                self.world.uas[*ua].choose(call_id, *deed, now);
                self.world.post();
            }
            Step::Verdict(question, outcome) => {
                self.remember(0, ("verdict", question, outcome));
                self.decide(*question, *outcome);
            }
            Step::Wake => {
                self.left.early -= u8::from(self.steps().len() > 1);
                self.wake();
            }
        }
    }

    fn delay(&mut self, n: usize) {
        let held = self.world.net.held.as_mut();
        held.expect("a schedule holds every datagram")[n].late = true;
    }

    fn taken_out(&mut self, n: usize) -> Datagram {
        let held = self.world.net.held.as_mut();
        held.expect("a schedule holds every datagram").remove(n)
    }

    fn arrive(&mut self, datagram: Datagram) {
        let receiver = self.world.uas.iter().position(|u| u.address == datagram.to);
        let party = receiver.map_or(0, |n| n + 1);
        self.remember(party, (datagram.from, &datagram.bytes));
        self.world.deliver(datagram);
    }

    fn decide(&mut self, question: usize, outcome: usize) {
        let open = self.world.open_questions.as_mut();
        let open = open.expect("a schedule keeps every question");
        let (question, pin) = open.remove(question);
        let answer = Answer {
            outcome: self.outcomes[outcome].clone(),
            pin: Some(pin),
            decision_us: 1,
            because: Vec::new(),
            looked_up: Vec::new(),
        };
        self.world.answer(&question, answer);
        self.world.post();
    }

    fn wake(&mut self) {
        let Some(at) = self.next_timer() else { return };
        self.world.now = self.world.now.max(at);
        let now = self.world.now;
        if self.world.b2bua.poll_timeout().is_some_and(|at| at <= now) {
            self.remember(0, "time");
            self.world.input(Input::Timeout);
        } else if let Some(n) =
            (self.world.uas.iter()).position(|ua| ua.deadline().is_some_and(|at| at <= now))
        {
            self.remember(1 + n, "time");
            self.world.uas[n].clock(now);
        }
        self.world.post();
    }

    /// Adds an input to the past of a party.
    fn remember(&mut self, party: usize, input: impl Hash) {
        self.past[party] = hash(&(self.past[party], self.world.now, input));
    }

    /// Everything that is broken at the end.
    fn finish(&mut self, script: &Script) -> Vec<String> {
        if !self.world.broken.is_empty() {
            return std::mem::take(&mut self.world.broken);
        }
        let mut broken = rules::settle(&mut self.world);
        broken.extend((script.check)(&self.world));
        broken
    }

    /// A step as ladders show it.
    fn tell(&self, step: &Step) -> String {
        let named = |n: &usize| {
            let datagram = &self.held()[*n];
            let line = crate::ladder::start_line(&datagram.bytes);
            let to = self.world.uas.iter().find(|u| u.address == datagram.to);
            format!("{line} at {}", to.map_or("host", |u| &u.name))
        };
        let what = match step {
            Step::Arrive(n) => format!("arrives: {}", named(n)),
            Step::Twice(n) => format!("arrives, and will again: {}", named(n)),
            Step::Delay(n) => format!("is late: {}", named(n)),
            Step::Lose(n) => format!("is lost: {}", named(n)),
            Step::Do(ua, _, deed) => format!("{}: {deed:?}", self.world.uas[*ua].name),
            Step::Verdict(_, n) => format!("policy: {:?}", self.outcomes[*n].as_ref().map(|_| ())),
            Step::Wake => "a timer".to_owned(),
        };
        format!("{:>12}{what}", "")
    }
}

fn same_way(a: &Datagram, b: &Datagram) -> bool {
    (a.from, a.to) == (b.from, b.to)
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

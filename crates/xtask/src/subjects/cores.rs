//! Decisions without clocks, locks and futures.

use std::hint::black_box;

use mainstay_base::error::Code;
use mainstay_base::time::{Instant, SeededEntropy};
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::adaptive::{self, Adaptive};
use mainstay_resilience::breaker::{self, Breaker};
use mainstay_resilience::bulkhead::{self, Asked, Bulkhead};
use mainstay_resilience::deadline::{self, Deadline, Scope};
use mainstay_resilience::fallback::{self, Ladder};
use mainstay_resilience::fault::{Fault, Rule, Rules, matches};
use mainstay_resilience::hedge::{self, Hedge};
use mainstay_resilience::limit::{Gcra, Moments};
use mainstay_resilience::retry::{Allowance, Budget};
use mainstay_resilience::shed::{self, Shed};
use mainstay_resilience::{Criticality, Facts, Verdict};

use super::{Subject, rate};

/// How long calls are said to have taken.
const TOOK: Duration = Duration::from_millis(1);

/// The core of every policy that has one.
pub(crate) fn cores() -> Vec<Subject> {
    vec![
        breaker(),
        core("retry budget, its core: a first try", || Budget::new(Allowance::default()), Budget::first),
        bulkhead(),
        adaptive(),
        limit(),
        shed(),
        hedge(),
        deadline(),
        fallback(),
        faults(),
    ]
}

fn core<S: 'static>(
    name: &'static str,
    make: impl Fn() -> S + Sync + 'static,
    act: impl Fn(&mut S, Instant) + Sync + 'static,
) -> Subject {
    let now = Instant::from_nanos(1_000_000_000);
    Subject::alone(name, make, move |core: &mut S| act(core, black_box(now)))
}

fn breaker() -> Subject {
    let entropy = SeededEntropy::new(1);
    let act = move |core: &mut Breaker, now| {
        let permit = core.ask(now).0.expect("it is closed");
        let _ = core.tell(permit, black_box((Verdict::Success, TOOK)), now, &entropy);
    };
    core("breaker, its core: a call and its end", || Breaker::new(breaker::Config::default()), act)
}

fn bulkhead() -> Subject {
    let act = |core: &mut Bulkhead, now| {
        let Ok(Asked::Passed(permit)) = core.ask(&Facts::new(now)) else { unreachable!("nothing else runs") };
        let _ = core.release(permit, now);
    };
    core("bulkhead, its core: a call and its end", || Bulkhead::new(bulkhead::Config::default()), act)
}

fn adaptive() -> Subject {
    let act = |core: &mut Adaptive, now| {
        let permit = core.ask(now).expect("nothing else runs");
        core.tell(permit, black_box(Verdict::Success), now);
    };
    core("adaptive limit, its core: a call and its end", || Adaptive::new(adaptive::Config::default()), act)
}

fn limit() -> Subject {
    let act = |(core, moments): &mut (Gcra, Moments), now| {
        *moments = Moments::default();
        let _ = black_box(core.take(moments, 1, now));
    };
    core("rate limit, its core", || (Gcra::new(&rate()), Moments::default()), act)
}

fn shed() -> Subject {
    let act = |(core, entropy): &mut (Shed, SeededEntropy), now| {
        let (asked, _) = core.ask(black_box(Criticality::Critical), now, entropy);
        asked.expect("nothing is shed");
        let _ = core.began(black_box(Duration::ZERO), now);
    };
    let make = || (Shed::new(shed::Config::default()), SeededEntropy::new(1));
    core("shedding, its core: a call and how it waited", make, act)
}

fn hedge() -> Subject {
    let act = |core: &mut Hedge, now| {
        black_box(core.begin(now));
        core.tell(black_box(TOOK), false, now);
    };
    core("hedge, its core: a call and its end", || Hedge::new(hedge::Config::default()), act)
}

fn deadline() -> Subject {
    let act = |core: &mut Deadline, now| {
        black_box(core.begin(Facts::new(now))).expect("it is not due");
    };
    let make = || Deadline::new(Scope::Operation, deadline::Config::default().timeout);
    core("deadline, its core: the begin of a call", make, act)
}

fn fallback() -> Subject {
    let act = |core: &mut Ladder, now| {
        let descent = core.begin(now);
        let _ = core.tell(&descent, descent.first(), black_box(false), now);
    };
    core("fallback, its core: a call and its end", || Ladder::new(fallback::Config::default(), 2), act)
}

fn faults() -> Subject {
    let act = |(rules, entropy): &mut (Rules, SeededEntropy), now| {
        black_box(rules.decide(|calls| matches(calls, black_box("payments")), now, entropy));
    };
    let make = || {
        let ratio = Ratio::new(0.5).expect("it is one");
        let rule = Rule { ratio, ..Rule::new("half", Fault::Error(Code::Unavailable)) };
        (Rules::new(vec![rule], Instant::from_nanos(0)), SeededEntropy::new(1))
    };
    core("faults, their core: the chance of one rule", make, act)
}

//! One policy for what is called: which of the single ones guard it, in which order.
//!
//! From the outside: the operation's deadline; shedding; retries, each of which goes through all that follows; the second try beside a slow first one; the breaker, so that nobody
//! waits for what is known to be down; the limit that is learned; the bulkhead; the timeout of a single try. What has a memory (the budget of retries, the breaker,
//! latencies, limits) is made once for what is called, and shared by everyone who calls it.
//!
//! Rate limits, coalescing and fallbacks belong to what is served and not to what is called, and stand before all of it.

use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_layer::Layer as _;

use crate::deadline::Spared;
use crate::either::{Either, Maybe};
use crate::env::Env;
use crate::{breaker, bulkhead, call, deadline, hedge, retry, shed};

/// Which policies guard calls to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// How long an operation may take, with all its tries and waits; less if its caller says so. From 1ms up. By default 30s: people have gone away by then.
    pub timeout: Duration,
    /// How long each try may take, at most `timeout`. By default a third of `timeout` where a call may be sent again, so that one that hangs leaves time for another, and all that is left where it may not.
    pub try_timeout: Option<Duration>,
    /// Tries again what failed and is safe to. By default it does, with the defaults of its parts; `false` never does.
    pub retry: Switch<retry::Config>,
    /// A second try beside a slow first one. By default there is none: it makes more calls, and is worth it only where the slowest calls count.
    pub hedge: Switch<hedge::Config>,
    /// Leaves alone what fails too often. By default it does, with the defaults of its parts; `false` never does.
    pub breaker: Switch<breaker::Config>,
    /// Bounds how many calls run at a time. By default it does, with the defaults of its parts; `false` never does.
    pub bulkhead: Switch<bulkhead::Config>,
    /// Turns the less critical calls away while the bulkhead is close to full or its queue stands. By default there is none: it is worth it where calls differ in how
    /// critical they are.
    pub shed: Switch<shed::Config>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: deadline::Config::default().timeout,
            try_timeout: None,
            retry: Switch::On(retry::Config::default()),
            hedge: Switch::Off,
            breaker: Switch::On(breaker::Config::default()),
            bulkhead: Switch::On(bulkhead::Config::default()),
            shed: Switch::Off,
        }
    }
}

impl Policy {
    /// What the types cannot state. Errors: which part is wrong, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let within = |part: &str, checked: Option<Result<(), String>>| match checked {
            Some(Err(wrong)) => Err(format!("`{part}` {wrong}")),
            Some(Ok(())) | None => Ok(()),
        };
        self.deadline().check()?;
        within("retry", self.retry.on().map(retry::Config::check))?;
        within("hedge", self.hedge.on().map(hedge::Config::check))?;
        within("breaker", self.breaker.on().map(breaker::Config::check))?;
        within("bulkhead", self.bulkhead.on().map(bulkhead::Config::check))?;
        within("shed", self.shed.on().map(shed::Config::check))?;
        if self.shed.on().is_some() && self.bulkhead.on().is_none() {
            return Err("`shed` goes by what the bulkhead tells, and `bulkhead` is off: switch it on, or leave `shed` out".to_owned());
        }
        Ok(())
    }

    fn deadline(&self) -> deadline::Config {
        let third = || (self.timeout.as_std() / 3).max(Duration::from_millis(1).as_std()).into();
        deadline::Config { timeout: self.timeout, try_timeout: self.try_timeout.unwrap_or_else(third) }
    }

    /// Which tries are bounded by nothing but the operation's deadline: those after which there is no other.
    fn spared(&self) -> Spared {
        let retries = |config: &&retry::Config| {
            config.attempts.get() > 1 && self.deadline().try_timeout < config.elapsed
        };
        match (self.try_timeout, self.retry.on().filter(retries)) {
            (Some(_), _) => Spared::None,
            (None, Some(_)) => Spared::Single,
            (None, None) => Spared::All,
        }
    }
}

/// What guards one service: the memory of its policies, shared by all who call it.
#[derive(Debug, Clone)]
pub struct Guard {
    deadline: deadline::Config,
    spared: Spared,
    retry: Option<(retry::Config, retry::Handle)>,
    hedge: Option<hedge::Handle>,
    breaker: Option<breaker::Handle>,
    bulkhead: Option<bulkhead::Handle>,
    shed: Option<shed::Handle>,
    env: Env,
}

/// A service behind a guard. It takes calls of requests that can be cloned, since they may be sent again.
pub type Guarded<S, J> = Timed<MaybeShed<MaybeRetried<MaybeHedged<Tried<S, J>, J>, J>>>;

/// A service behind a guard that sends each call once.
pub type GuardedOnce<S, J> = Timed<MaybeShed<Tried<S, J>>>;

type Tried<S, J> = MaybeBroken<MaybeBounded<Timed<S>>, J>;
type MaybeShed<S> = Either<shed::Service<S>, S>;
type MaybeRetried<S, J> = Either<retry::Service<S, J>, S>;
type MaybeHedged<S, J> = Either<hedge::Service<S, J>, S>;
type MaybeBroken<S, J> = Either<breaker::Service<S, J>, S>;
type MaybeBounded<S> = Either<bulkhead::Service<S>, S>;
type Timed<S> = deadline::Service<S>;

impl Guard {
    /// One with nothing in its memory.
    pub fn new(policy: &Policy, env: Env) -> Self {
        let Policy { retry, hedge, breaker, bulkhead, shed, .. } = policy;
        let shed = shed.on().map(|config| shed::Handle::new(*config, env.clone()));
        let bulkhead = bulkhead.on().map(|config| bulkhead::Handle::new(*config, env.clone()));
        Self {
            deadline: policy.deadline(),
            spared: policy.spared(),
            retry: retry.on().map(|config| (*config, retry::Handle::new(config.budget, env.clone()))),
            hedge: hedge.on().map(|config| hedge::Handle::new(*config, env.clone())),
            breaker: breaker.on().map(|config| breaker::Handle::new(*config, env.clone())),
            bulkhead: match (&shed, bulkhead) {
                (Some(shed), Some(bulkhead)) => Some(bulkhead.telling(shed.clone())),
                (_, bulkhead) => bulkhead,
            },
            shed,
            env,
        }
    }

    /// Stands before a service that takes calls and has the errors of policies, such as a [`call::Inner`]; the judge says which of its answers are failures.
    pub fn guard<S: Clone, J: Clone>(&self, inner: S, judge: &J) -> Guarded<S, J> {
        let retry = self.retry.clone();
        let retry = retry.map(|(config, handle)| retry::Layer::new(config, handle, judge.clone()));
        let hedge = self.hedge.clone().map(|handle| hedge::Layer::new(handle, judge.clone()));
        let hedged = Maybe(hedge).layer(self.tried(inner, judge, self.spared));
        self.timed(self.shedding(Maybe(retry).layer(hedged)))
    }

    /// The same for requests that cannot be cloned: there are no retries and no hedges, whatever the policy says.
    pub fn guard_once<S, J: Clone>(&self, inner: S, judge: &J) -> GuardedOnce<S, J> {
        let spared = if self.spared == Spared::None { Spared::None } else { Spared::All };
        self.timed(self.shedding(self.tried(inner, judge, spared)))
    }

    fn shedding<S>(&self, inner: S) -> MaybeShed<S> {
        Maybe(self.shed.clone().map(shed::Layer::new)).layer(inner)
    }

    fn tried<S, J: Clone>(&self, inner: S, judge: &J, spared: Spared) -> Tried<S, J> {
        let breaker = self.breaker.clone().map(|handle| breaker::Layer::new(handle, judge.clone()));
        let timed = deadline::TryLayer::new(self.deadline, self.env.clone()).sparing(spared).layer(inner);
        Maybe(breaker).layer(Maybe(self.bulkhead.clone().map(bulkhead::Layer::new)).layer(timed))
    }

    fn timed<S>(&self, inner: S) -> Timed<S> {
        // Whatever stands below ends by then: each try has what is left, a queue is left at the deadline, and a retry that it comes before is not waited for.
        deadline::Layer::new(self.deadline, self.env.clone()).without_timer().layer(inner)
    }

    /// A layer that stands before any service whose requests can be cloned; `facts` says what policies go by.
    pub fn layer<F, J>(&self, facts: F, judge: J) -> Layer<F, J> {
        Layer { guard: self.clone(), facts, judge }
    }

    /// A layer that stands before any service, such as a handler: it sends each request once.
    pub fn layer_once<F, J>(&self, facts: F, judge: J) -> LayerOnce<F, J> {
        LayerOnce(self.layer(facts, judge))
    }

    /// How long a try may take.
    pub const fn try_timeout(&self) -> Duration {
        self.deadline.try_timeout
    }

    /// The breaker, if there is one, for operators.
    pub const fn breaker(&self) -> Option<&breaker::Handle> {
        self.breaker.as_ref()
    }

    /// The bulkhead, if there is one, for operators.
    pub const fn bulkhead(&self) -> Option<&bulkhead::Handle> {
        self.bulkhead.as_ref()
    }

    /// What is shed, if anything is, for operators.
    pub const fn shed(&self) -> Option<&shed::Handle> {
        self.shed.as_ref()
    }
}

/// A guard before services.
#[derive(Debug, Clone)]
pub struct Layer<F, J> {
    guard: Guard,
    facts: F,
    judge: J,
}

impl<S: Clone, F: Clone, J: Clone> tower_layer::Layer<S> for Layer<F, J> {
    type Service = call::Outer<Guarded<call::Inner<S>, J>, F>;

    fn layer(&self, inner: S) -> Self::Service {
        let guarded = self.guard.guard(call::Inner::new(inner), &self.judge);
        call::Layer::new(self.facts.clone()).layer(guarded)
    }
}

/// A guard before services that sends each request once.
#[derive(Debug, Clone)]
pub struct LayerOnce<F, J>(Layer<F, J>);

impl<S, F: Clone, J: Clone> tower_layer::Layer<S> for LayerOnce<F, J> {
    type Service = call::Outer<GuardedOnce<call::Inner<S>, J>, F>;

    fn layer(&self, inner: S) -> Self::Service {
        let guarded = self.0.guard.guard_once(call::Inner::new(inner), &self.0.judge);
        call::Layer::new(self.0.facts.clone()).layer(guarded)
    }
}

//! What is known of a name, event by event.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::time::{Instant, SeededEntropy};
use mainstay_base::units::Duration;
use mainstay_resilience::{Env, TokioClock};

use super::known::{Answer, ENDPOINTS_MAX, Family, Known, Outcome, Part, Place, Step, Told, Wanted};
use super::{Discovery, LookedUp, Lookups, Resolvers};
use crate::balance::Algorithm;
use crate::config::{Config, Dns};
use crate::roster::{Roster, Rules};

fn at(seconds: f64) -> Instant {
    Instant::from_nanos((seconds * 1e9) as u64)
}

fn named(name: &str) -> Wanted {
    Wanted { dns: Dns::expand(name.to_owned()), port: Some(80.try_into().expect("a port")) }
}

fn place(name: &str, port: u16, weight: u32) -> Place {
    Place { name: name.to_owned(), port, weight }
}

/// The addresses of a name: `10.0.0.1 ::1`, none, or `!why`.
fn answer(places: &[Place], ttl: u64, addresses: &[(&str, &str)]) -> Answer {
    let mut parts = BTreeMap::new();
    for (name, text) in addresses {
        for family in [Family::V4, Family::V6] {
            let is_of = |ip: &IpAddr| ip.is_ipv4() == (family == Family::V4);
            let found = match text.strip_prefix('!') {
                Some(why) => Err(why.to_owned()),
                None => {
                    let all = text.split_whitespace().map(|ip| ip.parse::<IpAddr>().expect("an address"));
                    Ok(all.filter(is_of).collect())
                }
            };
            parts.insert(Part { name: (*name).to_owned(), family }, found);
        }
    }
    Answer { places: places.to_vec(), addresses: parts, ttl: Duration::from_secs(ttl), api: None }
}

/// A name `a` with the port 80 has these.
fn has(ttl: u64, addresses: &str) -> Result<Answer, String> {
    Ok(answer(&[place("a", 80, 1)], ttl, &[("a", addresses)]))
}

fn failed() -> Result<Answer, String> {
    Err("nobody answers".to_owned())
}

struct World {
    known: Known,
    wanted: Wanted,
    /// Endpoints as the roster was told them, with weights.
    endpoints: Vec<String>,
}

impl World {
    fn new(wanted: Wanted) -> Self {
        let mut world = Self { known: Known::default(), wanted: wanted.clone(), endpoints: Vec::new() };
        let step = world.known.define(Some(wanted), at(0.0));
        world.did(step);
        assert_eq!(world.known.next(), Some(at(0.0)), "it is asked at once");
        world
    }

    fn did(&mut self, step: Step) -> Vec<Told> {
        if let Some(described) = step.described {
            let shown = described.into_iter().map(|it| {
                assert!(!it.is_leaving);
                match it.instance.weight {
                    1 => it.instance.address.to_string(),
                    weight => format!("{} x{weight}", it.instance.address),
                }
            });
            self.endpoints = shown.collect();
        }
        step.told
    }

    fn looked_up(&mut self, result: Result<Answer, String>, seconds: f64) -> (Outcome, Vec<Told>) {
        let of = self.wanted.clone();
        let (outcome, step) = self.known.looked_up(&of, result, at(seconds), 0.0).expect("it was asked");
        (outcome, self.did(step))
    }

    fn settle(&mut self, seconds: f64) -> Vec<Told> {
        let step = self.known.settle(at(seconds));
        self.did(step)
    }

    fn define(&mut self, wanted: Option<Wanted>, seconds: f64) {
        let step = self.known.define(wanted.clone(), at(seconds));
        assert_eq!(self.did(step), []);
        if let Some(wanted) = wanted {
            self.wanted = wanted;
        }
    }
}

#[test]
fn it_is_asked_again_when_the_lowest_ttl_is_over_within_bounds_and_less_a_tenth_by_chance() {
    let mut world = World::new(named("a"));
    for (ttl, chance, next) in
        [(60, 0.0, 60.0), (60, 1.0, 54.0), (0, 0.0, 1.0), (9_999, 0.0, 300.0), (9_999, 0.5, 285.0)]
    {
        let of = world.wanted.clone();
        let looked_up = world.known.looked_up(&of, has(ttl, "10.0.0.1"), at(0.0), chance);
        assert_eq!(looked_up.map(|it| it.0), Some(Outcome::Found));
        assert_eq!(world.known.next(), Some(at(next)), "{ttl} {chance}");
    }
}

#[test]
fn another_order_changes_nothing_and_the_same_address_twice_is_one() {
    let mut world = World::new(named("a"));
    world.looked_up(has(5, "10.0.0.2 ::1 10.0.0.1"), 0.0);
    assert_eq!(world.endpoints, ["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"], "of both families");
    let of = world.wanted.clone();
    let again = has(5, "10.0.0.1 10.0.0.2 ::1 10.0.0.1");
    let (_, step) = world.known.looked_up(&of, again, at(5.0), 0.0).expect("it was asked");
    assert_eq!(step, Step::default());
    world.looked_up(has(5, "10.0.0.3 10.0.0.1"), 10.0);
    assert_eq!(world.endpoints, ["10.0.0.1:80", "10.0.0.3:80"]);
}

#[test]
fn records_say_ports_and_weights() {
    let mut world = World::new(Wanted { port: None, ..named("_a._tcp.x") });
    let places = [place("one", 9_101, 5), place("two", 9_102, 0), place("one", 9_101, 7)];
    let addresses = [("one", "10.0.0.1 ::1"), ("two", "10.0.0.1")];
    world.looked_up(Ok(answer(&places, 5, &addresses)), 0.0);
    assert_eq!(world.endpoints, ["10.0.0.1:9101 x7", "10.0.0.1:9102", "[::1]:9101 x7"]);
    // Weights alone are a change as well.
    let places = [place("one", 9_101, 1), place("two", 9_102, 3)];
    world.looked_up(Ok(answer(&places, 5, &addresses)), 5.0);
    assert_eq!(world.endpoints, ["10.0.0.1:9101", "10.0.0.1:9102 x3", "[::1]:9101"]);
}

#[test]
fn what_is_known_stays_while_nobody_answers_and_it_is_told_when_that_begins_and_ends() {
    let mut world = World::new(named("a"));
    world.looked_up(has(60, "10.0.0.1"), 0.0);
    let (outcome, told) = world.looked_up(failed(), 60.0);
    assert_eq!((outcome, told), (Outcome::Failed, vec![Told::Failing("nobody answers".into())]));
    let mut now = 60.0;
    for wait in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        assert_eq!(world.known.next(), Some(at(now + wait)));
        now += wait;
        assert_eq!(world.looked_up(failed(), now).1, [], "it was told");
        assert_eq!(world.settle(now), []);
    }
    assert_eq!(world.endpoints, ["10.0.0.1:80"]);
    assert_eq!(world.known.error().as_deref(), Some("nobody answers"));
    assert_eq!(world.known.found_at(), Some(at(0.0)));
    assert_eq!(world.looked_up(has(60, "10.0.0.1"), now), (Outcome::Found, vec![Told::Back]));
    assert_eq!((world.known.error(), world.known.next()), (None, Some(at(now + 60.0))));
    // Half of a wait is by chance: whoever answers no node is asked by all of them.
    let of = world.wanted.clone();
    world.known.looked_up(&of, failed(), at(0.0), 1.0);
    assert_eq!(world.known.next(), Some(at(0.5)));
}

#[test]
fn a_name_without_addresses_keeps_those_that_it_had_for_a_while() {
    let mut world = World::new(named("a"));
    assert_eq!(world.looked_up(has(60, ""), 0.0), (Outcome::Empty, vec![Told::Empty]));
    assert_eq!(world.known.goes_at(), None, "there is nothing to be held");
    assert_eq!(world.looked_up(has(60, "10.0.0.1"), 1.0).1, [Told::Back]);
    assert_eq!(world.looked_up(has(60, ""), 61.0).1, [Told::Empty]);
    assert_eq!((world.known.next(), world.known.goes_at()), (Some(at(62.0)), Some(at(91.0))));
    assert_eq!(world.known.error().as_deref(), Some("the name has no addresses"));
    // It goes when the first answer says, whatever comes after it.
    world.looked_up(has(60, ""), 62.0);
    assert_eq!(world.looked_up(failed(), 64.0).1, [Told::Failing("nobody answers".into())]);
    assert_eq!(world.settle(90.9), []);
    assert_eq!(world.endpoints, ["10.0.0.1:80"]);
    assert_eq!(world.settle(91.0), [Told::Gone(1)]);
    assert!(world.endpoints.is_empty());
    assert_eq!(world.settle(92.0), []);
    // It is back in time.
    world.looked_up(has(60, "10.0.0.1"), 100.0);
    world.looked_up(has(60, ""), 160.0);
    world.looked_up(has(60, "10.0.0.1"), 161.0);
    assert_eq!(world.known.goes_at(), None);
    assert_eq!(world.settle(500.0), []);
    assert_eq!(world.endpoints, ["10.0.0.1:80"]);
}

#[test]
fn what_fails_of_an_answer_is_as_it_was_and_the_rest_counts() {
    let mut world = World::new(Wanted { port: None, ..named("_a._tcp.x") });
    let places = [place("one", 1, 1), place("two", 2, 1)];
    world.looked_up(Ok(answer(&places, 60, &[("one", "10.0.0.1"), ("two", "10.0.0.2")])), 0.0);
    let half = answer(&places, 60, &[("one", "10.0.0.9"), ("two", "!SERVFAIL")]);
    let (outcome, told) = world.looked_up(Ok(half), 60.0);
    assert_eq!((outcome, told), (Outcome::Found, vec![Told::Failing("SERVFAIL".into())]));
    assert_eq!(world.endpoints, ["10.0.0.2:2", "10.0.0.9:1"]);
    assert_eq!(world.known.next(), Some(at(61.0)), "the rest is asked for soon");
    // What is no place any more goes, whether it failed or not.
    let one = answer(&places[..1], 60, &[("one", "10.0.0.9")]);
    assert_eq!(world.looked_up(Ok(one), 61.0), (Outcome::Found, vec![Told::Back]));
    assert_eq!(world.endpoints, ["10.0.0.9:1"]);
    // Nothing found and something failed is nothing known.
    let none = answer(&places, 60, &[("one", ""), ("two", "!SERVFAIL")]);
    assert_eq!(world.looked_up(Ok(none), 121.0).0, Outcome::Failed);
    assert_eq!((world.endpoints.len(), world.known.goes_at()), (1, None));
}

#[test]
fn no_record_leads_to_the_api_of_this_node() {
    let mut world = World::new(Wanted { port: None, ..named("_a._tcp.x") });
    let places = [place("one", 7_070, 1), place("two", 9_101, 1)];
    let addresses = [("one", "127.0.0.1 ::1 0.0.0.0 ::ffff:127.0.0.1 10.0.0.7"), ("two", "127.0.0.1")];
    let api = Some("127.0.0.1:7070".parse().expect("an address"));
    world.looked_up(Ok(Answer { api, ..answer(&places, 5, &addresses) }), 0.0);
    assert_eq!(world.endpoints, ["10.0.0.7:7070", "127.0.0.1:9101"]);
    let api = Some("10.0.0.8:7070".parse().expect("an address"));
    world.looked_up(
        Ok(Answer { api, ..answer(&places, 5, &[("one", "10.0.0.7 10.0.0.8"), ("two", "")]) }),
        5.0,
    );
    assert_eq!(world.endpoints, ["10.0.0.7:7070"]);
}

#[test]
fn there_are_only_so_many_and_that_is_told_once() {
    let mut world = World::new(named("a"));
    let many: Vec<_> = (0..ENDPOINTS_MAX + 3).map(|it| format!("10.1.{}.{}", it / 256, it % 256)).collect();
    let told = world.looked_up(has(5, &many.join(" ")), 0.0).1;
    assert_eq!((told, world.endpoints.len()), (vec![Told::Cut(3)], ENDPOINTS_MAX));
    assert_eq!(world.looked_up(has(5, &many[2..].join(" ")), 5.0).1, []);
    assert_eq!(world.looked_up(has(5, &many[3..].join(" ")), 10.0).1, []);
    assert_eq!(world.looked_up(has(5, &many.join(" ")), 15.0).1, [Told::Cut(3)], "it is one more time");
}

#[test]
fn another_definition_with_the_same_name_loses_nothing() {
    let mut world = World::new(named("a"));
    world.looked_up(has(300, "10.0.0.1"), 0.0);
    let mut sooner = named("a");
    sooner.dns.ttl_max = Duration::from_secs(10);
    world.define(Some(sooner), 5.0);
    assert_eq!((world.known.next(), world.known.goes_at()), (Some(at(15.0)), None));
    assert_eq!(world.endpoints, ["10.0.0.1:80"]);
    world.define(None, 6.0);
    assert!(world.endpoints.is_empty(), "without a name there are none");
    assert_eq!((world.known.next(), world.known.wanted()), (None, None));
}

#[test]
fn endpoints_of_another_name_stay_until_the_new_one_has_some_and_not_for_long() {
    let mut world = World::new(named("a"));
    let old = world.wanted.clone();
    world.looked_up(has(300, "10.0.0.1"), 0.0);
    world.define(Some(named("b")), 5.0);
    assert_eq!((world.known.next(), world.known.goes_at()), (Some(at(5.0)), Some(at(35.0))));
    assert_eq!(world.endpoints, ["10.0.0.1:80"]);
    assert_eq!(
        world.known.looked_up(&old, has(5, "10.0.0.9"), at(6.0), 0.0),
        None,
        "it is not asked any more"
    );
    let found = answer(&[place("b", 80, 1)], 60, &[("b", "10.0.0.2")]);
    world.looked_up(Ok(found), 6.0);
    assert_eq!((world.endpoints.clone(), world.known.goes_at()), (vec!["10.0.0.2:80".into()], None));
    // Nobody answers for the next one.
    let other_port = Wanted { port: Some(81.try_into().expect("a port")), ..named("b") };
    world.define(Some(other_port), 10.0);
    world.looked_up(failed(), 10.0);
    assert_eq!(world.settle(39.0), []);
    assert_eq!(world.settle(40.0), [Told::Gone(1)]);
    assert!(world.endpoints.is_empty());
}

#[tokio::test]
async fn one_lookup_is_made_at_a_time() {
    let clock = Arc::new(TokioClock::new());
    let env =
        Env::new(clock, Arc::new(SeededEntropy::new(1)), Arc::new(mainstay_resilience::Counts::new("test")));
    let name: mainstay_base::id::Name = "payments".parse().expect("a name");
    let roster = Arc::new(Roster::new(name.clone(), Rules::choosing(Algorithm::RoundRobin)));
    let discovery = Discovery::new(name, roster);
    let Wanted { dns, port } = named("a");
    discovery.define(&Config { dns: Some(Brief(dns)), port, ..Config::default() }, env.now());
    let mut lookups = Lookups::new(Arc::new(Resolvers::default()));
    assert!(lookups.begin(&discovery, env.now(), &env).is_some());
    assert!(lookups.begin(&discovery, env.now(), &env).is_none(), "it is under way");
    assert_eq!(lookups.due(&discovery), None);
    lookups.done(LookedUp { wanted: named("a"), result: has(60, "10.0.0.1") }, &discovery, &env);
    assert!(lookups.due(&discovery).is_some_and(|due| due > env.now()));
    assert!(lookups.begin(&discovery, env.now(), &env).is_none(), "it is not time");
    let again = lookups.due(&discovery).expect("it is asked again");
    assert!(lookups.begin(&discovery, again, &env).is_some());
}

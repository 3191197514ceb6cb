//! The local engine on a disk that crashes at every operation: what it promises holds after each.
//!
//! A workload is drawn from one seed and what a crash keeps from another, so that a failure can be replayed. That
//! these simulations notice what they should is tested in `rules`: the engine loses its rules one by one.

mod flips;
mod rules;
mod service;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mainstay_log::Durability;
use mainstay_log::faulty::{Fault, Random, When};

use self::world::{Seen, World};

const WHENS: [When; 3] = [When::Before, When::During, When::After];

/// Runs one seed; when it fails, tells how to replay it and what the disk did.
fn run_seed<T>(test: &str, seed: u64, mut world: World, run: impl FnOnce(&mut World) -> T) -> T {
    let disk = world.disk.clone();
    catch_unwind(AssertUnwindSafe(|| run(&mut world))).unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<String>().map_or("see above", String::as_str);
        panic!(
            "{}{reason}\nseed {seed} fails; replay: MAINSTAY_SEED={seed} cargo test -p mainstay-log {test}",
            disk.history()
        );
    })
}

/// These seeds, or the one that is to be replayed.
fn seeds(all: Range<u64>) -> Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a person names the seed to replay")]
    match std::env::var("MAINSTAY_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MAINSTAY_SEED is a number");
            seed..seed + 1
        }
        Err(_) => all,
    }
}

/// Crashes in one of the ways that there are, one crash after another in some.
fn crash(world: &mut World, way: u64) {
    match way % 4 {
        0 => world.crash_process(),
        1 => world.crash_machine(),
        2 => {
            world.crash_process();
            world.crash_machine();
        }
        _ => world.crash_process_and_evict(),
    }
}

/// Opens the log after a crash, which another crash interrupts at the operation `interrupted_at` of the recovery.
fn recover(world: &mut World, interrupted_at: Option<(u64, Fault)>, way: u64) {
    world.disk.clear_faults();
    if let Some((operation, fault)) = interrupted_at {
        world.disk.fault_at(world.disk.operations() + operation, fault);
    }
    let is_open = world.open();
    world.disk.clear_faults();
    if !is_open || world.disk.is_stopped() {
        crash(world, way);
        assert!(world.open(), "nothing fails any more");
    }
}

/// What must hold after any crash: the log opens and keeps its promises, and what it has shown survives a
/// further loss of power; then it goes on.
fn recover_and_go_on(world: &mut World, interrupted_at: Option<(u64, Fault)>, way: u64) {
    recover(world, interrupted_at, way);
    world.crash_process();
    recover(world, None, way);
    world.crash_machine();
    recover(world, None, way);
    for _ in 0..3 {
        world.step();
    }
    world.restart();
    world.check_readable();
}

/// A workload of so many steps, until the machine stops.
fn work(world: &mut World, steps: u32) {
    if !world.open() {
        return;
    }
    for _ in 0..steps {
        world.step();
        if !world.is_open() || world.disk.is_stopped() {
            return;
        }
    }
}

fn durability_of(seed: u64) -> Durability {
    if seed % 5 == 4 { Durability::Written } else { Durability::Synced }
}

/// One crash at every operation of a short workload: before, within and after it.
fn crash_everywhere(test: &str, seed: u64, steps: u32) -> Vec<Seen> {
    let mut dry = World::new(seed, seed, durability_of(seed));
    work(&mut dry, steps);
    let mut seen = Vec::new();
    for operation in 1..=dry.disk.operations() {
        for (at, when) in (0..).zip(WHENS) {
            let luck = operation * 3 + at;
            let world = World::new(seed, luck, durability_of(seed));
            seen.push(run_seed(test, seed, world, |world| {
                world.disk.fault_at(operation, Fault::Stop(when));
                work(world, steps);
                world.disk.clear_faults();
                let way = luck / 2 + seed;
                crash(world, way);
                let again = Fault::Stop(WHENS[(luck / 3 % 3) as usize]);
                recover_and_go_on(world, (luck % 2 == 0).then_some((luck % 7 + 1, again)), way / 4);
                world.seen
            }));
        }
    }
    seen
}

/// A long workload with crashes, failing syncs and writes, and a disk that is full now and then.
fn crash_at_random(world: &mut World, seed: u64, steps: u32) -> Seen {
    let random = Random::new(!seed);
    for _ in 0..steps {
        if !world.is_open() {
            let fault = if random.one_in(3) { Fault::Error } else { Fault::Stop(WHENS[random.up_to(2)]) };
            let interrupted_at = random.one_in(3).then(|| (random.between(1, 9), fault));
            recover(world, interrupted_at, random.number());
        }
        let soon = world.disk.operations() + random.between(1, 12);
        match random.below(100) {
            0..=3 => world.disk.fault_at(soon, Fault::Stop(WHENS[random.up_to(2)])),
            4 | 5 => world.disk.fault_at(soon, Fault::Error),
            6 => world.disk.fault_at(soon, Fault::Full),
            7 => world.disk.set_capacity(random.between(50_000, 300_000)),
            8..=11 => world.disk.set_capacity(1 << 30),
            _ => {}
        }
        world.step();
        if world.disk.is_stopped() || random.one_in(25) || world.is_failed() && random.one_in(3) {
            world.disk.clear_faults();
            crash(world, random.number());
        }
    }
    world.disk.clear_faults();
    world.disk.set_capacity(1 << 30);
    crash(world, random.number());
    recover_and_go_on(world, None, random.number());
    world.seen
}

fn random_world(seed: u64) -> World {
    World::new(seed, seed, durability_of(seed))
}

/// A run in which nothing happens proves nothing.
fn assert_busy(seen: &[Seen]) {
    let sum = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
    let counts = [
        sum(|seen| seen.acknowledged),
        sum(|seen| seen.kept),
        sum(|seen| seen.lost),
        sum(|seen| seen.cuts),
        sum(|seen| seen.rewritten),
        sum(|seen| seen.clean),
        sum(|seen| seen.trims),
    ];
    assert!(counts.iter().all(|count| *count >= seen.len() / 20), "{counts:?} of {} runs", seen.len());
}

#[test]
fn acknowledged_records_survive_a_crash_at_every_operation() {
    let mut seen = Vec::new();
    for seed in seeds(0..6) {
        seen.extend(crash_everywhere("crash::acknowledged", seed, 14));
    }
    assert_busy(&seen);
}

#[test]
fn acknowledged_records_survive_crashes_of_long_workloads() {
    let run = |seed| {
        let test = "crash::acknowledged_records_survive_crashes_of_long";
        run_seed(test, seed, random_world(seed), |world| crash_at_random(world, seed, 150))
    };
    let seen: Vec<_> = seeds(0..60).map(run).collect();
    if seen.len() == 1 {
        return;
    }
    assert_busy(&seen);
    let all = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
    assert!(all(|seen| seen.poisoned) > 0 && all(|seen| seen.full) > 0, "{seen:?}");
    assert!(seen.iter().any(|seen| seen.segments > 3), "several segments are kept");
}

/// A spare whose zeros were only written, found by the next process and given a name, then the loss of power.
#[test]
fn a_spare_that_an_earlier_process_left_is_synced_before_it_is_used() {
    let test = "crash::acknowledged -- --ignored";
    run_seed(test, 1636, random_world(1636), |world| crash_at_random(world, 1636, 400));
}

#[test]
#[ignore = "takes minutes"]
fn acknowledged_records_survive_a_crash_at_every_operation_of_many_workloads() {
    for seed in seeds(6..300) {
        crash_everywhere("crash::acknowledged -- --ignored", seed, 30);
    }
}

#[test]
#[ignore = "takes minutes"]
fn acknowledged_records_survive_crashes_of_many_long_workloads() {
    for seed in seeds(60..20_000) {
        let test = "crash::acknowledged -- --ignored";
        run_seed(test, seed, random_world(seed), |world| crash_at_random(world, seed, 400));
    }
}

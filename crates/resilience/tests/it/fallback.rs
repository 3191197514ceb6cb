//! A ladder around a service.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use mainstay_base::error::Code;
use mainstay_base::units::Duration;
use mainstay_resilience::call::Inner;
use mainstay_resilience::fallback::{Alternative, Answered, Config, Handle, Layer};
use mainstay_resilience::{Call, Classified, Decision, Error, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

/// What each step does with a call.
type Script = [Act; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Answer,
    Fail,
    Refuse,
    Hang,
}

/// The steps that were called, one after the other.
type Log = Arc<Mutex<Vec<usize>>>;

fn step(
    place: usize,
    log: &Log,
) -> impl Service<Script, Response = usize, Error = Failed, Future: Send> + Clone + Send + Sync + use<> {
    let log = log.clone();
    service_fn(move |script: Script| {
        log.lock().expect("nobody panics with it").push(place);
        async move {
            match script[place] {
                Act::Answer => Ok(place),
                Act::Fail => Err(Failed([Code::BadGateway, Code::Unavailable, Code::StorageFull][place])),
                Act::Refuse => Err(Failed([Code::Invalid, Code::NotFound, Code::Gone][place])),
                Act::Hang => std::future::pending().await,
            }
        }
    })
}

fn stack(
    world: &World,
    log: &Log,
) -> (Handle, impl Service<Call<Script>, Response = Answered<usize>, Error = Error<Failed>> + Clone + use<>) {
    let some = |count| NonZeroU32::new(count).expect("it is above zero");
    let config = Config { failures: some(2), successes: some(2), probe_every: Duration::from_secs(1) };
    let handle = Handle::new(config, ["full", "cached", "fixed"], world.env.clone());
    let alternatives = [1, 2].map(|place| Alternative::new(Inner::new(step(place, log))));
    let layer = Layer::new(handle.clone(), alternatives, Classified);
    (handle, layer.layer(Inner::new(step(0, log))))
}

fn answered(level: usize) -> Result<Answered<usize>, Error<Failed>> {
    Ok(Answered { response: level, step: ["full", "cached", "fixed"][level].into(), level })
}

#[tokio::test(start_paused = true)]
async fn the_highest_step_that_can_answers_and_none_below_it_is_called() {
    use Act::{Answer, Fail, Refuse};
    let (world, log) = (World::new(), Log::default());
    let (handle, service) = stack(&world, &log);
    let acts = [Answer, Fail, Refuse];
    let scripts = acts.iter().flat_map(|one| acts.map(|two| acts.map(|three| [*one, two, three])));
    for script in scripts.flatten() {
        for start in 0..3 {
            handle.force(Some(start));
            log.lock().unwrap().clear();
            let answer = service.clone().oneshot(world.call(script)).await;
            let is_refused = script[start] == Refuse;
            let by = (start..3).find(|place| script[*place] == Answer);
            let last = if is_refused { start } else { by.unwrap_or(2) };
            let called: Vec<usize> = (start..=last).collect();
            assert_eq!(*log.lock().unwrap(), called, "{script:?} from {start}");
            match by {
                Some(by) if !is_refused => assert_eq!(answer, answered(by), "{script:?} from {start}"),
                _ => {
                    let code = if is_refused {
                        [Code::Invalid, Code::NotFound, Code::Gone][start]
                    } else {
                        [Code::BadGateway, Code::Unavailable, Code::StorageFull][start]
                    };
                    assert_eq!(answer, Err(Error::Service(Failed(code))), "that of the first that was tried");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_down_after_failures_and_up_after_probes() {
    let (world, log) = (World::new(), Log::default());
    let (handle, service) = stack(&world, &log);
    let broken = [Act::Fail, Act::Answer, Act::Answer];
    let healthy = [Act::Answer; 3];
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(world.call(broken)).await, answered(1));
    }
    assert_eq!((handle.level(), &*handle.names()[handle.level()]), (1, "cached"));
    assert_eq!(*log.lock().unwrap(), [0, 1, 0, 1, 1]);
    pass(1_000).await;
    assert_eq!(service.clone().oneshot(world.call(healthy)).await, answered(0), "a probe");
    assert_eq!(service.clone().oneshot(world.call(healthy)).await, answered(1));
    pass(1_000).await;
    assert_eq!(service.clone().oneshot(world.call(healthy)).await, answered(0));
    assert_eq!(service.clone().oneshot(world.call(healthy)).await, answered(0), "all of them again");
    assert_eq!(handle.level(), 0);
    let decided = [(Decision::FellBack, 4), (Decision::LadderLowered, 1), (Decision::LadderRaised, 1)];
    for (decision, count) in decided {
        assert_eq!(world.count(decision), count, "{decision:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_goes_away_leaves_its_place_to_another() {
    let (world, log) = (World::new(), Log::default());
    let (handle, service) = stack(&world, &log);
    for _ in 0..2 {
        let _ = service.clone().oneshot(world.call([Act::Fail, Act::Answer, Act::Answer])).await;
    }
    pass(1_000).await;
    let hangs = service.clone().oneshot(world.call([Act::Hang; 3]));
    assert!(tokio::time::timeout(Duration::from_secs(1).as_std(), hangs).await.is_err());
    let probe = service.clone().oneshot(world.call([Act::Answer; 3])).await;
    assert_eq!((probe, handle.level()), (answered(0), 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_leaves_its_place_when_it_ends() {
    let (world, log) = (World::new(), Log::default());
    let (handle, service) = stack(&world, &log);
    for _ in 0..2 {
        let _ = service.clone().oneshot(world.call([Act::Fail, Act::Answer, Act::Answer])).await;
    }
    pass(1_000).await;
    let mut refused = std::pin::pin!(service.clone().oneshot(world.call([Act::Refuse; 3])));
    assert_eq!(refused.as_mut().await, Err(Error::Service(Failed(Code::Invalid))), "by a probe");
    let probe = service.clone().oneshot(world.call([Act::Answer; 3])).await;
    assert_eq!((probe, handle.level()), (answered(0), 1), "although the one before is still held");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_rejects_is_gone_below_unless_it_is_the_callers_doing() {
    let world = World::new();
    let rejections = [
        (Rejection::BreakerOpen { after: Duration::from_secs(1) }, true),
        (Rejection::LimitReached { limit: 5 }, true),
        (Rejection::TimedOut { limit: Duration::from_secs(1) }, true),
        (Rejection::DeadlinePassed, false),
        (Rejection::CostAboveBurst { cost: 2, burst: 1 }, false),
    ];
    for (rejection, goes_down) in rejections {
        let handle = Handle::new(Config::default(), ["full", "fixed"], world.env.clone());
        let fixed = service_fn(async |_: Call<()>| Ok::<_, Error<Failed>>(1));
        let rejects =
            service_fn(move |_: Call<()>| async move { Err::<usize, _>(Error::Rejected(rejection)) });
        let service = Layer::new(handle, [Alternative::new(fixed)], Classified).layer(rejects);
        let answer = service.oneshot(world.call(())).await.map(|answer| answer.level);
        assert_eq!(answer, if goes_down { Ok(1) } else { Err(Error::Rejected(rejection)) });
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_too_late_do_not_lower_the_ladder_for_others() {
    let world = World::new();
    let rejections = [(Rejection::GivenUp, 0), (Rejection::TimedOut { limit: Duration::from_secs(1) }, 1)];
    for (rejection, level) in rejections {
        let handle = Handle::new(Config::default(), ["full", "fixed"], world.env.clone());
        let fixed = service_fn(async |_: Call<()>| Ok::<_, Error<Failed>>(1));
        let rejects =
            service_fn(move |_: Call<()>| async move { Err::<usize, _>(Error::Rejected(rejection)) });
        let service = Layer::new(handle.clone(), [Alternative::new(fixed)], Classified).layer(rejects);
        for _ in 0..Config::default().failures.get() {
            assert_eq!(service.clone().oneshot(world.call(())).await.unwrap().level, 1);
        }
        assert_eq!(handle.level(), level);
    }
}

#[tokio::test(start_paused = true)]
async fn no_further_step_is_begun_after_the_deadline_and_each_is_told_its_own_now() {
    let world = World::new();
    let handle = Handle::new(Config::default(), ["full", "fixed"], world.env.clone());
    let fails = service_fn(async |_: Call<()>| {
        pass(500).await;
        Err::<u64, _>(Error::Service(Failed(Code::BadGateway)))
    });
    let tells = service_fn(async |call: Call<()>| Ok::<_, Error<Failed>>(call.facts.now.as_nanos()));
    let service = Layer::new(handle, [Alternative::new(tells)], Classified).layer(fails);
    let due = |ms| {
        let mut call = world.call(());
        call.facts = call.facts.due(world.now().checked_add(Duration::from_millis(ms)).unwrap());
        service.clone().oneshot(call)
    };
    let told = due(501).await.map(|answer| answer.response);
    assert_eq!(told, Ok(world.now().as_nanos()));
    assert_eq!(due(500).await, Err(Error::Service(Failed(Code::BadGateway))));
}

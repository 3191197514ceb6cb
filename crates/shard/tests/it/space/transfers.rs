//! Many transfers at once, repeated until they are answered, over crashes: nothing is lost and nothing happens twice.

use std::sync::Arc;

use mainstay_log::faulty::{Random, SimDisk};
use mainstay_shard::inbox::Bounds;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::world::Engine;
use super::*;

const ACCOUNTS: usize = 8;
const CLIENTS: usize = 12;
const TRANSFERS: usize = 40;
const LIVES: usize = 6;

/// Sends a transfer again until its outcome is known. Returns how often it was sent.
async fn transfer(spaces: &mut watch::Receiver<Option<Arc<Space>>>, key: &str, random: &Random) -> usize {
    let (from, to) = (random.up_to(ACCOUNTS - 1), random.up_to(ACCOUNTS - 1));
    let by = 1 + i64::try_from(random.up_to(99)).unwrap();
    let operations = vec![
        add(&format!("bank/account-{from}"), -by),
        add(&format!("bank/account-{to}"), by),
        add(&format!("bank/key-{key}"), 1),
        add("bank/transfers", 1),
    ];
    let command = with_key(key, commit(operations));
    for sent in 1.. {
        let space = spaces.wait_for(Option::is_some).await.expect("it outlives them").clone().unwrap();
        let answer = space.submit(command.clone(), None).await;
        drop(space);
        match answer {
            Ok(answer) => {
                assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
                return sent;
            }
            Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. } | Error::Overloaded { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    unreachable!("it goes on for ever")
}

async fn sum_stays(engine: Engine, seed: u64) {
    let mut world = World::new(engine);
    world.inbox = Bounds { waiting_max: 6, ..Bounds::default() };
    world.owner.batch_commands_max = 4;
    let world = world;
    let spaces = watch::Sender::new(None);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let mut spaces = spaces.subscribe();
        clients.spawn(async move {
            let random = Random::new(seed * 1_000 + client as u64);
            let mut sent = 0;
            for number in 0..TRANSFERS {
                sent += transfer(&mut spaces, &format!("{client}-{number}"), &random).await;
            }
            sent
        });
    }
    for life in 1..=LIVES {
        let running = world.start().await;
        let before = running.space.counts().committed;
        spaces.send_replace(Some(running.space.clone()));
        // In the middle of the work, but for the last life.
        let enough = before + (CLIENTS * TRANSFERS / LIVES / 2) as u64;
        let is_enough = || running.space.counts().committed >= enough || clients.is_empty();
        while !is_enough() {
            tokio::task::yield_now().await;
        }
        if life < LIVES {
            spaces.send_replace(None);
            if life % 2 == 0 {
                running.stop().await;
            } else {
                running.crash().await;
                if let Engine::Disk(disk) = &world.engine {
                    disk.crash_machine();
                }
            }
            continue;
        }
        let mut sent = 0;
        while let Some(ended) = clients.join_next().await {
            sent += ended.expect("a client does not panic");
        }
        assert!(sent > CLIENTS * TRANSFERS, "some were repeated");
        check(&running.space).await;
        spaces.send_replace(None);
        running.stop().await;
        return;
    }
}

async fn check(space: &Space) {
    let number = async |key: String| -> i64 {
        let text = now(space, &key).await;
        if text.is_empty() { 0 } else { text.parse().expect("it is a number") }
    };
    assert_eq!(number("bank/transfers".into()).await, (CLIENTS * TRANSFERS) as i64);
    let mut sum = 0;
    for account in 0..ACCOUNTS {
        sum += number(format!("bank/account-{account}")).await;
    }
    assert_eq!(sum, 0, "a transfer happens whole");
    for client in 0..CLIENTS {
        for transfer in 0..TRANSFERS {
            let key = format!("bank/key-{client}-{transfer}");
            assert_eq!(number(key.clone()).await, 1, "{key} happens once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_stays_over_crashes_where_others_may_own() {
    sum_stays(World::memory().engine, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_stays_over_the_loss_of_power() {
    sum_stays(Engine::Disk(SimDisk::new(11)), 2).await;
}

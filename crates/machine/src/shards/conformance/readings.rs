//! What readings show, and what positions say of it.

use mainstay_base::units::Duration;

use super::{
    ITEMS, answered, command, committed, covers, get, list, list_within, listed, put, read, text, text_of,
};
use crate::position::Position;
use crate::shards::{Consistency, Error, Shards};

pub(super) async fn a_write_is_read_at_every_level(shards: &dyn Shards) {
    for number in 0..4_u64 {
        let write = command("read", vec![], vec![put("read/a", &number.to_string())]);
        let position = committed(shards, write).await.0.position;
        for asked in [
            Consistency::Linearizable,
            Consistency::Session(position.clone()),
            Consistency::Bounded(Duration::ZERO),
            Consistency::Bounded(Duration::from_secs(3600)),
            Consistency::Eventual,
        ] {
            let may_be_old = match &asked {
                Consistency::Linearizable | Consistency::Session(_) => false,
                Consistency::Bounded(age) => *age > Duration::ZERO,
                Consistency::Eventual => true,
            };
            let reading = read(shards, "read/a", asked.clone()).await;
            let shown = reading.value.map(|item| text_of(&item));
            let page = listed(shards, list_within("read", asked.clone())).await;
            let in_page = page.value.items.first().map(|listed| text_of(&listed.item));
            for (shown, position_shown, consistency) in [
                (shown, &reading.position, &reading.consistency),
                (in_page, &page.position, &page.consistency),
            ] {
                let shown: Option<u64> =
                    shown.map(|text| text.parse().expect("what was written is a number"));
                let must_show = !may_be_old
                    || *consistency == Consistency::Linearizable
                    || covers(position_shown, &position);
                let is_right = if must_show { shown == Some(number) } else { shown <= Some(number) };
                assert!(is_right, "{number} was written, and {asked:?} showed {shown:?} at {position_shown}");
            }
        }
    }
    assert_eq!(text(shards, "read/b").await, None, "what was never written is not there");
}

pub(super) async fn positions_grow(shards: &dyn Shards) {
    let now = || read(shards, "grow/a", Consistency::Linearizable);
    let mut last = now().await.position;
    for number in 0..5 {
        let change = command("grow", vec![], vec![put("grow/a", &number.to_string())]);
        let written = committed(shards, change).await.0.position;
        let is_later = covers(&written, &last) && written != last;
        assert!(is_later, "a change is after what was before it: {written} after {last}");
        let nothing = answered(shards, command("grow", vec![], vec![])).await.position;
        assert!(
            covers(&nothing, &written),
            "an answer is not before an earlier one: {nothing} and {written}"
        );
        last = now().await.position;
        assert!(covers(&last, &written), "a reading is not before what was answered: {last} and {written}");
    }
}

pub(super) async fn a_position_of_several_partitions_holds_in_each(shards: &dyn Shards) {
    let keys: Vec<_> = (0..16).map(|number| format!("several-{number}")).collect();
    let mut position = Position::default();
    for key in &keys {
        position.merge(&committed(shards, command(key, vec![], vec![put(key, "1")])).await.0.position);
    }
    for key in &keys {
        let reading = shards.get(get(key, Consistency::Session(position.clone())), None).await;
        let shown =
            reading.unwrap_or_else(|error| panic!("a merged position is readable, not {error}")).value;
        assert!(shown.is_some(), "a merged position shows what each of its parts does, also {key}");
    }
    let page = listed(shards, list(&ITEMS, "several-", Consistency::Session(position))).await;
    assert_eq!(page.value.items.len(), keys.len(), "a listing shows all of a merged position");
}

pub(super) async fn an_ended_history_is_gone(shards: &dyn Shards, ended: Position) {
    let session = Consistency::Session(ended);
    let reading = shards.get(get("ended/a", session.clone()), None).await;
    assert_eq!(reading, Err(Error::Gone), "an item at a position of an ended history");
    let page = shards.list(list_within("ended", session), None).await;
    assert_eq!(page, Err(Error::Gone), "a listing at a position of an ended history");
}

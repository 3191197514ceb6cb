//! Reading and listing items.

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{PartitionBy, slot};
use mainstay_machine::item;

use crate::world::*;

#[test]
fn items_are_listed_in_the_order_of_their_keys() {
    let mut world = World::new();
    let names = ["orders/u7/b", "orders/u7/a", "orders/u7/a/1", "carts/u7/a", "orders/u7", "orders/u7/é"];
    world.done(names.map(|name| put(name, "1")).to_vec());
    let (tenant, orders) = (Tenant::DEFAULT, Name::from_static("orders"));
    let slot = slot(&tenant, &PartitionBy::WholeKey.parse("u7").unwrap());
    let list = |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(|key| key.parse().unwrap());
        let listed =
            item::list(&world.state, (slot, &tenant, &orders), prefix, after.as_ref(), limit).unwrap();
        listed.into_iter().map(|listed| listed.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("", None, 9), ["u7", "u7/a", "u7/a/1", "u7/b", "u7/é"]);
    assert_eq!(list("u7/a", None, 9), ["u7/a", "u7/a/1"]);
    assert_eq!(list("u7/", None, 2), ["u7/a", "u7/a/1"]);
    assert_eq!(list("u7/", Some("u7/a/1"), 2), ["u7/b", "u7/é"]);
    assert_eq!(list("u7/a", Some("u7/b"), 9), [""; 0]);
    assert_eq!(list("u7/b", Some("u7/a"), 9), ["u7/b"]);
    assert_eq!(list("x", None, 9), [""; 0]);
    assert_eq!(list("", None, 0), [""; 0]);
}

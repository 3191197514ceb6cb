//! Mappings whose keys users choose, and the sections of the shards, through [`load`].

use mainstay_base::id::Tenant;
use mainstay_base::key::PartitionBy;
use mainstay_base::units::{Duration, Size};
use mainstay_machine::content::ContentType;
use mainstay_shard::inbox::Bounds;
use mainstay_shard::snapshot::bucket::{Access, Keys};
use mainstay_shard::store;

use super::*;

const BASE: (&str, &str) =
    ("mainstay.yaml", "collections:\n  carts: { partition_by: whole_key }\n  docs: {}\n");

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.config.collections.keys().map(Name::as_str).collect()
}

#[test]
fn entries_of_a_mapping_merge_by_key_and_show_their_origins() {
    let prod = "collections:\n  carts: { content_type: text/plain }\n  orders: { content_type: image/png }\n";
    let case = Case::new(&[BASE, ("mainstay.prod.yaml", prod)]).env("prod");
    let case = case
        .variable("MAINSTAY__COLLECTIONS__ORDERS__CONTENT_TYPE", "application/json")
        .set("collections.\"carts.v2\".partition_by=whole_key")
        .set("collections.2024={}");
    let loaded = case.load();
    assert_eq!(names(&loaded), ["2024", "carts", "carts.v2", "docs", "orders"]);
    for (key, value, origin) in [
        ("collections.carts.partition_by", "whole_key", "mainstay.yaml:2:26"),
        ("collections.carts.content_type", "text/plain", "mainstay.prod.yaml:2:26"),
        ("collections.docs.partition_by", "first_segment", "default"),
        ("collections.orders.partition_by", "first_segment", "default"),
        (
            "collections.orders.content_type",
            "application/json",
            "MAINSTAY__COLLECTIONS__ORDERS__CONTENT_TYPE",
        ),
        ("collections.\"carts.v2\".partition_by", "whole_key", "--set"),
        ("collections.2024.partition_by", "first_segment", "default"),
    ] {
        assert_eq!(setting(&loaded, key), pair(value, origin), "{key}");
    }
    let again = Case::new(&[("mainstay.yaml", &explain::yaml(&loaded))]);
    assert_eq!(again.load().config.collections, loaded.config.collections, "what is explained is valid");
}

#[test]
fn an_empty_value_takes_an_entry_back_if_there_is_one() {
    let case = Case::new(&[BASE, ("mainstay.prod.yaml", "collections: { carts: }\n")]).env("prod");
    assert_eq!(names(&case.load()), ["docs"]);
    assert_eq!(names(&case.set("collections.docs=").load()), [""; 0]);
    let case = Case::new(&[BASE]).set("collections.carts.partition_by=");
    assert_eq!(setting(&case.load(), "collections.carts.partition_by"), pair("first_segment", "default"));
    assert_eq!(names(&Case::new(&[BASE]).set("collections=").load()), [""; 0]);

    let twice = Case::new(&[BASE]).set("collections.carts=").set("collections.carts=");
    let gone = Case::new(&[BASE]).set("collections=").set("collections.carts=");
    for case in [Case::new(&[BASE]).set("collections.orders="), twice, gone] {
        let told = case.refused();
        assert!(told.contains("none says anything of this") && told.contains(": {}` for one"), "{told}");
    }
}

#[test]
fn a_wrong_name_is_told_wherever_it_is_written() {
    for case in [
        Case::new(&[]).set("collections.Carts={}"),
        Case::new(&[]).set("collections.-carts.partition_by=whole_key"),
        Case::new(&[("mainstay.yaml", "collections: { carts/v2: {} }")]),
        Case::new(&[]).variable("MAINSTAY__COLLECTIONS___CARTS__PARTITION_BY", "whole_key"),
    ] {
        let told = case.refused();
        assert!(told.contains("is not a name"), "{told}");
    }
    let told = Case::new(&[]).set("collections.carts.partition-by=whole_key").refused();
    assert!(told.contains("did you mean `partition_by`?"), "{told}");
    let told =
        Case::new(&[("mainstay.yaml", "collections: { \"7\": { content_type: '${env:X}' } }")]).refused();
    assert!(told.contains("MAINSTAY__COLLECTIONS__7__CONTENT_TYPE"), "{told}");
}

#[test]
fn a_near_miss_of_a_variable_for_an_entry_is_warned_of() {
    let case = Case::new(&[])
        .variable("MAINSTAY_COLLECTIONS_CARTS_PARTITION_BY", "whole_key")
        .variable("MAINSTAY_COLLECTIONS_MY_CARTS_CONTENT_TYPE", "text/plain")
        .variable("MAINSTAY_COLLECTIONS_CARTS", "x")
        .variable("MAINSTAY_COLLECTIONS__PARTITION_BY", "x");
    let told = told(&case.load().findings);
    assert!(told.contains("to set `collections.carts.partition_by` name it"), "{told}");
    assert!(told.contains("MAINSTAY__COLLECTIONS__MY_CARTS__CONTENT_TYPE"), "{told}");
    assert_eq!(case.load().findings.warnings(), 2, "{told}");
}

#[test]
fn a_name_may_be_that_of_a_secret_and_its_mistakes_are_still_hidden() {
    let case = Case::new(&[("mainstay.yaml", "collections: { token: { partition_by: whole_key } }")]);
    assert_eq!(names(&case.load()), ["token"]);
    let told = Case::new(&[("mainstay.yaml", "collections: { carts: { token: hunter2 } }")]).refused();
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn the_parts_are_made_from_what_is_configured() {
    let config = Config::default();
    assert_eq!(config.machine_settings(), mainstay_machine::Settings::default());
    assert_eq!(config.store_options(), store::Options::default());
    assert_eq!(config.inbox_bounds(), Bounds::default());

    let text = "collections: { carts: { partition_by: whole_key, content_type: application/json } }\n\
                limits: { value_size_max: 2MiB, operations_max: 7 }\n\
                idempotency: { keep: 1h, outcomes_max: 9 }\n\
                inbox: { waiting_max: 5, size_max: 1MiB }\n\
                store: { memtable: 1MiB, memtables_max: 4MiB, cache: 2MiB, files_max: 20, flush_threads: 2, \
                compaction_threads: 3 }\n";
    let loaded = Case::new(&[("mainstay.yaml", text)]).load();
    let declared = loaded.declare().collections;
    let config = loaded.config;
    let settings = config.machine_settings();
    let (carts, source) = &declared[&(Tenant::DEFAULT, Name::from_static("carts"))];
    assert!(source.to_string().ends_with("mainstay.yaml:1"), "{source}");
    assert_eq!((carts.partition_by, &carts.content_type), (PartitionBy::WholeKey, &Some(ContentType::JSON)));
    assert_eq!((settings.limits.value_size_max, settings.limits.operations_max), (Size::from_mib(2), 7));
    assert_eq!((settings.retention.keep, settings.retention.outcomes_max), (Duration::from_secs(3600), 9));
    assert_eq!(config.inbox_bounds(), Bounds { waiting_max: 5, size_max: Size::from_mib(1) });
    let options = store::Options {
        memtable: Size::from_mib(1),
        memtables_max: Size::from_mib(4),
        cache: Size::from_mib(2),
        files_max: 20,
        flush_threads: 2,
        compaction_threads: 3,
        ..store::Options::default()
    };
    assert_eq!(config.store_options(), options);
}

#[test]
fn copies_are_kept_in_the_data_directory_unless_another_folder_is_named() {
    let case = Case::new(&[("mainstay.yaml", "data: ./here\nbackups: { to: ./copies }\n")]);
    let config = case.load().config;
    assert_eq!(config.snapshots_to(), Place::Folder(case.path("here/snapshots")));
    assert_eq!(config.backups_to(), Place::Folder(case.path("copies")));
    assert_eq!(Config::default().backups_to(), Place::Folder("./data/backups".into()));
    let told = Case::new(&[("f", "")]).set("backups.to=f/x").refused();
    assert!(told.contains("backups.to: ") && told.contains("is not a directory"), "{told}");
    let told = Case::new(&[]).set("backups.to=data/./snapshots").refused();
    assert!(told.contains("both snapshots and backups"), "{told}");
}

#[test]
fn copies_are_kept_in_a_bucket_with_the_keys_that_are_configured() {
    let text = "snapshots: { to: s3://bucket/a }\nbackups: { to: s3://bucket/b/ }\n\
                s3: { endpoint: http://127.0.0.1:8333/, access_key: '${env:ID}', secret_key: '${file:key}' }\n";
    let files = [("mainstay.yaml", text), ("key", "hunter2\n")];
    let config = Case::new(&files).variable("ID", "me").load().config;
    assert_eq!(config.backups_to(), Place::S3 { bucket: "bucket".into(), prefix: "b".into() });
    let keys = Keys { id: "me".into(), secret: "hunter2".into(), session: None };
    let endpoint = Some("http://127.0.0.1:8333".to_owned());
    let access = Access { endpoint, region: "us-east-1".into(), keys: Some(keys) };
    assert_eq!(config.s3.access(), access);
    assert!(!format!("{access:?} {config:?}").contains("hunter2"));
    access.bucket("bucket", "a").expect("it is not asked yet");

    let without = Case::new(&[]).set("backups.to=s3://bucket").load().config;
    assert_eq!(without.s3.access(), Access { endpoint: None, region: "us-east-1".into(), keys: None });
    let told = Case::new(&[]).set("backups.to=s3://bucket/a").set("snapshots.to=s3://bucket/a/").refused();
    assert!(told.contains("both snapshots and backups"), "{told}");

    let keys = config.needs_restart(&without);
    for key in ["`s3.endpoint` (http://127.0.0.1:8333 -> not set)", "`s3.access_key` (${env:ID} -> not set)"]
    {
        assert!(keys.iter().any(|it| it == key), "{key} in {keys:?}");
    }
}

#[test]
fn sizes_beyond_all_bounds_are_refused_without_a_defect() {
    for key in ["limits.commit_size_max", "limits.value_size_max", "snapshots.every", "store.memtable"] {
        let told = Case::new(&[]).set(&format!("{key}=16777215TiB")).refused();
        assert!(told.contains(&format!("error: {key}: ")), "{told}");
    }
    Case::new(&[]).set("store.memtables_max=16777215TiB").set("limits.read_size_max=16777215TiB").load();
}

#[test]
fn what_a_reload_can_change_and_what_it_cannot() {
    let load = |text: &str| Case::new(&[("mainstay.yaml", text)]).load().config;
    let now = load("data: /tmp/x\ncollections: { carts: {}, docs: {} }\n");
    let next = load(
        "data: /tmp/x\ncollections: { carts: { content_type: text/plain }, new: { partition_by: whole_key } }\n\
         limits: { operations_max: 1 }\nidempotency: { keep: 1h }\n\
         snapshots: { every: 1MiB, keep: 3, rate_max: 1MiB }\n",
    );
    assert_eq!(now.needs_restart(&next), [""; 0]);

    let next = load(
        "data: /tmp/x\nshards: 8\ninbox: { waiting_max: 1, size_max: 1MiB }\n\
         store: { memtable: 1MiB, memtables_max: 4MiB, cache: 2MiB, files_max: 20, flush_threads: 2, \
         compaction_threads: 3 }\nsnapshots: { to: /tmp/s }\nbackups: { to: /tmp/b }\n",
    );
    let keys = now.needs_restart(&next);
    assert_eq!(keys.len(), 11, "{keys:?}");
    for key in ["`shards` (16 -> 8)", "`store.cache` (64MiB -> 2MiB)", "`backups.to` (in `data` -> /tmp/b)"] {
        assert!(keys.iter().any(|it| it == key), "{key} in {keys:?}");
    }
}

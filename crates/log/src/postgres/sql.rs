//! The statements, and the tables that they work on.
//!
//! `heads` has a row for each shard that was ever appended to: where its log begins and goes on, and its highest
//! epoch. `records` has the records' own bytes. Rows below `begins` are forgotten, whether or not they are
//! deleted yet. Everything is named with its schema, so no search path matters.

use super::options::Schema;
use crate::Durability;

/// The format of the tables that this program works on.
pub(super) const FORMAT: i32 = 1;

/// The most records that one statement reads or deletes.
pub(super) const PAGE_RECORDS_MAX: i64 = 512;

/// The statements for one log.
#[derive(Debug)]
pub(super) struct Sql {
    pub append: String,
    pub head: String,
    pub create_head: String,
    pub tail: String,
    pub read: String,
    pub trim_head: String,
    pub trim_records: String,
    /// Which log this is, and in which format its tables are.
    pub identity: String,
    /// Makes the tables; the schema is there.
    pub create: String,
    /// Whether the schema and the tables are there. Asks the catalogues: functions such as `to_regclass` may answer
    /// from a cache of the session, from before it waited for another node to create them.
    pub exists: String,
    /// What preflight looks at.
    pub inspect: String,
    /// A number for a scratch log that is no shard's.
    pub scratch: String,
    /// Removes a scratch log.
    pub forget: String,
    /// Where appends are announced.
    pub channel: String,
}

impl Sql {
    pub fn new(schema: &Schema, durability: Durability) -> Self {
        Self {
            append: append(schema, durability),
            head: format!(
                "SELECT head.next, head.epoch, {SETTINGS} FROM (SELECT 1) AS always \
                 LEFT JOIN \"{schema}\".heads AS head ON head.shard = $1"
            ),
            create_head: format!(
                "INSERT INTO \"{schema}\".heads (shard, begins, next, epoch) VALUES ($1, 1, 1, 0) \
                 ON CONFLICT DO NOTHING"
            ),
            tail: format!("SELECT begins, next FROM \"{schema}\".heads WHERE shard = $1"),
            read: read(schema),
            trim_head: format!(
                "UPDATE \"{schema}\".heads SET begins = $2 WHERE shard = $1 AND begins < $2 AND next >= $2"
            ),
            trim_records: format!(
                "WITH gone AS (DELETE FROM \"{schema}\".records WHERE shard = $1 AND index IN \
                 (SELECT index FROM \"{schema}\".records WHERE shard = $1 AND index >= $2 AND index < $3 \
                 ORDER BY index LIMIT {PAGE_RECORDS_MAX}) RETURNING index) \
                 SELECT max(index) FROM gone"
            ),
            identity: format!("SELECT pg_is_in_recovery(), format, id FROM \"{schema}\".identity"),
            create: create(schema),
            exists: format!(
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}'), \
                 EXISTS (SELECT FROM pg_tables WHERE schemaname = '{schema}' AND tablename = 'identity')"
            ),
            inspect: inspect(schema),
            scratch: format!("SELECT nextval('\"{schema}\".scratch')"),
            forget: format!(
                "WITH head AS (DELETE FROM \"{schema}\".heads WHERE shard = $1) \
                 DELETE FROM \"{schema}\".records WHERE shard = $1"
            ),
            channel: format!("mainstay_log_{schema}"),
        }
    }
}

/// What durability rests on and can change while the server runs, as the columns of `Settings`.
const SETTINGS: &str = "current_setting('fsync') = 'on' AS syncs, \
     current_setting('full_page_writes') = 'on' AS full_page_writes, \
     current_setting('synchronous_commit') AS synchronous_commit, \
     current_setting('synchronous_standby_names') <> '' AS has_standby_names";

/// Moves the head and stores the record, or does neither; one row if it did. The settings that durability rests on
/// are part of the condition: they are looked at for each record, and not only when the engine starts.
fn append(schema: &Schema, durability: Durability) -> String {
    let is_durable = match durability {
        Durability::Memory | Durability::Written => "current_setting('synchronous_commit') = 'on'",
        Durability::Synced => {
            "current_setting('synchronous_commit') = 'on' AND current_setting('fsync') = 'on' \
             AND current_setting('full_page_writes') = 'on'"
        }
        Durability::Replicated => {
            "current_setting('synchronous_commit') = 'on' AND current_setting('fsync') = 'on' \
             AND current_setting('full_page_writes') = 'on' \
             AND current_setting('synchronous_standby_names') <> ''"
        }
    };
    format!(
        "WITH head AS (UPDATE \"{schema}\".heads SET next = next + 1, epoch = $3 \
         WHERE shard = $1 AND next = $2 AND epoch <= $3 AND {is_durable} RETURNING shard) \
         INSERT INTO \"{schema}\".records (shard, index, record) SELECT shard, $2, $4 FROM head"
    )
}

/// The head, and beside it the records from `$2` on until they have `$3` bytes or are `$4`: one statement, so
/// that the two fit together.
fn read(schema: &Schema) -> String {
    format!(
        "SELECT head.begins, head.next, page.index, page.record FROM \"{schema}\".heads AS head \
         LEFT JOIN LATERAL (SELECT index, record FROM \
         (SELECT index, record, sum(octet_length(record)) OVER (ORDER BY index) - octet_length(record) AS before \
         FROM (SELECT index, record FROM \"{schema}\".records WHERE shard = $1 AND index >= $2 \
         ORDER BY index LIMIT $4) AS listed) AS summed WHERE before < $3) AS page ON true \
         WHERE head.shard = $1 ORDER BY page.index"
    )
}

fn create(schema: &Schema) -> String {
    format!(
        "CREATE TABLE \"{schema}\".heads (\
           shard bigint PRIMARY KEY, \
           begins bigint NOT NULL CHECK (begins >= 1), \
           next bigint NOT NULL CHECK (next >= begins), \
           epoch bigint NOT NULL CHECK (epoch >= 0)\
         ) WITH (fillfactor = 50); \
         CREATE TABLE \"{schema}\".records (\
           shard bigint NOT NULL, \
           index bigint NOT NULL, \
           record bytea NOT NULL, \
           PRIMARY KEY (shard, index)\
         ); \
         ALTER TABLE \"{schema}\".records ALTER COLUMN record SET STORAGE EXTERNAL; \
         CREATE SEQUENCE \"{schema}\".scratch MINVALUE 4294967296; \
         CREATE TABLE \"{schema}\".identity (\
           one boolean PRIMARY KEY DEFAULT true CHECK (one), \
           format integer NOT NULL, \
           id text NOT NULL\
         ); \
         INSERT INTO \"{schema}\".identity (format, id) VALUES ({FORMAT}, gen_random_uuid()::text);"
    )
}

fn inspect(schema: &Schema) -> String {
    format!(
        "SELECT {SETTINGS}, current_setting('server_version_num')::integer AS version, pg_is_in_recovery() AS is_standby, \
         (SELECT string_agg(relname::text, ', ') FROM pg_class WHERE relpersistence <> 'p' AND oid IN \
         ('\"{schema}\".heads'::regclass, '\"{schema}\".records'::regclass)) AS unlogged, \
         (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous, \
         (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL) AS hidden"
    )
}

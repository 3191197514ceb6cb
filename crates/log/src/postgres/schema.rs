//! The tables: made once, whoever comes first, and never used in a format that this program does not know.

use super::failure::{Failure, describe};
use super::options::Schema;
use super::session::Link;
use super::sql::{FORMAT, Sql};
use crate::error::{Act, Error};

/// What makes the tables, by any version of this program for any log, holds this advisory lock of the database.
const LOCK: i64 = i64::from_be_bytes(*b"mainstay");

/// Makes the tables if there are none, and returns the log's id. Safe however many nodes start at once; needs the
/// right to create only if there is something to create.
pub(super) async fn ensure(link: &Link, schema: &Schema, sql: &Sql) -> Result<String, Error> {
    let unavailable =
        |error: tokio_postgres::Error| Failure::NotSent(describe(&error)).unavailable(Act::Open);
    let (_, has_tables) = exists(link, sql).await.map_err(unavailable)?;
    if !has_tables {
        create(link, schema, sql).await.map_err(unavailable)?;
    }
    let row = link.client.query_one(&sql.identity, &[]).await.map_err(unavailable)?;
    let (format, id) = (row.get::<_, i32>(1), row.get::<_, String>(2));
    if format != FORMAT {
        return Err(Error::Unproven {
            guarantee: "this program knows the format of the log's tables".into(),
            found: format!(
                "those in schema {schema} have format {format}, and this program knows {FORMAT}: use a newer program, \
                 or another schema"
            ),
        });
    }
    Ok(id)
}

/// Whether there is the schema, and in it the tables: these appear all at once.
async fn exists(link: &Link, sql: &Sql) -> Result<(bool, bool), tokio_postgres::Error> {
    let row = link.client.query_one(&sql.exists, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

async fn create(link: &Link, schema: &Schema, sql: &Sql) -> Result<(), tokio_postgres::Error> {
    // Whoever else creates has until the statement's timeout, and not only the lock's.
    let begin = format!("BEGIN; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})");
    link.client.batch_execute(&begin).await?;
    let (has_schema, has_tables) = exists(link, sql).await?;
    if !has_schema {
        link.client.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    if !has_tables {
        link.client.batch_execute(&sql.create).await?;
    }
    link.client.batch_execute("COMMIT").await
}

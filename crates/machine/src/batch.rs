//! What a data record carries: the changes that a batch of commands made, ready to be applied.
//!
//! Format 1; numbers are varints (seven bits a byte, low ones first) unless a size is given, texts and bytes follow their
//! length:
//!
//! | field | |
//! |---|---|
//! | format | 1 byte: 1 |
//! | time | 8 bytes, little-endian: the hybrid time of the batch |
//! | entries | their number, then each: |
//! | . flags | 1 byte: bit 0 says that a trace follows |
//! | . tenant | text |
//! | . trace | if flagged, 25 bytes: trace id, span id, flags |
//! | . mutations | their number, then each: 1 byte (0 put, 1 delete), row key, and the value of a put |
//! | . events | their number, then each: 1 byte (1 before), and what the kind adds |
//! | .. before | the mutation, by its number in the entry from 0, and what its row was; in the order of mutations |
//!
//! Results, not requests: whoever applies a batch needs the rows' keys and values and nothing of what they mean.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::Tenant;

use crate::codec::{Reader, put_sized, put_varint};
use crate::command::TraceContext;
use crate::overlay::Mutation;
use crate::task::Input;

pub use crate::codec::Error;

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u8 = 1;

const HAS_TRACE: u8 = 1;
const PUT: u8 = 0;
const DELETE: u8 = 1;
const BEFORE: u8 = 1;
const TRACE_BYTES: usize = 25;

/// The changes of a batch of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// When it was evaluated: later than every batch before it.
    pub time: HybridTime,
    /// What changed, command by command.
    pub entries: Vec<Entry>,
}

/// The changes of one command or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it was.
    pub tenant: Tenant,
    /// Where it stood in a distributed trace.
    pub trace: Option<TraceContext>,
    /// What it changed.
    pub mutations: Vec<Mutation>,
    /// What some of the rows were before, in the order of their mutations: of items whose collection wants it in its feed.
    pub before: Vec<Before>,
}

/// What a row was before the command or task that changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The number of the row's mutation in its entry, from 0.
    pub mutation: u32,
    /// The row's value.
    pub value: Bytes,
}

impl Batch {
    /// A batch without changes.
    pub fn new(time: HybridTime) -> Self {
        Self { time, entries: Vec::new() }
    }

    /// Adds the changes of a command or task, if there are any, and what it kept of what was before.
    pub fn push(&mut self, input: &Input, effects: Vec<Mutation>, before: Vec<Before>) {
        if !effects.is_empty() {
            let (tenant, trace) = (input.tenant().clone(), input.trace());
            self.entries.push(Entry { tenant, trace, mutations: effects, before });
        }
    }

    /// How many bytes [`Batch::encode`] makes, rounded up by a few for each field.
    pub fn encoded_bytes_max(&self) -> usize {
        const NUMBER: usize = 10;
        let mutation = |mutation: &Mutation| {
            1 + NUMBER + mutation.key().len() + mutation.value().map_or(0, |value| NUMBER + value.len())
        };
        let entry = |entry: &Entry| {
            let mutations: usize = entry.mutations.iter().map(mutation).sum();
            let before: usize = entry.before.iter().map(|before| 1 + 2 * NUMBER + before.value.len()).sum();
            let tenant = NUMBER + entry.tenant.name().as_str().len();
            1 + tenant + TRACE_BYTES + NUMBER + mutations + NUMBER + before
        };
        1 + 8 + NUMBER + self.entries.iter().map(entry).sum::<usize>()
    }

    /// The batch in format 1.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_bytes_max());
        out.put_u8(FORMAT);
        out.put_u64_le(self.time.to_bits());
        put_varint(&mut out, self.entries.len() as u64);
        for entry in &self.entries {
            out.put_u8(if entry.trace.is_some() { HAS_TRACE } else { 0 });
            put_sized(&mut out, entry.tenant.name().as_str().as_bytes());
            if let Some(trace) = &entry.trace {
                out.put_slice(&trace.trace_id);
                out.put_slice(&trace.span_id);
                out.put_u8(trace.flags);
            }
            put_varint(&mut out, entry.mutations.len() as u64);
            for mutation in &entry.mutations {
                out.put_u8(if mutation.value().is_some() { PUT } else { DELETE });
                put_sized(&mut out, mutation.key());
                if let Some(value) = mutation.value() {
                    put_sized(&mut out, value);
                }
            }
            put_varint(&mut out, entry.before.len() as u64);
            for before in &entry.before {
                out.put_u8(BEFORE);
                put_varint(&mut out, before.mutation.into());
                put_sized(&mut out, &before.value);
            }
        }
        out.into()
    }

    /// Reads a batch. Its rows share the bytes. Errors: [`Error`].
    ///
    /// Whatever is read is written again as it was.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("a batch", bytes, FORMAT)?;
        let time = HybridTime::from_bits(reader.u64()?);
        let entries = many(&mut reader, entry)?;
        reader.end()?;
        Ok(Self { time, entries })
    }

    /// What the rows are after the batch, in the order of their keys; none are those that are no more.
    ///
    /// To apply a batch a second time changes nothing.
    pub fn rows(&self) -> BTreeMap<&Bytes, Option<&Bytes>> {
        let mutations = self.entries.iter().flat_map(|entry| &entry.mutations);
        mutations.map(|mutation| (mutation.key(), mutation.value())).collect()
    }
}

/// Reads a number and that many parts, each of at least a byte.
fn many<T>(reader: &mut Reader<'_>, one: fn(&mut Reader<'_>) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let count = reader.varint()?;
    if count > reader.left() as u64 {
        return Err(reader.field("there are more parts than bytes"));
    }
    (0..count).map(|_| one(reader)).collect()
}

fn entry(reader: &mut Reader<'_>) -> Result<Entry, Error> {
    let flags = reader.u8()?;
    if flags & !HAS_TRACE != 0 {
        return Err(reader.field("an entry has unknown flags"));
    }
    let tenant = reader.text()?.parse().map_err(|_| reader.field("the tenant is not a name"))?;
    let trace = if flags & HAS_TRACE == 0 { None } else { Some(trace(reader)?) };
    let mutations = many(reader, mutation)?;
    let events = many(reader, before)?;
    let numbers = events.iter().map(|before| before.mutation);
    let are_in_order = numbers.is_sorted_by(|one, next| one < next);
    if !are_in_order || events.last().is_some_and(|last| last.mutation as usize >= mutations.len()) {
        return Err(reader.field("what was before is not that of the mutations in their order"));
    }
    Ok(Entry { tenant, trace, mutations, before: events })
}

fn before(reader: &mut Reader<'_>) -> Result<Before, Error> {
    if reader.u8()? != BEFORE {
        return Err(reader.field("an entry has an event of a kind that a newer program wrote"));
    }
    let mutation = reader.varint()?;
    let mutation = u32::try_from(mutation).map_err(|_| reader.field("there is no such mutation"))?;
    Ok(Before { mutation, value: reader.sized()? })
}

fn trace(reader: &mut Reader<'_>) -> Result<TraceContext, Error> {
    Ok(TraceContext { trace_id: reader.array()?, span_id: reader.array()?, flags: reader.u8()? })
}

fn mutation(reader: &mut Reader<'_>) -> Result<Mutation, Error> {
    match reader.u8()? {
        PUT => Ok(Mutation::Put { key: reader.sized()?, value: reader.sized()? }),
        DELETE => Ok(Mutation::Delete { key: reader.sized()? }),
        _ => Err(reader.field("there is no such mutation")),
    }
}

#[cfg(test)]
mod tests;

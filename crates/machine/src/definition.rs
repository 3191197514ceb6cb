//! Definitions: what there is by name, since which revision, and where it was said.
//!
//! They are rows. The shard `system` has all of them with their history, and gives each change the next revision; every other
//! shard has a copy as of a revision, which its log brings it to, and evaluates under that copy and nothing else.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::collection::Collection;
use crate::index::Index;
use crate::item::Item;
use crate::overlay::Mutation;
use crate::reference::{Graph, Reference};
use crate::row::{self, FORMAT, RowKey, RowRange, ShardMeta, definition_of};
use crate::schema::{self, Step};
use crate::state::{self, State};
use crate::version::Version;

/// Definitions that are read from rows at once.
const READ_MAX: usize = 256;

/// The definition of a collection.
///
/// Encoded as the format and a JSON object of the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The timeline, and the revision that changed it last.
    pub version: Version,
    /// When that was.
    pub changed: HybridTime,
    /// Where that was said.
    pub origin: Origin,
    /// It is not served any more, and its items stay.
    pub is_retired: bool,
    /// What was defined.
    pub collection: Collection,
    /// The numbers of its indexes. An index that says something else than before has another number.
    pub numbers: BTreeMap<Name, u32>,
    /// The numbers of its references, none of them that of an index. One that is on another member or to another collection than
    /// before has another number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reference_numbers: BTreeMap<Name, u32>,
    /// The number of the next index or reference that is made.
    pub next_number: u32,
    /// The version of its schema, from 1; 0 when it never had one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub schema: u32,
    /// What brings items that are not at that version to it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where a definition stands among the versions of its schema.
pub(crate) struct Evolved {
    /// The version that it has.
    pub(crate) schema: u32,
    /// What brings items to it.
    pub(crate) steps: Vec<Step>,
}

impl Evolved {
    /// That of a new collection.
    pub(crate) fn first(collection: &Collection) -> Self {
        Self { schema: collection.schema.is_some().into(), steps: Vec::new() }
    }
}

/// Where a definition was said, and so where it can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In a configuration file.
    File(Source),
    /// By a request.
    Api {
        /// Whose.
        caller: String,
    },
}

/// Where in a configuration something is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file, or what stands for one, such as `--set`.
    pub file: String,
    /// The line, from 1; none where there are no lines.
    pub line: Option<u32>,
}

/// The definitions of a shard as of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    revision: u64,
    /// Whether a collection that is served keeps old values.
    has_old_values: bool,
    graph: Graph,
    collections: BTreeMap<Tenant, BTreeMap<Name, Arc<Definition>>>,
}

impl Definition {
    /// The value of the definition's row.
    pub fn encode(&self) -> Bytes {
        codec::as_json(FORMAT, self)
    }

    /// Reads the value of a definition's row. Errors: [`row::Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, row::Error> {
        let what = "a definition";
        let read: Self = codec::of_json(what, value, FORMAT)?;
        let is_numbered = read.collection.indexes.keys().eq(read.numbers.keys())
            && read.collection.references.keys().eq(read.reference_numbers.keys());
        let why = "its indexes or references have other numbers";
        is_numbered.then_some(read).ok_or(row::Error::Field { what, at: value.len(), why })
    }

    fn wants_old_values(&self) -> bool {
        self.collection.changes.old_values && !self.is_retired
    }

    /// The revision that changed it last.
    pub fn revision(&self) -> u64 {
        self.version.sequence
    }

    /// Its indexes with their numbers, by name.
    pub fn indexes(&self) -> impl Iterator<Item = (&Name, u32, &Index)> {
        self.collection.indexes.iter().map(|(name, index)| (name, self.numbers[name], index))
    }

    /// Its references with their numbers, by name.
    pub fn references(&self) -> impl Iterator<Item = (&Name, u32, &Reference)> {
        let all = self.collection.references.iter();
        all.map(|(name, reference)| (name, self.reference_numbers[name], reference))
    }

    /// An item as the schema's version has it: what was written under an earlier one is brought up.
    pub fn upgraded(&self, item: Item) -> Item {
        if item.schema >= self.schema || self.steps.is_empty() || !item.content_type.is_json() {
            return item;
        }
        let upgraded = match schema::upgrade(&self.steps, item.schema, &item.bytes) {
            Cow::Owned(upgraded) => Some(upgraded.into()),
            Cow::Borrowed(_) => None,
        };
        Item { bytes: upgraded.unwrap_or(item.bytes), schema: self.schema, ..item }
    }

    /// Whether an item, as it was brought up, is as the schema has it. Errors: why not.
    pub(crate) fn check(&self, item: &Item) -> Result<(), String> {
        let Some(schema) = self.collection.json_schema() else { return Ok(()) };
        if !item.content_type.is_json() {
            return Err(format!("is of the type {}, and only JSON has a schema", item.content_type));
        }
        schema.check(&item.bytes).map_err(|invalid| invalid.to_string())
    }

    /// What brings items from a version of the schema to the one it has.
    pub fn steps_after(&self, version: u32) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.to > version)
    }

    /// The same, saying something else: indexes and references that stay as they are keep their numbers.
    fn numbered(self, before: Option<&Self>) -> Self {
        let mut next_number = before.map_or(0, |before| before.next_number);
        let same = |name: &Name, index: &Index| {
            let before = before?;
            (before.collection.indexes.get(name)? == index).then(|| before.numbers[name])
        };
        // What a deletion does is looked up when there is one.
        let same_reference = |name: &Name, next: &Reference| {
            let before = before?;
            let last = before.collection.references.get(name)?;
            let is_same = (&last.on, &last.collection) == (&next.on, &next.collection);
            is_same.then(|| before.reference_numbers[name])
        };
        let mut number = |known: Option<u32>| {
            known.unwrap_or_else(|| {
                next_number += 1;
                next_number - 1
            })
        };
        let indexes = self.collection.indexes.iter();
        let numbers = indexes.map(|(name, index)| (name.clone(), number(same(name, index)))).collect();
        let references = self.collection.references.iter();
        let reference_numbers = references
            .map(|(name, reference)| (name.clone(), number(same_reference(name, reference))))
            .collect();
        Self { numbers, reference_numbers, next_number, ..self }
    }

    /// The definition that follows another.
    pub(crate) fn after(
        before: Option<&Self>,
        (version, changed): (Version, HybridTime),
        origin: Origin,
        next: Option<(Collection, Evolved)>,
    ) -> Self {
        let is_retired = next.is_none();
        let same = |before: &Self| {
            (before.collection.clone(), Evolved { schema: before.schema, steps: before.steps.clone() })
        };
        let (collection, evolved) = next.or_else(|| before.map(same)).expect("what is retired was there");
        let Evolved { schema, steps } = evolved;
        let next = Self {
            version,
            changed,
            origin,
            is_retired,
            collection,
            numbers: BTreeMap::new(),
            reference_numbers: BTreeMap::new(),
            next_number: 0,
            schema,
            steps,
        };
        next.numbered(before)
    }
}

impl Definitions {
    /// Those in a shard's rows. Errors: [`state::Error`].
    pub fn load(state: &dyn State) -> Result<Self, state::Error> {
        let mut loaded = Self { revision: revision(state)?, ..Self::default() };
        let mut range = RowRange::definitions();
        loop {
            let rows = state.scan(&range, READ_MAX)?;
            for (key, value) in &rows {
                let damaged = |error| state::Error::damaged(key, &error);
                let (tenant, name) = definition_of(key).map_err(damaged)?;
                loaded.insert(tenant, name, Definition::decode(value).map_err(damaged)?);
            }
            match rows.last() {
                Some((key, _)) if rows.len() == READ_MAX => range = range.after(key),
                _ => return Ok(loaded.linked()),
            }
        }
    }

    /// Those in the rows of a state that had these, and then these changes. What has not changed is shared: a schema is compiled once.
    pub(crate) fn changed_by(&self, effects: &[Mutation], state: &dyn State) -> Result<Self, state::Error> {
        let mut changed = Self { revision: revision(state)?, ..self.clone() };
        let all = RowRange::definitions();
        for mutation in effects.iter().filter(|mutation| all.contains(mutation.key())) {
            let Mutation::Put { key, value } = mutation else { return Self::load(state) };
            let damaged = |error| state::Error::damaged(key, &error);
            let (tenant, name) = definition_of(key).map_err(damaged)?;
            changed.insert(tenant, name, Definition::decode(value).map_err(damaged)?);
        }
        let has_old_values = changed.all().any(|(_, _, it)| it.wants_old_values());
        changed.has_old_values = has_old_values;
        Ok(changed.linked())
    }

    /// Those of a first revision, for tests and simulations.
    pub fn sample(collections: impl IntoIterator<Item = (Tenant, Name, Collection)>) -> Self {
        let mut sample = Self { revision: 1, ..Self::default() };
        for (tenant, name, collection) in collections {
            let version = Version { timeline: 1, sequence: 1 };
            let (changed, origin) = (HybridTime::default(), Origin::Api { caller: "anonymous".to_owned() });
            let evolved = Evolved::first(&collection);
            let definition = Definition::after(None, (version, changed), origin, Some((collection, evolved)));
            sample.insert(tenant, name, definition);
        }
        sample.linked()
    }

    /// The rows of a shard that has these and nothing else.
    pub fn rows(&self) -> Vec<Mutation> {
        let meta = ShardMeta { revision: self.revision };
        let all = self.all().map(|(tenant, name, definition)| Mutation::Put {
            key: RowKey::definition(tenant, name).into_bytes(),
            value: definition.encode(),
        });
        let meta = Mutation::Put { key: RowKey::shard().into_bytes(), value: meta.encode() };
        std::iter::once(meta).chain(all).collect()
    }

    /// The last revision that is in them.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The collection of this name, if it is served.
    pub fn collection(&self, tenant: &Tenant, name: &Name) -> Option<&Collection> {
        let definition = self.get(tenant, name)?;
        (!definition.is_retired).then_some(&definition.collection)
    }

    /// The definition of this name, retired or not.
    pub fn get(&self, tenant: &Tenant, name: &Name) -> Option<&Arc<Definition>> {
        self.collections.get(tenant)?.get(name)
    }

    /// Those of a tenant by name, retired ones too.
    pub fn of(&self, tenant: &Tenant) -> impl Iterator<Item = (&Name, &Arc<Definition>)> {
        self.collections.get(tenant).into_iter().flatten()
    }

    /// All of them, by tenant and name.
    pub fn all(&self) -> impl Iterator<Item = (&Tenant, &Name, &Arc<Definition>)> {
        self.collections.iter().flat_map(|(tenant, named)| {
            named.iter().map(move |(name, definition)| (tenant, name, definition))
        })
    }

    /// Whether a collection that is served wants in its feed what items were before.
    pub(crate) fn has_old_values(&self) -> bool {
        self.has_old_values
    }

    /// Which collections are referred to, and by what.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Those that were changed after a revision.
    pub fn changed_after(&self, revision: u64) -> impl Iterator<Item = (&Tenant, &Name, &Arc<Definition>)> {
        self.all().filter(move |(_, _, definition)| definition.revision() > revision)
    }

    /// The same, once all are in it.
    fn linked(self) -> Self {
        Self { graph: Graph::of(&self.collections), ..self }
    }

    fn insert(&mut self, tenant: Tenant, name: Name, definition: Definition) {
        self.has_old_values |= definition.wants_old_values();
        self.collections.entry(tenant).or_default().insert(name, Arc::new(definition));
    }
}

/// The last revision that a shard's rows have. Errors: [`state::Error`].
pub fn revision(state: &dyn State) -> Result<u64, state::Error> {
    let meta = state::read(state, &RowKey::shard(), ShardMeta::decode)?;
    Ok(meta.map_or(0, |meta| meta.revision))
}

/// The definition in a shard's rows; none if there was never one. Errors: [`state::Error`].
pub fn get(state: &dyn State, tenant: &Tenant, name: &Name) -> Result<Option<Definition>, state::Error> {
    state::read(state, &RowKey::definition(tenant, name), Definition::decode)
}

/// What a definition was, all that is kept ([`HISTORY_MAX`]), the latest first. Of the shard `system` only.
/// Errors: [`state::Error`].
pub fn history(state: &dyn State, tenant: &Tenant, name: &Name) -> Result<Vec<Definition>, state::Error> {
    let rows = state.scan(&RowRange::history(tenant, name), HISTORY_MAX + 1)?;
    let decoded = rows
        .iter()
        .rev()
        .map(|(key, value)| Definition::decode(value).map_err(|error| state::Error::damaged(key, &error)));
    decoded.collect()
}

/// How much of a definition's history is kept.
pub const HISTORY_MAX: usize = 64;

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

//! Definitions change in the shard `system`: by callers, and by what configuration files say.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};

use super::{Context, Refusal, Stop};
use crate::collection::Collection;
use crate::command::{Caller, Change, Define, Expected};
use crate::definition::{self, Definition, HISTORY_MAX, Origin, Source};
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::{RowKey, RowRange, ShardMeta};
use crate::schema::Step;
use crate::state::State;
use crate::task::Declare;
use crate::version::Version;

mod evolve;
mod references;

use evolve::{Way, evolve};

/// A definition that is about to change.
struct Subject<'a> {
    tenant: &'a Tenant,
    name: &'a Name,
    before: Option<Definition>,
}

/// Changes one definition, as a caller asks. The result has the version that the definition has now.
pub(super) fn define(
    (tenant, caller): (&Tenant, &Caller),
    define: &Define,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let before = definition::get(overlay, tenant, &define.name)?;
    let subject = Subject { tenant, name: &define.name, before };
    let served = subject.served();
    let existed = served.is_some();
    subject.check_expected(define.expected)?;
    subject.check_owner()?;
    let (next, way) = match &define.change {
        Change::Put(collection) => (Some((**collection).clone()), Way::Forward),
        Change::Retire => (None, Way::Forward),
        Change::Rollback(to) => {
            let (earlier, undone) = subject.earlier(overlay, *to)?;
            (earlier, Way::Back(undone))
        }
    };
    if next.as_ref() == served.map(|served| &served.collection) {
        let version = served.map(|served| served.version);
        return Ok(vec![OperationResult { version, existed }]);
    }
    let origin = Origin::Api { caller: caller.as_str().to_owned() };
    let mut writing = Writing::new(overlay, context)?;
    let version = writing.change(&subject, next.map(|next| (next, way, define.settled)), origin)?;
    writing.finish()?;
    Ok(vec![OperationResult { version: Some(version), existed }])
}

/// Changes what differs from what files say, all at one revision. The result has the last version there is.
pub(super) fn declare(
    declare: &Declare,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let mut writing = Writing::new(overlay, context)?;
    for ((tenant, name), (collection, source)) in &declare.collections {
        let subject = Subject { tenant, name, before: definition::get(writing.overlay, tenant, name)? };
        let settled = declare.settled.get(&(tenant.clone(), name.clone())).copied().unwrap_or_default();
        writing.declare(&subject, (collection, settled), source)?;
    }
    let said: BTreeSet<_> = declare.collections.keys().map(|(tenant, name)| (tenant, name)).collect();
    let unsaid = context.definitions.all().filter(|(tenant, name, definition)| {
        matches!(definition.origin, Origin::File(_))
            && !definition.is_retired
            && !said.contains(&(*tenant, *name))
    });
    for (tenant, name, definition) in unsaid {
        let subject = Subject { tenant, name, before: Some(Definition::clone(definition)) };
        writing.change(&subject, None, definition.origin.clone())?;
    }
    let version = Version { timeline: context.moment.timeline, sequence: writing.finish()? };
    Ok(vec![OperationResult { version: Some(version), existed: true }])
}

/// Definitions on their way to the next revision.
struct Writing<'c, 'o> {
    overlay: &'c mut Overlay<'o>,
    context: &'c Context<'c>,
    last: u64,
    /// How many each tenant has that had none of the name.
    made: BTreeMap<&'c Tenant, u32>,
    has_changed: bool,
    has_moved: bool,
}

impl<'c, 'o> Writing<'c, 'o> {
    fn new(overlay: &'c mut Overlay<'o>, context: &'c Context<'c>) -> Result<Self, Stop> {
        let last = definition::revision(overlay)?;
        let made = BTreeMap::new();
        Ok(Self { overlay, context, last, made, has_changed: false, has_moved: false })
    }

    /// Takes note of one more collection of a tenant.
    fn count(&mut self, subject: &Subject<'c>) -> Result<(), Refusal> {
        let made = self.made.entry(subject.tenant).or_default();
        *made += 1;
        let there = self.context.definitions.of(subject.tenant).count();
        let (found, max) = (there + *made as usize, self.context.settings.limits.collections_max);
        if found <= max as usize {
            return Ok(());
        }
        let detail = format!(
            "would be one of {found}, and at most {max} are allowed, where retired ones count: use another, or raise \
             `limits.collections_max`"
        );
        let refusal = subject.refuse(Code::QuotaExceeded, &detail).fact("limit", "collections_max");
        Err(refusal.fact("max", max).fact("found", found))
    }

    /// Writes what it says from the next revision on, and keeps that in its history.
    fn change(
        &mut self,
        subject: &Subject<'c>,
        next: Option<(Collection, Way, u32)>,
        origin: Origin,
    ) -> Result<Version, Stop> {
        if subject.before.is_none() {
            self.count(subject)?;
        }
        let Subject { tenant, name, before } = subject;
        let next = match next {
            Some((next, way, settled)) => {
                next.check().map_err(|why| subject.refuse(Code::Invalid, &why))?;
                if let Some(before) = before {
                    subject.check_change(&before.collection, &next)?;
                }
                let evolved = evolve(subject, &next, &way, settled)?;
                Some((next, evolved))
            }
            None => None,
        };
        let version = Version { timeline: self.context.moment.timeline, sequence: self.last + 1 };
        let stamp = (version, self.context.moment.time);
        let definition = Definition::after(before.as_ref(), stamp, origin, next);
        let value = definition.encode();
        let kept = self.overlay.scan(&RowRange::history(tenant, name), HISTORY_MAX)?;
        if kept.len() == HISTORY_MAX {
            self.overlay.write(RowKey::of(kept[0].0.clone()), None);
        }
        self.overlay.write(RowKey::history(tenant, name, version.sequence), Some(value.clone()));
        self.overlay.write(RowKey::definition(tenant, name), Some(value));
        self.has_changed = true;
        Ok(version)
    }

    /// Brings it to what a file says.
    fn declare(
        &mut self,
        subject: &Subject<'c>,
        (collection, settled): (&Collection, u32),
        source: &Source,
    ) -> Result<(), Stop> {
        let origin = Origin::File(source.clone());
        match subject.served() {
            Some(served) if served.collection == *collection && served.origin == origin => {}
            Some(served) if served.collection == *collection => {
                // The same in another place, which is no change to those who use it.
                let moved = Definition { origin, ..served.clone() };
                let row = RowKey::definition(subject.tenant, subject.name);
                self.overlay.write(row, Some(moved.encode()));
                self.has_moved = true;
            }
            _ => drop(self.change(subject, Some((collection.clone(), Way::Forward, settled)), origin)?),
        }
        Ok(())
    }

    /// Returns the last revision that there is now, if definitions go together.
    fn finish(self) -> Result<u64, Stop> {
        let revision = self.last + u64::from(self.has_changed);
        if self.has_changed || self.has_moved {
            self.overlay.write(RowKey::shard(), Some(ShardMeta { revision }.encode()));
        }
        if self.has_changed {
            let changes = self.overlay.changed();
            let all = self.context.definitions.changed_by(&changes, self.overlay)?;
            references::check(&all, revision)?;
        }
        Ok(revision)
    }
}

fn refuse(name: &Name, code: Code, detail: &str) -> Refusal {
    let name = name.as_str();
    Refusal::new(code, format!("the collection {name:?} {detail}")).fact("collection", name)
}

impl Subject<'_> {
    fn served(&self) -> Option<&Definition> {
        self.before.as_ref().filter(|before| !before.is_retired)
    }

    fn refuse(&self, code: Code, detail: &str) -> Refusal {
        refuse(self.name, code, detail)
    }

    fn check_expected(&self, expected: Expected) -> Result<(), Refusal> {
        let found = self.served().map(|served| served.version);
        let why = match (expected, found) {
            (Expected::Anything, _) | (Expected::Absent, None) | (Expected::Present, Some(_)) => {
                return Ok(());
            }
            (Expected::Version(wanted), Some(found)) if wanted == found => return Ok(()),
            (Expected::Version(wanted), Some(found)) => format!("has version {found}, not {wanted}"),
            (Expected::Impossible, _) => "cannot be both there and not".to_owned(),
            (Expected::Absent, Some(_)) => "is there".to_owned(),
            (Expected::Present | Expected::Version(_), None) => "is not there".to_owned(),
        };
        let version = found.map(|version| version.to_string());
        Err(self.refuse(Code::ConditionFailed, &why).fact("version", version))
    }

    /// What a file says is changed there.
    fn check_owner(&self) -> Result<(), Refusal> {
        let Some(Definition { origin: Origin::File(source), .. }) = self.served() else { return Ok(()) };
        let detail =
            format!("is defined in {source}: change it there and reload, or take it out there first");
        let refusal = self.refuse(Code::OwnedByFile, &detail).fact("file", source.file.as_str());
        Err(match source.line {
            Some(line) => refusal.fact("line", line),
            None => refusal,
        })
    }

    /// What it said as of an earlier version, none if it was retired; and the steps between the versions of the schema since then, the
    /// last one first.
    fn earlier(&self, overlay: &Overlay<'_>, to: Version) -> Result<(Option<Collection>, Vec<Step>), Stop> {
        let history = definition::history(overlay, self.tenant, self.name)?;
        let Some(place) = history.iter().position(|found| found.version == to) else {
            let detail = format!("has no version {to} in its history, which keeps the last {HISTORY_MAX}");
            return Err(self.refuse(Code::NotFound, &detail).fact("version", to.to_string()).into());
        };
        let found = &history[place];
        let mut undone: Vec<Step> = Vec::new();
        for step in history[..place].iter().filter_map(|later| later.steps.last()) {
            if step.to > found.schema && undone.last().is_none_or(|last| last.to > step.to) {
                undone.push(step.clone());
            }
        }
        Ok(((!found.is_retired).then(|| found.collection.clone()), undone))
    }

    fn check_change(&self, before: &Collection, next: &Collection) -> Result<(), Refusal> {
        let (from, to) = (before.partition_by, next.partition_by);
        if from == to {
            return Ok(());
        }
        let detail = format!(
            "has `partition_by: {from}` for good, not {to}, by which its items would not be found: make another collection"
        );
        Err(self.refuse(Code::Conflict, &detail).fact("partition_by", from.to_string()))
    }
}

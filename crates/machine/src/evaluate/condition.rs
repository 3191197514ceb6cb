//! Conditions: what must hold for the state before the commit.

use mainstay_base::error::{Classify, Code};

use super::merge_patch::not_json;
use super::place::Place;
use super::{Refusal, Stop};
use crate::command::Condition;
use crate::expression::{self, Expression};
use crate::item::Item;
use crate::settings::Limits;
use crate::text::shown;

pub(super) fn check(
    place: Place<'_>,
    condition: &Condition,
    (row, item): (&[u8], Option<&Item>),
    steps: &mut u64,
    limits: &Limits,
) -> Result<(), Stop> {
    match (condition, item) {
        (Condition::Version { is, .. }, Some(item)) if item.version == *is => Ok(()),
        (Condition::Version { is, .. }, Some(found)) => {
            let detail = format!("fails: the item has version {}, not {is}", found.version);
            Err(failed(place, item, &detail).into())
        }
        (Condition::Version { is, .. }, None) => {
            let detail = format!("fails: there is no such item, so it does not have version {is}");
            Err(failed(place, item, &detail).into())
        }
        (Condition::Absent { .. }, None) | (Condition::Present { .. }, Some(_)) => Ok(()),
        (Condition::Absent { .. }, Some(_)) => Err(failed(place, item, "fails: the item is there").into()),
        (Condition::Present { .. }, None) => Err(failed(place, item, "fails: there is no such item").into()),
        (Condition::Check { cel, .. }, item) => match holds(cel, item, row, steps)? {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail = format!("fails: {} does not hold", shown(cel.source()));
                Err(failed(place, item, &detail).into())
            }
            Err(expression::Error::Steps) => {
                let max = limits.check_steps_max;
                let detail = format!(
                    "brings the commit's check expressions above {max} steps: look at less, or at smaller items"
                );
                let refusal = place.refuse(Code::Invalid, &detail);
                Err(refusal.fact("limit", "check_steps_max").fact("max", max).into())
            }
            Err(error) => {
                let detail = format!("has no result: {error}");
                Err(place.refuse(error.code(), &detail).into())
            }
        },
    }
}

fn holds(
    cel: &Expression,
    item: Option<&Item>,
    row: &[u8],
    steps: &mut u64,
) -> Result<Result<bool, expression::Error>, Stop> {
    let json = item.filter(|item| item.content_type.is_json());
    let value = json.map(|item| str::from_utf8(&item.bytes)).transpose().map_err(|_| not_json(row))?;
    let version = item.map(|item| item.version.to_string());
    let subject = expression::Item { value, version: version.as_deref(), exists: item.is_some() };
    Ok(cel.holds(&subject, steps))
}

/// The refusal because of a condition, with the version that the item has.
fn failed(place: Place<'_>, item: Option<&Item>, detail: &str) -> Refusal {
    let version = item.map(|item| item.version.to_string());
    place.refuse(Code::ConditionFailed, detail).fact("version", version)
}

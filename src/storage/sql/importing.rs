//! Which totals of a call are taken over, and what the sums become: a pure function over what a store has read while it
//! holds the lock.

use std::collections::BTreeMap;

use super::columns::CounterColumns;
use super::posting::{ChangedTotals, RecordKeys, Total, TotalKey};
use crate::domain::ids::OrgId;
use crate::storage::contract::{DailyTotal, TotalImport};
use crate::storage::error::StorageError;

/// The four sums each total belongs to.
///
/// # Errors
/// [`StorageError::Backend`] for a total without an application.
pub(crate) fn keys_of(org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<RecordKeys>, StorageError> {
    totals
        .iter()
        .map(|total| {
            let app_id = total.app_id.as_ref().ok_or_else(|| {
                StorageError::Backend("an organization's sums follow from its applications'".to_owned())
            })?;
            Ok(RecordKeys::of_parts(org_id, app_id, &total.model_label, total.day))
        })
        .collect()
}

/// What a call writes, and what it answers once that is committed.
#[derive(Debug)]
pub(crate) struct Importing {
    /// Sums that changed, with their new values.
    pub(crate) changed: ChangedTotals,
    /// One outcome per total, in order.
    pub(crate) outcomes: Vec<TotalImport>,
}

impl Importing {
    /// Decides one by one. `sums` has the value of every key there is.
    pub(crate) fn plan(totals: &[DailyTotal], keys: &[RecordKeys], mut sums: BTreeMap<TotalKey, Total>) -> Self {
        let mut changed = BTreeMap::new();
        let outcomes =
            totals.iter().zip(keys).map(|(total, keys)| import(total, keys, &mut sums, &mut changed)).collect();
        Self { changed, outcomes }
    }
}

fn import(
    total: &DailyTotal,
    keys: &RecordKeys,
    sums: &mut BTreeMap<TotalKey, Total>,
    changed: &mut ChangedTotals,
) -> TotalImport {
    if sums.contains_key(keys.app_day()) {
        return TotalImport::Present;
    }
    let mut added = Vec::with_capacity(4);
    for key in keys.each() {
        let before = sums.get(key);
        let counters = before.map_or(Some(total.counters), |sum| sum.counters.checked_add(&total.counters));
        let Some((counters, columns)) = counters.and_then(|counters| Some((counters, CounterColumns::of(&counters)?)))
        else {
            return TotalImport::Overflow;
        };
        let updated_at = before.map_or(total.updated_at, |sum| sum.updated_at.max(total.updated_at));
        added.push((key, Total { counters, updated_at }, columns));
    }
    for (key, sum, columns) in added {
        sums.insert(key.clone(), sum);
        changed.insert(key.clone(), (columns, sum.updated_at));
    }
    TotalImport::Imported
}

//! Finding what can be repriced: a walk over pointers, which are there exactly as long as their record can be.

use std::collections::HashMap;

use super::attributes::text;
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{Key, SK};
use super::ledger_keys::{
    pointer_partition, pointer_partitions, pointer_parts, pointer_sk, pointers_from, pointers_to, usage,
};
use super::tables::Table;
use super::usage_items::stored_record;
use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::contract::{RepriceFilter, RepricePosition, Result};

/// Pointers read at once at most: as many records are read in one call.
const MOST_POINTERS: usize = 100;

/// Which part of a partition a walk reads, as sort keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    partition: String,
    between: Option<(String, String)>,
    after: Option<String>,
}

/// What a walk reads, in order.
fn stretches(filter: &RepriceFilter, after: Option<&RepricePosition>) -> Vec<Stretch> {
    let Some(scope) = &filter.scope else {
        let partitions = pointer_partitions()
            .filter(|partition| after.is_none_or(|after| *partition >= pointer_partition(after.org_id)));
        let after_in =
            |partition: &String| after.filter(|after| *partition == pointer_partition(after.org_id)).map(pointer_sk);
        return partitions.map(|partition| Stretch { after: after_in(&partition), partition, between: None }).collect();
    };
    let org_id = scope.org_id;
    let (from, to) = (pointers_from(org_id, filter.from), pointers_to(org_id, filter.to));
    let after = after.map(pointer_sk);
    if from > to || after.as_ref().is_some_and(|after| *after >= to) {
        return Vec::new();
    }
    // A position before the stretch is none.
    let after = after.filter(|after| *after > from);
    vec![Stretch { partition: pointer_partition(org_id), between: Some((from, to)), after }]
}

fn admits(filter: &RepriceFilter, position: &RepricePosition) -> bool {
    let scope = filter.scope.as_ref();
    scope.is_none_or(|scope| {
        scope.org_id == position.org_id && scope.app_id.as_ref().is_none_or(|app_id| *app_id == position.app_id)
    }) && filter.from.is_none_or(|from| from <= position.day)
        && filter.to.is_none_or(|to| position.day <= to)
}

impl DynamoDbStorage {
    /// A page of repriceable records.
    pub(super) async fn walk(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for mut stretch in stretches(filter, after) {
            while found.len() < limit {
                let wanted = (limit - found.len()).min(MOST_POINTERS);
                let (positions, last) = self.pointers(&stretch, wanted).await?;
                let admitted: Vec<_> = positions.into_iter().filter(|position| admits(filter, position)).collect();
                found.extend(self.repriceable_at(admitted).await?);
                match last {
                    Some(last) => stretch.after = Some(last),
                    None => break,
                }
            }
        }
        Ok(found)
    }

    /// The next pointers of a stretch, and the key of the last where there may be more.
    async fn pointers(&self, stretch: &Stretch, limit: usize) -> Result<(Vec<RepricePosition>, Option<String>)> {
        let range = Range {
            between: stretch.between.as_ref().map(|(from, to)| (from.as_str(), to.as_str())),
            after: stretch.after.as_deref(),
            limit: Some(limit),
            consistent: true,
            attributes: Some(SK),
            ..Range::default()
        };
        let items = self.query(Table::Usage, &stretch.partition, &range).await?;
        let keys = items.iter().map(|item| text(item, "usage.sk")).collect::<Result<Vec<_>>>()?;
        let last = keys.last().filter(|_| keys.len() >= limit).map(|last| (*last).to_owned());
        let positions = keys.into_iter().map(pointer_parts).collect::<Result<_>>()?;
        Ok((positions, last))
    }

    /// The records at these positions, in the same order, as far as they are there and repriceable.
    async fn repriceable_at(&self, positions: Vec<RepricePosition>) -> Result<Vec<UsageRecord>> {
        let key = |position: &RepricePosition| {
            let RepricePosition { org_id, app_id, request_id, .. } = position.clone();
            usage(&UsageKey { org_id, app_id, request_id })
        };
        let mut items: HashMap<Key, _> = self.batch_get(positions.iter().map(key), true).await?;
        let mut records = Vec::with_capacity(positions.len());
        for position in &positions {
            let Some(item) = items.remove(&key(position)) else { continue };
            let record = stored_record(&item)?.record;
            // A pointer may be left of a record that expired and whose key was used again.
            let there = record.is_repriceable() && record.day == position.day;
            if there && !self.watermark.hides_usage(record.recorded_at) {
                records.push(record);
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::unpriced;
    use super::*;
    use crate::domain::ids::{OrgId, Scope};
    use uuid::Uuid;

    fn at(org: u128, day: &str) -> RepricePosition {
        let position = RepricePosition::of(&unpriced(1));
        RepricePosition { org_id: OrgId(Uuid::from_u128(org)), day: day.parse().unwrap(), ..position }
    }

    #[test]
    fn a_walk_over_everybody_goes_on_where_it_stands() {
        let everybody = RepriceFilter::default();
        assert_eq!(stretches(&everybody, None).len(), 16);
        let after = at(0xe << 124, "2026-01-23");
        let left = stretches(&everybody, Some(&after));
        assert_eq!(left.iter().map(|stretch| stretch.partition.as_str()).collect::<Vec<_>>(), ["R#e", "R#f"]);
        assert_eq!(left.iter().map(|stretch| stretch.after.is_some()).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_walk_over_an_organization_reads_only_its_days() {
        let scope = Some(Scope::org(OrgId(Uuid::from_u128(7))));
        let [from, to] = ["2026-01-10", "2026-01-20"].map(|day| Some(day.parse().unwrap()));
        let filter = RepriceFilter { scope, from, to };
        let after = |position: RepricePosition| {
            let stretches = stretches(&filter, Some(&position));
            stretches.first().map(|stretch| stretch.after.is_some())
        };
        // Before the stretch, in it, and where nothing can follow.
        assert_eq!(after(at(6, "2026-01-15")), Some(false));
        assert_eq!(after(at(7, "2026-01-09")), Some(false));
        assert_eq!(after(at(7, "2026-01-15")), Some(true));
        assert_eq!(after(at(7, "2026-01-21")), None);
        assert_eq!(after(at(8, "2026-01-15")), None);
        let never = RepriceFilter { from: to, to: from, ..filter };
        assert_eq!(stretches(&never, None), []);
    }
}

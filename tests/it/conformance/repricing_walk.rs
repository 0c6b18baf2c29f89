//! Finding what can be repriced.

use bedrock_cost_keeper::domain::ids::{OrgId, Scope};
use bedrock_cost_keeper::domain::usage::UsageRecord;
use bedrock_cost_keeper::storage::{RepriceFilter, RepricePosition, Storage};

use super::repricing::{estimated, record, unpriced};
use crate::support::samples::{acme, app_id, app_scope, day, org_id, org_scope, request_id, usage_on};
use crate::support::stores::FreshStore;

pub(super) async fn all_repriceable(store: &dyn Storage, filter: &RepriceFilter, page: u32) -> Vec<UsageRecord> {
    let mut found: Vec<UsageRecord> = Vec::new();
    loop {
        let after = found.last().map(RepricePosition::of);
        let records = store.repriceable(filter, after.as_ref(), page).await.unwrap();
        assert!(records.len() <= usize::try_from(page).unwrap());
        if records.is_empty() {
            return found;
        }
        found.extend(records);
        assert!(found.len() < 1_000, "it does not end");
    }
}

/// Unpriced and estimated records of two organizations, three applications and four days, with priced ones between.
async fn populated(store: &dyn Storage) -> Vec<UsageRecord> {
    let mut records = Vec::new();
    for org_id in [acme(), org_id(7)] {
        for (d, date) in ["2025-12-31", "2026-01-01", "2026-01-22", "2026-01-23"].into_iter().enumerate() {
            for (a, app) in ["blog", "Shop", "shop"].into_iter().enumerate() {
                for n in 0..3_u128 {
                    // Ids descend while they are recorded: order is not that of arrival.
                    let id = u128::MAX - (records.len() as u128) * 7;
                    let record = UsageRecord { org_id, ..usage_on(app, id, date) };
                    records.push(match (d as u128 + a as u128 + n) % 3 {
                        0 => record,
                        1 => unpriced(record),
                        _ => estimated(record),
                    });
                }
            }
        }
    }
    record(store, &records).await;
    records
}

fn expected(records: &[UsageRecord], admits: impl Fn(&UsageRecord) -> bool) -> Vec<UsageRecord> {
    let mut expected: Vec<_> = records.iter().filter(|r| r.is_repriceable() && admits(r)).cloned().collect();
    expected.sort_by_key(RepricePosition::of);
    expected
}

pub(super) async fn repriceable_records_are_the_unpriced_and_the_estimated_and_nothing_else(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.repriceable(&RepriceFilter::default(), None, 10).await.unwrap(), []);
    let records = populated(&*store).await;
    let expected = expected(&records, |_| true);
    assert_eq!(store.repriceable(&RepriceFilter::default(), None, 1_000).await.unwrap(), expected);
    assert!(expected.len() > 40 && expected.len() < records.len());
}

pub(super) async fn repriceable_records_are_filtered_by_scope_and_days(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = populated(&*store).await;
    let scopes =
        [None, Some(org_scope()), Some(app_scope("shop")), Some(app_scope("nobody")), Some(Scope::org(org_id(9)))];
    let edges =
        [None, Some(day("2025-12-31")), Some(day("2026-01-01")), Some(day("2026-01-10")), Some(day("2026-01-23"))];
    for scope in &scopes {
        for from in edges {
            for to in edges {
                let filter = RepriceFilter { scope: scope.clone(), from, to };
                let expected = expected(&records, |record| {
                    scope.as_ref().is_none_or(|scope| {
                        scope.org_id == record.org_id && scope.app_id.as_ref().is_none_or(|app| *app == record.app_id)
                    }) && from.is_none_or(|from| record.day >= from)
                        && to.is_none_or(|to| record.day <= to)
                });
                assert_eq!(all_repriceable(&*store, &filter, 5).await, expected, "{filter:?}");
            }
        }
    }
}

pub(super) async fn repriceable_records_page_strictly_after_a_position_in_order(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = populated(&*store).await;
    let everything = expected(&records, |_| true);
    for page in [1, 2, 7, 1_000] {
        assert_eq!(all_repriceable(&*store, &RepriceFilter::default(), page).await, everything);
    }
    // A position need not exist, nor lie inside the filter, to continue after it.
    let position = |org_id: OrgId, on: &str, app: &str, id: u128| RepricePosition {
        org_id,
        day: day(on),
        app_id: app_id(app),
        request_id: request_id(id),
    };
    for after in [
        position(acme(), "2026-01-22", "blog", 5),
        position(acme(), "2026-01-22", "zzz", 5),
        position(acme(), "2020-01-01", "a", 0),
        position(acme(), "2030-01-01", "a", 0),
        position(org_id(0), "2026-01-22", "a", 0),
        position(org_id(u128::MAX), "2020-01-22", "a", 0),
    ] {
        for filter in [
            RepriceFilter::default(),
            RepriceFilter { scope: Some(org_scope()), ..RepriceFilter::default() },
            RepriceFilter { scope: Some(org_scope()), from: Some(day("2026-01-01")), to: Some(day("2026-01-22")) },
            RepriceFilter { scope: None, from: Some(day("2026-01-01")), to: Some(day("2026-01-22")) },
        ] {
            let expected: Vec<_> = expected(&records, |record| {
                filter.scope.as_ref().is_none_or(|scope| scope.org_id == record.org_id)
                    && filter.from.is_none_or(|from| record.day >= from)
                    && filter.to.is_none_or(|to| record.day <= to)
                    && RepricePosition::of(record) > after
            });
            let page = store.repriceable(&filter, Some(&after), 1_000).await.unwrap();
            assert_eq!(page, expected, "{after:?} {filter:?}");
        }
    }
}

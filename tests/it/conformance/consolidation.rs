//! Totals that follow usage at a distance. Here instances are as in production: their totals are those of the last
//! consolidation.

use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::{OrgId, Scope};
use bedrock_cost_keeper::domain::usage::{Counters, LabelTotals, UsageRecord};
use bedrock_cost_keeper::storage::{ConsolidationLease, ConsolidationProgress, RecordOutcome, RepriceOutcome, Storage};
use futures::future::join_all;
use jiff::Timestamp;
use uuid::Uuid;

use super::month_total;
use super::repricing::{one, priced, unpriced};
use crate::support::samples::{acme, app_scope, client, day, noon, noon_plus, org, org_id, org_scope, usage, usage_on};
use crate::support::stores::FreshStore;

const TODAY: &str = "2026-01-23";

async fn migrated(fresh: &FreshStore) -> Arc<dyn Storage> {
    let store = fresh.bare().await;
    store.migrate().await.unwrap();
    store
}

async fn consolidate(store: &dyn Storage, on: &str) -> bool {
    store.consolidate(acme(), day(on)).await.unwrap()
}

async fn requests(store: &dyn Storage) -> u64 {
    month_total(store, &org_scope(), day(TODAY)).await.requests
}

/// On a store whose totals change with the usage.
pub(super) async fn there_is_nothing_to_consolidate(fresh: FreshStore) {
    let store = migrated(&fresh).await;
    assert!(!store.consolidates());
    let record = unpriced(usage("shop", 1));
    store.record_usage(std::slice::from_ref(&record)).await.unwrap();
    assert_eq!(requests(&*store).await, 1);
    assert_eq!(one(&*store, &record, &priced(9)).await, RepriceOutcome::Applied);
    assert!(!consolidate(&*store, TODAY).await);
    assert_eq!(store.unconsolidated(10).await.unwrap(), []);
    assert_eq!(store.consolidation_lease().await.unwrap(), None);
}

pub(super) async fn totals_are_those_of_the_last_consolidation(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    assert!(here.consolidates());
    let outcomes = here.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(outcomes, [RecordOutcome::Accepted(LabelTotals::default())]);
    assert_eq!(requests(&*here).await, 0);
    assert!(consolidate(&*here, TODAY).await);
    for store in [&here, &there] {
        assert_eq!(month_total(&**store, &app_scope("shop"), day(TODAY)).await, usage("shop", 1).counters());
        assert_eq!(requests(&**store).await, 1);
    }
    let outcomes = there.record_usage(&[usage("blog", 2), usage("shop", 1)]).await.unwrap();
    let [RecordOutcome::Accepted(new), RecordOutcome::Duplicate(_, known)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!((new.app.day.requests, new.org.day.requests), (0, 1));
    assert_eq!((known.app.day.requests, known.org.day.requests), (1, 1));
    assert_eq!(requests(&*here).await, 1);
    assert!(consolidate(&*there, TODAY).await);
    assert_eq!(requests(&*here).await, 2);
}

pub(super) async fn consolidating_again_changes_nothing(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    assert!(!consolidate(&*here, TODAY).await, "nothing was recorded");
    here.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(consolidate(&*here, TODAY).await);
    for store in [&here, &there, &fresh.bare().await] {
        assert!(!consolidate(&**store, TODAY).await);
    }
    assert_eq!(requests(&*here).await, 1);
}

pub(super) async fn a_consolidation_is_of_one_day_of_one_organization(fresh: FreshStore) {
    let store = migrated(&fresh).await;
    let neighbour = UsageRecord { org_id: org_id(9), ..usage("shop", 1) };
    store.record_usage(&[usage("shop", 1), usage_on("shop", 2, "2026-01-22"), neighbour]).await.unwrap();
    let of_neighbour = async || month_total(&*store, &Scope::org(org_id(9)), day(TODAY)).await.requests;
    assert!(consolidate(&*store, TODAY).await);
    assert_eq!((requests(&*store).await, of_neighbour().await), (1, 0));
    assert!(consolidate(&*store, "2026-01-22").await);
    assert_eq!((requests(&*store).await, of_neighbour().await), (2, 0));
    assert!(store.consolidate(org_id(9), day(TODAY)).await.unwrap());
    assert_eq!((requests(&*store).await, of_neighbour().await), (2, 1));
}

pub(super) async fn an_instance_that_saw_less_takes_nothing_back(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    here.record_usage(&[usage("shop", 1)]).await.unwrap();
    consolidate(&*here, TODAY).await;
    for n in 2..10 {
        there.record_usage(&[usage("shop", n)]).await.unwrap();
        consolidate(&*there, TODAY).await;
    }
    assert!(!consolidate(&*here, TODAY).await);
    assert_eq!(requests(&*here).await, 9);
}

pub(super) async fn totals_never_go_back_however_many_consolidate(fresh: FreshStore) {
    let stores = [migrated(&fresh).await, fresh.bare().await, fresh.bare().await];
    let writers: Vec<_> = stores
        .iter()
        .zip(0_u128..)
        .map(|(store, n)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for m in 0..25_u8 {
                    let id = n * 1_000 + u128::from(m);
                    // Each to another shard.
                    let record = UsageRecord { shard_id: m, ..usage(["shop", "blog"][usize::from(m % 2)], id) };
                    store.record_usage(&[record]).await.unwrap();
                    store.consolidate(acme(), day(TODAY)).await.unwrap();
                }
            })
        })
        .collect();
    let reader = fresh.bare().await;
    let mut seen = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let now = requests(&*reader).await;
        assert!(now >= seen, "{now} after {seen}");
        seen = now;
    }
    for written in join_all(writers).await {
        written.unwrap();
    }
    // Everybody consolidated after its last record: the last one saw everything.
    let one = usage("shop", 1).counters();
    let expected = (0..75).fold(Counters::default(), |sum, _| sum.checked_add(&one).unwrap());
    assert_eq!(month_total(&*reader, &org_scope(), day(TODAY)).await, expected);
}

pub(super) async fn corrected_days_are_unconsolidated_until_they_are_consolidated(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    let records = [unpriced(usage("shop", 1)), unpriced(usage_on("shop", 2, "2025-12-31"))];
    here.record_usage(&records).await.unwrap();
    for record in &records {
        here.consolidate(acme(), record.day).await.unwrap();
    }
    assert_eq!(here.unconsolidated(10).await.unwrap(), [], "usage is no correction");
    for record in &records {
        assert_eq!(one(&*here, record, &priced(9)).await, RepriceOutcome::Applied);
    }
    let mut days = there.unconsolidated(10).await.unwrap();
    days.sort();
    let expected: Vec<(OrgId, _)> = records.iter().rev().map(|record| (acme(), record.day)).collect();
    assert_eq!(days, expected);
    assert_eq!(there.unconsolidated(1).await.unwrap().len(), 1);
    for (org_id, day) in days {
        there.consolidate(org_id, day).await.unwrap();
    }
    assert_eq!(here.unconsolidated(10).await.unwrap(), []);
    for record in &records {
        let total = month_total(&*here, &org_scope(), record.day).await;
        assert_eq!((total.cost.get(), total.unpriced_requests), (9, 0));
    }
}

pub(super) async fn the_last_days_of_a_deleted_organization_are_unconsolidated(fresh: FreshStore) {
    let store = migrated(&fresh).await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(store.unconsolidated(10).await.unwrap(), []);
    assert!(store.delete_org(acme()).await.unwrap());
    let days = store.unconsolidated(10).await.unwrap();
    assert!(days.contains(&(acme(), day(TODAY))), "{days:?}");
    for (org_id, day) in days {
        store.consolidate(org_id, day).await.unwrap();
    }
    assert_eq!(store.unconsolidated(10).await.unwrap(), []);
    assert_eq!(requests(&*store).await, 1);
}

/// A lease for a minute, from an instance by its number.
fn lease(holder: u128, from: Timestamp, progress: Option<ConsolidationProgress>) -> ConsolidationLease {
    let expires_at = from + jiff::Span::new().minutes(1);
    ConsolidationLease { holder: Uuid::from_u128(holder), expires_at, progress }
}

fn progress(active: i64, all: i64) -> Option<ConsolidationProgress> {
    Some(ConsolidationProgress { active_until: noon_plus(active), all_until: noon_plus(all) })
}

pub(super) async fn nobody_leads_a_new_store(fresh: FreshStore) {
    let store = migrated(&fresh).await;
    assert_eq!(store.consolidation_lease().await.unwrap(), None);
}

pub(super) async fn a_lease_is_its_holders_until_it_expires(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    let first = lease(1, noon(), None);
    assert!(here.lease_consolidation(&first, noon()).await.unwrap());
    for now in [noon(), noon_plus(59_999)] {
        let other = lease(2, now, progress(1, 1));
        assert!(!there.lease_consolidation(&other, now).await.unwrap());
        assert_eq!(there.consolidation_lease().await.unwrap(), Some(first), "a refusal changes nothing");
    }
    let second = lease(2, noon_plus(60_000), progress(5, 4));
    assert!(there.lease_consolidation(&second, noon_plus(60_000)).await.unwrap(), "at its end it is free");
    assert_eq!(here.consolidation_lease().await.unwrap(), Some(second));
    assert!(!here.lease_consolidation(&lease(1, noon_plus(60_001), None), noon_plus(60_001)).await.unwrap());
}

pub(super) async fn a_holder_renews_its_lease_and_publishes_its_progress(fresh: FreshStore) {
    let [here, there] = [migrated(&fresh).await, fresh.bare().await];
    // Before it expires, at that moment, and long after.
    for (millis, progress) in
        [(0, None), (20_000, progress(15_000, 10_000)), (80_000, progress(70_000, 70_000)), (900_000, progress(1, 2))]
    {
        let renewed = lease(1, noon_plus(millis), progress);
        assert!(here.lease_consolidation(&renewed, noon_plus(millis)).await.unwrap());
        assert_eq!(there.consolidation_lease().await.unwrap(), Some(renewed));
    }
}

pub(super) async fn of_concurrent_holders_at_most_one_gets_the_lease(fresh: FreshStore) {
    let stores = [migrated(&fresh).await, fresh.bare().await];
    for round in 0..5_i64 {
        let now = noon_plus(round * 60_000);
        let tasks = (0..12_usize).map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            let mine = lease(n as u128 + 1, now, None);
            tokio::spawn(async move { (mine.holder, store.lease_consolidation(&mine, now).await.unwrap()) })
        });
        let results = join_all(tasks.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap);
        let holders: Vec<_> = results.filter(|(_, got)| *got).map(|(holder, _)| holder).collect();
        let [holder] = holders[..] else { panic!("{holders:?}") };
        assert_eq!(stores[0].consolidation_lease().await.unwrap().unwrap().holder, holder);
    }
}

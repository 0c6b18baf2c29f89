//! Health, schema and retention.

use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::{RecordOutcome, Retention, Revocation, SchemaStatus, Storage, TakenSecret};
use jiff::Timestamp;
use uuid::Uuid;

use super::month_total;
use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, label, noon, noon_plus, org, org_scope, request_id, sealed_client,
    state, usage, usage_on,
};
use crate::support::stores::FreshStore;

/// Forgets nothing.
pub(super) fn keep_all() -> Retention {
    let long_ago = Timestamp::UNIX_EPOCH;
    Retention { now: long_ago, usage_before: long_ago, totals_before: day("0001-01-01"), audit_before: long_ago }
}

/// Forgets all there is.
fn everything() -> Retention {
    let later = noon_plus(1);
    Retention { now: later, usage_before: later, totals_before: day("9999-12-31"), audit_before: later }
}

/// Whether the store deletes what it forgets. One whose backend does that by itself answers zero to every purge.
fn deletes_rows(store: &dyn Storage) -> bool {
    store.backend() != "dynamodb"
}

/// Purges, where the store deletes rows itself this many.
pub(super) async fn purge(store: &dyn Storage, retention: &Retention, rows: u64) {
    let expected = if deletes_rows(store) { rows } else { 0 };
    assert_eq!(store.purge(retention, 100).await.unwrap(), expected);
}

pub(super) async fn a_store_has_a_backend_name_and_answers_a_ping(fresh: FreshStore) {
    let store = fresh.instance().await;
    assert!(["sqlite", "postgres", "dynamodb"].contains(&store.backend()));
    store.ping().await.unwrap();
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
}

pub(super) async fn schema_status_tells_behind_from_current_and_changes_nothing(fresh: FreshStore) {
    let store = fresh.instance().await;
    for _ in 0..2 {
        let status = store.schema_status().await.unwrap();
        assert!(matches!(&status, SchemaStatus::Behind(text) if !text.is_empty()), "{status:?}");
    }
    // Had the look created anything, there would be less to do, or an error.
    assert!(store.migrate().await.unwrap() >= 1);
    for _ in 0..2 {
        assert_eq!(store.schema_status().await.unwrap(), SchemaStatus::Current);
    }
    assert_eq!(fresh.instance().await.schema_status().await.unwrap(), SchemaStatus::Current);
}

pub(super) async fn migrating_twice_applies_each_step_once(fresh: FreshStore) {
    let store = fresh.instance().await;
    assert!(store.migrate().await.unwrap() >= 1);
    assert_eq!(store.migrate().await.unwrap(), 0);
    assert_eq!(fresh.instance().await.migrate().await.unwrap(), 0);
}

pub(super) async fn six_concurrent_starters_apply_each_step_once(fresh: FreshStore) {
    let fresh = Arc::new(fresh);
    let starters = (0..6).map(|_| {
        let fresh = Arc::clone(&fresh);
        tokio::spawn(async move {
            let store = fresh.instance().await;
            let steps = store.migrate().await.unwrap();
            assert_eq!(store.schema_status().await.unwrap(), SchemaStatus::Current);
            store.record_usage(&[usage("shop", 1)]).await.unwrap();
            steps
        })
    });
    let steps = futures::future::try_join_all(starters).await.unwrap();
    let one = steps.iter().max().copied().unwrap();
    assert!(one >= 1);
    assert_eq!(steps.iter().sum::<u32>(), one, "one starter did all the work: {steps:?}");
}

pub(super) async fn migrating_again_keeps_what_is_stored(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.tenant(&org_scope()).await.unwrap().is_some());
    assert!(store.usage(acme(), &app_id("shop"), request_id(1)).await.unwrap().is_some());
}

pub(super) async fn what_was_written_survives_close_and_reopen(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let client = client(org_scope(), 1);
    store.create_org(&org(acme()), &client).await.unwrap();
    store.create_app(&app(acme(), "shop"), &sealed_client(app_scope("shop"), 2, noon())).await.unwrap();
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    store.swap_fallback(&org_scope(), day("2026-01-23"), &state("economy", 1), noon_plus(1)).await.unwrap();
    store.revoke(Revocation::Token(Uuid::from_u128(7)), noon_plus(1)).await.unwrap();
    store.close().await;
    drop(store);

    let store = fresh.instance().await;
    assert_eq!(store.schema_status().await.unwrap(), SchemaStatus::Current);
    let tenant = store.tenant(&app_scope("shop")).await.unwrap().unwrap();
    assert_eq!((tenant.org, tenant.app), (org(acme()), Some(app(acme(), "shop"))));
    assert_eq!(store.credential(&client.credential.client_id).await.unwrap(), Some(client.credential));
    assert_eq!(store.usage(acme(), &app_id("shop"), request_id(1)).await.unwrap(), Some(usage("shop", 1)));
    let selection = store.selection_state(&org_scope(), day("2026-01-23")).await.unwrap();
    assert_eq!(selection.fallback, Some(state("economy", 1)));
    assert_eq!(selection.totals[&label("premium")].month, usage("shop", 1).counters());
    let app_client = ClientId::of(app_scope("shop"));
    assert!(store.token_state(&app_client, Uuid::nil(), Uuid::from_u128(7)).await.unwrap().revoked);
    let taken = store.take_secret(&app_client, &[2; 32], noon_plus(-1)).await.unwrap();
    assert!(matches!(taken, TakenSecret::Taken(_)));
}

pub(super) async fn purge_forgets_usage_and_dedup_keys_recorded_strictly_before_and_keeps_totals(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut records = [usage("shop", 1), usage("shop", 2), usage("shop", 3)];
    for (record, millis) in records.iter_mut().zip([-1, 0, 1]) {
        record.recorded_at = noon_plus(millis);
    }
    store.record_usage(&records).await.unwrap();
    let retention = Retention { usage_before: noon(), ..keep_all() };
    purge(&*store, &retention, 1).await;
    purge(&*store, &retention, 0).await;
    for (record, kept) in records.iter().zip([false, true, true]) {
        let stored = store.usage(acme(), &record.app_id, record.request_id).await.unwrap();
        assert_eq!(stored.is_some(), kept);
    }
    let totals = store.totals(&app_scope("shop"), records[0].day).await.unwrap();
    assert_eq!(totals[&label("premium")].day.requests, 3);
    let again = store.record_usage(&records).await.unwrap();
    assert!(
        matches!(&again[..], [RecordOutcome::Accepted(_), RecordOutcome::Duplicate(..), RecordOutcome::Duplicate(..)]),
        "{again:?}"
    );
}

pub(super) async fn purge_forgets_old_usage_behind_a_younger_record(fresh: FreshStore) {
    let store = fresh.migrated().await;
    // A clock that was ahead for a moment wrote the first record.
    for (n, millis) in [(1, 1_000_000), (2, -2), (3, 5), (4, -1)] {
        let record = UsageAt { n, millis }.record();
        store.record_usage(&[record]).await.unwrap();
    }
    purge(&*store, &Retention { usage_before: noon(), ..keep_all() }, 2).await;
    for (n, kept) in [(1, true), (2, false), (3, true), (4, false)] {
        assert_eq!(store.usage(acme(), &app_id("shop"), request_id(n)).await.unwrap().is_some(), kept);
    }
}

struct UsageAt {
    n: u128,
    millis: i64,
}

impl UsageAt {
    fn record(&self) -> bedrock_cost_keeper::domain::usage::UsageRecord {
        let mut record = usage("shop", self.n);
        record.recorded_at = noon_plus(self.millis);
        record
    }
}

pub(super) async fn purge_forgets_totals_of_earlier_days_and_of_months_that_ended_before(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let dates = ["2025-11-30", "2025-12-31", "2026-01-01", "2026-01-30", "2026-01-31"];
    let records: Vec<_> = dates.iter().zip(1..).map(|(date, n)| usage_on("shop", n, date)).collect();
    store.record_usage(&records).await.unwrap();
    let purge = async |before: &str, rows| {
        purge(&*store, &Retention { totals_before: day(before), ..keep_all() }, rows).await;
    };
    let months = async || {
        let mut requests = Vec::new();
        for date in ["2025-11-30", "2025-12-31", "2026-01-31"] {
            requests.push(month_total(&*store, &org_scope(), day(date)).await.requests);
        }
        requests
    };
    let days = async || {
        let mut left = Vec::new();
        for date in dates {
            let totals = store.totals(&app_scope("shop"), day(date)).await.unwrap();
            left.push(totals.get(&label("premium")).map_or(0, |spend| spend.day.requests));
        }
        left
    };
    // The last day of a month: that day and its month stay. Each goes for the application and the organization.
    purge("2025-11-30", 0).await;
    purge("2025-12-31", 4).await;
    assert_eq!((days().await, months().await), (vec![0, 1, 1, 1, 1], vec![0, 1, 3]));
    // The first of the next one: the month has ended.
    purge("2026-01-01", 4).await;
    assert_eq!((days().await, months().await), (vec![0, 0, 1, 1, 1], vec![0, 0, 3]));
    purge("2026-01-31", 4).await;
    assert_eq!((days().await, months().await), (vec![0, 0, 0, 0, 1], vec![0, 0, 3]));
    // Usage itself is another kind.
    for record in &records {
        assert!(store.usage(acme(), &record.app_id, record.request_id).await.unwrap().is_some());
    }
}

/// One revocation, one sealed secret and one fallback state that expire at `noon() + millis`.
async fn expiring(store: &dyn Storage, name: &str, seed: u8, millis: i64) {
    let expires_at = noon_plus(millis);
    store.create_app(&app(acme(), name), &sealed_client(app_scope(name), seed, expires_at)).await.unwrap();
    store.revoke(Revocation::Session(Uuid::from_bytes([seed; 16])), expires_at).await.unwrap();
    store.swap_fallback(&app_scope(name), day("2026-01-23"), &state("economy", 1), expires_at).await.unwrap();
}

/// Whether the three of [`expiring`] are still there.
async fn left(store: &dyn Storage, name: &str, seed: u8) -> [bool; 3] {
    let client_id = ClientId::of(app_scope(name));
    let long_ago = Timestamp::UNIX_EPOCH;
    [
        store.token_state(&client_id, Uuid::from_bytes([seed; 16]), Uuid::nil()).await.unwrap().revoked,
        store.take_secret(&client_id, &[seed; 32], long_ago).await.unwrap() != TakenSecret::Unknown,
        store.fallback(&app_scope(name), day("2026-01-23")).await.unwrap().is_some(),
    ]
}

pub(super) async fn purge_forgets_expired_revocations_secrets_and_fallback_states(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    expiring(&*store, "before", 2, -1).await;
    expiring(&*store, "after", 3, 1).await;
    // One that was taken already goes too.
    store.take_secret(&ClientId::of(app_scope("before")), &[2; 32], noon_plus(-2)).await.unwrap();
    let retention = Retention { now: noon(), ..keep_all() };
    purge(&*store, &retention, 3).await;
    purge(&*store, &retention, 0).await;
    assert_eq!(left(&*store, "before", 2).await, [false; 3]);
    assert_eq!(left(&*store, "after", 3).await, [true; 3]);
    // What goes is the expired, not whose it was.
    assert!(store.credential(&ClientId::of(app_scope("before"))).await.unwrap().is_some());
}

pub(super) async fn purge_forgets_at_most_a_batch_of_each_kind(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    for seed in 2..7 {
        expiring(&*store, &format!("app{seed}"), seed, -1).await;
        // Five months, each with one day: two daily and two monthly totals.
        let record = usage_on("shop", u128::from(seed), &format!("2025-{seed:02}-01"));
        store.record_usage(&[record]).await.unwrap();
    }
    let totals_before = day("2026-01-01");
    let retention = Retention { now: noon(), usage_before: noon_plus(1), totals_before, ..keep_all() };
    let mut purged = Vec::new();
    for _ in 0..6 {
        purged.push(store.purge(&retention, 2).await.unwrap());
    }
    // Five of four kinds, ten of the two kinds of totals; then nothing is left.
    assert_eq!(purged, [12, 12, 8, 4, 4, 0]);
    assert_eq!(month_total(&*store, &org_scope(), day("2025-02-01")).await.requests, 0);
}

pub(super) async fn purging_an_empty_store_forgets_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.purge(&everything(), 100).await.unwrap(), 0);
}

pub(super) async fn purging_an_empty_batch_forgets_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(store.purge(&everything(), 0).await.unwrap(), 0);
    assert!(store.usage(acme(), &app_id("shop"), request_id(1)).await.unwrap().is_some());
}

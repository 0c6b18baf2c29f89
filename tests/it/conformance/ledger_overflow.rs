//! Counters never wrap: what does not fit is refused, and nothing else suffers.

use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use bedrock_cost_keeper::domain::usage::{CostSource, UsageRecord};
use bedrock_cost_keeper::storage::{RecordOutcome, Storage};

use crate::support::samples::{acme, app_id, app_scope, day, label, org_scope, request_id, usage, usage_of, usage_on};
use crate::support::stores::FreshStore;

/// What every store's counters hold.
const MAX: u64 = i64::MAX.unsigned_abs();

fn with_input(record: UsageRecord, input: u64) -> UsageRecord {
    UsageRecord { tokens: TokenCounts { input, ..TokenCounts::default() }, ..record }
}

fn with_micros(record: UsageRecord, micros: u64) -> UsageRecord {
    UsageRecord { cost: PicoUsd::from_columns(i64::try_from(micros).unwrap(), 999_999).unwrap(), ..record }
}

async fn record(store: &dyn Storage, record: &UsageRecord) -> RecordOutcome {
    store.record_usage(std::slice::from_ref(record)).await.unwrap().remove(0)
}

async fn input_tokens(store: &dyn Storage) -> u64 {
    store.totals(&org_scope(), day("2026-01-23")).await.unwrap()[&label("premium")].month.input_tokens
}

pub(super) async fn a_counter_that_would_leave_its_range_refuses_the_record_and_never_wraps(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let full = with_input(usage("shop", 1), MAX - 1);
    assert!(matches!(record(&*store, &full).await, RecordOutcome::Accepted(_)));
    for (request, input) in [(2, 2), (3, 1_000_000), (4, MAX)] {
        assert_eq!(record(&*store, &with_input(usage("shop", request), input)).await, RecordOutcome::Overflow);
    }
    assert_eq!(input_tokens(&*store).await, MAX - 1);
    let RecordOutcome::Accepted(totals) = record(&*store, &with_input(usage("shop", 5), 1)).await else {
        panic!("the last one fits")
    };
    assert_eq!(totals.app.day.input_tokens, MAX);
    assert_eq!(record(&*store, &with_input(usage("shop", 6), 1)).await, RecordOutcome::Overflow);
    // Not stuck: a record that adds nothing to the full counter is fine.
    assert!(matches!(record(&*store, &with_input(usage("shop", 7), 0)).await, RecordOutcome::Accepted(_)));
    assert_eq!(input_tokens(&*store).await, MAX);
}

pub(super) async fn records_that_still_fit_commit_beside_one_that_overflows(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = [
        with_micros(usage("shop", 1), MAX - 10),
        with_micros(usage("shop", 2), 100),
        with_micros(usage("shop", 3), 5),
        usage_of("shop", 4, "economy"),
        with_micros(usage("blog", 5), MAX),
        usage("blog", 6),
    ];
    let outcomes = store.record_usage(&records).await.unwrap();
    assert!(
        matches!(
            &outcomes[..],
            [
                RecordOutcome::Accepted(_),
                RecordOutcome::Overflow,
                RecordOutcome::Accepted(_),
                RecordOutcome::Accepted(_),
                RecordOutcome::Overflow,
                RecordOutcome::Accepted(_),
            ]
        ),
        "{outcomes:?}"
    );
    let expected = [0, 2, 5].into_iter().fold(PicoUsd::ZERO, |sum, n| sum.checked_add(records[n].cost).unwrap());
    let totals = store.totals(&org_scope(), day("2026-01-23")).await.unwrap();
    assert_eq!(totals[&label("premium")].day.cost, expected);
    assert_eq!(totals[&label("premium")].day.requests, 3);
    assert_eq!(totals[&label("economy")].day.requests, 1);
    for (record, kept) in records.iter().zip([true, false, true, true, false, true]) {
        let stored = store.usage(acme(), &record.app_id, record.request_id).await.unwrap();
        assert_eq!(stored.is_some(), kept);
    }
}

pub(super) async fn an_organization_total_can_overflow_where_no_application_total_does(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = [with_input(usage("shop", 1), MAX / 2 + 1), with_input(usage("blog", 2), MAX / 2 + 1)];
    let outcomes = store.record_usage(&records).await.unwrap();
    assert!(matches!(&outcomes[..], [RecordOutcome::Accepted(_), RecordOutcome::Overflow]), "{outcomes:?}");
    assert_eq!(input_tokens(&*store).await, MAX / 2 + 1);
    assert!(store.totals(&app_scope("blog"), day("2026-01-23")).await.unwrap().is_empty());
}

pub(super) async fn a_month_can_overflow_where_no_day_does(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(matches!(record(&*store, &with_input(usage("shop", 1), MAX)).await, RecordOutcome::Accepted(_)));
    let other_day = with_input(usage_on("shop", 2, "2026-01-24"), 1);
    assert_eq!(record(&*store, &other_day).await, RecordOutcome::Overflow);
    let totals = store.totals(&app_scope("shop"), other_day.day).await.unwrap();
    assert_eq!(totals[&label("premium")].day.requests, 0);
    let other_month = with_input(usage_on("shop", 3, "2026-02-01"), 1);
    assert!(matches!(record(&*store, &other_month).await, RecordOutcome::Accepted(_)));
}

pub(super) async fn a_refused_record_leaves_its_request_id_free(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let refused = with_input(usage("shop", 2), 1);
    let outcomes = store.record_usage(&[with_input(usage("shop", 1), MAX), refused.clone(), refused]).await.unwrap();
    assert!(
        matches!(&outcomes[..], [RecordOutcome::Accepted(_), RecordOutcome::Overflow, RecordOutcome::Overflow]),
        "{outcomes:?}"
    );
    assert_eq!(store.usage(acme(), &app_id("shop"), request_id(2)).await.unwrap(), None);
    let smaller = UsageRecord { fingerprint: [9; 32], ..with_input(usage("shop", 2), 0) };
    assert!(matches!(record(&*store, &smaller).await, RecordOutcome::Accepted(_)));
}

pub(super) async fn an_amount_no_counter_can_hold_is_refused(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let too_much = PicoUsd::new((u128::from(MAX) + 1) * 1_000_000);
    let records = [
        UsageRecord { cost: too_much, ..usage("shop", 1) },
        UsageRecord { cost: PicoUsd::new(u128::MAX), ..usage("shop", 2) },
        UsageRecord { cost_source: CostSource::Client, server_cost: Some(too_much), ..usage("shop", 3) },
        with_input(usage("shop", 4), MAX + 1),
        with_input(usage("shop", 5), u64::MAX),
    ];
    let outcomes = store.record_usage(&records).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == RecordOutcome::Overflow), "{outcomes:?}");
    assert!(store.totals(&org_scope(), day("2026-01-23")).await.unwrap().is_empty());
}

//! Correcting recorded usage: a record and its totals move together, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::{OrgId, Scope};
use bedrock_cost_keeper::domain::money::{CostDrift, PicoUsd};
use bedrock_cost_keeper::domain::pricing::{PriceSource, PricingStatus};
use bedrock_cost_keeper::domain::usage::{CostSource, Counters, Figures, LabelTotals, RecordPricing, UsageRecord};
use bedrock_cost_keeper::storage::{
    Breakdown, RecordOutcome, Reprice, RepriceFilter, RepriceOutcome, RepricePosition, Retention, Storage,
};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::support::samples::{
    acme, app_id, app_scope, day, label, noon, noon_plus, org_id, org_scope, request_id, usage, usage_of, usage_on,
};
use crate::support::stores::FreshStore;

/// The record without a price.
fn unpriced(record: UsageRecord) -> UsageRecord {
    let pricing = RecordPricing {
        status: PricingStatus::Unpriced,
        source: None,
        version: None,
        model_id: record.pricing.model_id.clone(),
    };
    let cost = if record.cost_source == CostSource::Client { record.cost } else { PicoUsd::ZERO };
    UsageRecord { cost, server_cost: None, pricing, ..record }
}

/// The record with a stand-in for its price.
fn estimated(record: UsageRecord) -> UsageRecord {
    let pricing = RecordPricing { status: PricingStatus::Estimated, ..record.pricing.clone() };
    UsageRecord { pricing, ..record }
}

/// The record with a cost of its client's.
fn of_client(record: UsageRecord, micros: u128) -> UsageRecord {
    UsageRecord { cost_source: CostSource::Client, cost: PicoUsd::new(micros * 1_000_000), ..record }
}

/// Figures of this cost.
fn figures(pico: u128, status: PricingStatus) -> Figures {
    Figures {
        cost: PicoUsd::new(pico),
        server_cost: Some(PicoUsd::new(pico)),
        pricing: RecordPricing {
            status,
            source: Some(PriceSource::PricingApi),
            version: Some("20260124".to_owned()),
            model_id: "m".to_owned(),
        },
    }
}

fn priced(pico: u128) -> Figures {
    figures(pico, PricingStatus::Priced)
}

fn correction(record: &UsageRecord, new: &Figures) -> Reprice {
    Reprice { key: record.key(), expected: record.figures(), new: new.clone() }
}

async fn record(store: &dyn Storage, records: &[UsageRecord]) {
    let outcomes = store.record_usage(records).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))), "{outcomes:?}");
}

async fn reprice(store: &dyn Storage, reprices: &[Reprice]) -> Vec<RepriceOutcome> {
    store.reprice_usage(reprices, noon_plus(5_000)).await.unwrap()
}

async fn one(store: &dyn Storage, record: &UsageRecord, new: &Figures) -> RepriceOutcome {
    let outcomes = reprice(store, &[correction(record, new)]).await;
    let [outcome] = outcomes[..] else { panic!("{outcomes:?}") };
    outcome
}

async fn stored(store: &dyn Storage, record: &UsageRecord) -> UsageRecord {
    store.usage(record.org_id, &record.app_id, record.request_id).await.unwrap().unwrap()
}

/// Asserts that every total is the sum of what these records, as they are stored, add to it.
async fn totals_are_sums(store: &dyn Storage, records: &[UsageRecord]) {
    let mut days: BTreeMap<_, Counters> = BTreeMap::new();
    let mut months: BTreeMap<_, Counters> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for submitted in records {
        let record = stored(store, submitted).await;
        keys.insert((record.org_id, record.app_id.clone(), record.model_label.clone(), record.day), ());
        for app in [None, Some(record.app_id.clone())] {
            let scope = Scope { org_id: record.org_id, app_id: app };
            for total in [
                days.entry((scope.clone(), record.model_label.clone(), record.day)).or_default(),
                months.entry((scope, record.model_label.clone(), record.month().first_day())).or_default(),
            ] {
                *total = total.checked_add(&record.counters()).unwrap();
            }
        }
    }
    for (org_id, app_id, of, on) in keys.into_keys() {
        let LabelTotals { app, org } = store.label_totals(org_id, &app_id, &of, on).await.unwrap();
        for (scope, spend) in [(Scope::org(org_id), org), (Scope::app(org_id, app_id), app)] {
            assert_eq!(spend.day, days[&(scope.clone(), of.clone(), on)], "{scope:?} {of} {on}");
            assert_eq!(
                spend.month,
                months[&(scope.clone(), of.clone(), on.month().first_day())],
                "{scope:?} {of} {on}"
            );
        }
    }
}

async fn all_repriceable(store: &dyn Storage, filter: &RepriceFilter, page: u32) -> Vec<UsageRecord> {
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
    self::record(store, &records).await;
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

pub(super) async fn a_correction_changes_a_record_and_its_four_totals_by_the_exact_difference(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let [first, second] = [unpriced(usage("shop", 1)), estimated(usage_on("shop", 2, "2026-01-01"))];
    record(&*store, &[first.clone(), second.clone()]).await;
    let new = priced(2_345_678_901);
    assert_eq!(one(&*store, &first, &new).await, RepriceOutcome::Applied);
    let corrected = first.with_figures(&new);
    assert_eq!(stored(&*store, &first).await, corrected);
    let cheaper = figures(1, PricingStatus::Estimated);
    assert_eq!(one(&*store, &second, &cheaper).await, RepriceOutcome::Applied);
    assert_eq!(stored(&*store, &second).await, second.with_figures(&cheaper));
    let totals = store.label_totals(acme(), &app_id("shop"), &label("premium"), first.day).await.unwrap();
    let both = corrected.counters().checked_add(&second.with_figures(&cheaper).counters()).unwrap();
    for spend in [totals.app, totals.org] {
        assert_eq!((spend.day, spend.month), (corrected.counters(), both));
        assert_eq!((spend.day.unpriced_requests, spend.month.cost), (0, PicoUsd::new(2_345_678_902)));
    }
    totals_are_sums(&*store, &[first, second]).await;
}

pub(super) async fn a_correction_does_not_touch_what_others_added(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = [
        unpriced(usage("shop", 1)),
        unpriced(usage("shop", 2)),
        unpriced(usage("blog", 1)),
        usage_of("shop", 3, "economy"),
        UsageRecord { org_id: org_id(7), ..unpriced(usage("shop", 1)) },
    ];
    record(&*store, &records).await;
    assert_eq!(one(&*store, &records[0], &priced(5)).await, RepriceOutcome::Applied);
    for other in &records[1..] {
        assert_eq!(stored(&*store, other).await, *other);
    }
    totals_are_sums(&*store, &records).await;
    let totals = store.label_totals(acme(), &app_id("shop"), &label("premium"), records[0].day).await.unwrap();
    assert_eq!((totals.app.day.unpriced_requests, totals.org.day.unpriced_requests), (1, 2));
}

pub(super) async fn a_corrected_record_is_no_longer_repriceable_once_it_is_priced(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = unpriced(usage("shop", 1));
    self::record(&*store, std::slice::from_ref(&record)).await;
    let estimate = figures(7, PricingStatus::Estimated);
    assert_eq!(one(&*store, &record, &estimate).await, RepriceOutcome::Applied);
    let found = store.repriceable(&RepriceFilter::default(), None, 10).await.unwrap();
    assert_eq!(found, [record.with_figures(&estimate)]);
    assert_eq!(one(&*store, &found[0], &priced(8)).await, RepriceOutcome::Applied);
    assert_eq!(store.repriceable(&RepriceFilter::default(), None, 10).await.unwrap(), []);
}

pub(super) async fn a_repeated_correction_is_stale_and_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = estimated(usage("shop", 1));
    self::record(&*store, std::slice::from_ref(&record)).await;
    let estimate = figures(7, PricingStatus::Estimated);
    assert_eq!(one(&*store, &record, &estimate).await, RepriceOutcome::Applied);
    let totals = store.totals(&org_scope(), record.day).await.unwrap();
    for _ in 0..2 {
        assert_eq!(one(&*store, &record, &estimate).await, RepriceOutcome::Stale);
    }
    assert_eq!(stored(&*store, &record).await, record.with_figures(&estimate));
    assert_eq!(store.totals(&org_scope(), record.day).await.unwrap(), totals);
}

pub(super) async fn a_correction_from_other_figures_is_stale(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = estimated(usage("shop", 1));
    self::record(&*store, std::slice::from_ref(&record)).await;
    let right = record.figures();
    let others = [
        Figures { cost: PicoUsd::new(1), ..right.clone() },
        Figures { server_cost: None, ..right.clone() },
        Figures {
            pricing: RecordPricing { status: PricingStatus::Unpriced, ..right.pricing.clone() },
            ..right.clone()
        },
        Figures { pricing: RecordPricing { source: None, ..right.pricing.clone() }, ..right.clone() },
        Figures { pricing: RecordPricing { version: None, ..right.pricing.clone() }, ..right.clone() },
        Figures { pricing: RecordPricing { model_id: "x".to_owned(), ..right.pricing.clone() }, ..right },
    ];
    for expected in others {
        let reprice = Reprice { key: record.key(), expected, new: priced(9) };
        assert_eq!(self::reprice(&*store, &[reprice]).await, [RepriceOutcome::Stale]);
    }
    assert_eq!(stored(&*store, &record).await, record);
    totals_are_sums(&*store, &[record]).await;
}

pub(super) async fn a_priced_record_is_never_corrected(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = usage("shop", 1);
    self::record(&*store, std::slice::from_ref(&record)).await;
    assert_eq!(one(&*store, &record, &priced(9)).await, RepriceOutcome::Stale);
    assert_eq!(stored(&*store, &record).await, record);
    totals_are_sums(&*store, &[record]).await;
}

pub(super) async fn corrections_of_one_record_inside_one_call_see_each_other(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = unpriced(usage("shop", 1));
    self::record(&*store, std::slice::from_ref(&record)).await;
    let estimate = figures(7, PricingStatus::Estimated);
    let between = record.with_figures(&estimate);
    let reprices = [
        correction(&record, &estimate),
        correction(&record, &priced(5)),
        correction(&between, &priced(8)),
        correction(&between, &priced(9)),
    ];
    use RepriceOutcome::{Applied, Stale};
    assert_eq!(reprice(&*store, &reprices).await, [Applied, Stale, Applied, Stale]);
    assert_eq!(stored(&*store, &record).await, record.with_figures(&priced(8)));
    totals_are_sums(&*store, &[record]).await;
}

pub(super) async fn one_refused_correction_does_not_affect_the_others_and_outcomes_are_in_order(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let max_batch = store.ingest_limits().max_batch;
    let records: Vec<_> =
        (0..max_batch as u128).map(|n| unpriced(usage(["shop", "blog"][n as usize % 2], n))).collect();
    let missing = unpriced(usage("mail", 1));
    record(&*store, &records).await;
    let reprices: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(n, record)| match n % 4 {
            0 => correction(record, &priced(n as u128)),
            1 => correction(&estimated(record.clone()), &priced(1)),
            2 => correction(&missing, &priced(1)),
            _ => correction(record, &priced(u128::MAX)),
        })
        .collect();
    let outcomes = reprice(&*store, &reprices).await;
    use RepriceOutcome::{Applied, Gone, Overflow, Stale};
    let expected: Vec<_> = (0..max_batch).map(|n| [Applied, Stale, Gone, Overflow][n % 4]).collect();
    assert_eq!(outcomes, expected);
    totals_are_sums(&*store, &records).await;
    let total = super::month_total(&*store, &org_scope(), day("2026-01-23")).await;
    assert_eq!(total.cost, PicoUsd::new((0..max_batch as u128).step_by(4).sum()));
}

pub(super) async fn correcting_nothing_answers_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(reprice(&*store, &[]).await, []);
}

pub(super) async fn the_charged_cost_of_a_client_stays_and_its_drift_follows(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = [of_client(unpriced(usage("shop", 1)), 100), of_client(estimated(usage("shop", 2)), 50)];
    record(&*store, &records).await;
    for (record, pico) in records.iter().zip([130_000_000, 20_000_000]) {
        assert_eq!(one(&*store, record, &priced(pico)).await, RepriceOutcome::Applied);
        let corrected = stored(&*store, record).await;
        assert_eq!((corrected.cost, corrected.server_cost), (record.cost, Some(PicoUsd::new(pico))));
    }
    let totals = store.totals(&app_scope("shop"), records[0].day).await.unwrap()[&label("premium")];
    assert_eq!(totals.day.cost, PicoUsd::new(150_000_000));
    assert_eq!(totals.day.drift, CostDrift::new(-30_000_000 + 30_000_000));
    assert_eq!(totals.day.unpriced_requests, 0);
    totals_are_sums(&*store, &records).await;
}

pub(super) async fn a_correction_of_what_is_gone_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let [old, young] = [unpriced(usage("shop", 1)), unpriced(usage("shop", 2))];
    record(&*store, &[old.clone(), UsageRecord { recorded_at: noon_plus(10), ..young.clone() }]).await;
    let keep = Retention { now: Timestamp::UNIX_EPOCH, usage_before: noon_plus(5), totals_before: day("0001-01-01") };
    store.purge(&keep, 100).await.unwrap();
    let totals = store.totals(&org_scope(), old.day).await.unwrap();
    assert_eq!(one(&*store, &old, &priced(9)).await, RepriceOutcome::Gone);
    assert_eq!(one(&*store, &unpriced(usage("mail", 1)), &priced(9)).await, RepriceOutcome::Gone);
    assert_eq!(store.totals(&org_scope(), old.day).await.unwrap(), totals);
    // A record may outlive the totals of its day: there is nothing left to correct then.
    store.purge(&Retention { totals_before: day("2026-01-24"), ..keep }, 100).await.unwrap();
    assert_eq!(one(&*store, &young, &priced(9)).await, RepriceOutcome::Gone);
    assert_eq!(stored(&*store, &young).await.figures(), young.figures());
}

pub(super) async fn a_correction_that_would_leave_a_counters_range_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let max = PicoUsd::from_columns(i64::MAX, 999_999).unwrap();
    // The month is nearly full, the day of the correction is not.
    let full = UsageRecord { cost: max, ..usage_on("shop", 1, "2026-01-01") };
    let record = unpriced(usage("shop", 2));
    self::record(&*store, &[full.clone(), record.clone()]).await;
    assert_eq!(one(&*store, &record, &priced(1_000_000)).await, RepriceOutcome::Overflow);
    assert_eq!(one(&*store, &record, &priced(u128::MAX)).await, RepriceOutcome::Overflow);
    assert_eq!(stored(&*store, &record).await, record);
    totals_are_sums(&*store, &[full.clone(), record.clone()]).await;
    // Not stuck: what fits is applied.
    assert_eq!(one(&*store, &record, &priced(0)).await, RepriceOutcome::Applied);
    totals_are_sums(&*store, &[full, record]).await;
}

pub(super) async fn a_repeated_submission_of_a_corrected_record_is_a_duplicate_with_the_new_figures(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = unpriced(usage("shop", 1));
    self::record(&*store, std::slice::from_ref(&record)).await;
    assert_eq!(one(&*store, &record, &priced(9)).await, RepriceOutcome::Applied);
    let outcome = store.record_usage(std::slice::from_ref(&record)).await.unwrap().remove(0);
    let RecordOutcome::Duplicate(first, totals) = outcome else { panic!("{outcome:?}") };
    assert_eq!((*first, totals.app.day.cost), (record.with_figures(&priced(9)), PicoUsd::new(9)));
    totals_are_sums(&*store, &[record]).await;
}

pub(super) async fn totals_say_when_they_were_corrected(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let [first, second] = [unpriced(usage("shop", 1)), unpriced(usage("shop", 2))];
    record(&*store, &[first.clone(), second.clone()]).await;
    let changed = async || {
        let days = first.day..=first.day;
        store.daily_totals(acme(), Breakdown::Org, days, None, 10).await.unwrap()[0].updated_at
    };
    assert_eq!(changed().await, noon());
    store.reprice_usage(&[correction(&first, &priced(1))], noon_plus(-5)).await.unwrap();
    assert_eq!(changed().await, noon());
    store.reprice_usage(&[correction(&first, &priced(1))], noon_plus(9)).await.unwrap();
    assert_eq!(changed().await, noon(), "a stale correction changes nothing");
    store.reprice_usage(&[correction(&second, &priced(1))], noon_plus(7)).await.unwrap();
    assert_eq!(changed().await, noon_plus(7));
}

pub(super) async fn of_concurrent_corrections_of_one_record_exactly_one_applies(fresh: FreshStore) {
    let stores = [fresh.migrated().await, fresh.instance().await];
    let record = unpriced(usage("shop", 1));
    self::record(&*stores[0], std::slice::from_ref(&record)).await;
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (store, correction) = (Arc::clone(&stores[n % 2]), correction(&record, &priced(n as u128 + 1)));
            tokio::spawn(async move { reprice(&*store, &[correction]).await[0] })
        })
        .collect();
    let mut applied = Vec::new();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            RepriceOutcome::Applied => applied.push(n as u128 + 1),
            outcome => assert_eq!(outcome, RepriceOutcome::Stale),
        }
    }
    let [winner] = applied[..] else { panic!("{applied:?}") };
    assert_eq!(stored(&*stores[1], &record).await, record.with_figures(&priced(winner)));
    totals_are_sums(&*stores[0], &[record]).await;
}

pub(super) async fn concurrent_submissions_and_corrections_lose_nothing(fresh: FreshStore) {
    let stores = [fresh.migrated().await, fresh.instance().await];
    let batch = |n: u128| -> Vec<UsageRecord> {
        (n * 20..n * 20 + 20).map(|n| unpriced(usage(["shop", "blog"][n as usize % 2], n))).collect()
    };
    let writer = tokio::spawn({
        let store = Arc::clone(&stores[0]);
        async move {
            for n in 0..30 {
                record(&*store, &batch(n)).await;
            }
        }
    });
    // Two correct at once what they find, each from its own instance, until everything is priced.
    let correctors: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut applied = 0;
                let mut idle = 0;
                while idle < 3 {
                    let found = store.repriceable(&RepriceFilter::default(), None, 30).await.unwrap();
                    let reprices: Vec<_> =
                        found.iter().map(|record| correction(record, &priced(record.request_id.0.as_u128()))).collect();
                    let outcomes = reprice(&*store, &reprices).await;
                    applied += outcomes.iter().filter(|outcome| **outcome == RepriceOutcome::Applied).count();
                    idle = if found.is_empty() { idle + 1 } else { 0 };
                    tokio::task::yield_now().await;
                }
                applied
            })
        })
        .collect();
    writer.await.unwrap();
    let mut applied = 0;
    for corrector in correctors {
        applied += corrector.await.unwrap();
    }
    let rest: Vec<_> = all_repriceable(&*stores[0], &RepriceFilter::default(), 100)
        .await
        .iter()
        .map(|record| correction(record, &priced(record.request_id.0.as_u128())))
        .collect();
    for reprices in rest.chunks(100) {
        applied += reprice(&*stores[0], reprices).await.len();
    }
    assert_eq!(applied, 600);
    let records: Vec<_> = (0..30).flat_map(batch).collect();
    totals_are_sums(&*stores[1], &records).await;
    let total = super::month_total(&*stores[1], &org_scope(), day("2026-01-23")).await;
    assert_eq!((total.requests, total.unpriced_requests), (600, 0));
    assert_eq!(total.cost, PicoUsd::new((0..600).sum()));
}

pub(super) async fn a_correction_dropped_half_way_is_made_once_when_repeated(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records: Vec<_> = (0..100).map(|n| unpriced(usage("shop", n))).collect();
    record(&*store, &records).await;
    let reprices: Vec<_> = records.iter().map(|record| correction(record, &priced(3))).collect();
    for polls in 1..40 {
        let mut call = store.reprice_usage(&reprices, noon());
        for _ in 0..polls {
            if futures::poll!(&mut call).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
    }
    reprice(&*store, &reprices).await;
    totals_are_sums(&*store, &records).await;
    let total = super::month_total(&*store, &org_scope(), day("2026-01-23")).await;
    assert_eq!((total.requests, total.unpriced_requests, total.cost), (100, 0, PicoUsd::new(300)));
}

/// One step of a random history. Numbers choose among few, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Record {
        id: u8,
        app: bool,
        status: u8,
        client: bool,
        cost: u128,
    },
    /// Corrects what is stored under an id, or what was recorded first, which may be stale.
    Reprice {
        id: u8,
        app: bool,
        from_first: bool,
        status: u8,
        cost: u128,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cost = prop_oneof![
        12 => 0_u128..5_000_000,
        1 => Just(u128::from(u64::MAX)),
        1 => Just(i64::MAX as u128 * 999_999),
        1 => Just(u128::MAX),
    ];
    let record = (0..6_u8, any::<bool>(), 0..5_u8, any::<bool>(), cost.clone())
        .prop_map(|(id, app, status, client, cost)| Step::Record { id, app, status, client, cost });
    let reprice = (0..6_u8, any::<bool>(), 0..4_u8, 0..5_u8, cost)
        .prop_map(|(id, app, from, status, cost)| Step::Reprice { id, app, from_first: from == 0, status, cost });
    proptest::collection::vec(prop_oneof![1 => record, 2 => reprice], 10..60)
}

fn status(n: u8) -> PricingStatus {
    [PricingStatus::Priced, PricingStatus::Estimated, PricingStatus::Unpriced][usize::from(n.div_ceil(2))]
}

pub(super) async fn totals_equal_the_sum_of_records_after_any_sequence(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut runner = TestRunner::deterministic();
    let mut applied = 0;
    for case in 0..40_u128 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        // Each history happens in an organization of its own.
        let base = |id: u8, app: bool| UsageRecord {
            org_id: org_id(1_000 + case),
            day: day(["2026-01-22", "2026-01-23", "2026-02-01"][usize::from(id % 3)]),
            ..usage_of(if app { "shop" } else { "blog" }, u128::from(id), ["premium", "economy"][usize::from(id % 2)])
        };
        let mut first: BTreeMap<_, UsageRecord> = BTreeMap::new();
        for step in &steps {
            match *step {
                Step::Record { id, app, status: n, client, cost } => {
                    let figures = figures(cost, status(n));
                    let base = base(id, app);
                    let record = UsageRecord {
                        cost_source: if client { CostSource::Client } else { CostSource::Server },
                        cost: if client { PicoUsd::new(77) } else { figures.cost },
                        server_cost: figures.server_cost.filter(|_| n < 3),
                        pricing: figures.pricing,
                        ..base
                    };
                    let outcome = store.record_usage(std::slice::from_ref(&record)).await.unwrap().remove(0);
                    if matches!(outcome, RecordOutcome::Accepted(_)) {
                        first.insert(record.key(), record);
                    }
                }
                Step::Reprice { id, app, from_first, status: n, cost } => {
                    let Some(recorded) = first.get(&base(id, app).key()) else { continue };
                    let from = if from_first { recorded.clone() } else { stored(&*store, recorded).await };
                    let new = figures(cost, status(n));
                    let outcome = one(&*store, &from, &new).await;
                    let now = stored(&*store, recorded).await;
                    match outcome {
                        RepriceOutcome::Applied => {
                            applied += 1;
                            assert_eq!(now, from.with_figures(&new), "{steps:?}");
                        }
                        RepriceOutcome::Gone => panic!("nothing is forgotten: {steps:?}"),
                        RepriceOutcome::Stale | RepriceOutcome::Overflow => {}
                    }
                }
            }
        }
        let records: Vec<_> = first.into_values().collect();
        totals_are_sums(&*store, &records).await;
    }
    assert!(applied > 200, "only {applied} corrections applied: the histories prove little");
}

//! Correcting recorded usage: a record and its totals move together, once.

use std::collections::BTreeMap;

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::money::{CostDrift, PicoUsd};
use bedrock_cost_keeper::domain::pricing::{PriceSource, PricingStatus};
use bedrock_cost_keeper::domain::usage::{CostSource, Counters, Figures, LabelTotals, RecordPricing, UsageRecord};
use bedrock_cost_keeper::storage::{
    Breakdown, RecordOutcome, Reprice, RepriceFilter, RepriceOutcome, Retention, Storage,
};
use jiff::Timestamp;

use crate::support::samples::{
    acme, app_id, app_scope, day, label, noon, noon_plus, org_id, org_scope, usage, usage_of, usage_on,
};
use crate::support::stores::FreshStore;

/// The record without a price.
pub(super) fn unpriced(record: UsageRecord) -> UsageRecord {
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
pub(super) fn estimated(record: UsageRecord) -> UsageRecord {
    let pricing = RecordPricing { status: PricingStatus::Estimated, ..record.pricing.clone() };
    UsageRecord { pricing, ..record }
}

/// The record with a cost of its client's.
fn of_client(record: UsageRecord, micros: u128) -> UsageRecord {
    UsageRecord { cost_source: CostSource::Client, cost: PicoUsd::new(micros * 1_000_000), ..record }
}

/// Figures of this cost.
pub(super) fn figures(pico: u128, status: PricingStatus) -> Figures {
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

pub(super) fn priced(pico: u128) -> Figures {
    figures(pico, PricingStatus::Priced)
}

pub(super) fn correction(record: &UsageRecord, new: &Figures) -> Reprice {
    Reprice { key: record.key(), expected: record.figures(), new: new.clone() }
}

pub(super) async fn record(store: &dyn Storage, records: &[UsageRecord]) {
    let outcomes = store.record_usage(records).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))), "{outcomes:?}");
}

pub(super) async fn reprice(store: &dyn Storage, reprices: &[Reprice]) -> Vec<RepriceOutcome> {
    store.reprice_usage(reprices, noon_plus(5_000)).await.unwrap()
}

pub(super) async fn one(store: &dyn Storage, record: &UsageRecord, new: &Figures) -> RepriceOutcome {
    let outcomes = reprice(store, &[correction(record, new)]).await;
    let [outcome] = outcomes[..] else { panic!("{outcomes:?}") };
    outcome
}

pub(super) async fn stored(store: &dyn Storage, record: &UsageRecord) -> UsageRecord {
    store.usage(record.org_id, &record.app_id, record.request_id).await.unwrap().unwrap()
}

/// Asserts that every total is the sum of what these records, as they are stored, add to it.
pub(super) async fn totals_are_sums(store: &dyn Storage, records: &[UsageRecord]) {
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
    let long_ago = Timestamp::UNIX_EPOCH;
    let keep = Retention {
        now: long_ago,
        usage_before: noon_plus(5),
        totals_before: day("0001-01-01"),
        audit_before: long_ago,
    };
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

//! Taking over totals that another store counted.

use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::money::{CostDrift, PicoUsd};
use bedrock_cost_keeper::domain::usage::{Counters, LabelTotals, SpendTotals};
use bedrock_cost_keeper::storage::{Breakdown, DailyTotal, Storage, StorageError, TotalImport};

use super::month_total;
use crate::support::samples::{
    acme, app_id, app_scope, day, label, noon, noon_plus, org_id, org_scope, usage, usage_of, usage_on,
};
use crate::support::stores::FreshStore;

use TotalImport::{Imported, Present};

/// Every counter has a value of its own, beyond what one record holds.
fn counters() -> Counters {
    Counters {
        cost: PicoUsd::new(1_234_567_890_123_456_789),
        drift: CostDrift::new(-7_654_321_098_765),
        requests: 1_000,
        errors: 20,
        unpriced_requests: 3,
        input_tokens: 40_000_000_000,
        output_tokens: 500,
        cache_read_input_tokens: 6_000,
        cache_write_input_tokens: 70,
    }
}

/// A total of the label `premium`, last changed at noon.
fn total(app: &str, on: &str) -> DailyTotal {
    DailyTotal {
        day: day(on),
        app_id: Some(app_id(app)),
        model_label: label("premium"),
        counters: counters(),
        updated_at: noon(),
    }
}

async fn import(store: &dyn Storage, totals: &[DailyTotal]) -> Vec<TotalImport> {
    store.import_totals(acme(), totals).await.unwrap()
}

fn times(n: u32, of: &Counters) -> Counters {
    (0..n).fold(Counters::default(), |sum, _| sum.checked_add(of).unwrap())
}

async fn premium(store: &dyn Storage, app: &str, on: &str) -> LabelTotals {
    store.label_totals(acme(), &app_id(app), &label("premium"), day(on)).await.unwrap()
}

pub(super) async fn an_imported_total_counts_in_the_four_sums_it_belongs_to(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let totals = [total("shop", "2026-01-05"), total("shop", "2026-01-23"), total("blog", "2026-01-23")];
    assert_eq!(import(&*store, &totals).await, [Imported; 3]);
    let once = counters();
    let expected = LabelTotals {
        app: SpendTotals { day: once, month: times(2, &once) },
        org: SpendTotals { day: times(2, &once), month: times(3, &once) },
    };
    assert_eq!(premium(&*store, "shop", "2026-01-23").await, expected);
    assert_eq!(premium(&*store, "shop", "2026-01-05").await.org.day, once);
    assert!(store.totals(&Scope::org(org_id(9)), day("2026-01-23")).await.unwrap().is_empty());
}

pub(super) async fn an_imported_total_is_read_back_as_it_was(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let totals = [
        DailyTotal { updated_at: noon_plus(-86_400_001), ..total("Shop", "2025-12-31") },
        DailyTotal { model_label: label("economy"), ..total("Shop", "2026-01-01") },
        DailyTotal { updated_at: noon_plus(9), ..total("blog", "2026-01-01") },
    ];
    import(&*store, &totals).await;
    let days = day("2025-12-31")..=day("2026-01-01");
    let read = store.daily_totals(acme(), Breakdown::EveryApp, days, None, 100).await.unwrap();
    assert_eq!(read, totals);
    let changed = async |scope| store.selection_state(&scope, day("2026-01-23")).await.unwrap().updated_at;
    assert_eq!(changed(app_scope("Shop")).await, Some(noon()));
    assert_eq!(changed(org_scope()).await, Some(noon_plus(9)));
}

pub(super) async fn an_import_adds_to_the_sums_of_usage_counted_here(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = [usage_on("shop", 1, "2026-01-05"), usage("blog", 2), usage_of("shop", 3, "economy")];
    store.record_usage(&records).await.unwrap();
    assert_eq!(import(&*store, &[total("shop", "2026-01-23")]).await, [Imported]);
    let (imported, one) = (counters(), usage("shop", 1).counters());
    let plus = |n| times(n, &one).checked_add(&imported).unwrap();
    let expected = LabelTotals {
        app: SpendTotals { day: imported, month: plus(1) },
        org: SpendTotals { day: plus(1), month: plus(2) },
    };
    assert_eq!(premium(&*store, "shop", "2026-01-23").await, expected);
}

pub(super) async fn usage_adds_to_what_was_imported(fresh: FreshStore) {
    let store = fresh.migrated().await;
    import(&*store, &[total("shop", "2026-01-23")]).await;
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    let sum = counters().checked_add(&usage("shop", 1).counters()).unwrap();
    let spend = SpendTotals { day: sum, month: sum };
    assert_eq!(premium(&*store, "shop", "2026-01-23").await, LabelTotals { app: spend, org: spend });
}

pub(super) async fn a_total_that_an_application_has_already_is_present_and_stays(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let record = usage("shop", 1);
    store.record_usage(std::slice::from_ref(&record)).await.unwrap();
    let before = premium(&*store, "shop", "2026-01-23").await;
    assert_eq!(import(&*store, &[total("shop", "2026-01-23")]).await, [Present]);
    assert_eq!(premium(&*store, "shop", "2026-01-23").await, before);
    assert_eq!(before.org.month, record.counters());
}

pub(super) async fn repeating_an_import_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let totals = [total("shop", "2026-01-23"), total("blog", "2026-01-05")];
    assert_eq!(import(&*store, &totals).await, [Imported; 2]);
    let before = premium(&*store, "shop", "2026-01-23").await;
    let other = DailyTotal { counters: times(2, &counters()), updated_at: noon_plus(5), ..totals[0].clone() };
    for instance in [&store, &fresh.instance().await] {
        assert_eq!(import(&**instance, &totals).await, [Present; 2]);
        assert_eq!(import(&**instance, std::slice::from_ref(&other)).await, [Present]);
    }
    assert_eq!(premium(&*store, "shop", "2026-01-23").await, before);
    let changed = store.selection_state(&org_scope(), day("2026-01-23")).await.unwrap().updated_at;
    assert_eq!(changed, Some(noon()));
}

pub(super) async fn of_equal_keys_in_one_import_the_first_counts(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let one = total("shop", "2026-01-23");
    let other = DailyTotal { counters: usage("shop", 1).counters(), ..one.clone() };
    assert_eq!(import(&*store, &[one.clone(), other, one]).await, [Imported, Present, Present]);
    assert_eq!(premium(&*store, "shop", "2026-01-23").await.org.month, counters());
}

pub(super) async fn totals_of_one_import_do_not_affect_each_other_and_outcomes_are_in_order(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.record_usage(&[usage("shop", 1), usage_of("blog", 2, "economy")]).await.unwrap();
    let of = |label_text: &str, total| DailyTotal { model_label: label(label_text), ..total };
    let totals = [
        total("blog", "2026-01-23"),
        total("shop", "2026-01-23"),
        of("economy", total("shop", "2026-01-23")),
        of("economy", total("blog", "2026-01-23")),
        total("shop", "2026-01-24"),
    ];
    assert_eq!(import(&*store, &totals).await, [Imported, Present, Imported, Present, Imported]);
    let requests = async |app: &str| month_total(&*store, &app_scope(app), day("2026-01-23")).await.requests;
    assert_eq!((requests("shop").await, requests("blog").await), (2_001, 1_001));
    assert_eq!(month_total(&*store, &org_scope(), day("2026-01-23")).await.requests, 3_002);
}

pub(super) async fn a_full_batch_of_totals_is_imported(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let max = store.ingest_limits().max_batch;
    let totals: Vec<_> = (0..max).map(|n| total(&format!("app{n}"), "2026-01-23")).collect();
    assert_eq!(import(&*store, &totals).await, vec![Imported; max]);
    let sum = month_total(&*store, &org_scope(), day("2026-01-23")).await;
    assert_eq!(sum.requests, 1_000 * u64::try_from(max).unwrap());
    assert_eq!(import(&*store, &totals).await, vec![Present; max]);
}

pub(super) async fn importing_nothing_answers_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(import(&*store, &[]).await, []);
}

pub(super) async fn a_total_without_application_is_refused(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let of_org = DailyTotal { app_id: None, ..total("shop", "2026-01-23") };
    let refused = store.import_totals(acme(), &[total("blog", "2026-01-23"), of_org]).await;
    assert!(matches!(refused, Err(StorageError::Backend(_))), "{refused:?}");
    // What came before it was taken over whole or not at all; a repeat makes up for either.
    import(&*store, &[total("blog", "2026-01-23")]).await;
    assert_eq!(premium(&*store, "blog", "2026-01-23").await.org.month, counters());
}

pub(super) async fn of_concurrent_imports_of_one_total_exactly_one_counts(fresh: FreshStore) {
    let stores = [fresh.migrated().await, fresh.instance().await];
    let totals: Vec<_> = (1..=20).map(|n| total("shop", &format!("2026-01-{n:02}"))).collect();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (store, totals) = (Arc::clone(&stores[n % 2]), totals.clone());
            tokio::spawn(async move { import(&*store, &totals).await })
        })
        .collect();
    let mut imported = 0;
    for task in tasks {
        imported += task.await.unwrap().into_iter().filter(|outcome| *outcome == Imported).count();
    }
    assert_eq!(imported, 20);
    assert_eq!(month_total(&*stores[1], &org_scope(), day("2026-01-23")).await, times(20, &counters()));
}

pub(super) async fn an_import_that_would_leave_a_counters_range_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let of = |app: &str, input_tokens| DailyTotal {
        counters: Counters { input_tokens, ..counters() },
        ..total(app, "2026-01-23")
    };
    let max = i64::MAX.unsigned_abs();
    // The second fits its application, not the organization.
    let totals = [of("shop", max), of("blog", 1), of("mail", max + 1), of("chat", 0)];
    use TotalImport::Overflow;
    assert_eq!(import(&*store, &totals).await, [Imported, Overflow, Overflow, Imported]);
    assert_eq!(month_total(&*store, &org_scope(), day("2026-01-23")).await.requests, 2_000);
    assert!(store.totals(&app_scope("blog"), day("2026-01-23")).await.unwrap().is_empty());
}

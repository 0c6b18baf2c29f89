//! Repricing beside other repricing and beside submissions, and after any history.

use std::collections::BTreeMap;
use std::sync::Arc;

use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::pricing::PricingStatus;
use bedrock_cost_keeper::domain::usage::{CostSource, UsageRecord};
use bedrock_cost_keeper::storage::{RecordOutcome, RepriceFilter, RepriceOutcome};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::repricing::{correction, figures, one, priced, record, reprice, stored, totals_are_sums, unpriced};
use super::repricing_walk::all_repriceable;
use crate::support::samples::{day, noon, org_id, org_scope, usage, usage_of};
use crate::support::stores::FreshStore;

pub(super) async fn of_concurrent_corrections_of_one_record_exactly_one_applies(fresh: FreshStore) {
    let stores = [fresh.migrated().await, fresh.instance().await];
    let record = unpriced(usage("shop", 1));
    super::repricing::record(&*stores[0], std::slice::from_ref(&record)).await;
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
    assert!(applied > 100, "only {applied} corrections applied: the histories prove little");
}

//! Many writers at once, in ways that would deadlock or lose counts if locks were taken in another order.

use std::sync::Arc;
use std::time::Duration;

use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use bedrock_cost_keeper::domain::usage::UsageRecord;
use bedrock_cost_keeper::storage::sql::PostgresStorage;
use bedrock_cost_keeper::storage::{
    Breakdown, DailyTotal, Maintenance, Moving, PostgresOptions, RecordOutcome, Repricing, Retention, TotalImport,
    UsageLedger,
};
use jiff::Timestamp;

use super::{Database, number, until};
use crate::conformance::repricing::{correction, priced, totals_are_sums, unpriced};
use crate::support::samples::{acme, day, label, noon, org_scope, usage, usage_of};

/// How many deadlocks the server found in this database, once everybody has reported.
async fn deadlocks(database: &Database, instances: [Arc<PostgresStorage>; 2]) -> i64 {
    for instance in instances {
        instance.close().await;
    }
    let mut shell = database.shell().await;
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'bedrock-cost-keeper'";
    until(&mut shell, connected, 0).await;
    number(&mut shell, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

/// Patient ones: on a busy machine a queue of this length takes its time.
async fn two_instances(database: &Database) -> [Arc<PostgresStorage>; 2] {
    database.storage().await.close().await;
    let patient = PostgresOptions {
        acquire_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
        ..PostgresOptions::default()
    };
    [(); 2].map(|()| Arc::new(database.with(&patient)))
}

/// Numbers from 0 in an order of each task's own.
fn shuffled(count: u128, task: u128) -> Vec<u128> {
    let mut order: Vec<u128> = (0..count).collect();
    // A permutation, because the factor has no divisor in common with any count below it.
    order.sort_by_key(|n| (n * (2 * task + 1) * 7_919 + task * 104_729) % 1_000_003);
    order
}

fn submission(n: u128) -> UsageRecord {
    usage_of(
        ["shop", "blog", "mail", "chat"][n as usize % 4],
        n,
        ["premium", "economy", "standard"][n as usize / 4 % 3],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_the_same_few_keys_in_any_order_never_meet_a_deadlock() {
    const TASKS: u128 = 32;
    const KEYS: u128 = 240;
    let database = Database::new().await;
    let instances = two_instances(&database).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let storage = Arc::clone(&instances[task as usize % 2]);
            tokio::spawn(async move {
                let mut accepted = 0;
                // Every task submits everything, in batches of its own.
                for batch in shuffled(KEYS, task).chunks(20 + task as usize) {
                    let records: Vec<_> = batch.iter().map(|n| submission(*n)).collect();
                    let outcomes = storage.record_usage(&records).await.unwrap();
                    for outcome in outcomes {
                        match outcome {
                            RecordOutcome::Accepted(_) => accepted += 1,
                            RecordOutcome::Duplicate(..) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += task.await.unwrap();
    }
    assert_eq!(accepted, KEYS);
    let records: Vec<_> = (0..KEYS).map(submission).collect();
    totals_are_sums(&*instances[0], &records).await;
    assert_eq!(deadlocks(&database, instances).await, 0);
}

/// Submissions, corrections, imports and purges of the same totals and records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_every_kind_never_meet_a_deadlock_and_lose_nothing() {
    const KEYS: u128 = 120;
    let database = Database::new().await;
    let instances = two_instances(&database).await;
    let before: Vec<_> = (0..KEYS).map(|n| unpriced(submission(1_000 + n))).collect();
    instances[0].record_usage(&before).await.unwrap();
    let import = || -> Vec<DailyTotal> {
        let imported = |n: u128| DailyTotal {
            day: day(["2026-01-20", "2026-01-21"][n as usize % 2]),
            app_id: Some(submission(n).app_id),
            model_label: submission(n).model_label,
            counters: submission(n).counters(),
            updated_at: noon(),
        };
        (0..24).map(imported).collect()
    };
    let mut tasks = Vec::new();
    for task in 0..24_u128 {
        let storage = Arc::clone(&instances[task as usize % 2]);
        let before = before.clone();
        tasks.push(tokio::spawn(async move {
            let order = shuffled(KEYS, task);
            match task % 4 {
                0 | 1 => {
                    for batch in order.chunks(17) {
                        let records: Vec<_> = batch.iter().map(|n| submission(*n)).collect();
                        storage.record_usage(&records).await.unwrap();
                    }
                }
                2 => {
                    for batch in order.chunks(13) {
                        let record = |n: &u128| correction(&before[*n as usize], &priced(*n + 1));
                        storage.reprice_usage(&batch.iter().map(record).collect::<Vec<_>>(), noon()).await.unwrap();
                    }
                }
                _ => {
                    let mut totals = import();
                    totals.rotate_left(task as usize);
                    let outcomes = storage.import_totals(acme(), &totals).await.unwrap();
                    assert!(!outcomes.contains(&TotalImport::Overflow));
                    let early = Timestamp::UNIX_EPOCH;
                    let retention = Retention {
                        now: early,
                        usage_before: early,
                        totals_before: day("2025-01-01"),
                        audit_before: early,
                    };
                    storage.purge(&retention, 100).await.unwrap();
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let day_of_all = submission(0).day;
    let mut all = (0..KEYS).map(submission).collect::<Vec<_>>();
    all.extend(before);
    // What was recorded, without the imported days, which have no records.
    let mut recorded = 0;
    for record in &all {
        let stored = instances[0].usage(record.org_id, &record.app_id, record.request_id).await.unwrap().unwrap();
        recorded += stored.cost.get();
    }
    let totals = instances[1].totals(&org_scope(), day_of_all).await.unwrap();
    let on_the_day: u128 = totals.values().map(|spend| spend.day.cost.get()).sum();
    let in_the_month: u128 = totals.values().map(|spend| spend.month.cost.get()).sum();
    assert_eq!(on_the_day, recorded);
    let days = day("2026-01-20")..=day("2026-01-21");
    let imported = instances[1].daily_totals(acme(), Breakdown::Org, days, None, 100).await.unwrap();
    let imported: u128 = imported.iter().map(|total| total.counters.cost.get()).sum();
    assert!(imported > 0);
    assert_eq!(in_the_month, recorded + imported);
    let unpriced: u64 = totals.values().map(|spend| spend.month.unpriced_requests).sum();
    assert_eq!(unpriced, 0, "every correction was made");
    assert_eq!(deadlocks(&database, instances).await, 0);
}

/// Where counters are nearly full some calls are done record by record, beside others that are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_nearly_full_counters_never_meet_a_deadlock_and_never_wrap() {
    const ROOM: u64 = 400;
    let database = Database::new().await;
    let instances = two_instances(&database).await;
    let with_input = |record: UsageRecord, input: u64| UsageRecord {
        tokens: TokenCounts { input, ..TokenCounts::default() },
        ..record
    };
    let nearly_full = with_input(usage("shop", 9_999), i64::MAX.unsigned_abs() - ROOM);
    instances[0].record_usage(&[nearly_full]).await.unwrap();
    let tasks: Vec<_> = (0..16_u128)
        .map(|task| {
            let storage = Arc::clone(&instances[task as usize % 2]);
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for batch in shuffled(200, task).chunks(25) {
                    // The same id is the same submission in every task.
                    let record = |n: &u128| {
                        with_input(usage(["shop", "blog"][*n as usize % 2], *n), u64::try_from(*n % 9).unwrap())
                    };
                    let records: Vec<_> = batch.iter().map(record).collect();
                    let outcomes = storage.record_usage(&records).await.unwrap();
                    for (record, outcome) in records.into_iter().zip(outcomes) {
                        match outcome {
                            RecordOutcome::Accepted(_) => accepted.push(record),
                            RecordOutcome::Duplicate(..) | RecordOutcome::Overflow => {}
                            RecordOutcome::Conflict => panic!("nobody submits anything else"),
                        }
                    }
                }
                accepted
            })
        })
        .collect();
    let mut accepted = Vec::new();
    for task in tasks {
        accepted.extend(task.await.unwrap());
    }
    let used: u64 = accepted.iter().map(|record| record.tokens.input).sum();
    assert!(used <= ROOM && used > ROOM - 9, "{used}");
    let month = instances[0].totals(&org_scope(), usage("shop", 0).day).await.unwrap()[&label("premium")].month;
    assert_eq!(month.input_tokens, i64::MAX.unsigned_abs() - ROOM + used);
    assert_eq!(month.requests, accepted.len() as u64 + 1);
    let stored = "SELECT count(*) FROM usage_records";
    assert_eq!(number(&mut database.shell().await, stored).await, i64::try_from(accepted.len()).unwrap() + 1);
    assert_eq!(deadlocks(&database, instances).await, 0);
}

/// What is decided record by record comes to what is decided at once, for what fits.
#[tokio::test]
async fn a_call_with_a_record_that_fits_nowhere_comes_to_what_it_comes_to_without_it() {
    let database = Database::new().await;
    let storage = database.storage().await;
    let base: Vec<UsageRecord> = (0..60).map(submission).collect();
    let elsewhere =
        |record: &UsageRecord, n: u128| UsageRecord { org_id: crate::support::samples::org_id(n), ..record.clone() };
    let mut with: Vec<_> = base.iter().map(|record| elsewhere(record, 1)).collect();
    let without: Vec<_> = base.iter().map(|record| elsewhere(record, 2)).collect();
    let too_much = UsageRecord { cost: PicoUsd::new(u128::MAX), ..elsewhere(&submission(700), 1) };
    // Its id is free for one that fits, and later ones repeat that.
    let fits = UsageRecord { fingerprint: [7; 32], ..elsewhere(&submission(700), 1) };
    with.splice(30..30, [too_much.clone(), fits.clone(), too_much, fits]);
    let mut outcomes = storage.record_usage(&with).await.unwrap();
    let inserted: Vec<_> = outcomes.splice(30..34, []).collect();
    assert!(
        matches!(
            &inserted[..],
            [
                RecordOutcome::Overflow,
                RecordOutcome::Accepted(_),
                RecordOutcome::Conflict,
                RecordOutcome::Duplicate(..)
            ]
        ),
        "{inserted:?}"
    );
    let expected = storage.record_usage(&without).await.unwrap();
    let kinds = |outcomes: &[RecordOutcome]| outcomes.iter().map(std::mem::discriminant).collect::<Vec<_>>();
    assert_eq!(kinds(&outcomes), kinds(&expected));
    let mut kept = with;
    kept.drain(32..34);
    kept.remove(30);
    totals_are_sums(&storage, &kept).await;
    totals_are_sums(&storage, &without).await;
}

//! What the database adds is what the domain adds.

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::usage::{CostSource, Counters, UsageRecord};
use bedrock_cost_keeper::storage::{RecordOutcome, UsageLedger};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Database;
use crate::support::samples::{label, org_id, usage};

/// Amounts around the places where a carry happens.
fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        0..3_u128,
        999_998..1_000_002_u128,
        1_999_998..2_000_002_u128,
        0..5_000_000_u128,
        Just(1 << 70),
        (1 << 70)..((1 << 70) + 2_000_000_u128),
    ]
}

/// Cost of the client and of the server, and how many of the next are in the same call.
fn submissions() -> impl Strategy<Value = Vec<(u128, Option<u128>, bool)>> {
    proptest::collection::vec((amount(), proptest::option::of(amount()), any::<bool>()), 1..40)
}

#[tokio::test]
async fn sums_carry_exactly_whatever_the_signs_and_residues() {
    let database = Database::new().await;
    let storage = database.storage().await;
    let mut runner = TestRunner::deterministic();
    let mut negative = 0;
    for case in 0..60_u128 {
        let submissions = submissions().new_tree(&mut runner).unwrap().current();
        let mut expected = Counters::default();
        let mut call: Vec<UsageRecord> = Vec::new();
        for (n, (cost, server, more)) in submissions.iter().enumerate() {
            let record = UsageRecord {
                org_id: org_id(100 + case),
                cost_source: CostSource::Client,
                cost: PicoUsd::new(*cost),
                server_cost: server.map(PicoUsd::new),
                ..usage("shop", n as u128)
            };
            expected = expected.checked_add(&record.counters()).unwrap();
            call.push(record);
            if *more && n + 1 < submissions.len() {
                continue;
            }
            let outcomes = storage.record_usage(&call).await.unwrap();
            call.clear();
            let Some(RecordOutcome::Accepted(totals)) = outcomes.last() else { panic!("{outcomes:?}") };
            for spend in [totals.app, totals.org] {
                assert_eq!((spend.day, spend.month), (expected, expected), "{submissions:?}");
            }
        }
        negative += u32::from(expected.drift.get() < 0);
        let day = usage("shop", 0).day;
        let stored = storage.totals(&Scope::org(org_id(100 + case)), day).await.unwrap();
        assert_eq!(stored[&label("premium")].day, expected);
    }
    assert!((10..50).contains(&negative), "{negative} negative drifts prove little");
}

/// Both parts of a stored pair are what the domain writes: normal, and of one sign.
#[tokio::test]
async fn stored_pairs_are_normal() {
    let database = Database::new().await;
    let storage = database.storage().await;
    for (n, (client, server)) in [(1, 0), (0, 1_500_000), (2_000_001, 2), (0, 600_000), (0, 600_000)].iter().enumerate()
    {
        let record = UsageRecord {
            cost_source: CostSource::Client,
            cost: PicoUsd::new(*client),
            server_cost: Some(PicoUsd::new(*server)),
            ..usage("shop", n as u128)
        };
        storage.record_usage(&[record]).await.unwrap();
        let stored: (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT cost_micros, cost_residue, drift_micros, drift_residue FROM totals WHERE app_id = '' AND length(period) = 7",
        )
        .fetch_one(&mut database.shell().await)
        .await
        .unwrap();
        let month = storage.totals(&Scope::org(usage("shop", 0).org_id), usage("shop", 0).day).await.unwrap()
            [&label("premium")]
            .month;
        let (cost, drift) = (month.cost.to_columns().unwrap(), month.drift.to_columns().unwrap());
        assert_eq!(stored, (cost.0, cost.1, drift.0, drift.1), "after {} submissions", n + 1);
    }
}

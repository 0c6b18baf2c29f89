//! What only the DynamoDB store promises about usage: transactions in parts, and totals that are added up at a distance.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::usage::{Counters, UsageRecord};
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{
    Consolidation, DailyTotal, DynamoDbOptions, Maintenance, Moving, RecordOutcome, RepriceFilter, RepriceOutcome,
    Repricing, Retention, StorageError, Tenants, TotalImport, UsageLedger,
};
use jiff::Timestamp;

use super::dynamodb::{Room, key};
use super::dynamodb_wire::Wire;
use super::repricing::{correction, priced, unpriced};
use crate::support::samples::{
    acme, app_id, client, day, forged, label, noon, noon_plus, org, org_scope, usage, usage_of, usage_on,
};

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

fn today() -> Day {
    day("2026-01-23")
}

async fn requests_on(storage: &DynamoDbStorage, on: Day) -> u64 {
    let totals = storage.totals(&org_scope(), on).await.unwrap();
    totals.values().map(|spend| spend.day.requests).sum()
}

/// [`usage`] counted in a shard of its own.
fn in_shard(request: u128, shard_id: u8) -> UsageRecord {
    UsageRecord { shard_id, ..usage("shop", request) }
}

fn kinds(outcomes: &[RecordOutcome]) -> String {
    let kind = |outcome: &RecordOutcome| match outcome {
        RecordOutcome::Accepted(_) => 'a',
        RecordOutcome::Duplicate(..) => 'd',
        RecordOutcome::Conflict => 'c',
        RecordOutcome::Overflow => 'o',
    };
    outcomes.iter().map(kind).collect()
}

#[tokio::test]
async fn a_batch_takes_few_transactions_and_repeats_in_it_one_more() {
    let room = Room::new();
    room.storage().await;
    let wire = Wire::to(&room.rest()).await;
    let storage = wire.storage(&room.rest()).await;
    let records: Vec<_> = (0..100).map(|n| usage("shop", n)).collect();
    let outcomes = storage.record_usage(&records).await.unwrap();
    assert_eq!((kinds(&outcomes), wire.calls("TransactWriteItems")), ("a".repeat(100), 2));
    // Every second one is new; a third of the others is another submission.
    let mixed: Vec<_> = (0..100)
        .map(|n| match n {
            _ if n % 2 == 0 => usage("shop", 1_000 + n),
            _ if n % 3 == 0 => forged(&usage("shop", n)),
            _ => usage("shop", n),
        })
        .collect();
    let expected: String = (0..100)
        .map(|n| {
            if n % 2 == 0 {
                'a'
            } else if n % 3 == 0 {
                'c'
            } else {
                'd'
            }
        })
        .collect();
    let outcomes = storage.record_usage(&mixed).await.unwrap();
    // Each of the two groups once with them and once without.
    assert_eq!((kinds(&outcomes), wire.calls("TransactWriteItems")), (expected, 6));
    storage.consolidate(acme(), today()).await.unwrap();
    assert_eq!(requests_on(&storage, today()).await, 150);
}

#[tokio::test]
async fn a_batch_of_many_keys_is_recorded_whole() {
    let room = Room::new();
    let storage = room.storage().await;
    // A hundred records with a pointer and a counter each: four transactions.
    let records: Vec<_> = (0..100)
        .map(|n| {
            let on = ["2026-01-22", "2026-01-23"][n as usize % 2];
            UsageRecord { day: day(on), ..unpriced(usage_of(&format!("app{n}"), n, "premium")) }
        })
        .collect();
    let wire = Wire::to(&room.rest()).await;
    let outcomes = wire.storage(&room.rest()).await.record_usage(&records).await.unwrap();
    assert_eq!((kinds(&outcomes), wire.calls("TransactWriteItems")), ("a".repeat(100), 4));
    let found = storage.repriceable(&RepriceFilter::default(), None, 1_000).await.unwrap();
    assert_eq!(found.len(), 100);
    for (on, requests) in [("2026-01-22", 50), ("2026-01-23", 50)] {
        storage.consolidate(acme(), day(on)).await.unwrap();
        assert_eq!(requests_on(&storage, day(on)).await, requests);
    }
}

#[tokio::test]
async fn reads_that_are_done_in_part_are_finished() {
    let room = Room::new();
    room.storage().await;
    let wire = Wire::to(&room.rest()).await;
    let storage = wire.storage(&room.rest()).await;
    let records: Vec<_> = (0..20).map(|n| unpriced(usage("shop", n))).collect();
    storage.record_usage(&records).await.unwrap();
    wire.read_one_of_a_batch(3);
    assert_eq!(storage.repriceable(&RepriceFilter::default(), None, 100).await.unwrap(), records);
    wire.read_one_of_a_batch(3);
    let reprices: Vec<_> = records.iter().map(|record| correction(record, &priced(5))).collect();
    let outcomes = storage.reprice_usage(&reprices, noon()).await.unwrap();
    assert_eq!(outcomes, vec![RepriceOutcome::Applied; 20]);
    assert!(wire.is_through());
}

#[tokio::test]
async fn totals_that_cannot_be_read_do_not_turn_what_was_recorded_into_an_error() {
    let room = Room::new();
    room.storage().await;
    let wire = Wire::to(&room.rest()).await;
    let storage = wire.storage(&room.rest()).await;
    wire.fail("BatchGetItem", 4);
    assert_eq!(kinds(&storage.record_usage(&[usage("shop", 1)]).await.unwrap()), "a");
    assert!(wire.is_through());
    assert_eq!(kinds(&storage.record_usage(&[usage("shop", 1)]).await.unwrap()), "d");
}

#[tokio::test]
async fn an_expired_dedup_record_counts_as_gone() {
    let room = Room::new();
    let storage = room.storage().await;
    let first = unpriced(usage("shop", 1));
    storage.record_usage(std::slice::from_ref(&first)).await.unwrap();
    let later = |days: i64, millis: i64| UsageRecord {
        recorded_at: noon_plus(days * DAY_MILLIS + millis),
        day: day("2026-02-27"),
        ..usage("shop", 1)
    };
    assert_eq!(kinds(&storage.record_usage(&[later(35, -1_000)]).await.unwrap()), "d");
    let second = later(35, 1_000);
    assert_eq!(kinds(&storage.record_usage(std::slice::from_ref(&second)).await.unwrap()), "a");
    assert_eq!(storage.usage(acme(), &app_id("shop"), first.request_id).await.unwrap(), Some(second));
    // Its pointer is no way to the record that took its key.
    assert_eq!(storage.repriceable(&RepriceFilter::default(), None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_retention_forgets_is_gone_at_once() {
    let room = Room::new();
    let storage = room.storage().await;
    let first = unpriced(usage("shop", 1));
    storage.record_usage(std::slice::from_ref(&first)).await.unwrap();
    storage.consolidate(acme(), today()).await.unwrap();
    let long_ago = Timestamp::UNIX_EPOCH;
    let totals_before = day("0001-01-01");
    let keep = Retention { now: long_ago, usage_before: noon_plus(1), totals_before, audit_before: long_ago };
    assert_eq!(storage.purge(&keep, 100).await.unwrap(), 0);
    assert_eq!(storage.usage(acme(), &app_id("shop"), first.request_id).await.unwrap(), None);
    assert_eq!(storage.repriceable(&RepriceFilter::default(), None, 10).await.unwrap(), []);
    let reprice = correction(&first, &priced(5));
    let outcomes = storage.reprice_usage(std::slice::from_ref(&reprice), noon_plus(1)).await.unwrap();
    assert_eq!(outcomes, [RepriceOutcome::Gone]);
    let again = UsageRecord { recorded_at: noon_plus(1), ..first };
    assert_eq!(kinds(&storage.record_usage(&[again]).await.unwrap()), "a");
    assert_eq!(requests_on(&storage, today()).await, 1);
    storage.purge(&Retention { totals_before: day("2026-01-24"), ..keep }, 100).await.unwrap();
    assert_eq!(requests_on(&storage, today()).await, 0);
}

#[tokio::test]
async fn a_consolidator_that_was_overtaken_takes_nothing_back() {
    let room = Room::new();
    let quick = room.storage().await;
    let wire = Wire::to(&room.rest()).await;
    let slow = Arc::new(wire.storage(&room.rest()).await);
    quick.record_usage(&[in_shard(1, 0)]).await.unwrap();
    let mut held = wire.hold("UpdateItem", "2026-01##premium");
    let overtaken = tokio::spawn({
        let slow = Arc::clone(&slow);
        async move { slow.consolidate(acme(), today()).await.unwrap() }
    });
    // It has read one submission, and is about to write that.
    held.arrived().await;
    quick.record_usage(&[in_shard(2, 1)]).await.unwrap();
    assert!(quick.consolidate(acme(), today()).await.unwrap());
    held.release();
    overtaken.await.unwrap();
    assert_eq!(requests_on(&quick, today()).await, 2);
    assert!(!slow.consolidate(acme(), today()).await.unwrap());
}

#[tokio::test]
async fn consolidators_that_each_saw_what_the_other_did_not_lose_nothing() {
    let room = Room::new();
    let writer = room.storage().await;
    let (one_wire, two_wire) = (Wire::to(&room.rest()).await, Wire::to(&room.rest()).await);
    let one = one_wire.storage(&room.rest()).await;
    let two = two_wire.storage(&room.rest()).await;
    let partition = |shard: u8| format!("{}#2026-01-23#{shard:02}", acme());
    // One reads the first shard and is held back before the second.
    let mut second_shard = one_wire.hold("Query", &partition(1));
    let one = tokio::spawn(async move { one.consolidate(acme(), today()).await.unwrap() });
    second_shard.arrived().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // So it misses this; the other one begins afterwards, reads it, and is held back before it writes.
    writer.record_usage(&[in_shard(1, 0)]).await.unwrap();
    let mut write = two_wire.hold("UpdateItem", "2026-01##premium");
    let two = tokio::spawn(async move { two.consolidate(acme(), today()).await.unwrap() });
    write.arrived().await;
    // The first one sees more than it: two submissions that came later.
    writer.record_usage(&[in_shard(2, 1)]).await.unwrap();
    writer.record_usage(&[in_shard(3, 1)]).await.unwrap();
    second_shard.release();
    one.await.unwrap();
    assert_eq!(requests_on(&writer, today()).await, 2);
    write.release();
    two.await.unwrap();
    assert_eq!(requests_on(&writer, today()).await, 3, "what was recorded before the second one began is in");
}

#[tokio::test]
async fn a_day_that_is_over_is_brought_up_to_date_when_something_comes_late() {
    let room = Room::new();
    let storage = room.storage().await;
    let yesterday = day("2026-01-22");
    storage.record_usage(&[usage_on("shop", 1, "2026-01-22")]).await.unwrap();
    assert!(storage.consolidate(acme(), yesterday).await.unwrap());
    storage.record_usage(&[usage_on("shop", 2, "2026-01-22"), usage("shop", 3)]).await.unwrap();
    assert!(storage.consolidate(acme(), yesterday).await.unwrap());
    assert_eq!((requests_on(&storage, yesterday).await, requests_on(&storage, today()).await), (2, 0));
}

#[tokio::test]
async fn a_correction_that_could_not_be_added_up_is_found_by_its_mark() {
    let room = Room::new();
    let leader = room.storage().await;
    let wire = Wire::to(&room.rest()).await;
    let storage = wire.storage(&room.rest()).await;
    let old = day("2026-01-02");
    let record = unpriced(usage_on("shop", 1, "2026-01-02"));
    storage.record_usage(std::slice::from_ref(&record)).await.unwrap();
    storage.consolidate(acme(), old).await.unwrap();
    // Every attempt for both totals.
    wire.fail("UpdateItem", 8);
    let outcomes = storage.reprice_usage(&[correction(&record, &priced(7))], noon()).await.unwrap();
    assert_eq!(outcomes, [RepriceOutcome::Applied]);
    let cost = async || leader.totals(&org_scope(), old).await.unwrap()[&label("premium")].day.cost.get();
    assert_eq!(cost().await, 0);
    assert_eq!(leader.unconsolidated(10).await.unwrap(), [(acme(), old)]);
    assert!(leader.consolidate(acme(), old).await.unwrap());
    assert_eq!((cost().await, leader.unconsolidated(10).await.unwrap()), (7, vec![]));
}

#[tokio::test]
async fn a_mark_is_removed_only_by_who_saw_it() {
    let room = Room::new();
    let [here, there] = [room.storage().await, room.storage().await];
    let records = [unpriced(usage("shop", 1)), unpriced(usage("shop", 2))];
    here.record_usage(&records).await.unwrap();
    here.reprice_usage(&[correction(&records[0], &priced(1))], noon()).await.unwrap();
    assert_eq!(there.unconsolidated(10).await.unwrap().len(), 1);
    here.reprice_usage(&[correction(&records[1], &priced(1))], noon()).await.unwrap();
    there.consolidate(acme(), today()).await.unwrap();
    assert_eq!(here.unconsolidated(10).await.unwrap().len(), 1, "of the second correction");
    here.consolidate(acme(), today()).await.unwrap();
    assert_eq!(here.unconsolidated(10).await.unwrap(), []);
}

#[tokio::test]
async fn an_organization_with_more_shards_than_in_its_former_life_is_added_up_whole() {
    let room = Room::new();
    let storage = room.storage().await;
    let with_shards = |shards| {
        let mut org = org(acme());
        org.config.agg_shard_count = shards;
        org
    };
    storage.create_org(&with_shards(8), &client(org_scope(), 1)).await.unwrap();
    storage.record_usage(&[in_shard(1, 7)]).await.unwrap();
    storage.consolidate(acme(), today()).await.unwrap();
    storage.delete_org(acme()).await.unwrap();
    storage.create_org(&with_shards(16), &client(org_scope(), 2)).await.unwrap();
    storage.record_usage(&[in_shard(2, 15)]).await.unwrap();
    assert!(storage.consolidate(acme(), today()).await.unwrap());
    assert_eq!(requests_on(&storage, today()).await, 2);
    storage.delete_org(acme()).await.unwrap();
    storage.create_org(&with_shards(8), &client(org_scope(), 3)).await.unwrap();
    storage.record_usage(&[in_shard(3, 0)]).await.unwrap();
    storage.consolidate(acme(), today()).await.unwrap();
    assert_eq!(requests_on(&storage, today()).await, 3);
}

#[tokio::test]
async fn counters_that_expired_take_nothing_from_totals() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.record_usage(&[usage("shop", 1), usage("shop", 2)]).await.unwrap();
    storage.consolidate(acme(), today()).await.unwrap();
    let counters = room.name(Table::Counters);
    for (pk, sk) in room.keys(Table::Counters).await {
        room.shell().delete_item().table_name(&counters).set_key(Some(key(&pk, &sk))).send().await.unwrap();
    }
    for instance in [&storage, &room.storage().await] {
        assert!(!instance.consolidate(acme(), today()).await.unwrap());
        assert_eq!(requests_on(instance, today()).await, 2);
    }
    // And no import can be added to what is no longer there to be added up.
    let counters = Counters { requests: 5, ..Counters::default() };
    let total = |app: &str, of: &str| DailyTotal {
        day: today(),
        app_id: Some(app_id(app)),
        model_label: label(of),
        counters,
        updated_at: noon(),
    };
    let imported = storage.import_totals(acme(), &[total("shop", "premium")]).await.unwrap();
    assert_eq!(imported, [TotalImport::Present]);
    let refused = storage.import_totals(acme(), &[total("blog", "premium")]).await.unwrap_err();
    assert!(matches!(&refused, StorageError::Backend(text) if text.contains("2026-01-23")), "{refused}");
    let imported = storage.import_totals(acme(), &[total("blog", "economy")]).await.unwrap();
    assert_eq!(imported, [TotalImport::Imported]);
    assert_eq!(requests_on(&storage, today()).await, 7);
}

#[tokio::test]
async fn what_is_stored_lives_as_long_as_it_is_needed() {
    let room = Room::new();
    let options = DynamoDbOptions { usage_days: 2, totals_days: 3, ..DynamoDbOptions::default() };
    let storage = DynamoDbStorage::open(&room.rest(), &options).await.unwrap();
    storage.migrate().await.unwrap();
    storage.record_usage(&[unpriced(usage("shop", 1))]).await.unwrap();
    storage.consolidate(acme(), today()).await.unwrap();
    let expires = async |table: Table| {
        let items = room.shell().scan().table_name(room.name(table)).send().await.unwrap().items.unwrap();
        let of_item = |item: &std::collections::HashMap<String, AttributeValue>| match &item["expires"] {
            AttributeValue::N(seconds) => Timestamp::from_second(seconds.parse().unwrap()).unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        let mut expires: Vec<_> = items.iter().map(of_item).collect();
        expires.dedup();
        expires
    };
    // Record and pointer; seconds are rounded up.
    assert_eq!(expires(Table::Usage).await, ["2026-01-25T12:00:01Z"]);
    // Eight days longer, so that every record of the day can be corrected while it lives.
    assert_eq!(expires(Table::Counters).await, ["2026-02-02T12:00:01Z"]);
    // After the month has ended everywhere.
    assert_eq!(expires(Table::Totals).await, ["2026-02-05T00:00:00Z"]);
}

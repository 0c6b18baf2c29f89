//! What the DynamoDB store consumes. Cost is a feature: these are the figures the documentation computes prices from.
//!
//! Reads and single writes are taken as DynamoDB Local reports them, which follows the documented rules. Two things it
//! reports wrongly, and they are computed by those rules instead: a transaction (it says the same for one step as for
//! a hundred), and items that are not there (it says nothing; they cost as much as the smallest item).

use std::collections::BTreeMap;
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::audit::{AuditActor, AuditEvent};
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::domain::money::{CostDrift, PicoUsd};
use bedrock_cost_keeper::domain::usage::{Counters, UsageRecord};
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{
    AuditTrail, Consolidation, Credentials, DailyTotal, Fallbacks, Moving, RecordOutcome, Repricing, Tenants,
    TotalImport, UsageLedger,
};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::audit::{event, largest};
use super::dynamodb::{Item, Room, key};
use super::repricing::{correction, priced, unpriced};
use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, label, noon, noon_plus, org, org_scope, state, usage, usage_of,
};

/// Bytes of an item as DynamoDB counts them: names and values; a number has a byte for two digits and one more.
fn bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + bytes_of(value)).sum()
}

fn bytes_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => {
            number.trim_start_matches('-').len().div_ceil(2) + 1 + usize::from(number.starts_with('-'))
        }
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::Bool(_) => 1,
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + bytes_of(value)).sum::<usize>(),
        other => panic!("nothing of ours is {other:?}"),
    }
}

/// Write units of an item in a transaction: one for each begun kilobyte, twice.
fn transaction_units(bytes: usize) -> u64 {
    2 * bytes.div_ceil(1_024) as u64
}

/// Counters by key: how often each was written, and its size.
type Written = BTreeMap<(String, String), (u64, usize)>;

/// A store whose consumption is watched.
struct Watched {
    room: Room,
    storage: DynamoDbStorage,
}

impl Watched {
    async fn new() -> Self {
        let room = Room::new();
        let storage = room.storage().await;
        storage.create_org(&org_with_shards(8), &client(org_scope(), 1)).await.unwrap();
        storage.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
        Self { room, storage }
    }

    async fn scan(&self, table: Table) -> Vec<Item> {
        let pages = self.room.shell().scan().table_name(self.room.name(table)).into_paginator().items().send();
        pages.collect::<Result<_, _>>().await.unwrap()
    }

    async fn item(&self, table: Table, pk: &str, sk: &str) -> Item {
        let call = self.room.shell().get_item().table_name(self.room.name(table)).set_key(Some(key(pk, sk)));
        call.send().await.unwrap().item.unwrap()
    }

    /// How often each counter was written: that is what its version counts.
    async fn counters(&self) -> Written {
        let text = |item: &Item, name: &str| item[name].as_s().unwrap().clone();
        let items = self.scan(Table::Counters).await;
        let counters = items.iter().filter(|item| item.contains_key("v"));
        let written = counters.map(|item| {
            let version = item["v"].as_n().unwrap().parse().unwrap();
            ((text(item, "pk"), text(item, "sk")), (version, bytes(item)))
        });
        written.collect()
    }

    /// Write units of recording submissions that are new, and read units in tenths.
    async fn record(&self, records: &[UsageRecord]) -> (u64, u64) {
        let (before, reads) = (self.counters().await, self.reads());
        let outcomes = self.storage.record_usage(records).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))));
        let mut units = counted(&before, &self.counters().await);
        for record in records {
            let pk = format!("U#{}#{}#{}", record.org_id, record.app_id, record.request_id);
            units += transaction_units(bytes(&self.item(Table::Usage, &pk, "U").await));
            if record.is_repriceable() {
                units += transaction_units(1);
            }
        }
        (units, self.reads() - reads)
    }

    fn reads(&self) -> u64 {
        self.storage.consumed_capacity().read_tenths()
    }

    fn writes(&self) -> u64 {
        self.storage.consumed_capacity().write_tenths()
    }
}

/// Write units of counters between two looks.
fn counted(before: &Written, after: &Written) -> u64 {
    let written = after.iter().map(|(key, (version, bytes))| {
        let earlier = before.get(key).map_or(0, |(version, _)| *version);
        (version - earlier) * transaction_units(*bytes)
    });
    written.sum()
}

fn org_with_shards(shards: u8) -> bedrock_cost_keeper::domain::tenant::Org {
    let mut org = org(acme());
    org.config.agg_shard_count = shards;
    org
}

/// Submissions of one key, with ids and names as long as they usually are.
fn submissions(range: std::ops::Range<u128>) -> Vec<UsageRecord> {
    let submission = |n: u128| UsageRecord {
        request_id: crate::support::samples::request_id((0xac3e << 112) + n * 0x1_0001_0001_0001),
        shard_id: u8::try_from(n % 8).unwrap(),
        calling_region: Some("eu-central-1".to_owned()),
        ..usage("customer-support-chat", n)
    };
    range.map(submission).collect()
}

/// Read units of the same key's totals, as they are read for the outcomes: twice half a unit, also where they are not
/// there.
const OUTCOME_READS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_costs_the_same_first_and_after_twenty_thousand() {
    let watched = Watched::new().await;
    let measure = async |from: u128| {
        let lone = watched.record(&submissions(from..from + 1)).await;
        let batch = watched.record(&submissions(from + 1..from + 26)).await;
        let large = watched.record(&submissions(from + 26..from + 126)).await;
        (lone, batch, large)
    };
    let (lone, batch, large) = measure(0).await;
    println!("write units: {} for one, {} for 25, {} for 100", lone.0, batch.0, large.0);
    assert_eq!(lone.0, 4, "at most 4.5");
    assert_eq!(batch.0, 25 * 2 + 2, "at most 2.2 a submission");
    assert_eq!(large.0, 100 * 2 + 2 * 2, "two transactions");

    let started = Instant::now();
    let rest = submissions(1_000..21_000);
    for group in rest.chunks(400) {
        let calls = group.chunks(100).map(|batch| watched.storage.record_usage(batch));
        join_all(calls).await.into_iter().for_each(|outcomes| assert_eq!(outcomes.unwrap().len(), 100));
    }
    watched.storage.consolidate(acme(), day("2026-01-23")).await.unwrap();
    println!("20,000 submissions in {} ms", started.elapsed().as_millis());

    let again = measure(30_000).await;
    assert_eq!((again.0.0, again.1.0, again.2.0), (lone.0, batch.0, large.0));
    // Now that totals are there, what is reported for reading them is what it costs.
    assert_eq!((again.0.1, again.1.1, again.2.1), (OUTCOME_READS, OUTCOME_READS, OUTCOME_READS));

    let records = watched.scan(Table::Usage).await;
    let sizes: Vec<usize> = records.iter().map(bytes).collect();
    println!("a record has {} to {} bytes", sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(sizes.iter().all(|size| *size < 600), "{:?}", sizes.iter().max());
    let counters = watched.counters().await;
    assert!(counters.len() <= 8 && counters.values().all(|(_, size)| *size < 400), "{counters:?}");
    let all = sizes.iter().map(|size| transaction_units(*size)).sum::<u64>() + counted(&Written::new(), &counters);
    let n = records.len() as u64;
    assert_eq!(n, 20_252);
    assert!(all * 10 <= n * 22, "{all} write units for {n} submissions");
}

#[tokio::test]
async fn the_longest_names_stay_within_a_kilobyte() {
    let watched = Watched::new().await;
    let mut record = unpriced(usage(&"a".repeat(64), 1));
    record.model_label = label(&"l".repeat(50));
    record.pricing.version = Some("v".repeat(40));
    record.pricing.model_id =
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:application-inference-profile/a1b2c3d4e5f6".to_owned();
    record.calling_region = Some("us-gov-west-1".to_owned());
    let most = i64::MAX.unsigned_abs();
    record.tokens.input = most;
    record.tokens.output = most;
    // Record, pointer and counter.
    assert_eq!(watched.record(&[record]).await.0, 6);
}

#[tokio::test]
async fn what_has_no_price_costs_a_pointer_more() {
    let watched = Watched::new().await;
    let records: Vec<_> = submissions(0..25).into_iter().map(unpriced).collect();
    assert_eq!(watched.record(&records).await.0, 25 * 4 + 2);
    // A correction writes its record and takes its pointer away; one counter and one mark serve a group of them.
    let before = watched.counters().await;
    let reprices: Vec<_> = records.iter().take(20).map(|record| correction(record, &priced(5))).collect();
    watched.storage.reprice_usage(&reprices, noon()).await.unwrap();
    assert_eq!(counted(&before, &watched.counters().await), 2);
}

/// The totals of a label in a month in which every day was busy.
fn busy_month(app: &str, of: &str) -> Vec<DailyTotal> {
    let total = |n: u64| DailyTotal {
        day: day(&format!("2026-01-{n:02}")),
        app_id: Some(app_id(app)),
        model_label: label(of),
        counters: Counters {
            // Some thousand dollars.
            cost: PicoUsd::new(4_567_123_456_789_012 + u128::from(n)),
            drift: CostDrift::new(-12_345_678_901),
            requests: 864_000 + n,
            errors: 8_640,
            unpriced_requests: 123,
            input_tokens: 1_234_567_890 + n,
            output_tokens: 234_567_890,
            cache_read_input_tokens: 3_456_789_012,
            cache_write_input_tokens: 345_678_901,
        },
        updated_at: noon_plus(i64::try_from(n).unwrap()),
    };
    (1..=31).map(total).collect()
}

#[tokio::test]
async fn a_selection_costs_at_most_one_read_unit_a_label_also_at_the_end_of_a_month() {
    let watched = Watched::new().await;
    let today = day("2026-01-31");
    let labels = ["economy", "premium", "standard", "visionary"];
    for (n, of) in labels.iter().enumerate() {
        let imported = watched.storage.import_totals(acme(), &busy_month("shop", of)).await.unwrap();
        assert!(imported.iter().all(|outcome| *outcome == TotalImport::Imported));
        // States of days before, not deleted yet, are not read.
        for on in 28..=31 {
            for scope in [org_scope(), app_scope("shop")] {
                let on = day(&format!("2026-01-{on}"));
                watched.storage.clear_fallback(&scope, on).await.unwrap();
                watched.storage.swap_fallback(&scope, on, &state("economy", 1), noon_plus(1)).await.unwrap();
            }
        }
        for scope in [org_scope(), app_scope("shop")] {
            let before = watched.reads();
            let selection = watched.storage.selection_state(&scope, today).await.unwrap();
            let tenths = watched.reads() - before;
            assert!(selection.totals.len() == n + 1 && selection.fallback.is_some());
            println!("{} labels: {tenths} tenths of a read unit", n + 1);
            assert!(tenths <= 10 * (n as u64 + 1), "{tenths} tenths for {} labels", n + 1);
        }
    }
    let sizes: Vec<usize> = watched.scan(Table::Totals).await.iter().map(bytes).filter(|size| *size > 1_000).collect();
    println!("the totals of a busy label and month have {} bytes", sizes.iter().max().unwrap());
    assert!(sizes.iter().all(|size| *size < 3_600), "{sizes:?}");
}

#[tokio::test]
async fn a_token_check_costs_at_most_four_read_units() {
    let watched = Watched::new().await;
    for (scope, keys) in [(org_scope(), 3), (app_scope("shop"), 4)] {
        let before = watched.reads();
        let state = watched.storage.token_state(&ClientId::of(scope), Uuid::from_u128(1), Uuid::from_u128(2)).await;
        assert!(state.unwrap().token_epoch.is_some());
        // Two revocations are not there, and cost as much as if they were.
        let tenths = watched.reads() - before + 2 * 10;
        assert_eq!(tenths, keys * 10);
    }
}

#[tokio::test]
async fn a_consolidation_reads_every_shard_and_writes_what_changed() {
    let watched = Watched::new().await;
    let today = day("2026-01-23");
    let pass = async || {
        let (reads, writes) = (watched.reads(), watched.writes());
        let changed = watched.storage.consolidate(acme(), today).await.unwrap();
        (changed, watched.reads() - reads, watched.writes() - writes)
    };
    // Nothing was ever recorded. Reported is the shard count; eight empty shards cost as much as full ones.
    pass().await;
    assert_eq!(pass().await, (false, 10, 0));
    // Two labels in every shard.
    let records: Vec<_> = (0..16)
        .map(|n| UsageRecord {
            shard_id: u8::try_from(n / 2).unwrap(),
            ..usage_of("shop", n, ["a", "b"][n as usize % 2])
        })
        .collect();
    for record in &records {
        watched.storage.record_usage(std::slice::from_ref(record)).await.unwrap();
    }
    // The shard count and eight shards; two labels of an application and of its organization.
    assert_eq!(pass().await, (true, 90, 40));
    assert_eq!(pass().await, (false, 90, 0));
    watched.storage.record_usage(&[usage_of("shop", 100, "a")]).await.unwrap();
    assert_eq!(pass().await, (true, 90, 20));
}

#[tokio::test]
async fn an_update_of_a_full_month_costs_three_write_units() {
    let watched = Watched::new().await;
    watched.storage.import_totals(acme(), &busy_month("shop", "premium")).await.unwrap();
    let record = UsageRecord { day: day("2026-01-31"), ..usage("shop", 1) };
    watched.storage.record_usage(&[record]).await.unwrap();
    let before = watched.writes();
    watched.storage.consolidate(acme(), day("2026-01-31")).await.unwrap();
    assert_eq!(watched.writes() - before, 2 * 30);
}

#[tokio::test]
async fn an_event_of_the_audit_trail_costs_its_two_copies_and_a_page_what_it_reads() {
    let watched = Watched::new().await;
    let usual = AuditEvent {
        actor: AuditActor::Client(ClientId::of(org_scope())),
        target: Some(app_scope("customer-support-chat")),
        before: Some(json!({ "quotas": { "premium": 10_000_000, "standard": 5_000_000 } })),
        after: Some(json!({ "quotas": { "premium": 20_000_000, "standard": 5_000_000 } })),
        request_id: Uuid::from_u128(u128::MAX).to_string(),
        address: Some("2001:db8::1234:5678:9abc:def0".parse().unwrap()),
        ..event(0, u128::MAX)
    };
    // A login that was refused and a change of a configuration; then as large as one can be.
    let refused = AuditEvent { target: None, ..event(1, 1) };
    for (event, units) in [(refused, 2), (usual, 4), (largest(2), 132)] {
        watched.storage.append_audit(&event).await.unwrap();
        let copies = watched.scan(Table::Config).await.into_iter().filter(|item| {
            let [pk, sk] = ["pk", "sk"].map(|name| item[name].as_s().unwrap());
            pk.starts_with("AUDIT") && sk.ends_with(&event.position.id.to_string())
        });
        // The usual one and the largest one have the same id, but not the same instant.
        let instant = format!("{:.3}", event.position.at);
        let sizes: Vec<_> =
            copies.filter(|item| item["sk"].as_s().unwrap().starts_with(&instant)).map(|item| bytes(&item)).collect();
        println!("an event of the audit trail: {sizes:?} bytes");
        assert_eq!(sizes.len(), if event.target.is_some() { 2 } else { 1 });
        assert_eq!(sizes.into_iter().map(transaction_units).sum::<u64>(), units);
    }
    // A page of fifty usual events.
    for n in 0..50 {
        watched.storage.append_audit(&event(1_000, n)).await.unwrap();
    }
    let before = watched.reads();
    assert_eq!(watched.storage.audit_events(Some(acme()), None, 50).await.unwrap().len(), 50);
    let tenths = watched.reads() - before;
    println!("a page of fifty events: {tenths} tenths of a read unit");
    assert!(tenths <= 40, "{tenths} tenths");
}

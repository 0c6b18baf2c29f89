#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use sqlx::{AssertSqlSafe, QueryBuilder, Row, Sqlite};

use super::audit::{EVENTS_OF_ORG, EVERY_EVENT, SETTLE};
use super::maintenance::{
    PURGE_AUDIT, PURGE_DAYS, PURGE_FALLBACKS, PURGE_MONTHS, PURGE_REVOCATIONS, PURGE_SECRETS, PURGE_USAGE,
};
use super::profiles::{COMMON_PROFILES, PROFILES_OF_APP};
use super::repricing::{EVERY_ORG, ONE_ORG};
use super::totals::{EVERY_APP, ONE_SCOPE};
use super::{SqliteStorage, ledger};
use crate::domain::audit::{AuditAction, AuditActor, AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::{OrgId, RequestId, Scope};
use crate::domain::money::PicoUsd;
use crate::domain::pricing::{Latency, PricingStatus, ServiceTier};
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{CallStatus, CostSource, RecordPricing, UsageRecord};
use crate::storage::contract::{AuditTrail, Maintenance, UsageLedger};
use crate::storage::sql::migrate;

async fn storage(directory: &Path) -> SqliteStorage {
    let storage = SqliteStorage::open(&directory.join("keeper.db")).await.unwrap();
    storage.migrate().await.unwrap();
    storage
}

fn record(n: u128) -> UsageRecord {
    UsageRecord {
        org_id: OrgId(uuid::Uuid::nil()),
        app_id: "shop".parse().unwrap(),
        request_id: RequestId(uuid::Uuid::from_u128(n)),
        fingerprint: [0; 32],
        model_label: "premium".parse().unwrap(),
        day: "2026-01-23".parse().unwrap(),
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        recorded_at: jiff::Timestamp::UNIX_EPOCH,
        status: CallStatus::Ok,
        cost_source: CostSource::Server,
        cost: PicoUsd::new(1),
        server_cost: None,
        tokens: TokenCounts::default(),
        cache_ttl_assumed: false,
        pricing: RecordPricing {
            status: PricingStatus::Priced,
            source: None,
            version: None,
            model_id: "x".repeat(1_000),
        },
        calling_region: None,
        service_tier: ServiceTier::Default,
        latency: Latency::Standard,
        shard_id: 0,
    }
}

/// How SQLite carries out a statement, step by step.
async fn plan(storage: &SqliteStorage, sql: &str) -> Vec<String> {
    let mut connection = storage.writer.acquire().await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut *connection).await;
    rows.unwrap().iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    let keyed = |sql: &str, columns: usize| {
        let mut query = QueryBuilder::<Sqlite>::new(sql);
        query.push_values(0..64, |mut row, _| {
            for _ in 0..columns {
                row.push_bind(0_i64);
            }
        });
        query.push(")");
        query.into_string()
    };
    let statements = [
        PURGE_USAGE.to_owned(),
        PURGE_DAYS.to_owned(),
        PURGE_MONTHS.to_owned(),
        PURGE_AUDIT.to_owned(),
        PURGE_REVOCATIONS.to_owned(),
        PURGE_SECRETS.to_owned(),
        PURGE_FALLBACKS.to_owned(),
        SETTLE.to_owned(),
        EVERY_APP.to_owned(),
        PROFILES_OF_APP.to_owned(),
        COMMON_PROFILES.to_owned(),
        ONE_SCOPE.to_owned(),
        ONE_ORG.to_owned(),
        EVERY_ORG.to_owned(),
        keyed(ledger::STORED, 3),
        keyed(ledger::DAILY.select, 4),
        keyed(ledger::MONTHLY.select, 4),
    ];
    for sql in statements {
        for step in plan(&storage, &sql).await {
            let harmless = ["SCAN days", "SCAN 64-ROW VALUES CLAUSE", "SCAN 64 CONSTANT ROWS", "SCAN CONSTANT ROW"];
            assert!(!step.starts_with("SCAN") || harmless.contains(&step.as_str()), "{step}\n{sql}");
        }
    }
}

#[tokio::test]
async fn a_page_of_every_application_needs_no_sorting() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    let steps = plan(&storage, EVERY_APP).await;
    assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
}

#[tokio::test]
async fn a_page_of_repriceable_records_starts_at_its_position_and_needs_no_sorting() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    let start = "(day,app_id,request_id)>(?,?,?)";
    for (sql, expected) in [
        (ONE_ORG, format!("org_id=? AND {start} AND day<?")),
        (EVERY_ORG, "(org_id,day,app_id,request_id)>(?,?,?,?)".to_owned()),
    ] {
        let steps = plan(&storage, sql).await;
        let [step] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(*step, format!("SEARCH usage_records USING INDEX usage_records_repriceable ({expected})"));
    }
}

#[tokio::test]
async fn a_page_of_the_audit_trail_starts_at_its_position_and_needs_no_sorting() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    for (sql, expected) in [
        (EVERY_EVENT, "sqlite_autoindex_audit_events_1 ((at,id)<(?,?))"),
        (EVENTS_OF_ORG, "audit_events_by_org (org_id=? AND (at,id)<(?,?))"),
    ] {
        assert_eq!(plan(&storage, sql).await, [format!("SEARCH audit_events USING INDEX {expected}")]);
    }
}

/// An upgrade keeps what is there and begins a trail.
#[tokio::test]
async fn a_store_from_before_the_audit_trail_has_one_after_its_migration() {
    let directory = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&directory.path().join("keeper.db")).await.unwrap();
    let before = migrate::sqlite::runner().set_target(refinery::Target::Version(4));
    let mut transaction = storage.write().await.unwrap();
    assert_eq!(migrate::sqlite::run(&mut transaction, &before).await.unwrap(), 4);
    transaction.commit().await.unwrap();
    storage.record_usage(&[record(1)]).await.unwrap();
    assert!(storage.audit_events(None, None, 1).await.is_err());
    assert_eq!(storage.migrate().await.unwrap(), 1);
    assert_eq!(storage.audit_events(None, None, 1).await.unwrap(), []);
    let event = AuditEvent {
        position: AuditPosition { at: jiff::Timestamp::UNIX_EPOCH, id: uuid::Uuid::nil() },
        actor: AuditActor::Operator,
        action: AuditAction::UsageRepriced,
        outcome: AuditOutcome::Succeeded,
        target: None,
        subject: None,
        before: None,
        after: None,
        request_id: "r".to_owned(),
        address: None,
    };
    storage.append_audit(&event).await.unwrap();
    assert_eq!(storage.audit_events(None, None, 2).await.unwrap(), [event]);
    assert!(storage.usage(record(1).org_id, &record(1).app_id, record(1).request_id).await.unwrap().is_some());
}

/// An upgrade meets records of which nobody noted whether the time to live of their cache writes was reported.
#[tokio::test]
async fn of_older_repriceable_records_with_cache_writes_the_time_to_live_counts_as_assumed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&directory.path().join("keeper.db")).await.unwrap();
    let before = migrate::sqlite::runner().set_target(refinery::Target::Version(3));
    let mut transaction = storage.write().await.unwrap();
    migrate::sqlite::run(&mut transaction, &before).await.unwrap();
    for (n, (status, written)) in [("PRICED", 5), ("ESTIMATED", 5), ("UNPRICED", 5), ("UNPRICED", 0)].iter().enumerate()
    {
        sqlx::query(
            "INSERT INTO usage_records (org_id, app_id, request_id, fingerprint, model_label, day, timestamp, \
             recorded_at, status, cost_source, cost_micros, cost_residue, input_tokens, output_tokens, \
             cache_read_input_tokens, cache_write_input_tokens, cache_write_1h_tokens, pricing_status, model_id, \
             service_tier, latency, shard_id) VALUES (zeroblob(16), 'shop', ?1, zeroblob(32), 'premium', '2026-01-23', \
             0, 0, 'OK', 'SERVER', 0, 0, 1, 1, 0, ?2, 0, ?3, 'm', 'default', 'standard', 0)",
        )
        .bind(uuid::Uuid::from_u128(n as u128))
        .bind(written)
        .bind(status)
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
    storage.migrate().await.unwrap();
    for (n, assumed) in [false, true, true, false].into_iter().enumerate() {
        let record = storage.usage(record(0).org_id, &record(0).app_id, record(n as u128).request_id).await.unwrap();
        assert_eq!(record.unwrap().cache_ttl_assumed, assumed, "{n}");
    }
}

/// Lets the file grow to so many pages.
async fn limit_pages(storage: &SqliteStorage, pages: i64) {
    // Belongs to the connection, of which there is one.
    let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::raw_sql(pragma).execute(&storage.writer).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_counts_nothing_and_is_overcome_when_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&storage.writer).await.unwrap();
    limit_pages(&storage, pages + 10).await;
    let records: Vec<_> = (0..200).map(record).collect();
    let error = storage.record_usage(&records).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let scope = Scope::org(record(0).org_id);
    assert!(storage.totals(&scope, record(0).day).await.unwrap().is_empty());
    limit_pages(&storage, pages + 10_000).await;
    storage.record_usage(&records).await.unwrap();
    let totals = storage.totals(&scope, record(0).day).await.unwrap();
    assert_eq!(totals.values().map(|spend| spend.day.requests).collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_does_not_block_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    // What an I/O error does: the driver still counts a transaction that is no more.
    let mut transaction = storage.write().await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut *transaction).await.unwrap();
    drop(transaction);
    storage.record_usage(&[record(1)]).await.unwrap();
    assert!(storage.usage(record(1).org_id, &record(1).app_id, record(1).request_id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reading_connection_refuses_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path()).await;
    let refused = sqlx::query("DELETE FROM usage_records").execute(&storage.readers).await;
    assert!(refused.is_err());
}

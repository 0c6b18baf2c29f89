//! The store's bare limit: the same rows and the same totals, in large batches, with nothing of the service around.

use std::path::Path;
use std::time::{Duration, Instant};

use bedrock_cost_keeper::storage::{StorageOptions, open};
use hdrhistogram::Histogram;
use sqlx::query_builder::QueryBuilder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, SqliteConnection};

use crate::generator::{histogram, note};

/// Records of a transaction: so many that its sync to disk hardly counts. And of a statement: as the service's own.
const TRANSACTION: usize = 2_048;
const STATEMENT: usize = 64;
/// Applications that share the totals.
const APPS: usize = 16;

/// What the store does alone.
pub(crate) struct Bare {
    records: u64,
    elapsed: Duration,
    /// Microseconds of commits of a single record.
    commits: Histogram<u64>,
}

impl Bare {
    pub(crate) fn per_sec(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn commit_p99_millis(&self) -> f64 {
        self.commits.value_at_quantile(0.99) as f64 / 1000.0
    }
}

/// A new SQLite file with the service's own schema and settings.
pub(crate) async fn sqlite(file: &Path, length: Duration) -> Bare {
    let storage = open::open(&format!("sqlite://{}", file.display()), &StorageOptions::default()).await.unwrap();
    storage.migrate().await.unwrap();
    storage.close().await;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();

    let mut commits = histogram();
    let until = Instant::now() + length / 4;
    while Instant::now() < until {
        let started = Instant::now();
        transaction(&mut connection, 1).await;
        note(&mut commits, started.elapsed());
    }
    let started = Instant::now();
    let mut records = 0;
    while started.elapsed() < length {
        transaction(&mut connection, TRANSACTION).await;
        records += TRANSACTION as u64;
    }
    let elapsed = started.elapsed();
    connection.close().await.unwrap();
    Bare { records, elapsed, commits }
}

async fn transaction(connection: &mut SqliteConnection, records: usize) {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for rows in (0..records).collect::<Vec<_>>().chunks(STATEMENT) {
        insert(&mut transaction, rows).await;
    }
    for app in 0..APPS.min(records) {
        for table in [DAY, MONTH] {
            for app in [app_id(app), String::new()] {
                sqlx::query(table).bind(ORG.as_slice()).bind(app).execute(&mut *transaction).await.unwrap();
            }
        }
    }
    transaction.commit().await.unwrap();
}

const ORG: [u8; 16] = [7; 16];

fn app_id(number: usize) -> String {
    format!("app-{}", number % APPS)
}

/// The columns of a usage record, as the service fills them.
async fn insert(connection: &mut SqliteConnection, rows: &[usize]) {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO usage_records (org_id, app_id, request_id, fingerprint, model_label, day, timestamp, \
         recorded_at, status, cost_source, cost_micros, cost_residue, server_cost_micros, server_cost_residue, \
         input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, cache_write_1h_tokens, \
         cache_ttl_assumed, pricing_status, price_source, price_version, model_id, calling_region, service_tier, \
         latency, shard_id) ",
    );
    query.push_values(rows, |mut row, number| {
        row.push_bind(ORG.as_slice())
            .push_bind(app_id(*number))
            .push_bind(fastrand::u128(..).to_be_bytes().to_vec())
            .push_bind([1_u8; 32].as_slice())
            .push_bind("premium")
            .push_bind("2026-01-23")
            .push_bind(1_769_182_245_000_i64)
            .push_bind(1_769_182_245_000_i64)
            .push_bind("OK")
            .push_bind("SERVER")
            .push_bind(3_760_i64)
            .push_bind(0_i64)
            .push_bind(Some(3_760_i64))
            .push_bind(Some(0_i64));
        for tokens in [1_500_i64, 800, 0, 0, 0, 0] {
            row.push_bind(tokens);
        }
        row.push_bind("PRICED")
            .push_bind(Some("CONFIG"))
            .push_bind(Some("2026-01-23"))
            .push_bind("amazon.nova-pro-v1:0")
            .push_bind(None::<&str>)
            .push_bind("default")
            .push_bind("standard")
            .push_bind(3_i64);
    });
    query.build().execute(connection).await.unwrap();
}

macro_rules! upsert {
    ($table:literal, $period:literal, $value:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (org_id, ",
            $period,
            ", app_id, model_label, cost_micros, cost_residue, \
             drift_micros, drift_residue, requests, errors, unpriced_requests, input_tokens, output_tokens, \
             cache_read_input_tokens, cache_write_input_tokens, updated_at) \
             VALUES (?1, '",
            $value,
            "', ?2, 'premium', 3760, 0, 0, 0, 1, 0, 0, 1500, 800, 0, 0, 1769182245000) \
             ON CONFLICT (org_id, ",
            $period,
            ", app_id, model_label) DO UPDATE SET \
             cost_micros = cost_micros + 3760, requests = requests + 1, input_tokens = input_tokens + 1500, \
             output_tokens = output_tokens + 800"
        )
    };
}

const DAY: &str = upsert!("daily_totals", "day", "2026-01-23");
const MONTH: &str = upsert!("monthly_totals", "month", "2026-01");

//! What only the PostgreSQL store promises.

mod amounts;
mod bounds;
mod costs;
mod doubt;
mod pooler;
mod races;
mod tls;

use std::time::Duration;

use bedrock_cost_keeper::storage::sql::PostgresStorage;
use bedrock_cost_keeper::storage::{
    AuditTrail, Maintenance, PostgresOptions, SchemaStatus, Storage, StorageError, StorageOptions, Tenants,
    UsageLedger, open,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use super::audit::event;
use crate::support::samples::{acme, client, org, org_scope, usage};
use crate::support::servers::postgres::FreshDatabase;

/// A database of a test, seen through the store and past it.
struct Database {
    database: FreshDatabase,
}

impl Database {
    async fn new() -> Self {
        Self { database: FreshDatabase::create().await }
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn unmigrated(&self) -> PostgresStorage {
        self.with(&PostgresOptions::default())
    }

    fn with(&self, options: &PostgresOptions) -> PostgresStorage {
        PostgresStorage::new(&self.url(), options).unwrap()
    }

    async fn storage(&self) -> PostgresStorage {
        let storage = self.unmigrated();
        storage.migrate().await.unwrap();
        storage
    }

    /// A connection that knows nothing of us, as a person's shell would be.
    async fn shell(&self) -> PgConnection {
        connect(&self.url()).await
    }
}

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(shell: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(shell).await.unwrap();
}

/// A number a query answers.
async fn number(shell: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(shell).await.unwrap()
}

/// Waits until a query answers this number.
async fn until(shell: &mut PgConnection, sql: &str, wanted: i64) {
    const PATIENCE: Duration = Duration::from_secs(20);
    let begin = tokio::time::Instant::now();
    loop {
        let found = number(shell, sql).await;
        if found == wanted {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{found} instead of {wanted}: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_used_and_left_alone() {
    let database = Database::new().await;
    database.storage().await.close().await;
    let mut shell = database.shell().await;
    run(
        &mut shell,
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (99, 'from_the_future', '2030-01-01T00:00:00Z', '1'); \
         ALTER TABLE usage_records ADD COLUMN from_the_future TEXT; CREATE TABLE also_new (x INT)",
    )
    .await;
    let storage = database.unmigrated();
    assert_eq!(storage.schema_status().await.unwrap(), SchemaStatus::Current);
    assert_eq!(storage.migrate().await.unwrap(), 0);
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(storage.usage(acme(), &usage("shop", 1).app_id, usage("shop", 1).request_id).await.unwrap().is_some());
    assert_eq!(number(&mut shell, "SELECT max(version)::bigint FROM refinery_schema_history").await, 99);
}

#[tokio::test]
async fn what_was_applied_with_another_text_is_refused() {
    let database = Database::new().await;
    let storage = database.storage().await;
    run(&mut database.shell().await, "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1").await;
    assert!(matches!(storage.schema_status().await, Err(StorageError::Corrupt(_))));
    assert!(matches!(storage.migrate().await, Err(StorageError::Corrupt(_))));
}

/// What the version before left: its schema, and data in it.
#[tokio::test]
async fn a_store_from_before_the_audit_trail_has_one_after_its_migration() {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    run(&mut database.shell().await, "DROP TABLE audit_events; DELETE FROM refinery_schema_history WHERE version >= 2")
        .await;
    assert!(matches!(storage.schema_status().await.unwrap(), SchemaStatus::Behind(_)));
    let error = storage.append_audit(&event(0, 1)).await.unwrap_err();
    assert!(matches!(&error, StorageError::Backend(text) if text.contains("migrate")), "{error}");
    assert_eq!(storage.migrate().await.unwrap(), 1);
    assert_eq!(storage.schema_status().await.unwrap(), SchemaStatus::Current);
    storage.append_audit(&event(0, 1)).await.unwrap();
    assert_eq!(storage.audit_events(None, None, 2).await.unwrap(), [event(0, 1)]);
    assert!(storage.usage(acme(), &usage("shop", 1).app_id, usage("shop", 1).request_id).await.unwrap().is_some());
}

#[tokio::test]
async fn looking_at_an_empty_store_creates_no_table() {
    let database = Database::new().await;
    let storage = database.unmigrated();
    assert!(matches!(storage.schema_status().await.unwrap(), SchemaStatus::Behind(_)));
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(number(&mut database.shell().await, tables).await, 0);
    // What needs a table says what to do.
    let error = storage.record_usage(&[usage("shop", 1)]).await.unwrap_err();
    assert!(matches!(&error, StorageError::Backend(text) if text.contains("migrate")), "{error}");
}

/// Text is compared by bytes, also on a server that orders it as people do.
#[tokio::test]
async fn every_text_that_is_compared_is_in_byte_order() {
    let database = Database::new().await;
    database.storage().await;
    let sql = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' \
         AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'";
    let mut loose: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut database.shell().await).await.unwrap();
    loose.sort();
    // Only read.
    assert_eq!(loose, ["inference_profiles.description", "price_cache.version"]);
}

#[tokio::test]
async fn what_cannot_be_read_back_is_corrupt_and_not_quoted() {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    run(&mut database.shell().await, "UPDATE orgs SET config = '{\"org_name\": \"hush\", \"timezone\": 5}'").await;
    let error = storage.tenant(&org_scope()).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt(text) if text.contains("orgs.config")), "{error}");
    assert!(!error.to_string().contains("hush") && !error.is_transient());
}

/// The server's own texts say `Failing row contains (…)`, `invalid byte sequence …` and the like.
#[tokio::test]
async fn what_the_server_refuses_is_told_without_what_it_quotes() {
    let database = Database::new().await;
    let storage = database.storage().await;
    let mut shell = database.shell().await;
    run(&mut shell, "ALTER TABLE usage_records ADD CONSTRAINT no_models CHECK (model_id NOT LIKE 'hush%')").await;
    let mut record = usage("shop", 1);
    for model_id in ["hush", "hush\0"] {
        record.pricing.model_id = model_id.to_owned();
        let error = storage.record_usage(std::slice::from_ref(&record)).await.unwrap_err();
        assert!(matches!(error, StorageError::Backend(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
    let error = {
        record.pricing.model_id = "hush".to_owned();
        storage.record_usage(&[record]).await.unwrap_err().to_string()
    };
    assert!(error.contains("no_models") && error.contains("23514"), "{error}");
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.close().await;
    assert!(storage.ping().await.unwrap_err().is_transient());
    assert!(storage.record_usage(&[usage("shop", 1)]).await.unwrap_err().is_transient());
}

async fn opened(url: &str) -> Result<std::sync::Arc<dyn Storage>, String> {
    open::open(url, &StorageOptions::default()).await.map_err(|error| format!("{error} {error:?}"))
}

#[tokio::test]
async fn what_only_a_person_can_change_is_told_at_the_start_and_not_repeated() {
    let database = Database::new().await;
    let url = database.url();
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let refusal = async |url: &str| opened(url).await.unwrap_err();

    let wrong = refusal(&format!("postgres://{user}:hunter2@{place}")).await;
    assert!(wrong.contains("password") && wrong.contains("28P01"), "{wrong}");
    assert!(!wrong.contains("hunter2") && !wrong.contains(server), "{wrong}");
    let nobody = refusal(&format!("postgres://hunter2:hunter2@{place}")).await;
    assert!(nobody.contains("user") && !nobody.contains("hunter2"), "{nobody}");
    let nowhere = refusal(&url.replace(name, "hunter2")).await;
    assert!(nowhere.contains("no such database") && !nowhere.contains("hunter2"), "{nowhere}");
    opened(&url).await.unwrap();
}

#[tokio::test]
async fn our_connections_are_listed_under_our_name() {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.ping().await.unwrap();
    let named = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'bedrock-cost-keeper'";
    assert!(number(&mut database.shell().await, named).await >= 1);
}

//! What only the SQLite store promises.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bedrock_cost_keeper::storage::sql::{SqliteOptions, SqliteStorage};
use bedrock_cost_keeper::storage::{
    Fallbacks, Maintenance, SchemaStatus, StorageError, StorageOptions, Tenants, UsageLedger, open,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::support::samples::{acme, client, day, org, org_scope, usage};

struct File {
    directory: TempDir,
}

impl File {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("data").join("keeper.db")
    }

    async fn storage(&self) -> SqliteStorage {
        let storage = SqliteStorage::open(&self.path()).await.unwrap();
        storage.migrate().await.unwrap();
        storage
    }

    /// A connection that knows nothing of us, as a person's shell would be.
    async fn shell(&self) -> SqliteConnection {
        sqlx::sqlite::SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }
}

#[tokio::test]
async fn a_new_database_and_its_directory_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let file = File::new();
    let storage = file.storage().await;
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(file.path().with_extension("db-wal")), 0o600);
    assert_eq!(mode(file.path().with_extension("db-shm")), 0o600);
    assert_eq!(mode(file.directory.path().join("data")), 0o700);
}

#[tokio::test]
async fn an_existing_file_keeps_the_mode_its_owner_gave_it() {
    use std::os::unix::fs::PermissionsExt;
    let file = File::new();
    file.storage().await.close().await;
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    file.storage().await;
    assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_commit_survives_power_loss() {
    let settings = File::new().storage().await.settings().await.unwrap();
    assert_eq!(settings.journal_mode, "wal");
    assert_eq!(settings.synchronous, 2, "FULL");
    assert!(settings.foreign_keys);
    assert_eq!(settings.busy_timeout_ms, 5_000);
}

#[tokio::test]
async fn the_library_has_the_fix_of_the_wal_reset_corruption() {
    let version = File::new().storage().await.settings().await.unwrap().version;
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts >= vec![3, 51, 3], "SQLite {version} is older than 3.51.3");
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions_and_left_alone() {
    let file = File::new();
    file.storage().await.close().await;
    let mut shell = file.shell().await;
    let count = "SELECT count(*) FROM refinery_schema_history";
    // Migrations are numbered without gaps.
    let known: i64 = sqlx::query_scalar(count).fetch_one(&mut shell).await.unwrap();
    sqlx::query(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (99, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    )
    .execute(&mut shell)
    .await
    .unwrap();
    let storage = SqliteStorage::open(&file.path()).await.unwrap();
    let SchemaStatus::Ahead(status) = storage.schema_status().await.unwrap() else { panic!("not ahead") };
    let Err(StorageError::Corrupt(refusal)) = storage.migrate().await else { panic!("not refused") };
    let newest = format!("up to {known}");
    for text in [status, refusal] {
        assert!(text.contains("version 99") && text.contains(&newest), "{text}");
    }
    let steps: i64 = sqlx::query_scalar(count).fetch_one(&mut shell).await.unwrap();
    assert_eq!(steps, known + 1);
}

#[tokio::test]
async fn looking_at_an_empty_store_creates_no_table() {
    let file = File::new();
    let storage = SqliteStorage::open(&file.path()).await.unwrap();
    assert!(matches!(storage.schema_status().await.unwrap(), SchemaStatus::Behind(_)));
    let objects: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut file.shell().await).await.unwrap();
    assert_eq!(objects, 0);
}

#[tokio::test]
async fn every_table_of_ours_is_strict() {
    let file = File::new();
    file.storage().await;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 \
         AND name NOT LIKE 'sqlite_%' AND name <> 'refinery_schema_history'",
    )
    .fetch_all(&mut file.shell().await)
    .await
    .unwrap();
    assert!(loose.is_empty(), "{loose:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "not a database, but long enough to have a header. ".repeat(100)).unwrap();
    let error = SqliteStorage::open(&file.path()).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_unavailable() {
    let error = SqliteStorage::open("/proc/keeper/keeper.db".as_ref()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn what_cannot_be_read_back_is_corrupt_and_not_quoted() {
    let file = File::new();
    let storage = file.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    sqlx::query("UPDATE orgs SET config = '{\"org_name\": \"hush\", \"timezone\": 5}'")
        .execute(&mut file.shell().await)
        .await
        .unwrap();
    let error = storage.tenant(&org_scope()).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt(text) if text.contains("orgs.config")), "{error}");
    assert!(!error.to_string().contains("hush") && !error.is_transient());
}

#[tokio::test]
async fn a_writer_that_is_locked_out_is_unavailable_and_recovers_while_readers_never_wait() {
    let file = File::new();
    file.storage().await.close().await;
    let patience = SqliteOptions { busy_timeout: Duration::from_millis(20), ..SqliteOptions::default() };
    let storage = SqliteStorage::open_with(&file.path(), &patience).await.unwrap();
    let mut shell = file.shell().await;
    let lock = shell.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = storage.record_usage(&[usage("shop", 1)]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(storage.selection_state(&org_scope(), day("2026-01-23")).await.unwrap().totals.is_empty());
    lock.rollback().await.unwrap();
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(storage.totals(&org_scope(), day("2026-01-23")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn opening_waits_for_whoever_else_is_setting_up_the_file() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    let create = sqlx::sqlite::SqliteConnectOptions::new().filename(file.path()).create_if_missing(true);
    let mut other = create.connect().await.unwrap();
    sqlx::query("CREATE TABLE other (x INTEGER)").execute(&mut other).await.unwrap();
    // Where somebody else is about to write, SQLite itself would not wait with the switch to WAL mode.
    let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let patience = SqliteOptions { busy_timeout: Duration::from_millis(50), ..SqliteOptions::default() };
    let started = Instant::now();
    let error = SqliteStorage::open_with(&file.path(), &patience).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() >= patience.busy_timeout, "gave up after {:?}", started.elapsed());
    writing.rollback().await.unwrap();
    SqliteStorage::open_with(&file.path(), &patience).await.unwrap();
}

#[tokio::test]
async fn a_backup_taken_while_running_is_a_store() {
    let file = File::new();
    let storage = file.storage().await;
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    let copy = file.directory.path().join("copy.db");
    sqlx::query("VACUUM INTO ?1").bind(copy.to_str().unwrap()).execute(&mut file.shell().await).await.unwrap();
    let restored = open::open(&format!("sqlite://{}", copy.display()), &StorageOptions::default()).await.unwrap();
    assert_eq!(restored.schema_status().await.unwrap(), SchemaStatus::Current);
    assert_eq!(restored.totals(&org_scope(), day("2026-01-23")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let storage = File::new().storage().await;
    storage.close().await;
    assert!(storage.ping().await.unwrap_err().is_transient());
    assert!(storage.record_usage(&[usage("shop", 1)]).await.unwrap_err().is_transient());
}

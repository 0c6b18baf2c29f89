//! Fresh stores, one per test, of every kind.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bedrock_cost_keeper::storage::{Storage, StorageOptions, open};

use super::settled::{Settled, Touched};

/// An empty store that nobody else uses. It ends with this value.
pub(crate) struct FreshStore {
    url: String,
    options: StorageOptions,
    /// Which totals are behind, for every [`instance`](Self::instance).
    touched: Arc<Touched>,
    /// Whatever keeps the data alive: a directory, a database, tables.
    _guard: Box<dyn Any + Send + Sync>,
}

/// The usual options, but with time for a busy machine: what a test is about is not how long something takes.
pub(crate) fn patient() -> StorageOptions {
    let mut options = StorageOptions::default();
    options.postgres.acquire_timeout = Duration::from_secs(30);
    options.postgres.statement_timeout = Duration::from_secs(30);
    options.dynamodb.attempt_timeout = Duration::from_secs(15);
    options.dynamodb.operation_timeout = Duration::from_secs(60);
    options
}

impl FreshStore {
    pub(crate) fn new(url: String, guard: impl Any + Send + Sync) -> Self {
        Self { url, options: patient(), touched: Arc::default(), _guard: Box::new(guard) }
    }

    /// The same, opened with these options.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_options(self, options: StorageOptions) -> Self {
        Self { options, ..self }
    }

    /// Its `storage.url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A further instance on the same data, as another process would have it. Its totals are [`Settled`].
    pub(crate) async fn instance(&self) -> Arc<dyn Storage> {
        Arc::new(Settled::over(self.bare().await, Arc::clone(&self.touched)))
    }

    /// A further instance whose totals are those of its last consolidation, as in production.
    pub(crate) async fn bare(&self) -> Arc<dyn Storage> {
        open::open(&self.url, &self.options).await.unwrap()
    }

    /// An instance with its schema up to date.
    pub(crate) async fn migrated(&self) -> Arc<dyn Storage> {
        let store = self.instance().await;
        store.migrate().await.unwrap();
        store
    }
}

/// A SQLite file in a directory of its own.
#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite() -> FreshStore {
    let directory = tempfile::tempdir().unwrap();
    FreshStore::new(format!("sqlite://{}", directory.path().join("keeper.db").display()), directory)
}

/// A database in the PostgreSQL server that the tests share.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres() -> FreshStore {
    let database = super::servers::postgres::FreshDatabase::create().await;
    FreshStore::new(database.url(), database)
}

/// Tables in the DynamoDB Local that the tests share.
#[cfg(feature = "dynamodb")]
pub(crate) async fn dynamodb() -> FreshStore {
    let tables = super::servers::dynamodb::FreshTables::reserve();
    FreshStore::new(tables.url(), tables)
}

/// Names the kind of store that the API is tested on: `sqlite` (the default), `postgres` or `dynamodb`.
const API_STORE: &str = "COST_KEEPER_TEST_API_STORE";

/// A store of the kind that the API is tested on: the suite over HTTP can run on each.
pub(crate) async fn of_the_api() -> FreshStore {
    match std::env::var(API_STORE).as_deref() {
        #[cfg(feature = "sqlite")]
        Ok("sqlite") | Err(_) => sqlite().await,
        #[cfg(feature = "postgres")]
        Ok("postgres") => postgres().await,
        #[cfg(feature = "dynamodb")]
        Ok("dynamodb") => dynamodb().await,
        other => panic!("{API_STORE}: no such store in this build: {other:?}"),
    }
}

/// Makes tests of rules, by area, on each store that several instances can share.
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
macro_rules! on_every_shared_store {
    ($($area:ident { $($rule:ident)+ })+) => {
        #[cfg(feature = "postgres")]
        mod on_postgres {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$area::$rule(crate::support::stores::postgres().await).await;
            })+)+
        }
        #[cfg(feature = "dynamodb")]
        mod on_dynamodb {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$area::$rule(crate::support::stores::dynamodb().await).await;
            })+)+
        }
    };
}

#[cfg(any(feature = "postgres", feature = "dynamodb"))]
pub(crate) use on_every_shared_store;

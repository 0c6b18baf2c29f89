//! Fresh stores, one per test, of every kind.

use std::any::Any;
use std::sync::Arc;

use bedrock_cost_keeper::storage::{Storage, open};

/// An empty store that nobody else uses. It ends with this value.
pub(crate) struct FreshStore {
    url: String,
    /// Whatever keeps the data alive: a directory, a database, a server.
    _guard: Box<dyn Any + Send + Sync>,
}

impl FreshStore {
    pub(crate) fn new(url: String, guard: impl Any + Send + Sync) -> Self {
        Self { url, _guard: Box::new(guard) }
    }

    /// A further instance on the same data, as another process would have it.
    pub(crate) async fn instance(&self) -> Arc<dyn Storage> {
        open::open(&self.url).await.unwrap()
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

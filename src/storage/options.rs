//! What a store may be told besides its URL. The defaults suit a server; each number has its reason.

use std::collections::BTreeMap;
use std::time::Duration;

/// Options of every kind of store.
#[derive(Debug, Clone, Default)]
pub struct StorageOptions {
    /// For `postgres://`.
    pub postgres: PostgresOptions,
    /// For `dynamodb://`.
    pub dynamodb: DynamoDbOptions,
}

/// How a PostgreSQL store is used.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Most connections of this instance. Ten of a few instances stay below the server's usual hundred.
    pub max_connections: u32,
    /// Longest wait for a free or new connection. Longer would only pile up requests in front of a store that is away.
    pub acquire_timeout: Duration,
    /// Longest time for one attempt of one operation, on either side of the connection.
    pub statement_timeout: Duration,
    /// Whether statements stay prepared on their connection. Switch it off behind a pooler in transaction mode that
    /// does not know prepared statements (PgBouncer before 1.21).
    pub prepared_statements: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(3),
            prepared_statements: true,
        }
    }
}

/// How a DynamoDB store is used.
#[derive(Debug, Clone)]
pub struct DynamoDbOptions {
    /// Longest time for one attempt of one call. An answer usually takes a few milliseconds.
    pub attempt_timeout: Duration,
    /// Longest time for one call with its retries. Below the time a commit may take, so that a request gets its answer.
    pub operation_timeout: Duration,
    /// Days usage records and dedup keys live.
    pub usage_days: u32,
    /// Days totals live, after their day or month.
    pub totals_days: u32,
    /// Days events of the audit trail live.
    pub audit_days: u32,
    /// Tags of tables that `migrate` creates.
    pub tags: BTreeMap<String, String>,
}

impl Default for DynamoDbOptions {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_millis(1_500),
            operation_timeout: Duration::from_secs(5),
            usage_days: 35,
            totals_days: 400,
            audit_days: 400,
            tags: BTreeMap::new(),
        }
    }
}

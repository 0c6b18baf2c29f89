//! Health, schema and retention.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStorage;
use super::attempts::Repeat;
use super::session::Mode;
use crate::storage::contract::{Maintenance, Result, Retention, SchemaStatus};
use crate::storage::sql::columns::millis;
use crate::storage::sql::migrate::postgres as migrations;

/// Longest a migration takes, the wait for another starter's included. An index over a large table takes minutes.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(900);
/// What only one migration at a time holds, in each database. Any number would do; this one spells "costkeep".
const MIGRATION_LOCK: i64 = 0x636f_7374_6b65_6570;
/// A migration is patient, except for tables: while it waits for one, everybody else waits behind it.
const MIGRATION_TABLE_LIMIT: &str = "SET LOCAL lock_timeout = '10s'";
/// Longest one batch of a purge takes. What is old may have to be read from disk, and nobody waits for it.
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);

#[async_trait]
impl Maintenance for PostgresStorage {
    fn backend(&self) -> &'static str {
        "postgres"
    }

    async fn ping(&self) -> Result<()> {
        self.statement(|mut session| async move {
            let _: i32 = session.query_scalar("SELECT 1").fetch_one(&mut *session).await?;
            session.commit(()).await
        })
        .await
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        self.run(Mode::Snapshot, Repeat::Freely, self.prompt(), |mut session| async move {
            let status = migrations::status(&mut session, &migrations::runner()).await?;
            session.commit(status).await
        })
        .await
    }

    async fn migrate(&self) -> Result<u32> {
        let limits = self.limits(MIGRATION_TIMEOUT);
        self.run(Mode::Transaction, Repeat::UnlessCommitted, limits, |mut session| async move {
            // Held until the transaction ends. Later statements see what the one before committed.
            session.query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *session).await?;
            sqlx::raw_sql(MIGRATION_TABLE_LIMIT).execute(&mut *session).await?;
            let steps = migrations::run(&mut session, &migrations::runner()).await?;
            session.commit(steps).await
        })
        .await
    }

    async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64> {
        let now = Bound::Instant(millis(retention.now));
        let kinds = &[
            (PURGE_USAGE, Bound::Instant(millis(retention.usage_before))),
            (PURGE_DAYS, Bound::Text(retention.totals_before.to_string())),
            // A month ended before a day exactly where it is an earlier month than that day's.
            (PURGE_MONTHS, Bound::Text(retention.totals_before.month().to_string())),
            (PURGE_AUDIT, Bound::Instant(millis(retention.audit_before))),
            (PURGE_REVOCATIONS, now.clone()),
            (PURGE_SECRETS, now.clone()),
            (PURGE_FALLBACKS, now),
        ];
        self.run(Mode::Transaction, Repeat::Freely, self.limits(PURGE_TIMEOUT), |mut session| async move {
            let mut purged = 0;
            for (sql, before) in kinds {
                let query = session.query(sql);
                let query = match before {
                    Bound::Instant(millis) => query.bind(*millis),
                    Bound::Text(text) => query.bind(text.as_str()),
                };
                purged += query.bind(i64::from(batch)).execute(&mut *session).await?.rows_affected();
            }
            session.commit(purged).await
        })
        .await
    }

    async fn close(&self) {
        self.close_pool().await;
    }
}

/// Everything strictly before this goes.
#[derive(Clone)]
enum Bound {
    Instant(i64),
    Text(String),
}

// Each walks an index from its old end, so a batch costs the same however much is kept. What another instance deletes or
// changes at this moment is left to it: purging waits for nobody, and so nobody ever waits for it in a circle.
const PURGE_USAGE: &str = "WITH old AS (SELECT org_id, app_id, request_id FROM usage_records WHERE recorded_at < $1 \
     ORDER BY recorded_at LIMIT $2 FOR UPDATE SKIP LOCKED) DELETE FROM usage_records u USING old \
     WHERE u.org_id = old.org_id AND u.app_id = old.app_id AND u.request_id = old.request_id";
const PURGE_DAYS: &str = "WITH old AS (SELECT org_id, period, app_id, model_label FROM totals \
     WHERE length(period) = 10 AND period < $1 ORDER BY period LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM totals t USING old WHERE t.org_id = old.org_id AND t.period = old.period \
     AND t.app_id = old.app_id AND t.model_label = old.model_label";
const PURGE_MONTHS: &str = "WITH old AS (SELECT org_id, period, app_id, model_label FROM totals \
     WHERE length(period) = 7 AND period < $1 ORDER BY period LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM totals t USING old WHERE t.org_id = old.org_id AND t.period = old.period \
     AND t.app_id = old.app_id AND t.model_label = old.model_label";
const PURGE_AUDIT: &str = "WITH old AS (SELECT at, id FROM audit_events WHERE at < $1 \
     ORDER BY at, id LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM audit_events a USING old WHERE a.at = old.at AND a.id = old.id";
const PURGE_REVOCATIONS: &str = "WITH old AS (SELECT kind, id FROM revocations WHERE expires_at < $1 \
     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM revocations r USING old WHERE r.kind = old.kind AND r.id = old.id";
const PURGE_SECRETS: &str = "WITH old AS (SELECT token_hash FROM sealed_secrets WHERE expires_at < $1 \
     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM sealed_secrets s USING old WHERE s.token_hash = old.token_hash";
const PURGE_FALLBACKS: &str = "WITH old AS (SELECT org_id, app_id, day FROM fallback_states WHERE expires_at < $1 \
     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM fallback_states f USING old WHERE f.org_id = old.org_id AND f.app_id = old.app_id AND f.day = old.day";

//! Health, schema and retention.

use async_trait::async_trait;

use super::SqliteStorage;
use crate::storage::contract::{Maintenance, Result, Retention, SchemaStatus};
use crate::storage::sql::columns::millis;
use crate::storage::sql::migrate;

#[async_trait]
impl Maintenance for SqliteStorage {
    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn ping(&self) -> Result<()> {
        // Reads the file, unlike `SELECT 1`; and works on an empty one.
        sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(())
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        let mut transaction = self.read().await?;
        migrate::sqlite::status(&mut transaction, &migrate::sqlite::runner()).await
    }

    async fn migrate(&self) -> Result<u32> {
        let mut transaction = self.write().await?;
        let steps = migrate::sqlite::run(&mut transaction, &migrate::sqlite::runner()).await?;
        transaction.commit().await?;
        Ok(steps)
    }

    async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64> {
        let now = Bound::Instant(millis(retention.now));
        let kinds = [
            (PURGE_USAGE, Bound::Instant(millis(retention.usage_before))),
            (PURGE_DAYS, Bound::Text(retention.totals_before.to_string())),
            // A month ended before a day exactly where it is an earlier month than that day's.
            (PURGE_MONTHS, Bound::Text(retention.totals_before.month().to_string())),
            (PURGE_AUDIT, Bound::Instant(millis(retention.audit_before))),
            (PURGE_REVOCATIONS, now.clone()),
            (PURGE_SECRETS, now.clone()),
            (PURGE_FALLBACKS, now),
        ];
        let mut transaction = self.write().await?;
        let mut purged = 0;
        for (sql, before) in kinds {
            let query = sqlx::query(sql);
            let query = match before {
                Bound::Instant(millis) => query.bind(millis),
                Bound::Text(text) => query.bind(text),
            };
            purged += query.bind(batch).execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(purged)
    }

    async fn close(&self) {
        self.readers.close().await;
        // Last, so that closing it moves the log into the file.
        self.writer.close().await;
    }
}

/// Everything strictly before this goes.
#[derive(Clone)]
enum Bound {
    Instant(i64),
    Text(String),
}

// Each walks an index from its old end, so a batch costs the same however much is kept.
pub(super) const PURGE_USAGE: &str = "DELETE FROM usage_records WHERE id IN \
     (SELECT id FROM usage_records WHERE recorded_at < ?1 ORDER BY recorded_at LIMIT ?2)";
pub(super) const PURGE_DAYS: &str = "DELETE FROM daily_totals WHERE (org_id, day, app_id, model_label) IN \
     (SELECT org_id, day, app_id, model_label FROM daily_totals WHERE day < ?1 ORDER BY day LIMIT ?2)";
pub(super) const PURGE_MONTHS: &str = "DELETE FROM monthly_totals WHERE (org_id, month, app_id, model_label) IN \
     (SELECT org_id, month, app_id, model_label FROM monthly_totals WHERE month < ?1 ORDER BY month LIMIT ?2)";
pub(super) const PURGE_AUDIT: &str = "DELETE FROM audit_events WHERE (at, id) IN \
     (SELECT at, id FROM audit_events WHERE at < ?1 ORDER BY at, id LIMIT ?2)";
pub(super) const PURGE_REVOCATIONS: &str = "DELETE FROM revocations WHERE (kind, id) IN \
     (SELECT kind, id FROM revocations WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";
pub(super) const PURGE_SECRETS: &str = "DELETE FROM sealed_secrets WHERE token_hash IN \
     (SELECT token_hash FROM sealed_secrets WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";
pub(super) const PURGE_FALLBACKS: &str = "DELETE FROM fallback_states WHERE (org_id, app_id, day) IN \
     (SELECT org_id, app_id, day FROM fallback_states WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";

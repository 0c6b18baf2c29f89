//! Health, schema and retention.

use async_trait::async_trait;

use super::connect::DynamoDbStorage;
use super::error::{NO_TABLE, code, translate_in};
use super::keys;
use crate::storage::contract::{Maintenance, Result, Retention, SchemaStatus};

#[async_trait]
impl Maintenance for DynamoDbStorage {
    fn backend(&self) -> &'static str {
        "dynamodb"
    }

    async fn ping(&self) -> Result<()> {
        let schema = keys::schema();
        match self.try_get(&schema, false).await {
            Ok(_) => Ok(()),
            // Somebody answered. What is missing is said by the schema's status.
            Err(error) if code(&error) == Some(NO_TABLE) => Ok(()),
            Err(error) => Err(translate_in(schema.table, &error)),
        }
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        self.status().await
    }

    async fn migrate(&self) -> Result<u32> {
        self.bring_up_to_date().await
    }

    async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64> {
        // DynamoDB deletes by itself; until it has, readers hide what expired.
        if batch > 0 {
            self.watermark.raise(retention);
        }
        Ok(0)
    }

    async fn close(&self) {
        // Connections end with the client; nothing waits to be written.
    }
}

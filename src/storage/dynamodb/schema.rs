//! Making the tables, and how far they are.
//!
//! Tables never change, they only come: what a later version adds to items, an earlier one leaves alone. So a newer
//! schema is one this binary can use.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus, Tag,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::time::Instant;

use super::attributes::{item, n, number};
use super::connect::DynamoDbStorage;
use super::error::{NO_TABLE, TABLE_IN_USE, code, incomplete, is_passing, translate_in};
use super::keys;
use super::tables::{Table, TableProperties, TimeToLive};
use super::writes::{Commit, Step};
use crate::storage::contract::{Result, SchemaStatus};
use crate::storage::error::StorageError;

/// The schema this binary writes.
const VERSION: u32 = 1;
/// Longest wait for a table. Creating one usually takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at a table that is not ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The code of a request that makes no sense: here, that time to live is being switched on already.
const INVALID: &str = "ValidationException";

impl DynamoDbStorage {
    /// How far the schema is.
    pub(super) async fn status(&self) -> Result<SchemaStatus> {
        let schema = keys::schema();
        match self.try_get(&schema, true).await {
            Ok(Some(item)) => {
                let version: u32 = number(&item, "config.n")?;
                return Ok(if version >= VERSION {
                    SchemaStatus::Current
                } else {
                    SchemaStatus::Behind(format!("the schema has version {version}; this binary needs {VERSION}"))
                });
            }
            Ok(None) => {}
            Err(error) if code(&error) == Some(NO_TABLE) => {}
            Err(error) => return Err(translate_in(schema.table, &error)),
        }
        let mut missing = Vec::new();
        for table in Table::ALL {
            if self.table_status(table).await?.is_none() {
                missing.push(table.role());
            }
        }
        Ok(SchemaStatus::Behind(match &missing[..] {
            [] => "the tables are there, but not prepared".to_owned(),
            roles => format!("missing tables: {}", roles.join(", ")),
        }))
    }

    /// Makes what is missing and answers whether this call finished the schema.
    pub(super) async fn bring_up_to_date(&self) -> Result<u32> {
        let deadline = Instant::now() + PATIENCE;
        // All of them first: they are made side by side.
        for table in Table::ALL {
            if self.table_status(table).await?.is_none() {
                self.create_table(table).await?;
            }
        }
        for table in Table::ALL {
            self.wait_until_active(table, deadline).await?;
            if let Some(wanted) = self.properties(table).time_to_live_specification {
                self.enable_ttl(table, wanted, deadline).await?;
            }
        }
        let step = self
            .put(&keys::schema(), item([("n", n(VERSION))]))
            .condition_expression("attribute_not_exists(pk) OR n < :version")
            .expression_attribute_values(":version", n(VERSION));
        Ok(match self.commit(vec![step.step()?]).await? {
            Commit::Done => 1,
            Commit::Refused(_) => 0,
        })
    }

    /// What a table of this deployment is like.
    #[must_use]
    pub fn properties(&self, table: Table) -> TableProperties {
        self.plan.properties(table)
    }

    /// A table's status; `None` where there is no such table.
    async fn table_status(&self, table: Table) -> Result<Option<TableStatus>> {
        match self.client.describe_table().table_name(self.tables.name(table)).send().await {
            Ok(answer) => Ok(Some(answer.table.and_then(|table| table.table_status).unwrap_or(TableStatus::Creating))),
            Err(error) if code(&error) == Some(NO_TABLE) => Ok(None),
            Err(error) => Err(translate_in(table, &error)),
        }
    }

    async fn create_table(&self, table: Table) -> Result<()> {
        let properties = self.properties(table);
        let mut call = self
            .client
            .create_table()
            .table_name(properties.table_name)
            .billing_mode(BillingMode::from(properties.billing_mode));
        for attribute in properties.attribute_definitions {
            let kind = ScalarAttributeType::from(attribute.attribute_type);
            let definition =
                AttributeDefinition::builder().attribute_name(attribute.attribute_name).attribute_type(kind).build();
            call = call.attribute_definitions(definition.map_err(incomplete)?);
        }
        for element in properties.key_schema {
            let kind = KeyType::from(element.key_type);
            let key = KeySchemaElement::builder().attribute_name(element.attribute_name).key_type(kind).build();
            call = call.key_schema(key.map_err(incomplete)?);
        }
        for tag in properties.tags {
            call = call.tags(Tag::builder().key(tag.key).value(tag.value).build().map_err(incomplete)?);
        }
        match call.send().await {
            Ok(_) => Ok(()),
            // Somebody else was quicker.
            Err(SdkError::ServiceError(context))
                if matches!(context.err(), CreateTableError::ResourceInUseException(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(translate_in(table, &error)),
        }
    }

    async fn wait_until_active(&self, table: Table, deadline: Instant) -> Result<()> {
        loop {
            // A table that was just made may not be known everywhere yet.
            if matches!(self.table_status(table).await?, Some(TableStatus::Active | TableStatus::Updating)) {
                return Ok(());
            }
            look_again(table, deadline).await?;
        }
    }

    async fn enable_ttl(&self, table: Table, wanted: TimeToLive, deadline: Instant) -> Result<()> {
        while !self.has_ttl(table, wanted.attribute_name).await? {
            let specification = TimeToLiveSpecification::builder()
                .enabled(wanted.enabled)
                .attribute_name(wanted.attribute_name)
                .build()
                .map_err(incomplete)?;
            let call = self.client.update_time_to_live().table_name(self.tables.name(table));
            match call.time_to_live_specification(specification).send().await {
                Ok(_) => return Ok(()),
                // Somebody else is at it: the next look shows.
                Err(error)
                    if code(&error).is_some_and(|code| is_passing(code) || [INVALID, TABLE_IN_USE].contains(&code)) =>
                {
                    look_again(table, deadline).await?;
                }
                Err(error) => return Err(translate_in(table, &error)),
            }
        }
        Ok(())
    }

    async fn has_ttl(&self, table: Table, wanted: &str) -> Result<bool> {
        let answer = self.client.describe_time_to_live().table_name(self.tables.name(table)).send().await;
        let answer = answer.map_err(|error| translate_in(table, &error))?;
        let Some(description) = answer.time_to_live_description else { return Ok(false) };
        if !matches!(description.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(false);
        }
        if description.attribute_name() != Some(wanted) {
            let role = table.role();
            return Err(StorageError::Backend(format!(
                "the {role} table expires by another attribute than `{wanted}`"
            )));
        }
        Ok(true)
    }
}

async fn look_again(table: Table, deadline: Instant) -> Result<()> {
    if Instant::now() + LOOK_INTERVAL >= deadline {
        return Err(StorageError::Unavailable(format!("the {} table is not ready yet", table.role())));
    }
    tokio::time::sleep(LOOK_INTERVAL).await;
    Ok(())
}

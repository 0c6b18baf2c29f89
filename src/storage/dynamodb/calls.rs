//! The calls there are. Each counts what it consumes, finishes what DynamoDB left undone, and ends.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, DeleteRequest, KeysAndAttributes, ReturnConsumedCapacity, TransactWriteItem, WriteRequest,
};

use super::attributes::{Item, s};
use super::backoff::Backoff;
use super::capacity::Operation;
use super::connect::DynamoDbStorage;
use super::error::{incomplete, translate, translate_in};
use super::keys::Key;
use super::tables::Table;
use crate::storage::contract::Result;
use crate::storage::error::StorageError;

/// Most items of one `BatchGetItem`.
const MAX_BATCH_GET: usize = 100;
/// Most items of one `BatchWriteItem`.
const MAX_BATCH_WRITE: usize = 25;
/// Most pages of one query; each has up to 1 MB. Nothing of ours comes near.
const MAX_PAGES: usize = 1_000;

/// Which items of a partition to read, in order of sort key.
#[derive(Debug, Clone, Default)]
pub(super) struct Range<'a> {
    /// Only sort keys that start with this. Takes precedence over `between`.
    pub(super) prefix: Option<&'a str>,
    /// Only sort keys in this range, both ends included.
    pub(super) between: Option<(&'a str, &'a str)>,
    /// From the last sort key to the first.
    pub(super) descending: bool,
    /// Only sort keys strictly after this one in that order, which need not exist but must pass the filters above.
    pub(super) after: Option<&'a str>,
    /// Most items; `None` is all.
    pub(super) limit: Option<usize>,
    /// Whether to read what is committed now. Costs twice as much.
    pub(super) consistent: bool,
    /// Only these attributes, by their names, comma-separated. Costs the same, but travels lighter.
    pub(super) attributes: Option<&'a str>,
}

/// Why a transaction is not committed.
#[derive(Debug)]
pub(super) enum TransactError {
    /// Canceled, with one reason per step.
    Canceled(Vec<CancellationReason>),
    /// Anything else.
    Other(StorageError),
}

impl DynamoDbStorage {
    /// One item.
    pub(super) async fn get(&self, key: &Key, consistent: bool) -> Result<Option<Item>> {
        self.try_get(key, consistent).await.map_err(|error| translate_in(key.table, &error))
    }

    /// One item, for whoever wants to know more about a failure.
    pub(super) async fn try_get(&self, key: &Key, consistent: bool) -> Result<Option<Item>, SdkError<GetItemError>> {
        let call = self.client.get_item().table_name(self.tables.name(key.table)).set_key(Some(key.attributes()));
        let call = call.consistent_read(consistent).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = call.send().await?;
        self.capacity.add(Operation::GetItem, answer.consumed_capacity());
        Ok(answer.item)
    }

    /// Items of a partition, as many pages as it takes.
    pub(super) async fn query(&self, table: Table, pk: &str, range: &Range<'_>) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut start = range.after.map(|after| Key::new(table, pk, after).attributes());
        for _ in 0..MAX_PAGES {
            let left = range.limit.map(|limit| limit.saturating_sub(items.len()));
            if left == Some(0) {
                return Ok(items);
            }
            let (page, next) = self.page(table, pk, range, left, start).await?;
            items.extend(page);
            if next.is_none() {
                return Ok(items);
            }
            start = next;
        }
        Err(StorageError::Backend(format!("a partition of the {} table has too many items", table.role())))
    }

    async fn page(
        &self,
        table: Table,
        pk: &str,
        range: &Range<'_>,
        left: Option<usize>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let mut call = self
            .client
            .query()
            .table_name(self.tables.name(table))
            .consistent_read(range.consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_limit(left.map(|left| i32::try_from(left).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(start)
            .scan_index_forward(!range.descending)
            .set_projection_expression(range.attributes.map(str::to_owned))
            .expression_attribute_values(":pk", s(pk));
        call = match (range.prefix, range.between) {
            (Some(prefix), _) => call
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", s(prefix)),
            (None, Some((from, to))) => call
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":from", s(from))
                .expression_attribute_values(":to", s(to)),
            (None, None) => call.key_condition_expression("pk = :pk"),
        };
        let answer = call.send().await.map_err(|error| translate_in(table, &error))?;
        self.capacity.add(Operation::Query, answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// Those of the items that exist. No snapshot: each is read by itself.
    pub(super) async fn batch_get(
        &self,
        keys: impl IntoIterator<Item = Key>,
        consistent: bool,
    ) -> Result<HashMap<Key, Item>> {
        // One call refuses to read an item twice.
        let keys: Vec<Key> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(MAX_BATCH_GET) {
            self.batch_get_chunk(chunk, consistent, &mut found).await?;
        }
        Ok(found)
    }

    async fn batch_get_chunk(&self, keys: &[Key], consistent: bool, found: &mut HashMap<Key, Item>) -> Result<()> {
        let mut left = HashMap::new();
        for table in Table::ALL {
            let of_table: Vec<_> = keys.iter().filter(|key| key.table == table).map(Key::attributes).collect();
            if !of_table.is_empty() {
                let request = KeysAndAttributes::builder().set_keys(Some(of_table)).consistent_read(consistent);
                left.insert(self.tables.name(table).to_owned(), request.build().map_err(incomplete)?);
            }
        }
        let mut backoff = Backoff::within(self.options.operation_timeout);
        while !left.is_empty() {
            let call = self.client.batch_get_item().set_request_items(Some(left));
            let answer = call.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
            let answer = answer.map_err(|error| translate(&error))?;
            self.capacity.add(Operation::BatchGetItem, answer.consumed_capacity());
            for (name, items) in answer.responses.unwrap_or_default() {
                let Some(table) = self.tables.of_name(&name) else { continue };
                for item in items {
                    found.insert(Key::of(table, &item)?, item);
                }
            }
            left = answer.unprocessed_keys.unwrap_or_default();
            if !left.is_empty() {
                backoff.pause("reads are throttled").await?;
            }
        }
        Ok(())
    }

    /// Deletes items, each by itself. Deleting nothing is fine, so a repeat is safe.
    pub(super) async fn batch_delete(&self, table: Table, keys: &[Key]) -> Result<()> {
        for chunk in keys.chunks(MAX_BATCH_WRITE) {
            let requests = chunk.iter().map(|key| {
                let request = DeleteRequest::builder().set_key(Some(key.attributes())).build().map_err(incomplete)?;
                Ok(WriteRequest::builder().delete_request(request).build())
            });
            let requests = requests.collect::<Result<Vec<_>>>()?;
            let mut left = HashMap::from([(self.tables.name(table).to_owned(), requests)]);
            let mut backoff = Backoff::within(self.options.operation_timeout);
            while !left.is_empty() {
                let call = self.client.batch_write_item().set_request_items(Some(left));
                let answer = call.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
                let answer = answer.map_err(|error| translate_in(table, &error))?;
                self.capacity.add(Operation::BatchWriteItem, answer.consumed_capacity());
                left = answer.unprocessed_items.unwrap_or_default();
                if !left.is_empty() {
                    backoff.pause("writes are throttled").await?;
                }
            }
        }
        Ok(())
    }

    /// Commits steps as one, once. The SDK gives them a token and keeps it over its own repetitions, so one after a lost
    /// answer is answered like the first.
    pub(super) async fn transact(&self, steps: Vec<TransactWriteItem>) -> Result<(), TransactError> {
        let call = self.client.transact_write_items().set_transact_items(Some(steps));
        match call.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
            Ok(answer) => {
                self.capacity.add(Operation::TransactWriteItems, answer.consumed_capacity());
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    Err(TransactError::Canceled(canceled.cancellation_reasons().to_vec()))
                }
                _ => Err(TransactError::Other(translate(&error))),
            },
        }
    }
}

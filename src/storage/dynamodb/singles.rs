//! Conditional writes of a single item outside a transaction, at half its price.
//!
//! Only for writes of which a repeat is harmless: after a lost answer, the SDK's own repetition meets what the first
//! attempt wrote, and its condition may no longer hold.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};

use super::attributes::Item;
use super::capacity::Operation;
use super::connect::DynamoDbStorage;
use super::error::translate_of;
use crate::storage::contract::Result;
use crate::storage::error::StorageError;

/// What a conditional write of a single item came to.
#[derive(Debug)]
pub(super) enum Written {
    /// It is written.
    Done,
    /// The condition did not hold; what is there, where anything is.
    Refused(Option<Item>),
}

impl DynamoDbStorage {
    /// Writes one item, as a step of a transaction would.
    pub(super) async fn write_one(&self, step: TransactWriteItem) -> Result<Written> {
        match (step.put, step.update, step.delete) {
            (Some(put), _, _) => self.put_one(put).await,
            (_, Some(update), _) => self.update_one(update).await,
            (_, _, Some(delete)) => self.delete_one(delete).await,
            _ => Err(StorageError::Backend("a check writes nothing".to_owned())),
        }
    }

    async fn put_one(&self, put: Put) -> Result<Written> {
        let table = self.tables.of_name(&put.table_name);
        let call = self
            .client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .set_return_values_on_condition_check_failure(put.return_values_on_condition_check_failure)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match call.send().await {
            Ok(answer) => {
                self.capacity.add(Operation::PutItem, answer.consumed_capacity());
                Ok(Written::Done)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Written::Refused(present(failed.item())))
                }
                _ => Err(translate_of(table, &error)),
            },
        }
    }

    async fn update_one(&self, update: Update) -> Result<Written> {
        let table = self.tables.of_name(&update.table_name);
        let call = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .set_return_values_on_condition_check_failure(update.return_values_on_condition_check_failure)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match call.send().await {
            Ok(answer) => {
                self.capacity.add(Operation::UpdateItem, answer.consumed_capacity());
                Ok(Written::Done)
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Written::Refused(present(failed.item())))
                }
                _ => Err(translate_of(table, &error)),
            },
        }
    }

    async fn delete_one(&self, delete: Delete) -> Result<Written> {
        let table = self.tables.of_name(&delete.table_name);
        let call = self
            .client
            .delete_item()
            .table_name(delete.table_name)
            .set_key(Some(delete.key))
            .set_condition_expression(delete.condition_expression)
            .set_expression_attribute_names(delete.expression_attribute_names)
            .set_expression_attribute_values(delete.expression_attribute_values)
            .set_return_values_on_condition_check_failure(delete.return_values_on_condition_check_failure)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match call.send().await {
            Ok(answer) => {
                self.capacity.add(Operation::DeleteItem, answer.consumed_capacity());
                Ok(Written::Done)
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Written::Refused(present(failed.item())))
                }
                _ => Err(translate_of(table, &error)),
            },
        }
    }
}

/// Some implementations answer an empty item instead of none.
fn present(item: Option<&Item>) -> Option<Item> {
    item.filter(|item| !item.is_empty()).cloned()
}

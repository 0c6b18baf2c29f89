//! Single steps of a transaction, and committing one.
//!
//! A failed condition always tells what is there instead ([`Refusals::item`]).

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::{ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::attributes::Item;
use super::backoff::Backoff;
use super::calls::TransactError;
use super::connect::DynamoDbStorage;
use super::error::{incomplete, is_passing};
use super::keys::Key;
use crate::storage::contract::Result;
use crate::storage::error::StorageError;

/// Most steps of one transaction.
pub(super) const MAX_STEPS: usize = 100;
/// The code of a reason whose condition did not hold, as a canceled transaction has it.
pub(super) const REFUSED: &str = "ConditionalCheckFailed";
/// The code of a reason without anything wrong.
pub(super) const NOTHING: &str = "None";

impl DynamoDbStorage {
    /// Writes an item whole. Its key is added to the attributes.
    pub(super) fn put(&self, key: &Key, mut attributes: Item) -> PutBuilder {
        attributes.extend(key.attributes());
        Put::builder().table_name(self.tables.name(key.table)).set_item(Some(attributes))
    }

    /// Changes an item, or makes it.
    pub(super) fn update(&self, key: &Key) -> UpdateBuilder {
        Update::builder().table_name(self.tables.name(key.table)).set_key(Some(key.attributes()))
    }

    /// Deletes an item.
    pub(super) fn delete(&self, key: &Key) -> DeleteBuilder {
        Delete::builder().table_name(self.tables.name(key.table)).set_key(Some(key.attributes()))
    }

    /// Demands something of an item that is not written.
    pub(super) fn check(&self, key: &Key) -> ConditionCheckBuilder {
        ConditionCheck::builder().table_name(self.tables.name(key.table)).set_key(Some(key.attributes()))
    }

    /// Commits at most [`MAX_STEPS`] steps as one, or none of them. Where others are at the same items, waits and tries
    /// again, bounded.
    pub(super) async fn commit(&self, steps: Vec<TransactWriteItem>) -> Result<Commit> {
        let mut backoff = Backoff::within(self.options.operation_timeout);
        loop {
            let reasons = match self.transact(steps.clone()).await {
                Ok(()) => return Ok(Commit::Done),
                Err(TransactError::Other(error)) => return Err(error),
                Err(TransactError::Canceled(reasons)) => reasons,
            };
            let refusals = Refusals(reasons);
            if refusals.any() {
                return Ok(Commit::Refused(refusals));
            }
            refusals.passing()?;
            backoff.pause("others keep writing to the same items").await?;
        }
    }
}

/// What a transaction came to.
#[derive(Debug)]
pub(super) enum Commit {
    /// Everything is written.
    Done,
    /// A condition did not hold; nothing is written.
    Refused(Refusals),
}

/// Why a transaction was canceled, step by step.
#[derive(Debug)]
pub(super) struct Refusals(pub(super) Vec<CancellationReason>);

impl Refusals {
    /// Whether the condition of a step did not hold.
    pub(super) fn refused(&self, step: usize) -> bool {
        self.0.get(step).is_some_and(|reason| reason.code() == Some(REFUSED))
    }

    /// What is there, where the condition of a step did not hold and anything is.
    pub(super) fn item(&self, step: usize) -> Option<&Item> {
        // Some implementations answer an empty item instead of none.
        self.0
            .get(step)
            .filter(|_| self.refused(step))
            .and_then(CancellationReason::item)
            .filter(|item| !item.is_empty())
    }

    fn any(&self) -> bool {
        (0..self.0.len()).any(|step| self.refused(step))
    }

    /// `Ok` where repeating the same may succeed.
    ///
    /// # Errors
    /// [`StorageError::Backend`] with the code of a reason that stays.
    pub(super) fn passing(&self) -> Result<()> {
        let lasting = self
            .0
            .iter()
            .filter_map(CancellationReason::code)
            .find(|code| *code != NOTHING && *code != REFUSED && !is_passing(code));
        match lasting {
            None => Ok(()),
            Some(code) => Err(StorageError::Backend(code.to_owned())),
        }
    }
}

/// A finished step.
pub(super) trait Step {
    /// The step; a condition that fails tells what is there.
    fn step(self) -> Result<TransactWriteItem>;
}

macro_rules! steps {
    ($($builder:ty => $method:ident),+ $(,)?) => {
        $(impl Step for $builder {
            fn step(self) -> Result<TransactWriteItem> {
                let built = self
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                    .build()
                    .map_err(|error: BuildError| incomplete(error))?;
                Ok(TransactWriteItem::builder().$method(built).build())
            }
        })+
    };
}

steps! {
    PutBuilder => put,
    UpdateBuilder => update,
    DeleteBuilder => delete,
    ConditionCheckBuilder => condition_check,
}

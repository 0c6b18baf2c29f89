//! What calls cost: DynamoDB bills capacity units, and cost is a feature.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types;

/// The kinds of calls this store makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    GetItem,
    BatchGetItem,
    Query,
    PutItem,
    UpdateItem,
    DeleteItem,
    BatchWriteItem,
    TransactWriteItems,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::GetItem,
        Self::BatchGetItem,
        Self::Query,
        Self::PutItem,
        Self::UpdateItem,
        Self::DeleteItem,
        Self::BatchWriteItem,
        Self::TransactWriteItems,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::GetItem => "GetItem",
            Self::BatchGetItem => "BatchGetItem",
            Self::Query => "Query",
            Self::PutItem => "PutItem",
            Self::UpdateItem => "UpdateItem",
            Self::DeleteItem => "DeleteItem",
            Self::BatchWriteItem => "BatchWriteItem",
            Self::TransactWriteItems => "TransactWriteItems",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::GetItem | Self::BatchGetItem | Self::Query)
    }
}

/// Capacity units consumed by the calls of one store since it was opened, as DynamoDB reported them.
///
/// Counted in tenths, because eventually consistent reads cost halves.
#[derive(Debug, Default)]
pub struct ConsumedCapacity {
    tenths: [AtomicU64; Operation::ALL.len()],
}

impl ConsumedCapacity {
    /// Read units so far, in tenths.
    #[must_use]
    pub fn read_tenths(&self) -> u64 {
        self.sum(true)
    }

    /// Write units so far, in tenths. A transaction's condition checks count as writes.
    #[must_use]
    pub fn write_tenths(&self) -> u64 {
        self.sum(false)
    }

    fn sum(&self, reads: bool) -> u64 {
        let of_kind = Operation::ALL.iter().zip(&self.tenths).filter(|(operation, _)| operation.reads() == reads);
        of_kind.map(|(_, tenths)| tenths.load(Ordering::Relaxed)).sum()
    }

    /// Adds what an answer says it consumed.
    pub(super) fn add<'a>(
        &self,
        operation: Operation,
        consumed: impl IntoIterator<Item = &'a types::ConsumedCapacity>,
    ) {
        let tenths: u64 = consumed.into_iter().filter_map(types::ConsumedCapacity::capacity_units).map(in_tenths).sum();
        let Some(counter) =
            Operation::ALL.iter().zip(&self.tenths).find_map(|(of, counter)| (*of == operation).then_some(counter))
        else {
            return;
        };
        let units = counter.fetch_add(tenths, Ordering::Relaxed).saturating_add(tenths) / 10;
        let name = if operation.reads() {
            "dynamodb_consumed_read_units_total"
        } else {
            "dynamodb_consumed_write_units_total"
        };
        // Absolute, so that halves are not lost to rounding call by call.
        metrics::counter!(name, "operation" => operation.name()).absolute(units);
    }
}

/// DynamoDB reports units as a floating point number, a multiple of one half. Its decimal notation yields an integer
/// without floating point arithmetic.
fn in_tenths(units: f64) -> u64 {
    format!("{units:.1}").replace('.', "").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: f64) -> types::ConsumedCapacity {
        types::ConsumedCapacity::builder().capacity_units(units).build()
    }

    #[test]
    fn halves_add_up_and_reads_are_kept_apart_from_writes() {
        let capacity = ConsumedCapacity::default();
        capacity.add(Operation::Query, &[units(0.5)]);
        capacity.add(Operation::GetItem, Some(&units(1.0)));
        capacity.add(Operation::TransactWriteItems, &[units(12.0), units(4.0)]);
        capacity.add(Operation::PutItem, None);
        assert_eq!((capacity.read_tenths(), capacity.write_tenths()), (15, 160));
    }

    #[test]
    fn what_is_no_amount_counts_nothing() {
        assert_eq!([in_tenths(0.0), in_tenths(0.5), in_tenths(350.0)], [0, 5, 3_500]);
        assert_eq!([in_tenths(f64::NAN), in_tenths(-1.0), in_tenths(f64::INFINITY)], [0, 0, 0]);
    }
}

//! Attributes of items: writing them, and reading them as what a writer of ours left there.
//!
//! Getters take an attribute with its table, `config.version`. That name is all an error says of what could not be
//! read: [`StorageError::Corrupt`] never quotes stored data.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::storage::contract::Result;
use crate::storage::error::StorageError;

/// An item, its key included.
pub(super) type Item = HashMap<String, AttributeValue>;

/// A text.
pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number. DynamoDB keeps 38 digits.
#[allow(clippy::needless_pass_by_value)] // Numbers are copied, and `n(7)` reads better than `n(&7)`.
pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Bytes.
pub(super) fn b(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// A truth value.
pub(super) fn flag(value: bool) -> AttributeValue {
    AttributeValue::Bool(value)
}

/// An instant, as milliseconds since 1970.
pub(super) fn ms(instant: Timestamp) -> AttributeValue {
    n(instant.as_millisecond())
}

/// An item of these attributes.
pub(super) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An instant for the attribute by which DynamoDB deletes, in whole seconds and never early.
pub(super) fn epoch_secs(instant: Timestamp) -> i64 {
    let seconds = instant.as_second();
    // Before 1970 the whole seconds are rounded up already.
    if instant.subsec_nanosecond() > 0 { seconds.saturating_add(1) } else { seconds }
}

/// The error of a stored value that no writer of ours produces.
pub(super) fn corrupt(name: &str) -> StorageError {
    StorageError::Corrupt(name.to_owned())
}

/// The attribute of `table.attribute`.
fn value<'a>(item: &'a Item, name: &str) -> Option<&'a AttributeValue> {
    item.get(name.rsplit_once('.').map_or(name, |(_, attribute)| attribute))
}

/// A text that must be there.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    optional_text(item, name)?.ok_or_else(|| corrupt(name))
}

/// A text that may be absent.
pub(super) fn optional_text<'a>(item: &'a Item, name: &str) -> Result<Option<&'a str>> {
    match value(item, name) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text)),
        Some(_) => Err(corrupt(name)),
    }
}

/// A text that must be there and mean something.
pub(super) fn parsed<T: FromStr>(item: &Item, name: &str) -> Result<T> {
    text(item, name)?.parse().map_err(|_| corrupt(name))
}

/// A number that must be there.
pub(super) fn number<T: FromStr>(item: &Item, name: &str) -> Result<T> {
    optional_number(item, name)?.ok_or_else(|| corrupt(name))
}

/// A number that may be absent.
pub(super) fn optional_number<T: FromStr>(item: &Item, name: &str) -> Result<Option<T>> {
    match value(item, name) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| corrupt(name)),
        Some(_) => Err(corrupt(name)),
    }
}

/// Bytes of any length that must be there.
pub(super) fn blob<'a>(item: &'a Item, name: &str) -> Result<&'a [u8]> {
    optional_blob(item, name)?.ok_or_else(|| corrupt(name))
}

/// Bytes of any length that may be absent.
pub(super) fn optional_blob<'a>(item: &'a Item, name: &str) -> Result<Option<&'a [u8]>> {
    match value(item, name) {
        None => Ok(None),
        Some(AttributeValue::B(bytes)) => Ok(Some(bytes.as_ref())),
        Some(_) => Err(corrupt(name)),
    }
}

/// Exactly so many bytes.
pub(super) fn bytes<const N: usize>(item: &Item, name: &str) -> Result<[u8; N]> {
    blob(item, name)?.try_into().map_err(|_| corrupt(name))
}

/// An instant that must be there, stored as milliseconds since 1970.
pub(super) fn instant_of(item: &Item, name: &str) -> Result<Timestamp> {
    optional_instant(item, name)?.ok_or_else(|| corrupt(name))
}

/// An instant that may be absent, stored as milliseconds since 1970.
pub(super) fn optional_instant(item: &Item, name: &str) -> Result<Option<Timestamp>> {
    let millis: Option<i64> = optional_number(item, name)?;
    millis.map(|millis| Timestamp::from_millisecond(millis).map_err(|_| corrupt(name))).transpose()
}

/// Whether a truth value is there and true.
pub(super) fn is_set(item: &Item, name: &str) -> bool {
    matches!(value(item, name), Some(AttributeValue::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Item {
        item([("text", s("x")), ("count", n(7)), ("hash", b([1, 2])), ("at", n(1_500)), ("deleting", flag(true))])
    }

    #[test]
    fn what_was_written_is_read_back() {
        let item = sample();
        assert_eq!(text(&item, "config.text").unwrap(), "x");
        assert_eq!(number::<u8>(&item, "config.count").unwrap(), 7);
        assert_eq!(bytes::<2>(&item, "config.hash").unwrap(), [1, 2]);
        assert_eq!(instant_of(&item, "config.at").unwrap().as_millisecond(), 1_500);
        assert!(is_set(&item, "config.deleting") && !is_set(&item, "config.text"));
    }

    #[test]
    fn what_is_absent_or_unreadable_is_named_by_table_and_attribute_and_never_quoted() {
        let item = sample();
        let errors = [
            text(&item, "config.absent").map(drop),
            text(&item, "config.count").map(drop),
            number::<u8>(&item, "config.text").map(drop),
            number::<u8>(&item, "config.at").map(drop),
            bytes::<3>(&item, "config.hash").map(drop),
            instant_of(&item, "config.text").map(drop),
        ];
        let names: Vec<_> = errors
            .into_iter()
            .map(|error| match error {
                Err(StorageError::Corrupt(name)) => name,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = ["absent", "count", "text", "at", "hash", "text"].map(|name| format!("config.{name}"));
        assert_eq!(names, expected);
        assert_eq!(optional_text(&item, "config.absent").unwrap(), None);
        assert_eq!(optional_number::<i64>(&item, "config.absent").unwrap(), None);
    }

    #[test]
    fn an_expiry_is_never_early() {
        let secs = |millis| epoch_secs(Timestamp::from_millisecond(millis).unwrap());
        assert_eq!([secs(0), secs(1), secs(999), secs(1_000), secs(1_001)], [0, 1, 1, 1, 2]);
        assert_eq!([secs(-1), secs(-1_000), secs(-1_001)], [0, -1, -1]);
    }
}

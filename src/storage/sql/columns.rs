//! Domain values as column values, and back.
//!
//! Every integer column is a signed 64-bit number, so a value that does not fit is `None` here and refused by the
//! caller: it never wraps.

use jiff::Timestamp;

use crate::domain::ids::AppId;
pub(crate) use crate::storage::amounts::{CounterColumns, RecordAmounts};
pub(crate) use crate::storage::codes::*;

/// An instant as milliseconds since 1970.
pub(crate) fn millis(instant: Timestamp) -> i64 {
    instant.as_millisecond()
}

/// The inverse of [`millis`]; `None` outside the calendar.
pub(crate) fn instant(millis: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis).ok()
}

/// An application in a key column; the whole organization is `''`, which no application id is.
pub(crate) fn app_key(app_id: Option<&AppId>) -> &str {
    app_id.map_or("", AppId::as_str)
}

/// The inverse of [`app_key`]: `None` where the text is no application id.
pub(crate) fn app_of_key(key: &str) -> Option<Option<AppId>> {
    if key.is_empty() { Some(None) } else { key.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_whole_organization_is_the_empty_application_key() {
        assert_eq!(app_of_key(""), Some(None));
        assert_eq!(app_of_key("a b"), None);
        let app: AppId = "shop".parse().unwrap();
        assert_eq!(app_of_key(app_key(Some(&app))), Some(Some(app)));
    }
}

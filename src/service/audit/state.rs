//! What an event says of the state before and after it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::audit::MAX_STATE_BYTES;

/// The members that differ, as they were and as they are: all of them for what is new or gone. `None` where a side has
/// nothing. Compared as JSON, so that a member added later is compared without anybody thinking of this place.
pub(super) fn differences<T: Serialize>(before: Option<&T>, after: Option<&T>) -> (Option<Value>, Option<Value>) {
    let (before, after) = differing(before.and_then(stated), after.and_then(stated));
    (before.map(bounded), after.map(bounded))
}

/// A state without what is empty: nobody set it.
fn stated<T: Serialize>(state: &T) -> Option<Value> {
    serde_json::to_value(state).ok().and_then(pruned)
}

fn pruned(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => object(members.into_iter().filter_map(|(name, value)| Some((name, pruned(value)?)))),
        other => Some(other),
    }
}

fn object(members: impl Iterator<Item = (String, Value)>) -> Option<Value> {
    let members: Map<_, _> = members.collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

fn differing(before: Option<Value>, after: Option<Value>) -> (Option<Value>, Option<Value>) {
    match (before, after) {
        (before, after) if before == after => (None, None),
        (Some(Value::Object(before)), Some(Value::Object(mut after))) => {
            let (mut was, mut is) = (Map::new(), Map::new());
            for (name, old) in before {
                let (old, new) = differing(Some(old), after.remove(&name));
                was.extend(old.map(|old| (name.clone(), old)));
                is.extend(new.map(|new| (name, new)));
            }
            is.extend(after);
            (object(was.into_iter()), object(is.into_iter()))
        }
        different => different,
    }
}

/// A state no longer than an event may have it.
fn bounded(state: Value) -> Value {
    let bytes = state.to_string().len();
    if bytes <= MAX_STATE_BYTES { state } else { json!({ "omitted_bytes": bytes }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn diff(before: &Value, after: &Value) -> (Option<Value>, Option<Value>) {
        differences(Some(before), Some(after))
    }

    #[test]
    fn only_members_that_differ_are_kept_at_every_depth() {
        let before = json!({"name": "a", "zone": "UTC", "quotas": {"premium": 1, "economy": 2}, "order": ["a", "b"]});
        let after = json!({"name": "b", "zone": "UTC", "quotas": {"premium": 1, "economy": 3}, "order": ["b", "a"]});
        let was = json!({"name": "a", "quotas": {"economy": 2}, "order": ["a", "b"]});
        let is = json!({"name": "b", "quotas": {"economy": 3}, "order": ["b", "a"]});
        assert_eq!(diff(&before, &after), (Some(was), Some(is)));
    }

    #[test]
    fn what_was_added_has_no_before_and_what_was_removed_no_after() {
        let (was, is) = diff(&json!({"a": 1, "q": {"x": 1}}), &json!({"b": 2, "q": {"x": 1, "y": 2}}));
        assert_eq!((was, is), (Some(json!({"a": 1})), Some(json!({"b": 2, "q": {"y": 2}}))));
        let (was, is) = diff(&json!({"a": 1}), &json!({"a": 1, "b": 2}));
        assert_eq!((was, is), (None, Some(json!({"b": 2}))));
    }

    #[test]
    fn the_same_has_neither_and_empty_is_as_good_as_absent() {
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": 1})), (None, None));
        assert_eq!(diff(&json!({"a": {}, "b": null}), &json!({})), (None, None));
        assert_eq!(
            diff(&json!({"a": {"b": {}}}), &json!({"a": {"b": {"c": 1}}})).1,
            Some(json!({"a": {"b": {"c": 1}}}))
        );
        // Falsehood and zero are values.
        assert_eq!(diff(&json!({"a": false}), &json!({"a": 0})), (Some(json!({"a": false})), Some(json!({"a": 0}))));
    }

    #[test]
    fn what_is_new_is_all_after_and_what_is_gone_all_before() {
        let state = json!({"a": 1, "b": {"c": 2}});
        assert_eq!(differences(None, Some(&state)), (None, Some(state.clone())));
        assert_eq!(differences(Some(&state), None), (Some(state), None));
    }

    #[test]
    fn a_state_that_is_too_long_only_says_how_long_it_is() {
        let fits = json!({"a": "x".repeat(MAX_STATE_BYTES - 8)});
        assert_eq!(fits.to_string().len(), MAX_STATE_BYTES);
        assert_eq!(differences(None, Some(&fits)).1.unwrap(), fits);
        let too_long = json!({"a": "x".repeat(MAX_STATE_BYTES - 7)});
        assert_eq!(differences(None, Some(&too_long)).1.unwrap(), json!({"omitted_bytes": MAX_STATE_BYTES + 1}));
    }
}

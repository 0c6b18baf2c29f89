//! Refusals of what a reader could not read: they name the member and what it must be, in plain words.
//!
//! The readers' own messages speak of structs and sequences, and quote what was read. A refusal quotes nothing but
//! names of members, cut short: a value may be a secret, and may be as large as a body.

use std::fmt;

use super::error::ApiError;

/// Longest path to a member that a refusal repeats: ours have far fewer characters, a caller's may have a million.
const MAX_FIELD_CHARS: usize = 200;
/// Longest reason. Only those of the readers themselves could be longer, where they quote.
const MAX_REASON_CHARS: usize = 400;

/// A text cut to so many characters.
fn cut(text: &str, max: usize) -> String {
    text.char_indices().nth(max).map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", text.split_at(end).0))
}

/// 400 naming the member an error arose at, or `whole` where it concerns the whole.
pub(super) fn refused<E: fmt::Display>(error: serde_path_to_error::Error<E>, whole: &str) -> ApiError {
    let path = error.path().to_string();
    let message = error.into_inner().to_string();
    // The YAML reader says the path, too.
    let message = message.strip_prefix(&path).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&message);
    let (member, reason) = plain(message);
    // Where the text breaks off inside an object, the path ends in a place without a name.
    let known = path.strip_suffix(".?").unwrap_or(&path);
    let parent = (!matches!(known, "." | "?")).then(|| known.to_owned());
    let field = match (parent, member) {
        (Some(parent), Some(member)) => format!("{parent}.{member}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => whole.to_owned(),
    };
    // A caller may name a member nothing at all.
    unreadable(if field.is_empty() { whole } else { &field }, &reason)
}

/// 400 naming a member, however long its name is.
pub(super) fn unreadable(field: &str, reason: &str) -> ApiError {
    ApiError::invalid(cut(field, MAX_FIELD_CHARS), cut(reason, MAX_REASON_CHARS))
}

/// A reader's message in plain words; with the member's name where only the message has it, because the error arose at
/// the object that lacks it or has it twice.
fn plain(message: &str) -> (Option<String>, String) {
    let member = |start: &str| message.strip_prefix(start)?.split_once('`').map(|(member, _)| member.to_owned());
    if let Some(member) = member("missing field `") {
        return (Some(member), "is missing".to_owned());
    }
    if let Some(member) = member("duplicate field `") {
        return (Some(member), "stands more than once".to_owned());
    }
    if message.starts_with("unknown field `") {
        return (None, unknown(message));
    }
    if ["invalid type: ", "invalid value: ", "invalid length "].iter().any(|start| message.starts_with(start)) {
        return (None, expected(message));
    }
    let reason = match message {
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => "must be a whole number",
        "provided string was not `true` or `false`" => "must be true or false",
        other => return (None, other.replace("EOF while parsing", "the text ends inside")),
    };
    (None, reason.to_owned())
}

/// A message without the place in the text that stands at its end. What is quoted in a message stands before that.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text)
}

/// The path already ends in the unknown name, so the reason only says which are known.
fn unknown(message: &str) -> String {
    match without_place(message).rsplit_once("`, expected ") {
        Some((_, known)) => format!("is not known here; known is {}", known.replace("one of ", "")),
        None => "is not known here".to_owned(),
    }
}

fn expected(message: &str) -> String {
    let Some((_, expected)) = without_place(message).rsplit_once(", expected ") else {
        return "is not a valid value".to_owned();
    };
    let plain = match expected {
        "u64" => "a whole number from 0 to 18446744073709551615",
        "i64" => "a whole number of at most 64 bits",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    };
    format!("must be {plain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readers_message_is_said_in_plain_words_and_quotes_no_value() {
        for (message, reason) in [
            (
                "invalid type: string \"s3cret, expected u8 at line 1\", expected u64 at line 1 column 9",
                "must be a whole number from 0 to 18446744073709551615",
            ),
            ("invalid type: null, expected struct PutOrgRequest at line 1 column 4", "must be an object"),
            ("invalid type: map, expected a sequence at line 1 column 4", "must be a list"),
            ("invalid value: integer `-1`, expected u64", "must be a whole number from 0 to 18446744073709551615"),
            (
                "unknown field `s3cret`, expected `a` or `b` at line 1 column 2",
                "is not known here; known is `a` or `b`",
            ),
            ("unknown field `s3cret`, expected one of `a`, `b`, `c`", "is not known here; known is `a`, `b`, `c`"),
            ("unknown field `s3cret`, there are no fields", "is not known here"),
            ("invalid digit found in string", "must be a whole number"),
            ("EOF while parsing an object at line 1 column 1", "the text ends inside an object at line 1 column 1"),
            ("must be a string", "must be a string"),
        ] {
            assert_eq!(plain(message), (None, reason.to_owned()), "{message}");
        }
        assert_eq!(plain("missing field `a` at line 1 column 2"), (Some("a".to_owned()), "is missing".to_owned()));
        let twice = (Some("a".to_owned()), "stands more than once".to_owned());
        assert_eq!(plain("duplicate field `a`"), twice);
    }

    #[test]
    fn what_a_refusal_repeats_is_cut_short() {
        let refused = unreadable(&"ä".repeat(1_000_000), &"x".repeat(1_000_000));
        assert!(refused.message.chars().count() <= MAX_FIELD_CHARS + MAX_REASON_CHARS + 4);
        assert_eq!(refused.details["field"].as_str().unwrap().chars().count(), MAX_FIELD_CHARS + 1);
        assert_eq!(cut("äb", 2), "äb");
    }
}

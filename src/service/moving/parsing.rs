//! Reading JSON, and saying what is wrong with it without quoting it.

use serde::de::DeserializeOwned;

/// Longest path of a member in a message.
const MAX_FIELD_CHARS: usize = 100;

/// Why a line is none. Never quotes a value: it may be the hash of a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    /// Written in another version of the format.
    Version(u32),
    /// The member, where it is known, and what is wrong with it.
    Member(Option<String>, &'static str),
}

impl BadLine {
    pub(super) fn of(field: &str, reason: &'static str) -> Self {
        Self::Member(Some(field.to_owned()), reason)
    }
}

/// Reads one JSON object.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, BadLine> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(refusal)?;
    reader.end().map_err(|_| BadLine::Member(None, "is not one JSON object"))?;
    Ok(parsed)
}

/// Names the member. Only the names that messages of the reader begin with are taken from them: the rest may quote what
/// was read.
fn refusal(error: serde_path_to_error::Error<serde_json::Error>) -> BadLine {
    let path = error.path().to_string();
    let error = error.into_inner();
    if !error.is_data() {
        return BadLine::Member(None, "is not JSON");
    }
    let message = error.to_string();
    let named = |start: &str| Some(message.strip_prefix(start)?.split_once('`')?.0.to_owned());
    let inside = |member: String| if path == "." { member } else { format!("{path}.{member}") };
    let (field, reason) = if let Some(member) = named("missing field `") {
        (Some(inside(member)), "is missing")
    } else if let Some(member) = named("duplicate field `") {
        (Some(inside(member)), "is there twice")
    } else if message.starts_with("unknown field `") {
        ((path != ".").then(|| path.clone()), "has a member that is unknown to this version")
    } else {
        ((path != ".").then(|| path.clone()), "is not a valid value")
    };
    BadLine::Member(field.map(|field| field.chars().take(MAX_FIELD_CHARS).collect()), reason)
}

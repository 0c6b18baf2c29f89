//! Enumerations on the wire: a word, and nothing but the word.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Reads one of these words. A derived reader would also take an object with the word as its key, `{"OK": null}`,
/// which is nobody's contract.
///
/// # Errors
/// For anything but one of the words; it names them.
pub(super) fn word<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    words: &[(&'static str, T)],
) -> Result<T, D::Error> {
    deserializer.deserialize_str(WordVisitor(words))
}

struct WordVisitor<'a, T>(&'a [(&'static str, T)]);

impl<T: Copy> Visitor<'_> for WordVisitor<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (word, _)) in self.0.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}{word}")?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let found = self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        // Not the word that was sent: a refusal repeats no value.
        found.ok_or_else(|| E::invalid_value(Unexpected::Other("another word"), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [(&str, u8); 3] = [("one", 1), ("two", 2), ("three", 3)];

    #[test]
    fn only_a_word_is_read() {
        let read = |json: &str| word(&mut serde_json::Deserializer::from_str(json), &WORDS);
        assert_eq!(read("\"two\"").unwrap(), 2);
        assert_eq!(read(r#""t\u0077o""#).unwrap(), 2);
        for other in ["{\"two\":null}", "[\"two\"]", "2", "null", "true", "\"Two\"", "\"\"", "\"two \""] {
            let error = read(other).unwrap_err().to_string();
            assert!(error.contains("expected one, two or three"), "{other}: {error}");
        }
    }
}

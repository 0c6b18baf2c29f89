//! Recognizes secrets that keep nothing secret.

use super::resolve::{MIN_JWT_SECRET_BYTES, MIN_KEY_CHARS};

/// Parts of values that stand in documentation and templates, in lower case without punctuation. Long enough that a
/// random value contains one once in billions.
const PLACEHOLDERS: [&str; 24] = [
    "changeme",
    "changethis",
    "changeit",
    "replaceme",
    "replacethis",
    "password",
    "passw0rd",
    "placeholder",
    "yoursecret",
    "yourkey",
    "yourjwt",
    "your256bit",
    "mysecret",
    "supersecret",
    "topsecret",
    "secretkey",
    "jwtsecret",
    "provisioningkey",
    "notasecret",
    "insecure",
    "example",
    "stringsecret",
    "correcthorse",
    "qwertyui",
];

/// Beginnings of values made up for a trial.
const TRIAL_PREFIXES: [&str; 6] = ["test", "secret", "dummy", "sample", "local", "dev"];

/// Fewest different characters of anything random.
const MIN_DISTINCT: usize = 6;

/// Why a text must not sign tokens, if so.
pub(super) fn signing_secret(text: &str) -> Option<String> {
    if text.len() < MIN_JWT_SECRET_BYTES {
        return Some(format!("is too short: at least {MIN_JWT_SECRET_BYTES} bytes are needed"));
    }
    // A trailing line break of a mounted file would make two instances disagree without a visible difference.
    if text.trim() != text || text.chars().any(char::is_control) {
        return Some("begins or ends with white space, or contains a control character or line break".to_owned());
    }
    well_known(text)
}

/// Why a text must not be a key that callers send, if so.
pub(super) fn key(text: &str) -> Option<String> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("must consist of visible ASCII characters, without spaces".to_owned());
    }
    if text.len() < MIN_KEY_CHARS {
        return Some(format!("is too short: at least {MIN_KEY_CHARS} characters are needed"));
    }
    well_known(text)
}

fn well_known(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let guessable = PLACEHOLDERS.iter().any(|word| plain.contains(word))
        || TRIAL_PREFIXES.iter().any(|prefix| is_trial(text, prefix))
        || has_few_characters(text)
        || repeats(text.as_bytes())
        || counts_up(text.as_bytes());
    guessable.then(|| "is a well-known or guessable value".to_owned())
}

/// `test-…`, `test_…`, `test1…`: the word stands for itself. A random value may begin with its letters by chance, but
/// hardly with a separator or digit behind them.
fn is_trial(text: &str, prefix: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix(prefix).is_some_and(|rest| {
        let next = rest.chars().next();
        rest.contains(prefix) || next.is_none_or(|c| !c.is_ascii_alphabetic())
    })
}

fn has_few_characters(text: &str) -> bool {
    let mut characters: Vec<_> = text.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    characters.len() < MIN_DISTINCT
}

/// A unit at least twice: `secretsecret…`, `1234567890…`.
fn repeats(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| bytes.iter().zip(bytes.iter().skip(period)).all(|(a, b)| a == b))
}

/// Mostly one character after the other: `abcdefgh…`, `0123456789abcdef…`.
fn counts_up(bytes: &[u8]) -> bool {
    let steps = bytes.iter().zip(bytes.iter().skip(1)).filter(|(a, b)| a.checked_add(1) == Some(**b)).count();
    steps * 4 > bytes.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessable_values_are_refused() {
        for secret in [
            "changeme-changeme-changeme-changeme",
            "CHANGE_ME_0123_CHANGE_ME_0123_XYZ",
            "please-change-this-in-production-ok",
            "secretsecretsecretsecretsecretsecret",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababab",
            "0123456789abcdef0123456789abcdef",
            "12345678901234567890123456789012",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "test-signing-key-for-the-demo-environment",
            "testtesttesttesttesttesttesttesttest",
            "your-256-bit-secret-your-256-bit-secret",
            "a-string-secret-at-least-256-bits-long",
            "my-super-secret-signing-key-of-32-bytes",
            "development0development0development",
        ] {
            assert!(signing_secret(secret).is_some(), "{secret}");
        }
    }

    #[test]
    fn random_values_are_accepted() {
        for secret in [
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEoTiVx4Ky6A",
            "Zm9vYmFyIGJheiBxdXV4IQ+/72hLx0pQw9Vt3sKd==",
            "devqLr83mZpX0aWm7RtYc2NfJ5hGd8sB",
            "sieben Zwerge, 41 Äpfel und ein grüner Elefant",
        ] {
            assert_eq!(signing_secret(secret), None, "{secret}");
        }
        assert_eq!(key("kX3vQ9_ZpL0aWm-7"), None);
    }

    #[test]
    fn form_comes_first() {
        assert!(signing_secret("kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sB").is_some_and(|why| why.contains("32 bytes")));
        assert!(signing_secret("kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEo\n").is_some_and(|why| why.contains("white space")));
        assert!(key("kX3vQ9_ZpL0aWm-").is_some_and(|why| why.contains("16 characters")));
        assert!(key("kX3vQ9_ZpL0aWm -7abc").is_some_and(|why| why.contains("visible ASCII")));
        assert!(key("kX3vQ9_ZpL0aWmÄ-7abc").is_some_and(|why| why.contains("visible ASCII")));
    }
}

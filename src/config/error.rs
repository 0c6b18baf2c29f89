//! Why a configuration is refused, in words that can be acted on.

use std::fmt;
use std::path::PathBuf;

/// Longest part of a key or value repeated in a message, in characters.
const SHOWN_CHARS: usize = 120;

/// Why there is no configuration. No message holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A configuration file cannot be read.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why, with the line where there is one.
        reason: String,
    },
    /// Values were read and some are wrong; at least one problem.
    #[error("{}", list(.0))]
    Refused(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [only] => format!("configuration refused: {only}"),
        many => {
            let lines: Vec<_> = many.iter().map(|problem| format!("\n  - {problem}")).collect();
            format!("configuration refused, {} problems:{}", many.len(), lines.concat())
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path.
    pub key: String,
    /// What is there.
    pub found: Finding,
    /// What should be there.
    pub expected: String,
    /// Where it came from.
    pub origin: Origin,
}

/// What was found at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No such key exists; its value is not repeated, it may be a misplaced secret.
    UnknownKey,
    /// A value is needed and there is none.
    Missing,
    /// A value, safe to show.
    Value(String),
    /// A value that is never shown.
    Hidden,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// An override given on the command line.
    CommandLine,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, expected) = (shown(&self.key), &self.expected);
        match &self.found {
            Finding::UnknownKey => write!(f, "{key}: unknown key, expected {expected}")?,
            Finding::Missing => write!(f, "{key}: missing, expected {expected}")?,
            Finding::Value(value) => write!(f, "{key}: found `{}`, expected {expected}", shown(value))?,
            Finding::Hidden => write!(f, "{key}: found (redacted), expected {expected}")?,
        }
        write!(f, "; from {}", self.origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {}", shown(name)),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// Text made safe for one line of a terminal or log: control characters escaped, and cut to a readable length.
pub(super) fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN_CHARS).map(|(end, _)| end);
    let (head, tail) = match cut.and_then(|end| text.get(..end)) {
        Some(head) => (head, "…"),
        None => (text, ""),
    };
    let mut shown = String::with_capacity(head.len());
    for character in head.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown + tail
}

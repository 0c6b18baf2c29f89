//! `log`: form and detail of the log.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::key::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new("log.format", "Form of a line", Kind::Word(&["text", "json"])),
    Key::new(
        "log.level",
        "What is logged",
        Kind::Text {
            expected: "trace, debug, info, warn, error or off, or a list such as info,bedrock_cost_keeper::api=debug",
            accepts: is_filter,
        },
    ),
];

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Form and detail of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Form of a line.
    pub format: LogFormat,
    /// What is logged: an [`EnvFilter`] directive list.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// A filter `EnvFilter` takes, but no bare word that is not a level: `inof` would be taken for a module's name and
/// silence everything else.
fn is_filter(text: &str) -> bool {
    let plain = |directive: &str| !directive.contains(['=', '[']);
    let level = |directive: &str| {
        ["trace", "debug", "info", "warn", "error", "off"]
            .iter()
            .any(|level| directive.trim().eq_ignore_ascii_case(level))
    };
    let words_are_levels = text.contains('[') || text.split(',').all(|directive| !plain(directive) || level(directive));
    !text.trim().is_empty() && words_are_levels && EnvFilter::try_new(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for good in
            ["info", "WARN", "off", "info,hyper=warn", "bedrock_cost_keeper=trace", "info,[request{id=a}]=debug"]
        {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", " ", "inof", "info,", "info,hyper", "info,hyper=wran"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}

//! The log: text for a person or one JSON object per line, on standard error.
//!
//! Nobody forges a line. What callers send (a request id, a path, a label) reaches the log, so control characters must
//! not reach the output as they are. Of tracing-subscriber 0.3.23:
//! * the JSON format escapes every value (`serde_json`);
//! * the text format escapes strings recorded as `&str` or with `?`, and terminal sequences in messages, but writes a
//!   line break in a message or in a field recorded with `%` as it is, and everything in a `%` field.
//!
//! So the text format here has a field formatter of its own, which escapes all control characters and the Unicode line
//! and direction marks in whatever is recorded. Code may therefore use `%`, `?` and plain values alike.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::config::LogFormat;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is not a list of filter directives.
    #[error("log.level: {0}")]
    Level(#[from] ParseError),
    /// Something set up logging before.
    #[error("logging is set up already")]
    AlreadySet(#[from] SetGlobalDefaultError),
}

/// Starts logging for the whole process. `level` is a list of [`EnvFilter`] directives such as `info` or
/// `info,hyper=warn`; `RUST_LOG` is not read, so that there is one place to look. Colours are used on a terminal,
/// unless `NO_COLOR` is set.
///
/// # Errors
/// [`LoggingError`] where the level is not valid, or logging was started before.
pub fn init(format: LogFormat, level: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(level)?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Ok(set_global_default(subscriber(format, filter, colours, io::stderr))?)
}

/// The subscriber [`init`] installs, writing anywhere.
fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
        LogFormat::Text => {
            Box::new(builder.with_ansi(colours).fmt_fields(debug_fn(write_field).delimited(" ")).finish())
        }
    }
}

/// Writes a field as `name=value`, the message without its name, and nothing that could leave the line.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaping(writer), "{value:?}")
}

/// Escapes what could end a line, move the cursor or turn the direction of reading.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        let mark = matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || mark {
            write!(self.0, "{}", character.escape_default())
        } else {
            self.0.write_char(character)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    struct Handle<'a>(MutexGuard<'a, Vec<u8>>);

    impl io::Write for Handle<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Buffer {
        type Writer = Handle<'w>;
        fn make_writer(&'w self) -> Handle<'w> {
            Handle(self.0.lock().unwrap())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let subscriber = subscriber(format, EnvFilter::new("info"), false, buffer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "x\r\n2026-01-01 ERROR forged\u{1b}[2J\u{9b}\u{2028}\u{202e}";

    fn log_hostile() {
        let span = tracing::info_span!("request", path = %HOSTILE, id = HOSTILE, debug = ?HOSTILE, late = tracing::field::Empty);
        span.record("late", tracing::field::display(HOSTILE));
        let _entered = span.enter();
        let error = io::Error::other(HOSTILE);
        tracing::warn!(shown = %HOSTILE, text = HOSTILE, error = &error as &dyn std::error::Error, "said {HOSTILE}");
    }

    #[test]
    fn a_text_line_cannot_be_forged() {
        let text = logged(LogFormat::Text, log_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let body = text.strip_suffix('\n').unwrap();
        assert!(!body.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}')), "{body:?}");
        assert!(body.contains("shown=x\\r\\n2026-01-01 ERROR forged\\u{1b}[2J"), "{body}");
        assert!(body.contains("late=x\\r\\n"), "{body}");
    }

    #[test]
    fn a_json_line_is_one_object() {
        let text = logged(LogFormat::Json, log_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["shown"], HOSTILE);
        assert_eq!(line["span"]["path"], HOSTILE);
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_text_line_reads_well() {
        let text = logged(LogFormat::Text, || tracing::info!(org_id = "o 1", n = 7, path = %"/x", "stored"));
        assert!(text.ends_with("stored org_id=\"o 1\" n=7 path=/x\n"), "{text}");
    }

    #[test]
    fn the_filter_decides() {
        assert_eq!(logged(LogFormat::Text, || tracing::debug!("unseen")), "");
        assert!(matches!(init(LogFormat::Text, "info,x=loud"), Err(LoggingError::Level(_))));
    }
}

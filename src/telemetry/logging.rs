//! The log: text for a person or one JSON object per line, on standard error.
//!
//! Nobody forges a line, nor a field of one. What callers send (a request id, a path, a label) reaches the log, so it must
//! neither reach the output as it is nor look like what the service itself says. Of tracing-subscriber 0.3.23:
//! * the JSON format escapes what `serde_json` escapes, which leaves DEL, the C1 control characters (a terminal may take
//!   one for the start of a command) and the Unicode line and direction marks;
//! * the text format escapes strings recorded as `&str` or with `?`, and terminal sequences in messages, but writes a
//!   line break in a message or in a field recorded with `%` as it is, and everything in a `%` field.
//!
//! So here, once for all events, those of dependencies included:
//! * JSON passes through a writer that escapes the rest the JSON way, so that a reader gets the very same text;
//! * text has a field formatter of its own: a value that could be taken for several, or for the end of a span, is quoted,
//!   and what could leave the line is escaped;
//! * a panic is an event like any other, without its message, which may quote data.
//!
//! Code may therefore record with `%`, `?` and plain values alike.

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
    set_global_default(subscriber(format, filter, colours, io::stderr))?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, thread = std::thread::current().name(), "a panic");
    }));
    Ok(())
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
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Json => Box::new(builder.with_writer(EscapingJson(writer)).json().flatten_event(true).finish()),
        LogFormat::Text => Box::new(
            builder.with_writer(writer).with_ansi(colours).fmt_fields(debug_fn(write_field).delimited(" ")).finish(),
        ),
    }
}

/// Writes a field as `name=value`, the message without its name.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let plain = if field.name() == "message" {
        // Prose. Of what is written here none has a `=`; what another crate says could be taken for fields.
        !text.contains('=')
    } else {
        write!(writer, "{}=", field.name())?;
        is_word(&text) || is_quoted(&text)
    };
    if plain { write!(Escaping(writer), "{text}") } else { write!(Escaping(writer), "{text:?}") }
}

/// Whether a value cannot be taken for more than one, nor for the end of the span it is in.
fn is_word(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"' | '\'' | '\\' | '{' | '}');
    !text.is_empty() && !text.contains(special)
}

/// Whether a value is one string in quotes already, as `?` records it.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return false,
            // Whatever it escapes is inside; a quote that ends the string must not be what it escapes.
            '\\' if characters.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

/// Unicode's own ends of lines, and what turns the direction of reading.
fn is_mark(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Escapes what could end a line, move the cursor or turn the direction of reading.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        if character.is_control() || is_mark(character) {
            write!(self.0, "{}", character.escape_default())
        } else {
            self.0.write_char(character)
        }
    }
}

/// Escapes what JSON allows to stand as it is and a line of a log does not. All of it is inside strings: outside them
/// JSON has ASCII alone.
struct EscapingJson<M>(M);

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for EscapingJson<M> {
    type Writer = EscapingJsonWriter<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        EscapingJsonWriter(self.0.make_writer())
    }

    fn make_writer_for(&'w self, metadata: &tracing::Metadata<'_>) -> Self::Writer {
        EscapingJsonWriter(self.0.make_writer_for(metadata))
    }
}

struct EscapingJsonWriter<W>(W);

impl<W: io::Write> io::Write for EscapingJsonWriter<W> {
    /// The formatter offers one event at a time, whole; so no character is cut in two.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let special = |c: char| matches!(c, '\u{7f}'..='\u{9f}') || is_mark(c);
        let text = String::from_utf8_lossy(bytes);
        if !text.contains(special) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        for character in text.chars() {
            if special(character) {
                // All of them are in the basic plane: four digits.
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            } else {
                escaped.push(character);
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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

    const HOSTILE: &str =
        "x\r\n2026-01-01 ERROR forged\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}\u{2028}\u{202e}\u{feff} status=200 {\"a\":1}\\";

    fn log_hostile() {
        let span = tracing::info_span!("request", path = %HOSTILE, id = HOSTILE, debug = ?HOSTILE, late = tracing::field::Empty);
        span.record("late", tracing::field::display(HOSTILE));
        let _entered = span.enter();
        let error = io::Error::other(HOSTILE);
        tracing::warn!(shown = %HOSTILE, text = HOSTILE, list = ?[HOSTILE], error = &error as &dyn std::error::Error, "said {HOSTILE}");
    }

    fn leaves_the_line(character: char) -> bool {
        character.is_control() || matches!(character, '\u{2028}' | '\u{202e}' | '\u{feff}')
    }

    #[test]
    fn a_text_line_cannot_be_forged() {
        let text = logged(LogFormat::Text, log_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let body = text.strip_suffix('\n').unwrap();
        assert!(!body.contains(leaves_the_line), "{body:?}");
        assert!(body.contains("shown=\"x\\r\\n2026-01-01 ERROR forged\\0\\u{1b}[2J"), "{body}");
        assert!(body.contains("late=\"x\\r\\n"), "{body}");
    }

    #[test]
    fn a_field_of_a_text_line_cannot_be_forged() {
        let text = logged(LogFormat::Text, || {
            let span = tracing::info_span!("request", id = %"a}: status=200");
            let _entered = span.enter();
            let quoted = "\"a\" admin=true \"b\"";
            tracing::info!(a = %"x y=1", b = %quoted, c = %"\"open", d = %"\"escaped\\\"", e = %"", f = ?("t", 1), "user x=1");
        });
        // Outside of quotes there are only the fields that were recorded.
        let mut outside = String::new();
        let (mut quoted, mut characters) = (false, text.chars());
        while let Some(character) = characters.next() {
            match character {
                '"' => quoted = !quoted,
                '\\' if quoted => drop(characters.next()),
                _ if !quoted => outside.push(character),
                _ => {}
            }
        }
        assert!(!quoted, "{text}");
        assert!(
            outside.ends_with("request{id=}: bedrock_cost_keeper::telemetry::logging::tests:  a= b= c= d= e= f=\n"),
            "{outside}"
        );
    }

    #[test]
    fn a_json_line_is_one_object_with_the_very_text() {
        let text = logged(LogFormat::Json, log_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.strip_suffix('\n').unwrap().contains(leaves_the_line), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["shown"], HOSTILE);
        assert_eq!(line["span"]["path"], HOSTILE);
        assert_eq!(line["message"], format!("said {HOSTILE}"));
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_text_line_reads_well() {
        let text = logged(LogFormat::Text, || {
            tracing::info!(org_id = "o 1", n = 7, path = %"/x", key = ?"k", on = true, "stored: 2 of 3, it's done");
        });
        assert!(text.ends_with("stored: 2 of 3, it's done org_id=\"o 1\" n=7 path=/x key=\"k\" on=true\n"), "{text}");
    }

    #[test]
    fn the_filter_decides() {
        assert_eq!(logged(LogFormat::Text, || tracing::debug!("unseen")), "");
        assert!(matches!(init(LogFormat::Text, "info,x=loud"), Err(LoggingError::Level(_))));
    }
}

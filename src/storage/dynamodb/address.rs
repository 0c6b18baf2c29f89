//! `storage.url` taken apart: `dynamodb://[ACCESS_KEY:SECRET@]?region=…&table_prefix=…&endpoint=…&ttl=…`.
//!
//! No error repeats a part of the URL: it may carry credentials.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The prefix of table names where the URL has none.
const DEFAULT_PREFIX: &str = "cost-keeper-";
/// Longest prefix: a table name has at most 255 characters, and the longest role has eight.
const MAX_PREFIX_CHARS: usize = 247;

/// Why a `dynamodb://` URL is none. Names the part, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(pub String);

impl InvalidUrl {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A key pair of an emulator.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyPair {
    pub(super) access_key: String,
    pub(super) secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(redacted)")
    }
}

/// What a `dynamodb://` URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Credentials, for emulators only; `None` is the standard AWS chain.
    pub(super) credentials: Option<KeyPair>,
    /// The region; `None` is what the standard AWS chain finds.
    pub(super) region: Option<String>,
    /// What every table name starts with.
    pub(super) table_prefix: String,
    /// The address of an emulator or a VPC endpoint; `None` is the region's own.
    pub(super) endpoint: Option<String>,
    /// Whether `migrate` switches on that DynamoDB deletes what expired. Not where the service's clock is another than
    /// the server's, as in tests: the server would delete by its own.
    pub(super) ttl: bool,
}

impl Address {
    /// Reads what follows `dynamodb://`.
    pub(super) fn parse(rest: &str) -> Result<Self, InvalidUrl> {
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let credentials = credentials(authority)?;
        let (mut region, mut table_prefix, mut endpoint, mut ttl) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (slot, valid): (_, fn(&str) -> bool) = match &*name {
                "region" => (&mut region, is_region),
                "table_prefix" => (&mut table_prefix, is_prefix),
                "endpoint" => (&mut endpoint, is_endpoint),
                "ttl" => (&mut ttl, |text| matches!(text, "on" | "off")),
                _ => return Err(unknown(&name)),
            };
            if slot.is_some() {
                return Err(InvalidUrl::new(format!("{name} is given twice")));
            }
            if !valid(&value) {
                return Err(InvalidUrl::new(format!("{name} must be {}", expected(&name))));
            }
            *slot = Some(value.into_owned());
        }
        if credentials.is_some() && endpoint.is_none() {
            return Err(InvalidUrl::new(
                "credentials in the URL are for emulators and need an endpoint; for AWS use the environment, a \
                 profile or a role",
            ));
        }
        let table_prefix = table_prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let ttl = ttl.as_deref() != Some("off");
        Ok(Self { credentials, region, table_prefix, endpoint, ttl })
    }
}

fn credentials(authority: &str) -> Result<Option<KeyPair>, InvalidUrl> {
    if authority.is_empty() {
        return Ok(None);
    }
    let Some(pair) = authority.strip_suffix('@') else {
        return Err(InvalidUrl::new("a DynamoDB URL names no host; it must be dynamodb://?region=…"));
    };
    let (access_key, secret) =
        pair.split_once(':').ok_or_else(|| InvalidUrl::new("credentials must be ACCESS_KEY:SECRET@"))?;
    let part = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| InvalidUrl::new("credentials must be percent-encoded UTF-8"))?;
        if decoded.is_empty() {
            return Err(InvalidUrl::new("credentials must be ACCESS_KEY:SECRET@"));
        }
        Ok(decoded.into_owned())
    };
    Ok(Some(KeyPair { access_key: part(access_key)?, secret: part(secret)? }))
}

/// A parameter of another name. The name is repeated where it cannot be a misplaced value.
fn unknown(name: &str) -> InvalidUrl {
    let harmless = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let which = if harmless && !name.is_empty() { format!("parameter `{name}`") } else { "a parameter".to_owned() };
    InvalidUrl::new(format!("unknown {which}; a DynamoDB URL takes region, table_prefix, endpoint and ttl"))
}

fn expected(name: &str) -> &'static str {
    match name {
        "region" => "a region such as eu-central-1",
        "ttl" => "on or off",
        "table_prefix" => "1 to 247 letters, digits, '.', '_' or '-'",
        _ => "a URL such as http://127.0.0.1:8000, without credentials or query",
    }
}

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_prefix(text: &str) -> bool {
    (1..=MAX_PREFIX_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#' | b'\\');
    text.len() <= 512 && !host.is_empty() && !host.starts_with(['/', ':']) && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rest: &str) -> String {
        Address::parse(rest).unwrap_err().to_string()
    }

    #[test]
    fn everything_has_a_default_but_the_region_which_the_environment_may_know() {
        let plain = Address {
            credentials: None,
            region: None,
            table_prefix: "cost-keeper-".to_owned(),
            endpoint: None,
            ttl: true,
        };
        assert_eq!(Address::parse(""), Ok(plain.clone()));
        assert_eq!(Address::parse("?"), Ok(plain));
        let full = Address::parse(
            "key:s%2Fe+c%40ret@?region=eu-central-1&table_prefix=a.B_1-&endpoint=http%3A%2F%2F127.0.0.1%3A8000&ttl=off",
        );
        let pair = KeyPair { access_key: "key".to_owned(), secret: "s/e+c@ret".to_owned() };
        let expected = Address {
            credentials: Some(pair),
            region: Some("eu-central-1".to_owned()),
            table_prefix: "a.B_1-".to_owned(),
            endpoint: Some("http://127.0.0.1:8000".to_owned()),
            ttl: false,
        };
        assert_eq!(full, Ok(expected));
        assert!(Address::parse("?endpoint=https://vpce-1.dynamodb.eu-central-1.vpce.amazonaws.com").is_ok());
    }

    #[test]
    fn a_host_is_refused() {
        for rest in ["localhost", "localhost:8000?region=us-east-1", "us-east-1", "/?region=us-east-1"] {
            assert!(refusal(rest).contains("no host"), "{rest}");
        }
    }

    #[test]
    fn unknown_repeated_and_malformed_parameters_are_refused_by_name() {
        for (query, part) in [
            ("prefix=x", "`prefix`"),
            ("Region=us-east-1", "a parameter"),
            ("=x", "a parameter"),
            ("region=", "region must be"),
            ("region=us%20east", "region must be"),
            ("region=us-east-1&region=us-east-1", "region is given twice"),
            ("table_prefix=a/b", "table_prefix must be"),
            ("ttl=no", "ttl must be on or off"),
            ("endpoint=127.0.0.1:8000", "endpoint must be"),
            ("endpoint=http://", "endpoint must be"),
            ("endpoint=http://a:b@c", "endpoint must be"),
        ] {
            assert!(refusal(&format!("?{query}")).contains(part), "{query}: {}", refusal(&format!("?{query}")));
        }
        let long = "x".repeat(MAX_PREFIX_CHARS + 1);
        assert!(refusal(&format!("?table_prefix={long}")).contains("table_prefix must be"));
        assert!(Address::parse(&format!("?table_prefix={}", &long[1..])).is_ok());
    }

    #[test]
    fn credentials_need_both_parts_and_an_endpoint() {
        for rest in ["@", "key@", ":@", "key:@", ":secret@", "key:%ff@"] {
            assert!(refusal(&format!("{rest}?endpoint=http://x")).contains("credentials"), "{rest}");
        }
        assert!(refusal("key:secret@?region=us-east-1").contains("for AWS use"));
    }

    #[test]
    fn no_refusal_and_no_debug_output_repeats_a_value() {
        for rest in [
            "AKIA:hunter2@host",
            "AKIA:hunter2@?region=hunter2!",
            "AKIA:hunter2@?region=us-east-1",
            "?hunter2HUNTER2=1",
            "hunter2",
        ] {
            assert!(!refusal(rest).contains("hunter2") && !refusal(rest).contains("AKIA"), "{rest}");
        }
        let address = Address::parse("AKIA:hunter2@?endpoint=http://x").unwrap();
        assert!(!format!("{address:?}").contains("hunter2"));
    }
}

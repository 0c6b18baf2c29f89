//! Answers to bytes sent by hand.

use serde_json::Value;

/// One answer taken apart, and what came after it.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

impl RawAnswer {
    /// Reads the first answer; its length must be given.
    #[track_caller]
    pub(crate) fn first(bytes: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let end =
            bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {shown}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 ")).unwrap()[..3].parse();
        let mut answer = Self { status: status.unwrap(), head, body: Vec::new(), rest: bytes[end + 4..].to_vec() };
        let length: usize = answer.header("content-length").parse().unwrap_or_else(|_| panic!("no length: {shown}"));
        assert!(answer.rest.len() >= length, "the body is cut off: {shown}");
        let rest = answer.rest.split_off(length);
        answer.body = std::mem::replace(&mut answer.rest, rest);
        answer
    }

    /// A header; empty where it is missing.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values =
            self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": ")).filter(|(key, _)| *key == name);
        let value = values.next().map_or("", |(_, value)| value);
        assert!(values.next().is_none(), "{name} twice in {}", self.head);
        value
    }

    /// Asserts the whole envelope of an error.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> Self {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        assert_eq!((self.status, body["error"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert_eq!(self.header("cache-control"), "no-store");
        assert!(!self.header("date").is_empty());
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(body["request_id"].as_str(), Some(self.header("x-request-id")));
        assert!(!body["message"].as_str().unwrap().is_empty() && body["details"].is_object(), "{body}");
        assert!(body["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{body}");
        self
    }

    /// Asserts that nothing came after it.
    #[track_caller]
    pub(crate) fn last(&self) {
        assert!(self.rest.is_empty(), "{}", String::from_utf8_lossy(&self.rest));
    }

    /// Asserts that it was announced to be the last, and was.
    #[track_caller]
    pub(crate) fn announced_last(&self) {
        assert_eq!(self.header("connection"), "close");
        self.last();
    }
}

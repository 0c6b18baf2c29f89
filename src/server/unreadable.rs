//! The answers hyper gives by itself, to what it cannot read as a request, in the form of all other errors.
//!
//! For a malformed or too large header hyper never calls the service: it writes a head without a body (400, 414 or 431)
//! and closes. Nothing in its interface lets a server write that answer instead, so it is recognized among the bytes
//! hyper writes and replaced.
//!
//! That is exact, and no other answer is taken for it:
//! * hyper writes everything through one buffer (`writev(false)`), its own answer is appended to it as a whole, and it
//!   is the last thing ever written on a connection. So it is the end of what one write offers.
//! * It has a status of three and no header but `connection`, `content-length: 0` and `date`, while every answer of the
//!   service has at least an `x-request-id`.
//! * No body ends in such bytes: JSON has no bare line breaks in its texts, CSV and metrics end their lines with `\n`
//!   alone, chunked bodies end in `0\r\n\r\n`, and compressed ones in their length, which would have to be 168 MB.

use axum::body::HttpBody as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;

use super::endpoint::Rejections;

/// What hyper answers by itself.
const STATUSES: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
/// More than hyper's longest answer of its own, about 130 bytes.
const LONGEST: usize = 256;
/// Ends a head.
const END: &[u8] = b"\r\n\r\n";

/// hyper's own answer at the end of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BareAnswer<'a> {
    /// Where it begins.
    pub(super) at: usize,
    status: StatusCode,
    status_line: &'a str,
    /// Headers that stay: `connection` and `date`.
    kept: Vec<&'a str>,
}

impl<'a> BareAnswer<'a> {
    /// Finds it at the end of what is to be written.
    pub(super) fn at_end_of(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.strip_suffix(END)?;
        let start = head.len().saturating_sub(LONGEST);
        let tail = head.get(start..)?;
        let at = tail.windows(b"HTTP/1.".len()).rposition(|window| window == b"HTTP/1.")?;
        let mut lines = std::str::from_utf8(tail.get(at..)?).ok()?.split("\r\n");
        let status_line = lines.next()?;
        let reason = status_line.strip_prefix("HTTP/1.1 ").or_else(|| status_line.strip_prefix("HTTP/1.0 "))?;
        let status = STATUSES.into_iter().find(|status| status.to_string() == reason)?;
        let (mut empty, mut kept) = (false, Vec::new());
        for line in lines {
            match line.split_once(": ")? {
                ("content-length", "0") => empty = true,
                ("connection" | "date", _) => kept.push(line),
                _ => return None,
            }
        }
        empty.then_some(Self { at: start + at, status, status_line, kept })
    }
}

/// Writes the answers that take the place of hyper's own.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    rejections: Rejections,
    hsts: Option<HeaderValue>,
}

impl Unreadable {
    pub(super) fn new(rejections: Rejections, hsts: Option<HeaderValue>) -> Self {
        Self { rejections, hsts }
    }

    /// The whole answer, or `None` where its body is not at hand.
    pub(super) fn instead_of(&self, bare: &BareAnswer<'_>) -> Option<Vec<u8>> {
        let (mut parts, body) = self.rejections.answer(bare.status).into_parts();
        debug_assert!(body.size_hint().exact().is_some(), "a rejection is complete at once");
        let body = body.collect().now_or_never()?.ok()?.to_bytes();
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(hsts) = &self.hsts {
            parts.headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        let mut bytes = head(bare, &parts.headers);
        bytes.extend_from_slice(&body);
        Some(bytes)
    }
}

fn head(bare: &BareAnswer<'_>, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = bare.status_line.as_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        // A header value has no line breaks.
        bytes.extend_from_slice(value.as_bytes());
    }
    for line in &bare.kept {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.extend_from_slice(END);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::response::IntoResponse as _;

    use super::*;

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                        date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn a_bare_answer_is_found_at_the_end_of_what_is_written() {
        for before in ["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: a\r\n\r\n{}", "HTTP/1.1 "] {
            let written = format!("{before}{BARE}");
            let found = BareAnswer::at_end_of(written.as_bytes()).unwrap();
            assert_eq!((found.at, found.status), (before.len(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let older = "HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(BareAnswer::at_end_of(older.as_bytes()).unwrap().status, StatusCode::BAD_REQUEST);
        assert!(BareAnswer::at_end_of(b"HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n").is_some());
    }

    #[test]
    fn no_other_answer_is_taken_for_it() {
        for written in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: x\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ndate: x\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nx-request-id: a\r\ncontent-length: 0\r\ndate: x\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\ndate: x\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ndate: x\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n0\r\n\r\n",
            "HTTP/2.0 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(BareAnswer::at_end_of(written.as_bytes()), None, "{written:?}");
        }
        let far = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: {}\r\n\r\n", "x".repeat(LONGEST));
        assert_eq!(BareAnswer::at_end_of(far.as_bytes()), None);
    }

    #[test]
    fn the_answer_instead_has_its_body_and_keeps_what_hyper_said_of_the_connection() {
        let rejections =
            Rejections::new(|status| (status, [("x-request-id", "made")], "{\"error\":1}").into_response());
        let unreadable = Unreadable::new(rejections, Some(HeaderValue::from_static("max-age=1")));
        let bytes = unreadable.instead_of(&BareAnswer::at_end_of(BARE.as_bytes()).unwrap()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{\"error\":1}");
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("HTTP/1.1 431 Request Header Fields Too Large"));
        let lines: Vec<_> = lines.collect();
        for expected in
            ["x-request-id: made", "content-length: 11", "connection: close", "strict-transport-security: max-age=1"]
        {
            assert!(lines.contains(&expected), "{expected} in {head}");
        }
        assert_eq!(lines.iter().filter(|line| line.starts_with("content-length")).count(), 1);
    }
}

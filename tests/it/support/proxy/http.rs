//! As much of HTTP and of the DynamoDB API as faults need.

use serde_json::{Value, json};

/// Most bytes of one request; the API takes no more than 16 MB.
const MAX_REQUEST: usize = 17 << 20;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// This is answered in the server's place.
    Answer(Vec<u8>),
    /// A transaction is answered as canceled for these reasons.
    Cancel(Vec<String>),
    /// It reaches the server; the answer is lost with the connection.
    DropAnswer,
}

/// What happens to the next requests.
#[derive(Debug)]
pub(super) struct HttpFault {
    /// Of which operation; `None` is any.
    pub(super) operation: Option<String>,
    /// How many times yet.
    pub(super) left: usize,
    pub(super) action: Action,
}

impl HttpFault {
    pub(super) fn concerns(&self, request: &Request) -> bool {
        self.operation.as_ref().is_none_or(|operation| *operation == request.operation)
    }
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request {
    /// From `X-Amz-Target`, without the version of the API; empty where there is none.
    pub(super) operation: String,
    /// How many bytes it has, head included.
    pub(super) length: usize,
    body_at: usize,
}

/// Whether a connection that begins like this speaks HTTP; `None` where it is too early to tell.
pub(super) fn is_http(first: &[u8]) -> Option<bool> {
    const METHOD: &[u8] = b"POST ";
    if first.len() < METHOD.len() && METHOD.starts_with(first) { None } else { Some(first.starts_with(METHOD)) }
}

/// The request at the beginning of these bytes, once it is there completely.
///
/// # Errors
/// Where it is larger than any request.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, ()> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > MAX_REQUEST { Err(()) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let body_at = end + 4;
    let length = body_at + header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    if length > MAX_REQUEST {
        return Err(());
    }
    let target = header("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    Ok((bytes.len() >= length).then_some(Request { operation, length, body_at }))
}

fn response(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: FAULT\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer with status 400.
fn bad_request(body: &Value) -> Vec<u8> {
    response("400 Bad Request", body)
}

/// A success that says nothing.
pub(super) fn nothing() -> Vec<u8> {
    response("200 OK", &json!({}))
}

/// The type of an error, in full.
fn error_type(name: &str) -> String {
    format!("com.amazonaws.dynamodb.v20120810#{name}")
}

/// An error as the API answers it.
pub(super) fn error(name: &str) -> Vec<u8> {
    bad_request(&json!({ "__type": error_type(name), "message": "made by the proxy of a test" }))
}

/// A transaction canceled for these reasons.
pub(super) fn canceled(request: &Request, bytes: &[u8], reasons: &[String]) -> Vec<u8> {
    let body: Value = serde_json::from_slice(&bytes[request.body_at..request.length]).unwrap_or_default();
    let items = body["TransactItems"].as_array().map_or(0, Vec::len);
    let code = |n: usize| reasons.get(n).map_or("None", String::as_str);
    let of = |n| match code(n) {
        "None" => json!({ "Code": "None" }),
        code => json!({ "Code": code, "Message": "made by the proxy of a test" }),
    };
    let codes: Vec<_> = (0..items).map(code).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    bad_request(&json!({
        "__type": error_type("TransactionCanceledException"),
        "Message": message,
        "CancellationReasons": (0..items).map(of).collect::<Vec<_>>(),
    }))
}

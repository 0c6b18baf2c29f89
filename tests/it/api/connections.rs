//! Clients that send slowly, too much, nonsense, or do not read: each is bounded, and nobody else notices.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::raw::RawAnswer;
use crate::support::server::TestServer;

const GOOD: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
/// No test waits longer for the server to end a connection; a failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(20);

/// One second for each step of a client, and small bodies.
async fn impatient() -> TestServer {
    TestServer::with(|setup| {
        setup.config.server.read_timeout_secs = 1;
        setup.config.server.body_limit_bytes = 1024;
    })
    .await
}

async fn impatient_with(max_connections: usize) -> TestServer {
    TestServer::with(|setup| {
        setup.config.server.read_timeout_secs = 1;
        setup.config.server.max_connections = max_connections;
    })
    .await
}

/// Sends bytes while reading what the server says, until it closes; it may do so before everything is sent.
async fn exchange(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = server.connect().await.into_split();
    let mut answer = Vec::new();
    let exchanged = tokio::time::timeout(PATIENCE, async {
        tokio::join!(
            async {
                let _ = writer.write_all(bytes).await;
            },
            async {
                let _ = reader.read_to_end(&mut answer).await;
            }
        )
    });
    exchanged.await.expect("the server ends the connection");
    answer
}

/// What is left of an answer on a connection that is closed or reset.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = read.expect("the server ends the connection");
    rest
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_form_of_every_other_error() {
    let server = impatient().await;
    for nonsense in [
        "GARBAGE\r\n\r\n",
        "\r\n\r\nGARBAGE\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nspace : x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nx: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nx: a\rb\r\n\r\n",
        "G\u{e9}T / HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1, 2\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: \u{b}chunked\r\n\r\n",
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let answer = RawAnswer::first(&exchange(&server, nonsense.as_bytes()).await);
        assert_eq!(answer.status, 400, "{nonsense:?}: {answer:?}");
        answer.error(400, "INVALID_REQUEST").announced_last();
        server.get("/livez").await.ok(200);
    }
}

#[tokio::test]
async fn each_refusal_has_an_id_of_its_own() {
    let server = TestServer::start().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let answer = RawAnswer::first(&exchange(&server, b"GARBAGE\r\n\r\n").await);
        assert!(ids.insert(answer.header("x-request-id").parse::<uuid::Uuid>().unwrap()));
    }
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = impatient().await;
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let line = |length: usize| "x".repeat(length);
    for large in [
        format!("GET / HTTP/1.1\r\n{}\r\n", fields(101)),
        format!("GET / HTTP/1.1\r\n{}\r\n", fields(100_000)),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", line(33 * 1024)),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", line(4 * 1024 * 1024)),
        format!("GET /{} HTTP/1.1\r\n\r\n", line(33 * 1024)),
        format!("GET /{} HTTP/1.1\r\n\r\n", line(4 * 1024 * 1024)),
        // Never ends.
        format!("GET /{}", line(100 * 1024)),
        line(100 * 1024),
    ] {
        let answer = RawAnswer::first(&exchange(&server, large.as_bytes()).await);
        let start: String = large.chars().take(40).collect();
        assert_eq!(answer.status, 431, "{start}");
        answer.error(431, "INVALID_REQUEST").announced_last();
    }
    for fits in [
        format!("GET /livez HTTP/1.1\r\nconnection: close\r\n{}\r\n", fields(99)),
        format!("GET /livez HTTP/1.1\r\nconnection: close\r\nx: {}\r\n\r\n", line(31 * 1024)),
    ] {
        assert_eq!(RawAnswer::first(&exchange(&server, fits.as_bytes()).await).status, 200);
    }
    server.get("/livez").await.ok(200);
}

#[tokio::test]
async fn answers_before_nonsense_arrive_whole() {
    let server = TestServer::start().await;
    let requests = format!("{GOOD}GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n{GOOD}GARBAGE\r\n\r\n{GOOD}");
    let livez = RawAnswer::first(&exchange(&server, requests.as_bytes()).await);
    let document = RawAnswer::first(&livez.rest);
    let again = RawAnswer::first(&document.rest);
    assert_eq!((livez.status, document.status, again.status), (200, 200, 200));
    assert!(serde_json::from_slice::<Value>(&document.body).unwrap()["paths"].is_object());
    RawAnswer::first(&again.rest).error(400, "INVALID_REQUEST").announced_last();
}

#[tokio::test]
async fn an_answer_before_its_body_was_read_does_not_let_the_body_become_a_request() {
    let server = TestServer::start().await;
    // The body looks like a request, which a server that loses count would answer.
    let body = "DELETE /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";
    let request =
        format!("POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}GARBAGE\r\n\r\n", body.len());
    let first = RawAnswer::first(&exchange(&server, request.as_bytes()).await).error(405, "METHOD_NOT_ALLOWED");
    RawAnswer::first(&first.rest).error(400, "INVALID_REQUEST").announced_last();
}

#[tokio::test]
async fn two_lengths_of_one_body_smuggle_nothing() {
    let server = TestServer::start().await;
    // By its length the body has a second request in it, by its chunks that is the next one: a proxy that goes by the
    // one and a server that goes by the other would see different requests.
    let second = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("0\r\n\r\n{second}");
    for (first, then) in [
        (format!("content-length: {}", chunked.len()), "transfer-encoding: chunked"),
        ("transfer-encoding: chunked".to_owned(), "content-length: 5"),
        ("Transfer-Encoding: chunked\r\ntransfer-encoding: chunked".to_owned(), "content-length: 5"),
        ("transfer-encoding: Chunked".to_owned(), "Content-Length: 4"),
    ] {
        let request = format!(
            "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{first}\r\n{then}\r\n\r\n{chunked}"
        );
        let answer = RawAnswer::first(&exchange(&server, request.as_bytes()).await);
        assert_eq!(answer.status, 400, "{first}, {then}: {answer:?}");
        answer.error(400, "INVALID_REQUEST").announced_last();
    }
}

#[tokio::test]
async fn a_chunked_body_that_is_none_is_refused() {
    let server = impatient().await;
    let head =
        "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "x".repeat(64 * 1024);
    for (body, status) in [
        ("nonsense\r\n".to_owned(), 400),
        ("-1\r\n".to_owned(), 400),
        ("fffffffffffffffff\r\n".to_owned(), 400),
        // The length of a chunk is only believed as it arrives.
        ("ffffffffffffffff\r\nxx".to_owned(), 408),
        ("2\r\n{}xx\r\n".to_owned(), 400),
        (format!("2;{long}\r\n{{}}\r\n0\r\n\r\n"), 400),
        (format!("2\r\n{{}}\r\n0\r\nx: {long}\r\n\r\n"), 400),
        (format!("400\r\n{}\r\n400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024), "x".repeat(1024)), 413),
    ] {
        let started: String = body.chars().take(30).collect();
        let answer = RawAnswer::first(&exchange(&server, format!("{head}{body}").as_bytes()).await);
        let code = match status {
            408 => "REQUEST_TIMEOUT",
            413 => "PAYLOAD_TOO_LARGE",
            _ => "INVALID_REQUEST",
        };
        assert_eq!(answer.status, status, "{started:?} {answer:?}");
        answer.error(status, code).last();
        server.get("/livez").await.ok(200);
    }
}

#[tokio::test]
async fn an_answer_to_a_body_that_is_far_too_large_arrives() {
    let server = impatient().await;
    let body = "x".repeat(5 * 1024 * 1024);
    let request = format!(
        "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = RawAnswer::first(&exchange(&server, request.as_bytes()).await);
    answer.error(413, "PAYLOAD_TOO_LARGE").last();
}

#[tokio::test]
async fn http_2_without_tls_is_not_spoken() {
    let server = impatient().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = exchange(&server, preface).await;
    assert!(answer.is_empty() || RawAnswer::first(&answer).status == 400, "{}", String::from_utf8_lossy(&answer));
    server.get("/livez").await.ok(200);
}

/// Sends byte after byte of an endless text until the server has enough.
async fn drip(stream: &mut TcpStream, every: Duration) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE && stream.write_all(b"x").await.is_ok() {
        let mut nothing = [0; 1];
        // The end shows when reading, at the latest.
        match tokio::time::timeout(every, stream.peek(&mut nothing)).await {
            Err(_) => {}
            Ok(_) => return,
        }
    }
    assert!(started.elapsed() < PATIENCE, "the server took it for ever");
}

#[tokio::test]
async fn a_header_that_drips_in_ends_the_connection() {
    let server = impatient().await;
    for start in ["", "GET / HTTP/1.1\r\nhost: ", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /"] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        if start.ends_with("GET /") {
            // An answer to the first; the second request is the slow one.
            let mut answer = vec![0; 16];
            stream.read_exact(&mut answer).await.unwrap();
            let _ = stream.try_read(&mut [0; 4096]);
        }
        drip(&mut stream, Duration::from_millis(30)).await;
        assert!(!rest(&mut stream).await.starts_with(b"HTTP/1.1 2"), "{start:?}");
    }
    server.get("/livez").await.ok(200);
}

#[tokio::test]
async fn a_body_that_drips_in_is_a_timeout() {
    let server = impatient().await;
    for length in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut stream = server.connect().await;
        let head =
            format!("POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if length.starts_with('t') {
            stream.write_all(b"3e8\r\n").await.unwrap();
        }
        drip(&mut stream, Duration::from_millis(30)).await;
        RawAnswer::first(&rest(&mut stream).await).error(408, "REQUEST_TIMEOUT").last();
    }
    server.get("/livez").await.ok(200);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = impatient().await;
    let mut stream = server.connect().await;
    stream.write_all(GOOD.as_bytes()).await.unwrap();
    let answer = RawAnswer::first(&rest(&mut stream).await);
    assert_eq!((answer.status, answer.header("connection")), (200, ""));
    assert!(answer.rest.is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_body_harms_nobody() {
    let server = impatient_with(1).await;
    let chat = server.chat(json!({})).await;
    for body in ["", "{\"request_id\":"] {
        let mut stream = server.connect().await;
        let head = format!(
            "POST {}/usage HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{body}",
            chat.path, chat.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
        // There is one connection, so this is answered once that one has ended.
        server.get("/livez").header("connection", "close").await.ok(200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let server = impatient_with(1).await;
    // More answers than all buffers on the way can take.
    let size = server.get("/openapi.json").header("connection", "close").await.ok(200).body.len();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64 * 1024 * 1024 / size);
    let sent = tokio::time::timeout(PATIENCE, stream.write_all(requests.as_bytes())).await;
    assert!(sent.is_ok(), "the requests are small enough to be sent without an answer");
    // The only connection there may be: whoever is next waits for its end.
    let next = tokio::time::timeout(PATIENCE, server.get("/livez").into_future()).await;
    next.expect("the connection was cut off").ok(200);
    drop(stream);
}

#[tokio::test]
async fn whoever_holds_every_connection_stops_others_for_a_moment_only() {
    let server = impatient_with(3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(server.connect().await);
    }
    server.get("/livez").await.ok(200);
    // Those that were held have been ended meanwhile, at least the one whose place was taken.
    let mut ended = 0;
    for stream in &mut held {
        ended +=
            usize::from(matches!(tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_))));
    }
    assert_eq!(ended, 3);
}

#[tokio::test]
async fn whoever_leaves_one_connection_stops_nobody() {
    let server = TestServer::with(|setup| setup.config.server.max_connections = 3).await;
    let _held = (server.connect().await, server.connect().await);
    for _ in 0..10 {
        server.get("/livez").header("connection", "close").await.ok(200);
    }
}

#[tokio::test]
async fn without_tls_nobody_is_told_to_insist_on_it() {
    let server = TestServer::start().await;
    assert!(server.get("/livez").await.ok(200).header("strict-transport-security").is_empty());
    let refused = RawAnswer::first(&exchange(&server, b"GARBAGE\r\n\r\n").await);
    assert!(refused.header("strict-transport-security").is_empty());
}

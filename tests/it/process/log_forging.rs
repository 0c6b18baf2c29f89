//! Nothing a client sends starts a line of the log, or looks like a field of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_cost_keeper::config::LogFormat;
use bedrock_cost_keeper::telemetry::logging;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::ORG;
use super::logged::{Logged, org};
use crate::support::process::{stderr, stdout};

/// Ends a line, starts one that looks like the service's own, moves the cursor, ends the text, reads backwards.
const HOSTILE: &str = "x\r\n2026-01-01T00:00:00.000000Z ERROR forged: y\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}1m\u{2028}\u{2029}\u{202e}\u{feff}\", \"level\":\"ERROR\" status=200 {}}";

/// A model nobody knows, which is warned of by its name.
const UNKNOWN_MODEL: &str = "acme.forged-v1:0";
/// A request id that is taken over as it is, and ends the span it is in where it can.
const REQUEST_ID: &str = "id}:\"status=200,\\forged";

/// Sends the hostile text wherever a client can put text.
async fn attack(server: &Logged) {
    let org_path = format!("/api/v1/orgs/{ORG}");
    let created = server.put(&org_path, &org()).await;
    let app =
        server.put(&format!("{org_path}/apps/chat"), &json!({"app_name": "Chat", "secret_delivery": "inline"})).await;
    let text = |value: &Value, member: &str| value["credentials"][member].as_str().unwrap().to_owned();
    let (_, tokens) = server.token(&text(&app, "client_id"), &text(&app, "client_secret")).await;
    let token = tokens["access_token"].as_str().unwrap();
    assert!(created["credentials"].is_object());

    let encoded = utf8_percent_encode(HOSTILE, NON_ALPHANUMERIC).to_string();
    let send = async |request: reqwest::RequestBuilder| drop(request.send().await.unwrap().bytes().await);
    // Paths and queries.
    for path in [
        format!("/{encoded}"),
        format!("/api/v1/orgs/{encoded}"),
        format!("{org_path}/apps/{encoded}"),
        format!("{org_path}/credentials/secret?token={encoded}&{encoded}={encoded}"),
        format!("{org_path}/aggregates/{encoded}"),
    ] {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            send(server.admin(method, &path).header("content-type", "application/json").body("{}")).await;
        }
    }
    // Bodies: names, labels, identifiers, and what is no JSON at all.
    for (member, value) in [
        ("org_name", json!(HOSTILE)),
        ("timezone", json!(HOSTILE)),
        ("quota_scope", json!(HOSTILE)),
        ("model_ordering", json!([HOSTILE])),
        ("quotas", json!({HOSTILE: 1})),
        (HOSTILE, json!(HOSTILE)),
    ] {
        let mut body = org();
        body[member] = value;
        send(server.admin(Method::PUT, &org_path).json(&body)).await;
    }
    let usage = json!({
        "request_id": "00000000-0000-4000-8000-000000000001", "model_label": "premium", "status": "OK",
        "input_tokens": 1, "output_tokens": 1,
    });
    for member in ["request_id", "model_label", "status", "bedrock_model_id", "timestamp", HOSTILE] {
        for value in [json!(HOSTILE), json!({HOSTILE: HOSTILE}), json!(UNKNOWN_MODEL)] {
            let mut body = usage.clone();
            body[member] = value;
            let path = format!("{org_path}/apps/chat/usage");
            send(server.call(Method::POST, &path).bearer_auth(token).json(&body)).await;
        }
    }
    for media in ["application/json", "application/x-www-form-urlencoded", "application/yaml", "text/plain"] {
        for body in [
            HOSTILE.to_owned(),
            format!("{{\"{HOSTILE}"),
            format!("client_id={encoded}&{encoded}"),
            format!("a: \"{HOSTILE}"),
        ] {
            for (method, path) in
                [(Method::POST, "/auth/token"), (Method::POST, "/api/v1/config/import"), (Method::PUT, &org_path)]
            {
                send(server.admin(method, path).header("content-type", media).body(body.clone())).await;
            }
        }
    }
    for client_id in [HOSTILE, "org-\n"] {
        server.token(client_id, HOSTILE).await;
    }
    // Headers, as far as HTTP lets bytes pass: the high ones, tabs, and quotes.
    let bytes: Vec<u8> = (0x80..=0xff).chain(*b"\t\"}: status=200 {").collect();
    let value = reqwest::header::HeaderValue::from_bytes(&bytes).unwrap();
    for name in [
        "user-agent",
        "x-request-id",
        "x-api-key",
        "authorization",
        "content-type",
        "origin",
        "x-forwarded-for",
        "cookie",
        "accept-encoding",
        "if-none-match",
    ] {
        send(server.call(Method::GET, &org_path).header(name, &value)).await;
    }
    send(server.call(Method::GET, "/livez").header("x-request-id", REQUEST_ID)).await;
    send(server.call(Method::GET, &org_path).header("authorization", format!("Basic {}", STANDARD.encode(HOSTILE))))
        .await;
    // What is no HTTP.
    for start in [
        "",
        "GET ",
        "GET / HTTP/1.1\r\nx: ",
        "GET / HTTP/1.1\r\nx",
        "POST /auth/token HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        server.raw(format!("{start}{HOSTILE}\r\n\r\n").as_bytes()).await;
    }
    server.raw(b"G\x1b[2JT /\x9b HTTP/1.1\r\n\r\n").await;
}

/// What ends a line for somebody, or changes how it looks.
fn leaves_the_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{feff}')
}

fn lines(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.strip_suffix('\n').unwrap().split('\n').collect();
    assert!(lines.len() > 100, "so little at level trace?\n{log}");
    for line in &lines {
        assert!(!line.contains(leaves_the_line), "{line:?}");
    }
    lines
}

#[tokio::test]
async fn a_text_log_has_one_line_for_each_event_whatever_clients_send() {
    let server = Logged::start("text");
    attack(&server).await;
    let log = server.log();
    for line in lines(&log) {
        let (instant, rest) = line.split_once(' ').unwrap();
        assert!(instant.parse::<jiff::Timestamp>().is_ok() && !instant.starts_with("2026-01-01T00:00:00"), "{line}");
        let level = rest.trim_start().split(' ').next().unwrap();
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line}");
    }
    // The attack got there, and in quotes.
    assert!(log.contains(&format!("request_id={REQUEST_ID:?} ")), "{log}");
    assert!(log.contains(&format!("model_id={UNKNOWN_MODEL:?}")), "{log}");
}

#[tokio::test]
async fn a_json_log_has_one_object_for_each_event_whatever_clients_send() {
    let server = Logged::start("json");
    attack(&server).await;
    let log = server.log();
    let mut ids = 0;
    for line in lines(&log) {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let level = event["level"].as_str().unwrap();
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line}");
        assert!(event["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(!event["target"].as_str().unwrap().contains("forged"), "{line}");
        ids += usize::from(event["span"]["request_id"] == REQUEST_ID);
    }
    assert!(ids > 0, "{log}");
}

/// Set in the process that is to panic.
const PANICS: &str = "COST_KEEPER_TEST_PANICS";

#[test]
fn a_panic_is_one_event_without_its_message() {
    const THIS: &str = "process::log_forging::a_panic_is_one_event_without_its_message";
    if std::env::var_os(PANICS).is_some() {
        logging::init(LogFormat::Json, "info").unwrap();
        let panicked =
            std::thread::Builder::new().name("worker".to_owned()).spawn(|| panic!("stored data\nforged line"));
        assert!(panicked.unwrap().join().is_err());
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS, "--nocapture"])
        .env(PANICS, "yes")
        .output()
        .unwrap();
    assert!(child.status.success() && stdout(&child).contains("1 passed"), "{}", stdout(&child));
    let log = stderr(&child);
    let event: Value = serde_json::from_str(&log).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(
        (&event["level"], &event["message"], &event["thread"]),
        (&json!("ERROR"), &json!("a panic"), &json!("worker"))
    );
    assert!(event["location"].as_str().unwrap().contains("log_forging.rs:"), "{log}");
}

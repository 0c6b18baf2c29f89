//! No secret, token or key is in the log, whatever the level and whatever goes wrong with it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::ORG;
use super::logged::{Logged, org};

/// Everything that must stay secret in a session, by what it is.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn keep(&mut self, what: &'static str, secret: &Value) -> String {
        let secret = secret.as_str().unwrap_or_else(|| panic!("no {what}: {secret}")).to_owned();
        assert!(secret.len() >= 16, "{what}");
        self.0.push((what, secret.clone()));
        secret
    }

    /// None of them is in the log: neither as it is, nor encoded, nor a large part of it.
    fn are_not_in(&self, log: &str) {
        for (what, secret) in &self.0 {
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            for form in [secret.clone(), encoded, STANDARD.encode(secret)] {
                assert!(!log.contains(&form), "{what} is in the log");
            }
            // A token's signature, or what was cut off for brevity, is as bad.
            let characters: Vec<char> = secret.chars().collect();
            for part in [&characters[..16], &characters[characters.len() - 16..]] {
                let part: String = part.iter().collect();
                // Every token begins with the same header.
                assert!(part.starts_with("eyJ") || !log.contains(&part), "a part of {what} is in the log");
            }
        }
    }
}

fn secret_files(dir: &Path) -> Vec<(&'static str, String)> {
    let mut secrets = Vec::new();
    for entry in std::fs::read_dir(dir.join("data/secrets")).unwrap() {
        let content = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for word in content.split_whitespace().filter(|word| word.len() >= 32) {
            secrets.push(("a secret of the service", word.to_owned()));
        }
    }
    assert!(secrets.len() >= 2, "{}", secrets.len());
    secrets
}

#[tokio::test]
async fn no_secret_token_or_key_is_in_the_log_at_any_level() {
    for format in ["text", "json"] {
        let server = Logged::start(format);
        let mut secrets = Secrets(secret_files(server.dir.path()));
        session(&server, &mut secrets).await;
        assert!(secrets.0.len() > 15);
        let log = server.log();
        assert!(log.contains("session-end") && log.contains("DEBUG"), "{log}");
        secrets.are_not_in(&log);
    }
}

async fn session(server: &Logged, secrets: &mut Secrets) {
    let path = format!("/api/v1/orgs/{ORG}");
    let client_id = format!("org-{ORG}");
    let send = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap_or_default())
    };
    // Provisioned with the secret in the answer, and with a token to fetch it.
    let created = server.put(&path, &org()).await;
    let first = secrets.keep("a client secret", &created["credentials"]["client_secret"]);
    let app = server.put(&format!("{path}/apps/chat"), &json!({"app_name": "Chat"})).await;
    let url = app["credentials"]["secret_retrieval"]["url"].as_str().unwrap().to_owned();
    let (_, retrieval) = url.split_once("token=").unwrap();
    secrets.keep("a retrieval token", &json!(retrieval));
    let (status, fetched) = send(server.admin(Method::GET, &url)).await;
    assert_eq!(status, 200, "{fetched}");
    secrets.keep("a fetched client secret", &fetched["client_secret"]);
    assert_ne!(send(server.admin(Method::GET, &url)).await.0, 200, "it is used up");
    let wrong = secrets.keep("a wrong retrieval token", &json!("wrong-retrieval-token-0123456789abcdef"));
    send(server.admin(Method::GET, &format!("{path}/credentials/secret?token={wrong}"))).await;
    send(server.call(Method::GET, &format!("{path}/credentials/secret?token={wrong}"))).await;

    // Tokens: by body, by form, by Basic; refreshed, revoked, wrong.
    let (status, tokens) = server.token(&client_id, &first).await;
    assert_eq!(status, 200, "{tokens}");
    let access = secrets.keep("an access token", &tokens["access_token"]);
    let refresh = secrets.keep("a refresh token", &tokens["refresh_token"]);
    let basic = STANDARD.encode(format!("{client_id}:{}", utf8_percent_encode(&first, NON_ALPHANUMERIC)));
    secrets.keep("Basic credentials", &json!(basic));
    let form = |fields: &[(&str, &str)]| {
        fields
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect::<Vec<_>>()
            .join("&")
    };
    let post = |path: &str, body: String| {
        server.call(Method::POST, path).header("content-type", "application/x-www-form-urlencoded").body(body)
    };
    let by_basic = post("/auth/token", form(&[("grant_type", "client_credentials")]))
        .header("authorization", format!("Basic {basic}"));
    let (status, tokens) = send(by_basic).await;
    assert_eq!(status, 200, "{tokens}");
    secrets.keep("another access token", &tokens["access_token"]);
    secrets.keep("another refresh token", &tokens["refresh_token"]);
    let (status, refreshed) =
        send(post("/auth/refresh", form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]))).await;
    assert_eq!(status, 200, "{refreshed}");
    secrets.keep("a refreshed token", &refreshed["access_token"]);
    let wrong = secrets.keep("a wrong secret", &json!("wrong-client-secret-0123456789abcdef"));
    assert_eq!(server.token(&client_id, &wrong).await.0, 401);
    assert_eq!(
        send(post(
            "/auth/token",
            form(&[("grant_type", "client_credentials"), ("client_id", &wrong), ("client_secret", &first)])
        ))
        .await
        .0,
        401
    );
    send(post("/auth/token", format!("{first}&client_secret={first}&client_secret={first}"))).await;
    send(
        server
            .call(Method::POST, "/auth/token")
            .json(&json!({"grant_type": &first, "client_secret": [&first], &wrong: 1})),
    )
    .await;

    // Authorization that is good, malformed, forged, or in the wrong place.
    let selection = format!("{path}/apps/chat/model-selection");
    send(server.call(Method::GET, &selection).bearer_auth(&access)).await;
    for value in [
        format!("bearer{access}"),
        format!("Bearer  {access} {access}"),
        format!("Basic {access}"),
        format!("Token {access}"),
        format!("Bearer {access}x"),
        format!("Bearer {}", access.replace('.', "")),
        format!("Basic {}", STANDARD.encode(&wrong)),
    ] {
        send(server.call(Method::GET, &selection).header("authorization", &value)).await;
        send(server.call(Method::POST, "/auth/token").header("authorization", &value)).await;
    }
    send(server.call(Method::GET, &format!("{selection}?access_token={access}&api_key={}", server.key))).await;
    send(server.call(Method::GET, &format!("/{}/{access}", server.key))).await;
    let key = secrets.keep("a wrong provisioning key", &json!("wrong-provisioning-key-0123456789abcdef"));
    assert_eq!(send(server.call(Method::GET, "/api/v1/orgs").header("x-api-key", &key)).await.0, 401);
    send(server.call(Method::GET, "/metrics").bearer_auth(&key)).await;
    send(server.admin(Method::GET, "/metrics")).await;
    send(server.admin(Method::GET, "/api/v1/orgs")).await;

    // Rotation, and the end of everything.
    let rotate =
        async |body: Value| send(server.admin(Method::POST, &format!("{path}/credentials/rotate")).json(&body)).await;
    let (status, rotated) = rotate(json!({"secret_delivery": "inline"})).await;
    assert_eq!(status, 200, "{rotated}");
    secrets.keep("a rotated secret", &rotated["client_secret"]);
    let (_, rotated) = rotate(json!({"grace_period_hours": 0})).await;
    let url = rotated["secret_retrieval"]["url"].as_str().unwrap();
    secrets.keep("a rotation's retrieval token", &json!(url.split_once("token=").unwrap().1));
    assert_eq!(send(post("/auth/revoke", form(&[("token", &refresh)])).bearer_auth(&access)).await.0, 204);
    send(post("/auth/revoke", form(&[("token", &access), ("token_type_hint", &access)]))).await;
    send(post("/auth/refresh", form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]))).await;
    send(server.admin(Method::POST, &format!("{path}/credentials/revoke-tokens"))).await;

    // What is no request at all, with a secret in it.
    server.raw(format!("GET /{access} HTTP/1.1\r\nauthorization Bearer {access}\r\n\r\n").as_bytes()).await;
    server.raw(format!("{key}\r\n\r\n").as_bytes()).await;
    send(server.call(Method::GET, "/livez").header("x-request-id", "session-end")).await;
}

//! Keys that sign and verify tokens, and keys that change while the service runs.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_cost_keeper::domain::signing_key::{SigningKey, VerificationKey};
use bedrock_cost_keeper::service::key_refresh::{KeySource, KeySourceError, Keys};
use bedrock_cost_keeper::service::signing::TokenKeys;
use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::{Value, json};

use crate::support::keys::KeyPair;
use crate::support::server::{ADMIN_KEY, JWT_SECRET, Setup, TestServer};
use crate::support::tenants::Tenant;

const NEXT: &str = "the-next-signing-secret-0123456789-abcd";

/// Keys in one place, for any number of instances.
#[derive(Debug)]
struct Place {
    keys: Mutex<Result<Keys, KeySourceError>>,
    reads: AtomicUsize,
}

impl Place {
    fn new(signing: SigningKey) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::new(Ok(keys(signing, &[ADMIN_KEY]))), reads: AtomicUsize::new(0) })
    }

    fn put(&self, keys: Result<Keys, KeySourceError>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeySource for Place {
    async fn read(&self) -> Result<Keys, KeySourceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.keys.lock().unwrap().clone()
    }
}

fn keys(signing: SigningKey, provisioning: &[&str]) -> Keys {
    let tokens = TokenKeys { signing, verification: Vec::new() };
    Keys { tokens, provisioning: provisioning.iter().map(|key| (*key).into()).collect() }
}

fn reading(setup: &mut Setup, place: &Arc<Place>) {
    setup.key_source = Some(Arc::clone(place) as Arc<dyn KeySource>);
}

async fn refresh(server: &TestServer) {
    server.app.services.key_refresh.as_ref().unwrap().refresh().await;
}

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

async fn status(tenant: &Tenant<'_>, token: &str) -> u16 {
    tenant.server.get(&format!("{}/model-selection", tenant.path)).bearer(token).await.status
}

/// A well-formed token of a key that nobody has.
fn stray(token: &str, kid: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    encode(&header, &claims(token), &EncodingKey::from_secret(b"a key that nobody has, 32 bytes long")).unwrap()
}

#[tokio::test]
async fn ed25519_signs_access_and_refresh_tokens() {
    let pair = KeyPair::new();
    let server = TestServer::with(|setup| setup.secrets.signing = pair.signing()).await;
    let chat = server.chat(json!({})).await;
    for token in [&chat.token, &chat.refresh_token] {
        let header = decode_header(token).unwrap();
        assert_eq!((header.alg, header.kid), (Algorithm::EdDSA, Some(pair.kid())));
    }
    chat.selection().await.ok(200);
    let body = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
    let refreshed = server.post("/auth/refresh").json(&body).await.ok(200);
    assert_eq!(status(&chat, refreshed.str("access_token")).await, 200);
    let revoked = server.post("/auth/revoke").bearer(&chat.token).json(&json!({"token": chat.token})).await;
    assert_eq!(revoked.status, 204);
    chat.selection().await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn no_token_chooses_its_algorithm() {
    let pair = KeyPair::new();
    let server = TestServer::with(|setup| {
        setup.secrets.signing = pair.signing();
        setup.secrets.verification = vec![VerificationKey::hs256(JWT_SECRET)];
    })
    .await;
    let chat = server.chat(json!({})).await;
    let secret_kid = VerificationKey::hs256(JWT_SECRET).kid();
    let own = EncodingKey::from_ed_der(pair_der(&pair).as_slice());
    let forged = |algorithm, kid: Option<&str>, key: &EncodingKey| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &claims(&chat.token), key).unwrap()
    };
    let secret = |bytes: &[u8]| EncodingKey::from_secret(bytes);
    assert_eq!(status(&chat, &forged(Algorithm::EdDSA, Some(&pair.kid()), &own)).await, 200, "the key itself can");
    let unsigned = |header: Value| {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header.to_string()), chat.token.split('.').nth(1).unwrap())
    };
    for (what, token) in [
        ("the public key's bytes", forged(Algorithm::HS256, Some(&pair.kid()), &secret(&pair.public_bytes()))),
        ("the public key's PEM", forged(Algorithm::HS256, Some(&pair.kid()), &secret(pair.public.as_bytes()))),
        ("trimmed PEM", forged(Algorithm::HS256, Some(&pair.kid()), &secret(pair.public.trim().as_bytes()))),
        (
            "the older secret under the new name",
            forged(Algorithm::HS256, Some(&pair.kid()), &secret(JWT_SECRET.as_bytes())),
        ),
        ("the new key under the older name", forged(Algorithm::EdDSA, Some(&secret_kid), &own)),
        ("a larger HMAC", forged(Algorithm::HS512, Some(&secret_kid), &secret(JWT_SECRET.as_bytes()))),
        ("no kid", forged(Algorithm::EdDSA, None, &own)),
        ("an unknown kid", forged(Algorithm::EdDSA, Some(&KeyPair::new().kid()), &own)),
        ("no signature", unsigned(json!({"alg": "EdDSA", "kid": pair.kid()}))),
        ("alg none", unsigned(json!({"alg": "none", "kid": pair.kid()}))),
        ("alg None", unsigned(json!({"alg": "None", "kid": secret_kid}))),
        ("alg missing", unsigned(json!({"kid": pair.kid()}))),
        ("oversized", format!("{}{}", chat.token, "A".repeat(4096))),
        ("garbage", "garbage".to_owned()),
    ] {
        assert_eq!(status(&chat, &token).await, 401, "{what}");
    }
}

fn pair_der(pair: &KeyPair) -> Vec<u8> {
    let SigningKey::Ed25519(key) = pair.signing() else { unreachable!() };
    key.expose_pkcs8().to_vec()
}

#[tokio::test]
async fn from_a_secret_to_a_private_key_and_back_nobody_is_logged_out() {
    let pair = KeyPair::new();
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let server = TestServer::with(|setup| reading(setup, &place)).await;
    let mut chat = server.chat(json!({})).await;
    let old = (chat.token.clone(), chat.refresh_token.clone());
    place.put(Ok(keys(pair.signing(), &[ADMIN_KEY])));
    refresh(&server).await;
    assert_eq!(status(&chat, &old.0).await, 200);
    let body = json!({"grant_type": "refresh_token", "refresh_token": old.1});
    let refreshed = server.post("/auth/refresh").json(&body).await.ok(200);
    assert_eq!(kid(refreshed.str("access_token")), pair.kid());
    chat.log_in().await;
    assert_eq!(kid(&chat.token), pair.kid());
    place.put(Ok(keys(SigningKey::hs256(JWT_SECRET), &[ADMIN_KEY])));
    refresh(&server).await;
    assert_eq!((status(&chat, &old.0).await, status(&chat, &chat.token).await), (200, 200));
    let published = server.get("/.well-known/jwks.json").await.ok(200);
    assert_eq!(published["keys"][0]["kid"], pair.kid(), "what verifies is published, though it does not sign");
}

#[tokio::test]
async fn a_replaced_key_is_forgotten_when_its_last_token_has_expired() {
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let server = TestServer::with(|setup| reading(setup, &place)).await;
    let chat = server.chat(json!({})).await;
    place.put(Ok(keys(SigningKey::hs256(NEXT), &[ADMIN_KEY])));
    refresh(&server).await;
    let exchange = async || {
        let body = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
        server.post("/auth/refresh").json(&body).await.status
    };
    // The refresh token lives seven days.
    server.at("2026-01-30T15:30:44Z");
    assert_eq!(exchange().await, 200);
    // A forged one that lives longer does not, once the key is gone: two intervals of ten minutes in all are added.
    let mut longer = claims(&chat.token);
    longer["exp"] = json!(4_000_000_000_i64);
    let header = Header { kid: Some(kid(&chat.token)), ..Header::new(Algorithm::HS256) };
    let longer = encode(&header, &longer, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).unwrap();
    server.at("2026-01-30T15:40:44Z");
    assert_eq!(status(&chat, &longer).await, 200);
    server.at("2026-01-30T15:40:45Z");
    assert_eq!(status(&chat, &longer).await, 401);
}

#[tokio::test]
async fn another_instances_new_key_is_understood_at_once() {
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let first = TestServer::with(|setup| reading(setup, &place)).await;
    let mut chat = first.chat(json!({})).await;
    let before = chat.token.clone();
    place.put(Ok(keys(SigningKey::hs256(NEXT), &[ADMIN_KEY])));
    refresh(&first).await;
    chat.log_in().await;
    let (path, token) = (format!("{}/model-selection", chat.path), chat.token.clone());
    // The other instance has read only the old key so far.
    let (refresh_token, reads) = (chat.refresh_token.clone(), place.reads());
    let data = first.stop().await;
    let other = TestServer::with(|setup| {
        setup.data = data;
        setup.seed = 2;
        reading(setup, &place);
    })
    .await;
    let asked = (0..8).map(|_| async { other.get(&path).bearer(&token).await.status });
    assert_eq!(join_all(asked).await, [200; 8]);
    assert_eq!(place.reads(), reads + 1);
    assert_eq!(other.get(&path).bearer(&before).await.status, 200);
    let body = json!({"grant_type": "refresh_token", "refresh_token": refresh_token});
    other.post("/auth/refresh").json(&body).await.ok(200);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_read() {
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let server = TestServer::with(|setup| reading(setup, &place)).await;
    let chat = server.chat(json!({})).await;
    // What is no token of an unknown key leads to none at all.
    for token in ["garbage".to_owned(), stray(&chat.token, &kid(&chat.token)), stray(&chat.token, "")] {
        assert_eq!(status(&chat, &token).await, 401);
    }
    assert_eq!(place.reads(), 0);
    let flood = (0..60).map(|n| {
        let token = stray(&chat.token, &format!("{n:016x}"));
        let chat = &chat;
        async move { status(chat, &token).await }
    });
    assert_eq!(join_all(flood).await, [401; 60]);
    assert_eq!(place.reads(), 1);
    chat.selection().await.ok(200);
}

#[tokio::test]
async fn a_removed_provisioning_key_ends_with_the_next_read() {
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let server = TestServer::with(|setup| reading(setup, &place)).await;
    let status = async |key: &str| server.get("/api/v1/orgs").header("x-api-key", key).await.status;
    place.put(Ok(keys(SigningKey::hs256(JWT_SECRET), &["a-third-provisioning-key-1234567"])));
    assert_eq!((status(ADMIN_KEY).await, status("a-third-provisioning-key-1234567").await), (200, 401));
    refresh(&server).await;
    assert_eq!((status(ADMIN_KEY).await, status("a-third-provisioning-key-1234567").await), (401, 200));
}

#[tokio::test]
async fn a_place_that_cannot_be_read_changes_nothing() {
    let place = Place::new(SigningKey::hs256(JWT_SECRET));
    let server = TestServer::with(|setup| reading(setup, &place)).await;
    let chat = server.chat(json!({})).await;
    place.put(Err(KeySourceError("the file is gone".to_owned())));
    refresh(&server).await;
    chat.selection().await.ok(200);
    server.get("/api/v1/orgs").admin().await.ok(200);
    assert_eq!(server.token(&chat.client_id, &chat.secret).await.status, 200);
}

#[tokio::test]
async fn without_a_place_to_read_unknown_keys_are_refused_at_once() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    assert!(server.app.services.key_refresh.is_none());
    assert_eq!(status(&chat, &stray(&chat.token, "0000000000000000")).await, 401);
}

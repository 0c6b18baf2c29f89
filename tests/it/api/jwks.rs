//! Public keys, and tokens verified with nothing else.

use bedrock_cost_keeper::domain::signing_key::{Ed25519PublicKey, VerificationKey};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::keys::KeyPair;
use crate::support::server::{JWT_SECRET, TestServer};
use crate::support::tenants::ORG;

const PATH: &str = "/.well-known/jwks.json";

async fn with_key(pair: &KeyPair, verification: Vec<VerificationKey>) -> TestServer {
    TestServer::with(|setup| {
        setup.secrets.signing = pair.signing();
        setup.secrets.verification = verification;
    })
    .await
}

#[tokio::test]
async fn a_token_is_verified_with_the_published_keys_alone() {
    let pair = KeyPair::new();
    let server = with_key(&pair, Vec::new()).await;
    let chat = server.chat(json!({})).await;
    let keys: JwkSet = serde_json::from_value(server.get(PATH).await.ok(200).json).unwrap();
    for token in [&chat.token, &chat.refresh_token] {
        let kid = decode_header(token).unwrap().kid.unwrap();
        let jwk = keys.find(&kid).unwrap();
        assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), kid);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_issuer(&["bedrock-cost-keeper"]);
        let claims = decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims;
        assert_eq!(claims["org_id"], ORG);
        let other = DecodingKey::from_ed_der(&KeyPair::new().public_bytes());
        assert!(decode::<Value>(token, &other, &validation).is_err());
    }
}

#[tokio::test]
async fn the_signing_key_comes_first_and_nothing_shared_is_shown() {
    let (new, old) = (KeyPair::new(), KeyPair::new());
    let older = Ed25519PublicKey::from_pem(&old.public).unwrap();
    let verification = vec![VerificationKey::hs256(JWT_SECRET), VerificationKey::Ed25519(older)];
    let server = with_key(&new, verification).await;
    let reply = server.get(PATH).await.ok(200);
    assert_eq!(reply.header("cache-control"), "public, max-age=300");
    assert_eq!(reply.header("content-type"), "application/json");
    let jwk = |pair: &KeyPair| {
        let x = Ed25519PublicKey::from_pem(&pair.public).unwrap().x();
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": pair.kid(), "use": "sig", "alg": "EdDSA"})
    };
    assert_eq!(reply.json, json!({"keys": [jwk(&new), jwk(&old)]}));
}

#[tokio::test]
async fn with_a_shared_secret_there_are_no_keys() {
    let server = TestServer::start().await;
    assert_eq!(server.get(PATH).await.ok(200).json, json!({"keys": []}));
    server.post(PATH).await.error(405, "METHOD_NOT_ALLOWED");
}

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::domain::signing_key::Ed25519PrivateKey;

const FIRST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c";
const SECOND: &str = "kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEoTiVx4Ky6A";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

fn ed25519() -> SigningKey {
    SigningKey::Ed25519(Ed25519PrivateKey::from_pem(PEM).unwrap())
}

fn keys(signing: SigningKey, verification: impl IntoIterator<Item = SigningKey>) -> TokenKeys {
    TokenKeys { signing, verification: verification.into_iter().map(|key| key.verification()).collect() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "somebody", "exp": 1})
}

fn verify(signer: &TokenSigner, token: &str) -> Verdict<Value> {
    signer.verify(token, at(0))
}

/// A token with this header, signed by a key of the library.
fn forged(header: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let pack = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", pack(header), pack(&claims()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn what_one_key_signs_every_ring_with_it_verifies() {
    for (signing, other) in [(SigningKey::hs256(FIRST), ed25519()), (ed25519(), SigningKey::hs256(FIRST))] {
        let token = TokenSigner::new(&keys(signing.clone(), [])).sign(&claims()).unwrap();
        assert_eq!(decode_header(&token).unwrap().kid, Some(signing.kid()));
        for ring in [keys(signing.clone(), []), keys(other.clone(), [signing.clone()])] {
            assert_eq!(verify(&TokenSigner::new(&ring), &token), Verdict::Signed(claims()));
        }
        assert_eq!(verify(&TokenSigner::new(&keys(other, [])), &token), Verdict::UnknownKey);
    }
}

#[test]
fn the_key_decides_the_algorithm_and_never_the_token() {
    let SigningKey::Ed25519(private) = ed25519() else { unreachable!() };
    let hmac = SigningKey::hs256(FIRST);
    let signer = TokenSigner::new(&keys(ed25519(), [hmac.clone()]));
    let (ed25519_kid, hmac_kid) = (ed25519().kid(), hmac.kid());
    let spki = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let secret = |bytes: &[u8]| EncodingKey::from_secret(bytes);
    let right = EncodingKey::from_ed_der(private.expose_pkcs8());
    let header = |alg: &str, kid: &str| json!({"typ": "JWT", "alg": alg, "kid": kid});
    assert_eq!(
        verify(&signer, &forged(&header("EdDSA", &ed25519_kid), &right, Algorithm::EdDSA)),
        Verdict::Signed(claims()),
        "a forger with the key would succeed"
    );
    let public = private.public();
    for (what, token) in [
        (
            "bytes of the public key as secret",
            forged(&header("HS256", &ed25519_kid), &secret(public.as_bytes()), Algorithm::HS256),
        ),
        (
            "x of the public key as secret",
            forged(&header("HS256", &ed25519_kid), &secret(public.x().as_bytes()), Algorithm::HS256),
        ),
        (
            "PEM of the public key as secret",
            forged(&header("HS256", &ed25519_kid), &secret(spki.as_bytes()), Algorithm::HS256),
        ),
        ("the other key's secret", forged(&header("HS256", &ed25519_kid), &secret(FIRST.as_bytes()), Algorithm::HS256)),
        (
            "EdDSA claimed, HS256 signed",
            forged(&header("EdDSA", &ed25519_kid), &secret(public.as_bytes()), Algorithm::HS256),
        ),
        ("the secret's name, signed by EdDSA", forged(&header("EdDSA", &hmac_kid), &right, Algorithm::EdDSA)),
        ("HS256 claimed, EdDSA signed", forged(&header("HS256", &ed25519_kid), &right, Algorithm::EdDSA)),
        ("a larger HMAC", forged(&header("HS512", &hmac_kid), &secret(FIRST.as_bytes()), Algorithm::HS512)),
        ("alg none", forged(&header("none", &ed25519_kid), &right, Algorithm::EdDSA)),
        ("alg none, for a secret", forged(&header("none", &hmac_kid), &secret(b""), Algorithm::HS256)),
        ("alg of no kind", forged(&header("eddsa", &ed25519_kid), &right, Algorithm::EdDSA)),
        ("no kid", forged(&json!({"typ": "JWT", "alg": "EdDSA"}), &right, Algorithm::EdDSA)),
        ("an empty kid", forged(&header("EdDSA", ""), &right, Algorithm::EdDSA)),
        ("an endless kid", forged(&header("EdDSA", &"x".repeat(65)), &right, Algorithm::EdDSA)),
        (
            "oversized",
            forged(&json!({"alg": "EdDSA", "kid": ed25519_kid, "cty": "x".repeat(4096)}), &right, Algorithm::EdDSA),
        ),
        ("garbage", "garbage".to_owned()),
        ("dots", "...".to_owned()),
        ("nothing", String::new()),
    ] {
        assert_eq!(verify(&signer, &token), Verdict::Refused, "{what}");
    }
    let stripped = forged(&header("EdDSA", &ed25519_kid), &right, Algorithm::EdDSA);
    let stripped = format!("{}.", stripped.rsplit_once('.').unwrap().0);
    assert_eq!(verify(&signer, &stripped), Verdict::Refused);
    let unknown = forged(&header("EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"), &right, Algorithm::EdDSA);
    assert_eq!(verify(&signer, &unknown), Verdict::UnknownKey);
}

#[test]
fn a_replaced_key_verifies_until_its_last_token_has_expired() {
    let signer = TokenSigner::new(&keys(SigningKey::hs256(FIRST), []));
    let old = signer.sign(&claims()).unwrap();
    let names = signer.replace(&keys(ed25519(), []), at(10), at(110)).unwrap();
    let first = SigningKey::hs256(FIRST).kid();
    assert_eq!(names, KeyNames { signing: ed25519().kid(), verification: vec![first.clone()] });
    assert_eq!(signer.verify::<Value>(&old, at(109)), Verdict::Signed(claims()));
    assert_eq!(signer.verify::<Value>(&old, at(110)), Verdict::UnknownKey);
    assert_eq!(signer.replace(&keys(ed25519(), []), at(20), at(120)), None, "nothing changed");

    // Back to the first: it is configured again, and the second is the one that retires.
    let new = signer.sign(&claims()).unwrap();
    let names = signer.replace(&keys(SigningKey::hs256(FIRST), []), at(30), at(130)).unwrap();
    assert_eq!(names, KeyNames { signing: first, verification: vec![ed25519().kid()] });
    assert_eq!(signer.verify::<Value>(&old, at(500)), Verdict::Signed(claims()));
    assert_eq!(signer.verify::<Value>(&new, at(129)), Verdict::Signed(claims()));
    assert_eq!(signer.verify::<Value>(&new, at(130)), Verdict::UnknownKey);
    assert_eq!(signer.public_keys(at(129)).len(), 1);
    assert!(signer.public_keys(at(130)).is_empty());
}

#[test]
fn a_replaced_key_that_is_configured_meanwhile_still_verifies_when_it_is_not_any_more() {
    // As a secret store does it, which shows the version before and no other.
    let (first, second, third) = (SigningKey::hs256(FIRST), SigningKey::hs256(SECOND), ed25519());
    let signer = TokenSigner::new(&keys(first.clone(), []));
    let token = signer.sign(&claims()).unwrap();
    let names = signer.replace(&keys(second.clone(), [first.clone()]), at(10), at(110)).unwrap();
    assert_eq!(names.verification, [first.kid()], "each name once");
    let names = signer.replace(&keys(third, [second.clone()]), at(20), at(120)).unwrap();
    assert_eq!(names.verification, [second.kid(), first.kid()]);
    assert_eq!(signer.verify::<Value>(&token, at(109)), Verdict::Signed(claims()));
    assert_eq!(signer.verify::<Value>(&token, at(110)), Verdict::UnknownKey);
}

#[test]
fn a_key_that_only_verified_ends_at_once_when_it_is_taken_away() {
    let signer = TokenSigner::new(&keys(SigningKey::hs256(FIRST), [SigningKey::hs256(SECOND), ed25519()]));
    let token = TokenSigner::new(&keys(SigningKey::hs256(SECOND), [])).sign(&claims()).unwrap();
    assert_eq!(verify(&signer, &token), Verdict::Signed(claims()));
    signer.replace(&keys(SigningKey::hs256(FIRST), [ed25519()]), at(0), at(1000)).unwrap();
    assert_eq!(verify(&signer, &token), Verdict::UnknownKey);
}

#[test]
fn the_number_of_replaced_keys_is_bounded_and_the_latest_stay() {
    let secret = |n: usize| SigningKey::hs256(format!("{FIRST}{n:04}"));
    let signer = TokenSigner::new(&keys(secret(0), []));
    let mut tokens = vec![signer.sign(&claims()).unwrap()];
    for n in 1..=MAX_RETIRED + 3 {
        signer.replace(&keys(secret(n), []), at(0), at(1000)).unwrap();
        tokens.push(signer.sign(&claims()).unwrap());
    }
    let good = tokens.iter().map(|token| verify(&signer, token) == Verdict::Signed(claims())).collect::<Vec<_>>();
    let expected: Vec<_> = (0..tokens.len()).map(|n| n + MAX_RETIRED + 1 >= tokens.len()).collect();
    assert_eq!(good, expected);
}

#[test]
fn debug_output_has_the_name_only() {
    let signer = TokenSigner::new(&keys(SigningKey::hs256(FIRST), [SigningKey::hs256(SECOND)]));
    let text = format!("{signer:?}");
    assert!(
        !text.contains(FIRST) && !text.contains(SECOND) && text.contains(&SigningKey::hs256(FIRST).kid()),
        "{text}"
    );
}

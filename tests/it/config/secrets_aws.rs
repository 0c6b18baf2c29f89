//! Secrets in AWS Secrets Manager, imitated on this machine.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::config::Credentials;
use bedrock_cost_keeper::aws::secrets_manager::{Limits, SecretsManager};
use bedrock_cost_keeper::config::secrets::{ResolvedSecrets, Which, fetch, resolve};
use bedrock_cost_keeper::config::{Config, SecretsManagerConfig, Sources};
use bedrock_cost_keeper::domain::signing_key::{SigningKey, VerificationKey};
use bedrock_cost_keeper::ids::SystemRng;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::keys::KeyPair;
use crate::support::secrets_manager::{Kept, SecretsManagerApi};

const SIGNING: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const NEXT: &str = "kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEoTiVx4Ky6A";
const KEY: &str = "kX3vQ9_ZpL0aWm-7";

/// Short enough that a test can wait for what takes too long.
const LIMITS: Limits = Limits {
    attempt_timeout: Duration::from_millis(300),
    attempts: 3,
    first_backoff: Duration::from_millis(1),
    total_timeout: Duration::from_secs(2),
};

fn store(api: &SecretsManagerApi) -> SecretsManager {
    let settings = SecretsManagerConfig { region: Some("us-east-1".to_owned()), endpoint_url: Some(api.url.clone()) };
    let credentials = Credentials::new("AKIDTEST", "secret-of-a-test", None, None, "test");
    SecretsManager::new(settings).with_credentials(credentials).with_limits(LIMITS)
}

fn config(settings: &[(&str, &str)]) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let shared = [("storage.url", "postgres://u:p@db/x")];
    Config::load(&Sources::in_dir(dir.path()).with_overrides(shared.iter().chain(settings).copied())).unwrap().config
}

async fn resolved(api: &SecretsManagerApi, settings: &[(&str, &str)]) -> Result<ResolvedSecrets, String> {
    let store = store(api);
    let fetched = fetch(&config(settings), Some(&store), Which::All).await.map_err(|e| e.to_string())?;
    resolve(&fetched, &SystemRng::new()).map_err(|e| e.to_string())
}

async fn refusal(api: &SecretsManagerApi, id: &str) -> String {
    resolved(api, &[("auth.jwt_secret_aws_secret_id", id), ("auth.provisioning_keys", KEY)]).await.unwrap_err()
}

#[tokio::test]
async fn a_secret_is_the_whole_text_or_one_field_of_it() {
    let api = SecretsManagerApi::start().await;
    api.text("prod/signing", &format!("{SIGNING}\n"));
    let all = json!({"jwt_secret": SIGNING, "keys": format!("{KEY}\n{KEY}8"), "metrics": format!("{KEY}9")});
    api.text("prod/all", &all.to_string());
    for settings in [
        [("auth.jwt_secret_aws_secret_id", "prod/signing"), ("auth.provisioning_keys_aws_secret_id", "prod/all#keys")],
        [
            ("auth.jwt_secret_aws_secret_id", "prod/all#jwt_secret"),
            ("auth.provisioning_keys_aws_secret_id", "prod/all#keys"),
        ],
    ] {
        let secrets = resolved(&api, &settings).await.unwrap();
        assert_eq!(secrets.signing.kid(), SigningKey::hs256(SIGNING).kid());
        let keys: Vec<_> = secrets.provisioning_keys.iter().map(|key| key.expose_secret()).collect();
        assert_eq!(keys, [KEY.to_owned(), format!("{KEY}8")]);
        assert!(secrets.verification.is_empty());
    }
    // The second start asked for one secret, though two keys are in it.
    let asked = api.asked().into_iter().filter(|(id, stage, _)| id == "prod/all" && stage == "AWSCURRENT").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_private_key_can_be_there_too() {
    let api = SecretsManagerApi::start().await;
    let (old, new) = (KeyPair::new(), KeyPair::new());
    api.text("signing", &old.private);
    api.rotate("signing", &new.private);
    let settings = [("auth.jwt_private_key_aws_secret_id", "signing"), ("auth.provisioning_keys", KEY)];
    let secrets = resolved(&api, &settings).await.unwrap();
    assert_eq!(secrets.signing.kid(), new.kid());
    assert_eq!(secrets.verification.iter().map(VerificationKey::kid).collect::<Vec<_>>(), [old.kid()]);
}

#[tokio::test]
async fn the_version_before_goes_on_verifying_if_it_is_fit() {
    let api = SecretsManagerApi::start().await;
    for (before, verifies) in [(SIGNING, true), ("changeme-changeme-changeme-changeme", false), (NEXT, true)] {
        api.text("signing", before);
        api.rotate("signing", NEXT);
        let settings = [("auth.jwt_secret_aws_secret_id", "signing"), ("auth.provisioning_keys", KEY)];
        let secrets = resolved(&api, &settings).await.unwrap();
        assert_eq!(secrets.signing.kid(), SigningKey::hs256(NEXT).kid());
        let kids: Vec<_> = secrets.verification.iter().map(VerificationKey::kid).collect();
        let expected = if verifies { vec![VerificationKey::hs256(before).kid()] } else { vec![] };
        assert_eq!(kids, expected, "{before}");
    }
    // A version before that has no such field yet is none.
    api.text("all", &json!({"other": SIGNING}).to_string());
    api.rotate("all", &json!({"jwt_secret": NEXT}).to_string());
    let settings = [("auth.jwt_secret_aws_secret_id", "all#jwt_secret"), ("auth.provisioning_keys", KEY)];
    assert!(resolved(&api, &settings).await.unwrap().verification.is_empty());
}

#[tokio::test]
async fn a_refusal_names_key_and_id_and_never_a_value() {
    let api = SecretsManagerApi::start().await;
    api.text("fields", &json!({"hunter2": "hunter2", "number": 5}).to_string());
    api.text("plain", "hunter2hunter2");
    api.text("empty", "\n");
    api.keep("bytes", Kept::Binary(b"hunter2".to_vec()));
    api.keep("denied", Kept::Denied);
    api.keep("garbled", Kept::Garbled("{\"SecretString\": \"hunter2".to_owned()));
    api.keep("nothing", Kept::Garbled("{}".to_owned()));
    for (id, reason) in [
        ("missing", "does not exist in this account and region"),
        ("fields#absent", "has no field absent"),
        ("fields#number", "has a field number that is not text"),
        ("plain#field", "is not a JSON object"),
        ("empty", "is empty"),
        ("bytes", "is binary"),
        ("denied", "is refused: AccessDeniedException: no identity-based policy"),
        ("garbled", "an answer with status 200 that cannot be read"),
        ("nothing", "the answer has no secret in it"),
    ] {
        let message = refusal(&api, id).await;
        let named = format!(
            "auth.jwt_secret, as auth.jwt_secret_aws_secret_id says, cannot be used: secret {} ",
            id.split('#').next().unwrap()
        );
        assert!(message.starts_with(&named) && message.contains(reason), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let message = refusal(&api, "plain").await;
    assert!(
        message.starts_with("auth.jwt_secret (secret plain) is too short") && !message.contains("hunter2"),
        "{message}"
    );
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_again_and_what_hangs_is_given_up() {
    let api = SecretsManagerApi::start().await;
    api.text("signing", SIGNING);
    let settings = [("auth.jwt_secret_aws_secret_id", "signing"), ("auth.provisioning_keys", KEY)];
    api.fail(2);
    resolved(&api, &settings).await.unwrap();
    api.fail(usize::MAX);
    assert!(refusal(&api, "signing").await.contains("cannot be asked for"));
    api.fail(0);
    api.keep("hangs", Kept::Hangs);
    let started = Instant::now();
    let message = refusal(&api, "hangs").await;
    assert!(message.contains("was not answered within 2 seconds"), "{message}");
    assert!(started.elapsed() < LIMITS.total_timeout + Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn nobody_there_is_told() {
    let mut api = SecretsManagerApi::start().await;
    api.url = "http://127.0.0.1:1".to_owned();
    let message = refusal(&api, "signing").await;
    assert!(message.contains("cannot be asked for: no connection"), "{message}");
}

#[tokio::test]
async fn an_arn_is_asked_for_in_its_own_region() {
    let api = SecretsManagerApi::start().await;
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:signing-AbCdEf";
    api.text(arn, SIGNING);
    api.text("keys", KEY);
    let settings = [("auth.jwt_secret_aws_secret_id", arn), ("auth.provisioning_keys_aws_secret_id", "keys")];
    resolved(&api, &settings).await.unwrap();
    for (id, stage, region) in api.asked() {
        assert_eq!(region, if id == arn { "eu-west-1" } else { "us-east-1" }, "{id}");
        assert!(stage == "AWSCURRENT" || id == arn, "only a signing key has a version before");
    }
}

#[test]
fn debug_output_has_no_credentials() {
    let credentials = Credentials::new("AKIDTEST", "secret-of-a-test", None, None, "test");
    let text = format!("{:?}", SecretsManager::new(SecretsManagerConfig::default()).with_credentials(credentials));
    assert!(!text.contains("secret-of-a-test") && !text.contains("AKIDTEST"), "{text}");
}

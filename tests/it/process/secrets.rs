//! The binary with its secrets in files and in AWS Secrets Manager, replaced while it runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jsonwebtoken::decode_header;
use serde_json::{Value, json};

use super::{ORG, provision};
use crate::support::keys::KeyPair;
use crate::support::process::{Served, command, run, stderr, stdout};

const KEY: &str = "kX3vQ9_ZpL0aWm-7";
const NEXT_KEY: &str = "Rt5bW2_YnM8cHq-4";
const SIGNING: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// No test waits longer for something to happen; a failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a complete file in place, as somebody who rotates a secret should.
fn put(dir: &Path, name: &str, contents: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let (new, path) = (dir.join(format!("{name}.new")), dir.join(name));
    std::fs::write(&new, contents).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn admin(served: &Served, key: &str) -> u16 {
    let url = format!("{}/api/v1/orgs", served.url);
    client().get(url).header("x-api-key", key).send().await.unwrap().status().as_u16()
}

async fn select(served: &Served, token: &str) -> u16 {
    let url = format!("{}/api/v1/orgs/{ORG}/apps/chat/model-selection", served.url);
    client().get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
}

async fn published(served: &Served) -> Vec<String> {
    let url = format!("{}/.well-known/jwks.json", served.url);
    let keys: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_files_are_replaced_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (KeyPair::new(), KeyPair::new());
    let signing = put(dir.path(), "private.pem", &old.private);
    let keys = put(dir.path(), "keys", &format!("{KEY}\n"));
    let env = [
        ("COST_KEEPER_AUTH__JWT_PRIVATE_KEY_FILE", signing.to_str().unwrap()),
        ("COST_KEEPER_AUTH__PROVISIONING_KEYS_FILE", keys.to_str().unwrap()),
        ("COST_KEEPER_AUTH__SECRETS_REFRESH_SECS", "5"),
    ];
    let mut served = Served::start_with_env(dir.path(), &[], &env);
    assert!(!dir.path().join("data/secrets").exists(), "nothing had to be created");
    let token = provision(&client(), &served.url, KEY).await;
    assert_eq!((kid(&token), published(&served).await), (old.kid(), vec![old.kid()]));

    put(dir.path(), "private.pem", &new.private);
    put(dir.path(), "keys", NEXT_KEY);
    until("the new provisioning key works", async || admin(&served, NEXT_KEY).await == 200).await;
    assert_eq!(admin(&served, KEY).await, 401);
    until("the new key signs", async || published(&served).await == [new.kid(), old.kid()]).await;
    assert_eq!(select(&served, &token).await, 200, "nobody is logged out");
    served.signal("TERM");
    assert!(served.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_became_unfit_is_told_and_the_keys_in_force_stay() {
    let dir = tempfile::tempdir().unwrap();
    let keys = put(dir.path(), "keys", KEY);
    let log = dir.path().join("log");
    let setting = format!("auth.provisioning_keys_file={}", keys.display());
    let args = ["--set", &setting, "--set", "auth.secrets_refresh_secs=5"];
    let mut served = Served::start_logging(dir.path(), &args, &log);
    let said = |text: &str| std::fs::read_to_string(&log).unwrap().contains(text);
    put(dir.path(), "keys", "hunter2");
    until("the failure is logged", async || said("keys were not read again; those in force stay")).await;
    assert_eq!((admin(&served, KEY).await, admin(&served, "hunter2").await), (200, 401));
    let metrics = client().get(format!("{}/metrics", served.url)).header("x-api-key", KEY).send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("secrets_refresh_failures_total 1"));
    put(dir.path(), "keys", NEXT_KEY);
    until("the next one is put in force", async || admin(&served, NEXT_KEY).await == 200).await;
    until("the change is logged", async || said("keys changed and are in force")).await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("auth.provisioning_keys, entry 1, (file ") && log.contains("too short"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains(KEY) && !log.contains(NEXT_KEY), "{log}");
    served.signal("TERM");
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn a_start_without_its_secrets_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let keys = put(dir.path(), "keys", KEY);
    let weak = put(dir.path(), "weak", "changeme-hunter2-changeme-hunter2-changeme");
    for (setting, told) in [
        ("auth.jwt_secret_file=/nonexistent/secret".to_owned(), "file /nonexistent/secret cannot be read: "),
        (format!("auth.jwt_secret_file={}", weak.display()), "is a well-known or guessable value"),
        (format!("auth.jwt_private_key_file={}", weak.display()), "-----BEGIN PRIVATE KEY-----"),
        (format!("auth.provisioning_keys_file={}", weak.display()), "is a well-known or guessable value"),
        ("storage.url_file=/nonexistent/url".to_owned(), "storage.url, as storage.url_file says, cannot be used: "),
        (
            format!("metrics.key={KEY}"),
            "metrics.key (environment variable COST_KEEPER_METRICS__KEY) is used for something",
        ),
    ] {
        let mut command = command(dir.path());
        if !setting.contains("provisioning") {
            command.env("COST_KEEPER_AUTH__PROVISIONING_KEYS_FILE", &keys);
        }
        let output = command.args(["serve", "--listen", "127.0.0.1:0", "--set", &setting]).output().unwrap();
        let message = stderr(&output);
        assert!(!output.status.success() && message.contains(told), "{setting}: {message}");
        assert!(!message.contains("hunter2") && !message.contains(KEY), "{message}");
        assert!(!dir.path().join("data").exists(), "{setting}");
    }
}

#[test]
fn a_store_whose_address_is_in_a_file_is_the_one_that_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("elsewhere.db");
    put(dir.path(), "url", &format!("sqlite://{}\n", database.display()));
    let migrate = run(dir.path(), &["migrate", "--set", "storage.url_file=url"]);
    assert!(migrate.status.success() && database.exists(), "{}", stderr(&migrate));
    assert!(!dir.path().join("data/cost-keeper.db").exists());
}

#[test]
fn config_shows_where_secrets_are_and_reads_none() {
    let dir = tempfile::tempdir().unwrap();
    let setting = "auth.jwt_secret_file=/nonexistent/secret";
    let output = run(dir.path(), &["config", "--set", setting, "--set", "metrics.key=kX3vQ9_ZpL0aWm-7"]);
    let text = stdout(&output);
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("auth.jwt_secret ").contains("(read from auth.jwt_secret_file)"), "{text}");
    assert!(line("auth.jwt_secret_file ").contains("/nonexistent/secret"), "{text}");
    assert!(!text.contains(KEY));
}

#[cfg(feature = "aws")]
mod aws {
    use super::*;
    use crate::support::secrets_manager::{Kept, SecretsManagerApi};

    const CREDENTIALS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "secret-of-a-test")];

    fn settings(api: &SecretsManagerApi) -> Vec<String> {
        let endpoint = format!("aws.secrets_manager.endpoint_url={}", api.url);
        let settings = [
            endpoint.as_str(),
            "aws.secrets_manager.region=eu-west-1",
            "auth.jwt_secret_aws_secret_id=prod/signing",
            "auth.provisioning_keys_aws_secret_id=prod/all#provisioning",
            "auth.secrets_refresh_secs=5",
        ];
        settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_secret_rotated_there_is_picked_up_and_the_version_before_survives_a_restart() {
        let api = SecretsManagerApi::start().await;
        api.text("prod/signing", SIGNING);
        api.text("prod/all", &json!({"provisioning": KEY}).to_string());
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&api);
        let args: Vec<_> = settings.iter().map(String::as_str).collect();
        let mut served = Served::start_with_env(dir.path(), &args, &CREDENTIALS);
        let token = provision(&client(), &served.url, KEY).await;
        api.rotate("prod/signing", "kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEoTiVx4Ky6A");
        api.rotate("prod/all", &json!({"provisioning": NEXT_KEY}).to_string());
        until("the new provisioning key works", async || admin(&served, NEXT_KEY).await == 200).await;
        assert_eq!((admin(&served, KEY).await, select(&served, &token).await), (401, 200));
        served.signal("TERM");
        assert!(served.child.wait().unwrap().success());
        drop(served);

        let served = Served::start_with_env(dir.path(), &args, &CREDENTIALS);
        assert_eq!(select(&served, &token).await, 200, "AWSPREVIOUS verifies");
        assert_eq!(admin(&served, NEXT_KEY).await, 200);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_that_gets_no_secret_is_refused() {
        let api = SecretsManagerApi::start().await;
        api.keep("prod/signing", Kept::Denied);
        api.text("prod/all", &json!({"provisioning": KEY}).to_string());
        let dir = tempfile::tempdir().unwrap();
        let mut command = command(dir.path());
        command.arg("serve").args(settings(&api)).envs(CREDENTIALS);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let message = stderr(&output);
        assert!(!output.status.success(), "{message}");
        assert!(
            message.contains(
                "auth.jwt_secret, as auth.jwt_secret_aws_secret_id says, cannot be used: secret prod/signing is refused"
            ),
            "{message}"
        );
        assert!(!message.contains(KEY) && !dir.path().join("data").exists(), "{message}");
    }
}

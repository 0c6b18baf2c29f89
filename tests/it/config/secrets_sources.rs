//! Secrets in files, in one way only, and judged as those in the configuration are.

use std::path::Path;

use bedrock_cost_keeper::config::secrets::{
    MAX_VERIFICATION_KEYS, ResolvedSecrets, Which, check, fetch, resolve, resolve_again,
};
use bedrock_cost_keeper::config::{Config, Loaded, Origin, Sources};
use bedrock_cost_keeper::domain::signing_key::{SigningKey, VerificationKey};
use bedrock_cost_keeper::ids::SystemRng;
use secrecy::ExposeSecret as _;

use super::{load_env, load_overrides, shown, sources, write};
use crate::support::keys::KeyPair;

const SIGNING: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const KEY: &str = "kX3vQ9_ZpL0aWm-7";

/// A configuration on a shared store, so that nothing is created, with these settings.
fn load(dir: &Path, settings: &[(&str, &str)]) -> Loaded {
    let shared = [("storage.url", "postgres://u:p@db/x")];
    let has_store = settings.iter().any(|(key, _)| key.starts_with("storage.url"));
    let settings = shared.iter().filter(|_| !has_store).chain(settings).copied();
    Config::load(&Sources::in_dir(dir).with_overrides(settings)).unwrap()
}

async fn resolved(config: &Config) -> Result<ResolvedSecrets, String> {
    let fetched = fetch(config, None, Which::All).await.map_err(|e| e.to_string())?;
    check(&fetched).map_err(|e| e.to_string())?;
    resolve(&fetched, &SystemRng::new()).map_err(|e| e.to_string())
}

/// What is said of one file as the signing secret.
async fn refusal(path: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("auth.jwt_secret_file", path.to_str().unwrap()), ("auth.provisioning_keys", "kX3vQ9_ZpL0aWm-7")];
    resolved(&load(dir.path(), &settings).config).await.unwrap_err()
}

#[tokio::test]
async fn every_secret_can_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (KeyPair::new(), KeyPair::new());
    let file = |name: &str, contents: &str| write(dir.path(), name, contents).display().to_string();
    let files = [
        ("storage.url_file", file("url", "postgres://u:hunter2@db/y\n")),
        ("auth.provisioning_keys_file", file("keys", &format!("{KEY}\r\n\r\n{KEY}8\n"))),
        ("auth.jwt_secret_file", file("secret", &format!("{SIGNING}\n"))),
        ("auth.jwt_verification_secrets_file", file("older", &format!("{SIGNING}1\n{SIGNING}2"))),
        ("auth.jwt_verification_public_keys_file", file("public", &format!("{}{}", one.public, two.public))),
        ("metrics.key_file", file("metrics", &format!("{KEY}9\n"))),
    ];
    let settings: Vec<_> = files.iter().map(|(key, path)| (*key, path.as_str())).collect();
    let config = load(dir.path(), &settings).config;
    let fetched = fetch(&config, None, Which::All).await.unwrap();
    assert_eq!(fetched.storage.url.expose(), "postgres://u:hunter2@db/y");
    assert_eq!(fetched.metrics.key.as_ref().map(|key| key.expose_secret().to_owned()), Some(format!("{KEY}9")));
    let secrets = resolve(&fetched, &SystemRng::new()).unwrap();
    let keys: Vec<_> = secrets.provisioning_keys.iter().map(|key| key.expose_secret()).collect();
    assert_eq!(keys, [KEY.to_owned(), format!("{KEY}8")]);
    assert_eq!(secrets.signing.kid(), SigningKey::hs256(SIGNING).kid());
    let kids: Vec<_> = secrets.verification.iter().map(VerificationKey::kid).collect();
    let expected = [
        VerificationKey::hs256(format!("{SIGNING}1")).kid(),
        VerificationKey::hs256(format!("{SIGNING}2")).kid(),
        one.kid(),
        two.kid(),
    ];
    assert_eq!(kids, expected);
    for text in [format!("{fetched:?}"), format!("{secrets:#?}"), format!("{config:?}")] {
        assert!(!text.contains(SIGNING) && !text.contains(KEY) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_private_key_signs_whichever_way_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::new();
    let path = write(dir.path(), "private.pem", &pair.private);
    for (key, value) in
        [("auth.jwt_private_key", pair.private.as_str()), ("auth.jwt_private_key_file", path.to_str().unwrap())]
    {
        let loaded = load(dir.path(), &[(key, value), ("auth.provisioning_keys", KEY)]);
        let secrets = resolved(&loaded.config).await.unwrap();
        assert_eq!(secrets.signing.kid(), pair.kid());
        assert!(matches!(secrets.signing, SigningKey::Ed25519(_)));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_key_and_never_with_its_contents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let named = |message: &str| {
        message.starts_with("auth.jwt_secret, as auth.jwt_secret_file says, cannot be used: file ")
            && message.contains(path.to_str().unwrap())
    };
    let message = refusal(&path).await;
    assert!(named(&message) && message.contains("No such file"), "{message}");
    for (contents, reason) in [
        ("".as_bytes().to_vec(), "is empty"),
        ("\r\n".as_bytes().to_vec(), "is empty"),
        (b"hunter2\xff".to_vec(), "not text in UTF-8"),
        ("hunter2 ".repeat(8193).into_bytes(), "longer than 65536 bytes"),
    ] {
        std::fs::write(&path, contents).unwrap();
        let message = refusal(&path).await;
        assert!(named(&message) && message.contains(reason) && !message.contains("hunter2"), "{message}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let message = refusal(&path).await;
    assert!(named(&message) && message.contains("not a regular file"), "{message}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_that_nobody_writes_into_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(refusal(&path).await.contains("not a regular file"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_everybody_can_read_is_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "secret", SIGNING);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = [("auth.jwt_secret_file", path.to_str().unwrap()), ("auth.provisioning_keys", KEY)];
    resolved(&load(dir.path(), &settings).config).await.unwrap();
}

#[tokio::test]
async fn values_from_files_keep_the_same_rules_and_the_message_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::new();
    let good = write(dir.path(), "good", SIGNING);
    for (key, contents, place, reason) in [
        ("auth.jwt_secret_file", "hunter2", "auth.jwt_secret", "too short"),
        ("auth.jwt_secret_file", "changeme-hunter2-changeme-hunter2-changeme", "auth.jwt_secret", "well-known"),
        ("auth.jwt_secret_file", " 9f86d081884c7d659a2feaa0c55ad015hunter2", "auth.jwt_secret", "white space"),
        ("auth.provisioning_keys_file", &format!("{KEY}\nhunter2"), "auth.provisioning_keys, entry 2,", "too short"),
        ("auth.provisioning_keys_file", SIGNING, "auth.provisioning_keys, entry 1,", "signing secret"),
        ("auth.jwt_verification_secrets_file", "hunter2\n", "auth.jwt_verification_secrets, entry 1,", "too short"),
        ("auth.jwt_private_key_file", "hunter2", "auth.jwt_private_key", "-----BEGIN PRIVATE KEY-----"),
        ("auth.jwt_private_key_file", &pair.public, "auth.jwt_private_key", "PEM of another kind"),
        (
            "auth.jwt_verification_public_keys_file",
            &pair.private,
            "auth.jwt_verification_public_keys, entry 1,",
            "PEM of another kind",
        ),
        (
            "auth.jwt_verification_public_keys_file",
            &format!("hunter2\n{}", pair.public),
            "auth.jwt_verification_public_keys, entry 1,",
            "one PEM block",
        ),
        ("metrics.key_file", "hunter2\n", "metrics.key", "too short"),
        ("storage.url_file", "mysql://u:hunter2@db/x", "storage.url", "not the address of a store"),
    ] {
        let path = write(dir.path(), "bad", contents);
        let mut settings = vec![(key, path.to_str().unwrap())];
        if !key.starts_with("auth.jwt_secret") && !key.starts_with("auth.jwt_private_key") {
            settings.push(("auth.jwt_secret_file", good.to_str().unwrap()));
        }
        if !key.starts_with("auth.provisioning_keys") {
            settings.push(("auth.provisioning_keys", KEY));
        }
        let message = resolved(&load(dir.path(), &settings).config).await.unwrap_err();
        assert!(message.starts_with(place) && message.contains(reason), "{message}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        let private = pair.private.lines().nth(1).unwrap();
        assert!(!message.contains("hunter2") && !message.contains(SIGNING) && !message.contains(private), "{message}");
    }
}

#[tokio::test]
async fn the_number_of_keys_that_only_verify_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::new();
    let public = write(dir.path(), "public", &pair.public);
    for (secrets, fits) in [(MAX_VERIFICATION_KEYS - 1, true), (MAX_VERIFICATION_KEYS, false)] {
        let older: Vec<_> = (0..secrets).map(|n| format!("{SIGNING}{n:02}")).collect();
        let older = older.join(",");
        let settings = [
            ("auth.jwt_secret", SIGNING),
            ("auth.provisioning_keys", KEY),
            ("auth.jwt_verification_secrets", older.as_str()),
            ("auth.jwt_verification_public_keys_file", public.to_str().unwrap()),
        ];
        match resolved(&load(dir.path(), &settings).config).await {
            Ok(secrets) => assert!(fits && secrets.verification.len() == MAX_VERIFICATION_KEYS),
            Err(message) => {
                assert!(!fits && message.contains("17 keys together") && !message.contains(SIGNING), "{message}");
            }
        }
    }
}

#[test]
fn a_secret_is_given_in_one_way_and_a_message_names_both() {
    for key in ["storage.url", "auth.jwt_secret", "auth.jwt_private_key", "metrics.key", "auth.provisioning_keys"] {
        let value = if key == "storage.url" { "postgres://u:hunter2@db/x" } else { "hunter2" };
        let file = format!("{key}_file");
        let message = load_overrides([(key, value), (file.as_str(), "/run/x")]).unwrap_err();
        let expected =
            format!("{key}_file: found `/run/x`, expected nothing, as {key} is set: a secret is given in one way");
        assert!(message.contains(&expected) && !message.contains("hunter2"), "{message}");
    }
    if cfg!(feature = "aws") {
        let ways = [("auth.jwt_secret_file", "/run/x"), ("auth.jwt_secret_aws_secret_id", "prod/x")];
        let message = load_overrides(ways).unwrap_err();
        assert!(
            message.contains("auth.jwt_secret_aws_secret_id: ") && message.contains("as auth.jwt_secret_file is set"),
            "{message}"
        );
    }
    // Neither a default nor nothing at all is a way.
    load_overrides([("storage.url_file", "/run/x")]).unwrap();
    load_overrides([("auth.provisioning_keys_file", "/run/x"), ("auth.provisioning_keys", "")]).unwrap();
}

#[test]
fn a_file_and_the_environment_together_are_two_ways() {
    let (dir, sources) = sources();
    write(dir.path(), "cost-keeper.yaml", "auth: {jwt_secret: hunter2}");
    let env = [("COST_KEEPER_AUTH__JWT_SECRET_FILE", "/run/x")];
    let message = Config::load(&sources.with_env(env)).unwrap_err().to_string();
    assert!(message.contains("as auth.jwt_secret is set"), "{message}");
    assert!(message.contains("COST_KEEPER_AUTH__JWT_SECRET_FILE") && !message.contains("hunter2"), "{message}");
}

#[test]
fn exactly_one_key_signs() {
    for (secret, private) in [
        ("auth.jwt_secret", "auth.jwt_private_key"),
        ("auth.jwt_secret_file", "auth.jwt_private_key"),
        ("auth.jwt_secret", "auth.jwt_private_key_file"),
    ] {
        let message = load_overrides([(secret, "hunter2"), (private, "hunter2")]).unwrap_err();
        assert!(message.contains(&format!("{private}: ")), "{message}");
        assert!(message.contains(&format!("as {secret} is set: exactly one key signs")), "{message}");
        assert!(message.contains("move the old secret to auth.jwt_verification_secrets"), "{message}");
    }
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_aws_says_how_to_get_it() {
    let message = load_overrides([("auth.jwt_secret_aws_secret_id", "prod/x")]).unwrap_err();
    assert!(message.contains("built without AWS; build it with `--features aws`"), "{message}");
}

#[test]
fn malformed_places_are_refused() {
    for (key, value) in [
        ("auth.jwt_secret_aws_secret_id", "a b"),
        ("auth.jwt_secret_aws_secret_id", "prod/x#"),
        ("auth.secrets_refresh_secs", "4"),
        ("auth.secrets_refresh_secs", "86401"),
        ("aws.secrets_manager.endpoint_url", "https://u:p@x"),
        ("aws.secrets_manager.region", "Ireland"),
    ] {
        let message = load_overrides([(key, value)]).unwrap_err();
        assert!(message.contains(&format!("{key}: found `")), "{message}");
    }
    for value in ["0", "5"] {
        load_overrides([("auth.secrets_refresh_secs", value)]).unwrap();
    }
}

#[test]
fn a_description_shows_where_a_secret_is_and_a_json_file_can_be_loaded_again() {
    let loaded = load_env([
        ("COST_KEEPER_AUTH__JWT_SECRET_FILE", "/run/secrets/jwt"),
        ("COST_KEEPER_STORAGE__URL_FILE", "/run/secrets/url"),
    ])
    .unwrap();
    let from = |name: &str| Origin::Env(name.to_owned());
    let secret = ("(read from auth.jwt_secret_file)", &from("COST_KEEPER_AUTH__JWT_SECRET_FILE"));
    assert_eq!(shown(&loaded, "auth.jwt_secret"), secret);
    assert_eq!(shown(&loaded, "auth.jwt_secret_file").0, "/run/secrets/jwt");
    assert_eq!(shown(&loaded, "storage.url").0, "(read from storage.url_file)");
    assert_eq!(shown(&loaded, "auth.jwt_private_key").0, "(unset)");
    let json = loaded.to_json().unwrap();
    assert_eq!(json["auth"]["jwt_secret_file"], "/run/secrets/jwt");
    assert!(json["storage"].get("url").is_none(), "{json}");
    let (dir, sources) = sources();
    write(dir.path(), "cost-keeper.json", &json.to_string());
    let again = Config::load(&sources.with_config_file(dir.path().join("cost-keeper.json"))).unwrap();
    assert_eq!(again.config.secret_sources, loaded.config.secret_sources);
}

#[test]
fn an_address_that_was_not_read_yet_is_no_local_store() {
    let loaded = load_overrides([("storage.url_file", "/run/x")]).unwrap();
    assert!(!loaded.config.storage.url.is_sqlite());
}

#[tokio::test]
async fn opening_the_store_needs_its_address_alone() {
    let dir = tempfile::tempdir().unwrap();
    let url = write(dir.path(), "url", "postgres://u:p@db/x");
    let settings = [("storage.url_file", url.to_str().unwrap()), ("auth.jwt_secret_file", "/nonexistent")];
    let config = load(dir.path(), &settings).config;
    assert_eq!(fetch(&config, None, Which::Store).await.unwrap().storage.url.expose(), "postgres://u:p@db/x");
    assert!(fetch(&config, None, Which::All).await.is_err());
}

#[tokio::test]
async fn a_running_service_reads_keys_again_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &str| write(dir.path(), name, contents).display().to_string();
    let (keys, metrics, url) = (file("keys", KEY), file("metrics", &format!("{KEY}9")), file("url", "postgres://db/x"));
    let settings = [
        ("auth.provisioning_keys_file", keys.as_str()),
        ("auth.jwt_secret", SIGNING),
        ("metrics.key_file", &metrics),
        ("storage.url_file", &url),
    ];
    let config = fetch(&load(dir.path(), &settings).config, None, Which::All).await.unwrap();
    let first = resolve(&config, &SystemRng::new()).unwrap();
    file("keys", &format!("{KEY}new"));
    std::fs::remove_file(&metrics).unwrap();
    std::fs::remove_file(&url).unwrap();
    let again = fetch(&config, None, Which::Reloadable).await.unwrap();
    assert_eq!(again.storage.url.expose(), "postgres://db/x");
    let next = resolve_again(&again, &first).unwrap();
    assert_eq!(next.provisioning_keys[0].expose_secret(), format!("{KEY}new"));
    assert_eq!(next.signing.kid(), first.signing.kid());
    file("keys", "short");
    let again = fetch(&config, None, Which::Reloadable).await.unwrap();
    assert!(resolve_again(&again, &first).unwrap_err().to_string().contains("too short"));
}

#[tokio::test]
async fn what_was_created_at_start_stays_when_the_rest_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let keys = write(dir.path(), "keys", KEY);
    let data = dir.path().join("data").display().to_string();
    let settings = [("auth.provisioning_keys_file", keys.to_str().unwrap()), ("data_dir", &data)];
    let config = Config::load(&Sources::in_dir(dir.path()).with_overrides(settings)).unwrap().config;
    let config = fetch(&config, None, Which::All).await.unwrap();
    let first = resolve(&config, &SystemRng::new()).unwrap();
    assert!(first.created);
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let next = resolve_again(&fetch(&config, None, Which::Reloadable).await.unwrap(), &first).unwrap();
    assert_eq!(next.signing.kid(), first.signing.kid());
    assert!(!dir.path().join("data").exists());
}

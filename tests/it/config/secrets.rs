//! Secrets: configured ones are checked, missing ones created once, and only where that is safe.

use std::path::Path;

use bedrock_cost_keeper::config::secrets::{JWT_SECRET_FILE, PROVISIONING_KEY_FILE, ResolvedSecrets, resolve};
use bedrock_cost_keeper::config::{Config, StorageUrl};
use bedrock_cost_keeper::domain::signing_key::SigningKey;
use bedrock_cost_keeper::ids::{SequenceRng, SystemRng};
use secrecy::{ExposeSecret, SecretString};

const SIGNING: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const KEY: &str = "kX3vQ9_ZpL0aWm-7";

fn config(data_dir: &Path) -> Config {
    let mut config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    config.storage.url = StorageUrl::in_dir(data_dir);
    config
}

fn configured() -> Config {
    let mut config = config(Path::new("/nonexistent"));
    config.storage.url = StorageUrl::from("postgres://u:p@db/x".to_owned());
    config.auth.jwt_secret = Some(SIGNING.into());
    config.auth.provisioning_keys = vec![KEY.into()];
    config
}

fn texts(secrets: &ResolvedSecrets) -> (String, Vec<String>) {
    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    let SigningKey::Hs256(signing) = &secrets.signing else { panic!("{:?}", secrets.signing) };
    (text(signing), secrets.provisioning_keys.iter().map(text).collect())
}

fn refusal(config: &Config) -> String {
    resolve(config, &SystemRng::new()).unwrap_err().to_string()
}

#[test]
fn configured_secrets_are_used_and_nothing_is_written() {
    let resolved = resolve(&configured(), &SystemRng::new()).unwrap();
    assert_eq!(texts(&resolved), (SIGNING.to_owned(), vec![KEY.to_owned()]));
    assert_eq!((resolved.location, resolved.created), (None, false));
}

#[test]
fn a_local_start_creates_secrets_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("new/data"));
    let first = resolve(&config, &SystemRng::new()).unwrap();
    assert!(first.created);
    let place = config.data_dir.join("secrets");
    assert_eq!(first.location.as_deref(), Some(place.as_path()));
    let (signing, keys) = texts(&first);
    assert_eq!((signing.len(), keys[0].len(), keys.len()), (43, 43, 1));
    assert_ne!(signing, keys[0]);
    assert_eq!(std::fs::read_to_string(place.join(JWT_SECRET_FILE)).unwrap(), format!("{signing}\n"));
    assert_eq!(std::fs::read_to_string(place.join(PROVISIONING_KEY_FILE)).unwrap(), format!("{}\n", keys[0]));

    let second = resolve(&config, &SystemRng::new()).unwrap();
    assert!(!second.created);
    assert_eq!(second.location, first.location);
    assert_eq!(texts(&second), texts(&first));
}

#[test]
fn only_what_is_missing_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.auth.provisioning_keys = vec![KEY.into()];
    let resolved = resolve(&config, &SystemRng::new()).unwrap();
    assert_eq!(texts(&resolved).1, [KEY]);
    assert!(dir.path().join("secrets").join(JWT_SECRET_FILE).exists());
    assert!(!dir.path().join("secrets").join(PROVISIONING_KEY_FILE).exists());
}

#[test]
fn a_killed_start_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("secrets");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join(".jwt-secret.new"), "half").unwrap();
    std::fs::write(place.join(".lock"), "").unwrap();
    let resolved = resolve(&config(dir.path()), &SystemRng::new()).unwrap();
    assert_eq!(texts(&resolved).0.len(), 43);
    assert!(!place.join(".jwt-secret.new").exists());
}

#[test]
fn concurrent_starts_agree() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let start = std::sync::Barrier::new(16);
    let resolved: Vec<_> = std::thread::scope(|scope| {
        let (config, start) = (&config, &start);
        let start_one = |seed: u64| {
            scope.spawn(move || {
                start.wait();
                resolve(config, &SequenceRng::new(seed * 1000)).unwrap()
            })
        };
        let threads: Vec<_> = (0..16).map(start_one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for other in &resolved {
        assert_eq!(texts(other), texts(&resolved[0]));
    }
    // Two secrets were created, by one start or by two.
    assert!((1..=2).contains(&resolved.iter().filter(|secrets| secrets.created).count()));
}

#[test]
fn a_damaged_file_is_refused_without_its_contents() {
    for damaged in ["", "\n", "hunter2\n", &"hunter2 ".repeat(10), &"ä".repeat(40)] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        resolve(&config, &SystemRng::new()).unwrap();
        let path = dir.path().join("secrets").join(JWT_SECRET_FILE);
        std::fs::write(&path, damaged).unwrap();
        let message = refusal(&config);
        assert!(message.contains(JWT_SECRET_FILE) && message.contains("damaged"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[cfg(unix)]
mod modes {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn created_files_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        resolve(&config(dir.path()), &SystemRng::new()).unwrap();
        let place = dir.path().join("secrets");
        assert_eq!(mode(&place), 0o700);
        for entry in std::fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn access_for_the_group_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let first = resolve(&config, &SystemRng::new()).unwrap();
        let place = dir.path().join("secrets");
        set_permissions(&place, Permissions::from_mode(0o770)).unwrap();
        set_permissions(place.join(JWT_SECRET_FILE), Permissions::from_mode(0o660)).unwrap();
        assert_eq!(texts(&resolve(&config, &SystemRng::new()).unwrap()), texts(&first));
        assert_eq!((mode(&place), mode(&place.join(JWT_SECRET_FILE))), (0o700, 0o600));
    }

    #[test]
    fn a_file_for_everybody_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        resolve(&config, &SystemRng::new()).unwrap();
        let path = dir.path().join("secrets").join(PROVISIONING_KEY_FILE);
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let message = refusal(&config);
        assert!(message.contains(PROVISIONING_KEY_FILE) && message.contains("mode 644"), "{message}");
        assert!(message.contains("chmod 600"), "{message}");
    }
}

#[test]
fn a_shared_store_needs_configured_secrets() {
    let mut config = configured();
    config.auth.jwt_secret = None;
    let message = refusal(&config);
    assert!(message.starts_with("auth.jwt_secret must be set: "), "{message}");
    config.auth.provisioning_keys.clear();
    assert_eq!(
        refusal(&config),
        "auth.jwt_secret and auth.provisioning_keys must be set: the store is shared, and every instance needs the \
         same secrets. Set COST_KEEPER_AUTH__JWT_SECRET and COST_KEEPER_AUTH__PROVISIONING_KEYS; make one with \
         `openssl rand -hex 32`"
    );
}

type Weaken = fn(&mut Config);

#[test]
fn weak_secrets_are_refused_by_name_and_never_by_value() {
    let weak = "changeme-hunter2-changeme-hunter2-changeme";
    let cases: [(&str, &str, Weaken); 9] = [
        ("auth.jwt_secret", "too short", |c| c.auth.jwt_secret = Some("hunter2".into())),
        ("auth.jwt_secret", "white space", |c| c.auth.jwt_secret = Some(format!("{SIGNING}hunter2\n").into())),
        ("auth.jwt_secret", "too short", |c| c.auth.jwt_secret = Some("".into())),
        ("auth.jwt_verification_secrets, entry 2,", "too short", |c| {
            c.auth.jwt_verification_secrets = vec![SIGNING.into(), "hunter2".into()];
        }),
        ("auth.provisioning_keys, entry 2,", "too short", |c| c.auth.provisioning_keys.push("hunter2".into())),
        ("auth.provisioning_keys, entry 1,", "visible ASCII", |c| {
            c.auth.provisioning_keys = vec!["hunter2 hunter2 hunter2".into()];
        }),
        ("auth.provisioning_keys, entry 2,", "signing secret", |c| c.auth.provisioning_keys.push(SIGNING.into())),
        ("metrics.key", "too short", |c| c.metrics.key = Some("hunter2".into())),
        ("metrics.key", "something else", |c| c.metrics.key = Some(KEY.into())),
    ];
    for (key, reason, weaken) in cases {
        let mut config = configured();
        weaken(&mut config);
        let message = refusal(&config);
        assert!(message.starts_with(&format!("{key} ")) && message.contains(reason), "{message}");
        assert!(message.contains("COST_KEEPER_") && message.contains("openssl rand -hex 32"), "{message}");
        assert!(!message.contains("hunter2") && !message.contains(SIGNING) && !message.contains(KEY), "{message}");
    }
    let places: [fn(&mut Config, SecretString); 4] = [
        |c, weak| c.auth.jwt_secret = Some(weak),
        |c, weak| c.auth.jwt_verification_secrets = vec![weak],
        |c, weak| c.auth.provisioning_keys = vec![weak],
        |c, weak| c.metrics.key = Some(weak),
    ];
    for put in places {
        let mut config = configured();
        put(&mut config, weak.into());
        let message = refusal(&config);
        assert!(message.contains("well-known") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn an_existing_secret_does_not_excuse_a_weak_configured_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    resolve(&config, &SystemRng::new()).unwrap();
    config.auth.jwt_secret = Some("short".into());
    assert!(refusal(&config).contains("too short"));
}

#[test]
fn debug_output_redacts() {
    let resolved = resolve(&configured(), &SystemRng::new()).unwrap();
    let text = format!("{resolved:?}");
    assert!(!text.contains(SIGNING) && !text.contains(KEY) && text.contains("REDACTED"), "{text}");
    assert!(text.contains(&resolved.signing.kid()), "{text}");
}

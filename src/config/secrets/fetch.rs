//! Reads secrets from files and from AWS Secrets Manager.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::SecretsError;
use super::store::{SecretStore, SecretStoreError, Stage};
use super::weak;
use crate::config::error::shown;
use crate::config::secret_sources::{AwsSecretId, SECRETS, SecretKey, SecretSource, Shape};
use crate::config::{Config, JWT_PRIVATE_KEY};
use crate::domain::signing_key::{Ed25519PrivateKey, VerificationKey};

/// Longest text of a secret, as in Secrets Manager. All values of a list fit in many times over; a path that leads to
/// something else by mistake is not read to its end.
const MAX_BYTES: u64 = 64 * 1024;

/// Which secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them, at start.
    All,
    /// What opening the store needs.
    Store,
    /// Those that a running service takes over.
    Reloadable,
}

impl Which {
    fn takes(self, secret: &SecretKey) -> bool {
        match self {
            Self::All => true,
            Self::Store => secret.key == "storage.url",
            Self::Reloadable => secret.reloads,
        }
    }
}

type Answers = BTreeMap<(String, Stage), Result<SecretString, SecretStoreError>>;

/// A secret that is to be read, and where it is.
struct Wanted<'a> {
    secret: &'static SecretKey,
    source: &'a SecretSource,
    setting: &'static str,
}

impl Wanted<'_> {
    fn unread(&self, reason: impl Into<String>) -> SecretsError {
        let place = match self.source {
            SecretSource::File(path) => format!("file {}", shown(&path.display().to_string())),
            SecretSource::Aws(AwsSecretId { id, .. }) => format!("secret {}", shown(id)),
        };
        SecretsError::Unread { key: self.secret.key, setting: self.setting, place, reason: reason.into() }
    }
}

/// The configuration with the secrets in it that it says are in files or in `store`. Secrets in the same place are read
/// once, all at the same time. For a signing key in `store` the version before it is read too, where there is one.
///
/// # Errors
/// [`SecretsError::Unread`] for a secret that is missing, empty, too long, or unreachable. Whether values are fit to be
/// used is looked at by [`check`](super::check).
pub async fn fetch(config: &Config, store: Option<&dyn SecretStore>, which: Which) -> Result<Config, SecretsError> {
    let mut fetched = config.clone();
    fetched.auth.jwt_previous = Vec::new();
    let wanted: Vec<_> = SECRETS
        .iter()
        .filter(|secret| which.takes(secret))
        .filter_map(|secret| {
            let source = config.secret_sources.of_key(secret.key)?;
            let (setting, _) = config.secret_sources.setting(secret)?;
            Some(Wanted { secret, source, setting })
        })
        .collect();
    let answers = ask(store, &wanted).await;
    for wanted in &wanted {
        let text = match wanted.source {
            SecretSource::File(path) => {
                // Kubernetes mounts secrets for everybody to read: worth a word at start, not again and again, and none
                // about public keys.
                let warns = which != Which::Reloadable && wanted.secret.shape != Shape::PemBlocks;
                file(path, warns).await
            }
            SecretSource::Aws(id) => current(&answers, id),
        };
        let text = text.map_err(|reason| wanted.unread(reason))?;
        let values = split(text.expose_secret(), wanted.secret.shape);
        if values.is_empty() {
            return Err(wanted.unread("is empty"));
        }
        (wanted.secret.put)(&mut fetched, values).map_err(|reason| wanted.unread(reason))?;
        if let (true, SecretSource::Aws(id)) = (wanted.secret.signs, wanted.source) {
            let previous = previous(&answers, id).map_err(|reason| wanted.unread(reason))?;
            let key = previous.and_then(|text| previous_key(wanted, &text));
            fetched.auth.jwt_previous.extend(key);
        }
    }
    Ok(fetched)
}

/// Every answer of the store that is needed. The number of questions is bounded by the number of keys.
async fn ask(store: Option<&dyn SecretStore>, wanted: &[Wanted<'_>]) -> Answers {
    let Some(store) = store else { return Answers::new() };
    let mut questions = Vec::new();
    for wanted in wanted {
        let SecretSource::Aws(AwsSecretId { id, .. }) = wanted.source else { continue };
        for stage in [Stage::Current, Stage::Previous] {
            let question = (id.clone(), stage);
            if (stage == Stage::Current || wanted.secret.signs) && !questions.contains(&question) {
                questions.push(question);
            }
        }
    }
    let answers = questions.into_iter().map(async |(id, stage)| {
        let answer = store.text(&id, stage).await;
        ((id, stage), answer)
    });
    join_all(answers).await.into_iter().collect()
}

fn current(answers: &Answers, id: &AwsSecretId) -> Result<SecretString, String> {
    match answers.get(&(id.id.clone(), Stage::Current)) {
        Some(Ok(text)) => field(text, id.field.as_deref()).and_then(|text| text.ok_or_else(|| no_field(id))),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("cannot be asked for: this binary was built without AWS".to_owned()),
    }
}

/// The version before, if there is one and it had this field.
fn previous(answers: &Answers, id: &AwsSecretId) -> Result<Option<SecretString>, String> {
    match answers.get(&(id.id.clone(), Stage::Previous)) {
        Some(Ok(text)) => Ok(field(text, id.field.as_deref()).unwrap_or_default()),
        Some(Err(SecretStoreError::NotFound | SecretStoreError::Binary)) | None => Ok(None),
        Some(Err(error)) => Err(format!("(its version {}) {error}", Stage::Previous.label())),
    }
}

fn no_field(id: &AwsSecretId) -> String {
    format!("has no field {}", shown(id.field.as_deref().unwrap_or_default()))
}

/// A field of a JSON secret, `None` where it is not there; without a name the whole text.
fn field(text: &SecretString, name: Option<&str>) -> Result<Option<SecretString>, String> {
    let Some(name) = name else { return Ok(Some(text.clone())) };
    // The parser's own message could repeat what it read.
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text.expose_secret()).map_err(|_| "is not a JSON object".to_owned())?;
    match object.get(name) {
        None => Ok(None),
        Some(serde_json::Value::String(value)) => Ok(Some(value.as_str().into())),
        Some(_) => Err(format!("has a field {} that is not text", shown(name))),
    }
}

/// What the signing key was before, if it is fit to verify. A placeholder that stood there before the first real value
/// must not verify anything.
fn previous_key(wanted: &Wanted<'_>, text: &SecretString) -> Option<VerificationKey> {
    let [value] = &split(text.expose_secret(), wanted.secret.shape)[..] else { return None };
    let key = if wanted.secret.key == JWT_PRIVATE_KEY {
        let key = Ed25519PrivateKey::from_pem(value.expose_secret());
        key.map(|key| VerificationKey::Ed25519(key.public())).map_err(|error| error.to_string())
    } else {
        weak::signing_secret(value.expose_secret()).map_or_else(|| Ok(VerificationKey::Hs256(value.clone())), Err)
    };
    match key {
        Ok(key) => Some(key),
        Err(reason) => {
            let (key, version) = (wanted.secret.key, Stage::Previous.label());
            tracing::warn!(key, version, reason, "the version before is not used to verify tokens");
            None
        }
    }
}

/// The values in a text.
fn split(text: &str, shape: Shape) -> Vec<SecretString> {
    match shape {
        Shape::One => {
            // What an editor or `echo` puts at the end, and nothing else: other white space is a mistake to be told.
            let value = text.strip_suffix('\n').unwrap_or(text);
            let value = value.strip_suffix('\r').unwrap_or(value);
            if value.trim().is_empty() { Vec::new() } else { vec![value.into()] }
        }
        Shape::Lines => text.lines().filter(|line| !line.trim().is_empty()).map(SecretString::from).collect(),
        Shape::PemBlocks => {
            const BEGIN: &str = "-----BEGIN ";
            let starts = text.match_indices(BEGIN).map(|(start, _)| start);
            let ends = starts.clone().skip(1).chain(std::iter::once(text.len()));
            let blocks = starts.clone().zip(ends).filter_map(|(start, end)| text.get(start..end));
            // What is there before the first block is no key, and is not passed over in silence.
            let before = text.get(..starts.clone().next().unwrap_or(text.len())).unwrap_or_default();
            let parts = std::iter::once(before).chain(blocks).map(str::trim).filter(|part| !part.is_empty());
            parts.map(SecretString::from).collect()
        }
    }
}

/// The text of a file, read where waiting for a slow file system holds nobody up.
async fn file(path: &Path, warns: bool) -> Result<SecretString, String> {
    let path = PathBuf::from(path);
    let reading = tokio::task::spawn_blocking(move || read_file(&path, warns)).await;
    reading.unwrap_or_else(|_| Err("cannot be read".to_owned()))
}

fn read_file(path: &Path, warns: bool) -> Result<SecretString, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // Before it is opened: opening a named pipe waits for somebody to write into it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(failed)?;
    if warns && for_everybody(&file) {
        let path = shown(&path.display().to_string());
        tracing::warn!(path, "everybody on this machine can read this file with a secret");
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| "is not text in UTF-8".to_owned())
}

#[cfg(unix)]
fn for_everybody(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn for_everybody(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, shape: Shape) -> Vec<String> {
        split(text, shape).iter().map(|value| value.expose_secret().to_owned()).collect()
    }

    #[test]
    fn one_value_loses_the_line_break_at_its_end_and_nothing_else() {
        for (text, value) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), (" a ", " a "), ("a\n\n", "a\n")] {
            assert_eq!(texts(text, Shape::One), [value], "{text:?}");
        }
        for nothing in ["", "\n", " \r\n"] {
            assert!(texts(nothing, Shape::One).is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn lists_have_one_value_a_line_or_one_block_after_the_other() {
        assert_eq!(texts("a\r\n\nb c\n\n", Shape::Lines), ["a", "b c"]);
        let (one, two) = ("-----BEGIN X-----\nQQ==\n-----END X-----", "-----BEGIN Y-----\nQg==\n-----END Y-----");
        assert_eq!(texts(&format!("{one}\n{two}\n"), Shape::PemBlocks), [one, two]);
        assert_eq!(texts(&format!("key:\n{one}"), Shape::PemBlocks), ["key:", one]);
        assert_eq!(texts("x", Shape::PemBlocks), ["x"]);
        assert!(texts("\n", Shape::PemBlocks).is_empty());
    }

    #[test]
    fn a_field_is_text_in_a_json_object() {
        let read = |text: &str, name| {
            field(&text.into(), name).map(|found| found.map(|value| value.expose_secret().to_owned()))
        };
        assert_eq!(read("{\"a\": \"x\"}", None), Ok(Some("{\"a\": \"x\"}".to_owned())));
        assert_eq!(read("{\"a\": \"x\"}", Some("a")), Ok(Some("x".to_owned())));
        assert_eq!(read("{\"a\": \"x\"}", Some("b")), Ok(None));
        for bad in ["hunter2", "[\"hunter2\"]", "{\"a\": [\"hunter2\"]}", "{\"a\": \"hunter2"] {
            let reason = read(bad, Some("a")).unwrap_err();
            assert!(!reason.contains("hunter2") && !reason.is_empty(), "{reason}");
        }
    }
}

//! Secrets that are given by where they are instead of by value: beside each key `K` with a secret there are `K_file`
//! and `K_aws_secret_id`.
//!
//! [`SECRETS`] says it once for all of them: the names, how a text becomes values, and where they go in the
//! configuration. Reading is the matter of [`secrets`](super::secrets).

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use secrecy::{ExposeSecret as _, SecretString};

use super::check::Tree;
use super::error::{Origin, Problem};
use super::key::{Key, Kind};
use super::{Config, StorageUrl};

const FILE: Kind =
    Kind::Text { expected: "the path of a file", accepts: |text| !text.is_empty() && !text.contains('\0') };
const AWS_SECRET_ID: Kind = Kind::Text {
    expected: "the id or ARN of a secret, with #field for one field of a JSON secret",
    accepts: |text| AwsSecretId::parse(text).is_some(),
};

/// How a text holds the values of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value, without the line break that may end it.
    One,
    /// One value a line.
    Lines,
    /// One PEM block after the other.
    PemBlocks,
}

/// A key whose secret may be somewhere else.
pub(super) struct SecretKey {
    /// Its dotted path.
    pub(super) key: &'static str,
    beside: [Key; 2],
    pub(super) shape: Shape,
    /// Whether it signs tokens: what it was before goes on verifying.
    pub(super) signs: bool,
    /// Whether a running service reads it again.
    pub(super) reloads: bool,
    /// Puts values into the configuration; an error says what they are not.
    pub(super) put: fn(&mut Config, Vec<SecretString>) -> Result<(), &'static str>,
}

macro_rules! secret_key {
    ($key:literal, $shape:ident, signs: $signs:literal, reloads: $reloads:literal, $put:expr) => {
        SecretKey {
            key: $key,
            beside: [
                Key::new(concat!($key, "_file"), concat!("Where `", $key, "` is instead"), FILE),
                Key::new(
                    concat!($key, "_aws_secret_id"),
                    concat!("Where `", $key, "` is instead, in AWS Secrets Manager"),
                    AWS_SECRET_ID,
                ),
            ],
            shape: Shape::$shape,
            signs: $signs,
            reloads: $reloads,
            put: $put,
        }
    };
}

/// Every key with a secret.
pub(super) static SECRETS: [SecretKey; 7] = [
    secret_key!("storage.url", One, signs: false, reloads: false, |config, values| match values.first() {
        Some(url) if StorageUrl::accepts(url.expose_secret().trim()) => {
            config.storage.url = StorageUrl::from(url.expose_secret().trim().to_owned());
            Ok(())
        }
        _ => Err("is not the address of a store"),
    }),
    secret_key!("auth.provisioning_keys", Lines, signs: false, reloads: true, |config, values| {
        config.auth.provisioning_keys = values;
        Ok(())
    }),
    secret_key!("auth.jwt_secret", One, signs: true, reloads: true, |config, values| {
        config.auth.jwt_secret = values.into_iter().next();
        Ok(())
    }),
    secret_key!("auth.jwt_private_key", One, signs: true, reloads: true, |config, values| {
        config.auth.jwt_private_key = values.into_iter().next();
        Ok(())
    }),
    secret_key!("auth.jwt_verification_secrets", Lines, signs: false, reloads: true, |config, values| {
        config.auth.jwt_verification_secrets = values;
        Ok(())
    }),
    secret_key!("auth.jwt_verification_public_keys", PemBlocks, signs: false, reloads: true, |config, values| {
        config.auth.jwt_verification_public_keys = values;
        Ok(())
    }),
    secret_key!("metrics.key", One, signs: false, reloads: false, |config, values| {
        config.metrics.key = values.into_iter().next();
        Ok(())
    }),
];

impl SecretKey {
    fn file_key(&self) -> &'static str {
        let [file, _] = &self.beside;
        file.path()
    }

    fn aws_key(&self) -> &'static str {
        let [_, aws] = &self.beside;
        aws.path()
    }
}

/// The keys that say where the secret of a key is; none for a key without one.
pub(super) fn beside(key: &str) -> &'static [Key] {
    SECRETS.iter().find(|secret| secret.key == key).map_or(&[], |secret| &secret.beside)
}

/// A secret of AWS Secrets Manager, or one field of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSecretId {
    /// Name or ARN.
    pub id: String,
    /// Member of a JSON object; without one the whole text counts.
    pub field: Option<String>,
}

impl AwsSecretId {
    /// Longest name or ARN that Secrets Manager takes.
    const MAX_ID: usize = 2048;
    /// Longest field name; nobody needs a longer one.
    const MAX_FIELD: usize = 256;

    /// Reads `id` or `id#field`; a name cannot contain `#`.
    fn parse(text: &str) -> Option<Self> {
        let (id, field) = match text.split_once('#') {
            Some((id, field)) => (id, Some(field)),
            None => (text, None),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-:!".contains(&b);
        let id_fits = (1..=Self::MAX_ID).contains(&id.len()) && id.bytes().all(plain);
        let field_fits = field
            .is_none_or(|field| (1..=Self::MAX_FIELD).contains(&field.len()) && !field.chars().any(char::is_control));
        (id_fits && field_fits).then(|| Self { id: id.to_owned(), field: field.map(str::to_owned) })
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In AWS Secrets Manager.
    Aws(AwsSecretId),
}

/// Where those secrets are that the configuration does not hold itself, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretSources(BTreeMap<&'static str, SecretSource>);

impl SecretSources {
    /// What merged values say. Call [`contradictions`] first.
    pub(super) fn of(tree: &Tree) -> Self {
        let text = |key: &str| tree.get(&path(key)).and_then(Value::as_str).map(str::to_owned);
        let source = |secret: &SecretKey| {
            let file = text(secret.file_key()).map(|path| SecretSource::File(path.into()));
            file.or_else(|| text(secret.aws_key()).and_then(|id| AwsSecretId::parse(&id)).map(SecretSource::Aws))
        };
        Self(SECRETS.iter().filter_map(|secret| Some((secret.key, source(secret)?))).collect())
    }

    /// Where the secret of a key is, if not in the configuration.
    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<&SecretSource> {
        self.0.get(key)
    }

    /// Whether any secret is in AWS Secrets Manager.
    #[must_use]
    pub fn any_in_aws(&self) -> bool {
        self.0.values().any(|source| matches!(source, SecretSource::Aws(_)))
    }

    /// Whether there is anything that a running service can read again.
    #[must_use]
    pub fn any_reloads(&self) -> bool {
        SECRETS.iter().any(|secret| secret.reloads && self.0.contains_key(secret.key))
    }

    /// Key and value of the setting that says where the secret of a key is.
    pub(super) fn setting(&self, secret: &SecretKey) -> Option<(&'static str, String)> {
        Some(match self.of_key(secret.key)? {
            SecretSource::File(path) => (secret.file_key(), path.display().to_string()),
            SecretSource::Aws(AwsSecretId { id, field: None }) => (secret.aws_key(), id.clone()),
            SecretSource::Aws(AwsSecretId { id, field: Some(field) }) => (secret.aws_key(), format!("{id}#{field}")),
        })
    }
}

fn path(key: &str) -> Vec<&str> {
    key.split('.').collect()
}

/// Whether somebody gave a key a value; a default and an empty list count as none.
fn is_given(tree: &Tree, key: &str) -> bool {
    let path = path(key);
    tree.get(&path).is_some_and(|value| {
        let empty = value.as_array().is_some_and(<[_]>::is_empty);
        !empty && tree.origin(value.tag(), &path) != Origin::Default
    })
}

fn ways(secret: &SecretKey) -> [&'static str; 3] {
    [secret.key, secret.file_key(), secret.aws_key()]
}

/// Secrets given in more than one way, two keys that both sign, and ways that this build does not have.
pub(super) fn contradictions(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let given = |key: &'static str| is_given(tree, key).then_some(key);
    for secret in &SECRETS {
        let [first, rest @ ..] = &ways(secret).into_iter().filter_map(given).collect::<Vec<_>>()[..] else { continue };
        for other in rest {
            problems
                .push(tree.problem(&path(other), format!("nothing, as {first} is set: a secret is given in one way")));
        }
        if !cfg!(feature = "aws") && is_given(tree, secret.aws_key()) {
            let expected = "nothing: this binary was built without AWS; build it with `--features aws`";
            problems.push(tree.problem(&path(secret.aws_key()), expected.to_owned()));
        }
    }
    let signing: Vec<_> = SECRETS
        .iter()
        .filter(|secret| secret.signs)
        .filter_map(|secret| ways(secret).into_iter().find_map(given))
        .collect();
    if let [first, second, ..] = signing[..] {
        let expected = format!(
            "nothing, as {first} is set: exactly one key signs. To go from one to the other, move the old secret to \
             auth.jwt_verification_secrets (of a private key, its public key to auth.jwt_verification_public_keys)"
        );
        problems.push(tree.problem(&path(second), expected));
    }
    problems
}

/// Takes the settings that say where secrets are out of merged values: the sections do not know them.
pub(super) fn without_sources(mut root: Dict) -> Dict {
    for key in SECRETS.iter().flat_map(|secret| &secret.beside) {
        remove(&mut root, &path(key.path()));
    }
    root
}

fn remove(dict: &mut Dict, path: &[&str]) {
    match path {
        [] => {}
        [name] => {
            dict.remove(*name);
        }
        [name, rest @ ..] => {
            if let Some(Value::Dict(_, group)) = dict.get_mut(*name) {
                remove(group, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_secret_key_can_be_given_by_where_it_is() {
        for key in keys().filter(|key| key.is_secret()) {
            assert_eq!(beside(key.path()).len(), 2, "{}", key.path());
        }
        for secret in &SECRETS {
            for way in ways(secret) {
                assert_eq!(keys().filter(|key| key.path() == way).count(), 1, "{way}");
            }
        }
    }

    #[test]
    fn an_aws_id_may_name_a_field() {
        let parsed =
            |id: &str, field: Option<&str>| Some(AwsSecretId { id: id.to_owned(), field: field.map(str::to_owned) });
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/keeper-AbCdEf";
        assert_eq!(AwsSecretId::parse("prod/keeper"), parsed("prod/keeper", None));
        assert_eq!(AwsSecretId::parse(&format!("{arn}#jwt secret")), parsed(arn, Some("jwt secret")));
        assert_eq!(AwsSecretId::parse("a#b#c"), parsed("a", Some("b#c")));
        for bad in ["", "#x", "a#", "a b", "a\nb", "ä", "a#\u{1b}"] {
            assert_eq!(AwsSecretId::parse(bad), None, "{bad}");
        }
    }
}

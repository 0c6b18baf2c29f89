//! Checks the merged values against the table of keys, and the rules that span several keys.

use figment::value::{Dict, Tag, Value};
use figment::{Figment, Profile, Provider};

use super::Config;
use super::auth::MIN_SECRETS_REFRESH_SECS;
use super::error::{ConfigError, Finding, Origin, Problem};
use super::key::{Found, find};
use super::labels::{self, LABEL_RULE};
use super::layers::{origin, unknown_key};
use super::secret_sources;
use crate::domain::catalog::LabelKind;
use crate::domain::ids::ModelLabel;
use crate::domain::profile::ProfileArn;

/// Merged values that still know where they came from.
pub(super) struct Tree {
    figment: Figment,
    root: Dict,
}

impl Tree {
    /// # Errors
    /// Where a layer could not provide its values, which those of this crate always can.
    pub(super) fn new(figment: Figment) -> Result<Self, ConfigError> {
        let mut profiles = figment.data().map_err(|e| ConfigError::Refused(vec![from_figment(&e)]))?;
        Ok(Self { root: profiles.remove(&Profile::Default).unwrap_or_default(), figment })
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let (last, groups) = path.split_last()?;
        let group = groups.iter().try_fold(&self.root, |group, name| group.get(*name)?.as_dict())?;
        group.get(*last)
    }

    pub(super) fn origin(&self, tag: Tag, path: &[&str]) -> Origin {
        origin(self.figment.get_metadata(tag), path)
    }

    /// Names below a group.
    pub(super) fn names(&self, path: &[&str]) -> Vec<&str> {
        let group = self.get(path).and_then(Value::as_dict);
        group.map(|group| group.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// An error about [`sections`](Self::sections), with where the value came from.
    pub(super) fn located(&self, error: &figment::Error) -> Problem {
        let problem = from_figment(error);
        let path: Vec<_> = error.path.iter().map(String::as_str).collect();
        match self.get(&path) {
            Some(value) => Problem { origin: self.origin(value.tag(), &path), ..problem },
            None => problem,
        }
    }

    /// The values that the sections of the configuration are read from.
    pub(super) fn sections(&self) -> Dict {
        secret_sources::without_sources(self.root.clone())
    }

    /// Every value that is not what its key accepts, and every key that does not exist.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.walk(&self.root, &mut Vec::new(), &mut problems);
        problems
    }

    fn walk<'a>(&'a self, group: &'a Dict, path: &mut Vec<&'a str>, problems: &mut Vec<Problem>) {
        for (name, value) in group {
            path.push(name);
            let here = self.origin(value.tag(), path);
            let found = find(path);
            if let [section, label] = path.as_slice()
                && *section == labels::SECTION
                && label.parse::<ModelLabel>().is_err()
            {
                let problem = unknown_key(path, here);
                problems.push(Problem { expected: LABEL_RULE.to_owned(), ..problem });
            } else if let (Found::Group, Value::Dict(_, inner)) = (found, value) {
                self.walk(inner, path, problems);
            } else if let Found::Key(key) = found {
                if !key.accepts(value) {
                    let found = key.show(value).map_or(Finding::Hidden, Finding::Value);
                    problems.push(Problem { key: path.join("."), found, expected: key.expected(), origin: here });
                }
            } else if let Found::Group = found {
                let problem = unknown_key(path, here);
                problems.push(Problem { found: Finding::Hidden, ..problem });
            } else {
                problems.push(unknown_key(path, here));
            }
            path.pop();
        }
    }

    /// A problem with the value at a path, or with its absence.
    pub(super) fn problem(&self, path: &[&str], expected: String) -> Problem {
        let value = self.get(path);
        let found = match (value, find(path)) {
            (None, _) => Finding::Missing,
            (Some(value), Found::Key(key)) => key.show(value).map_or(Finding::Hidden, Finding::Value),
            (Some(_), _) => Finding::Hidden,
        };
        // Where nothing is, the group it should be in tells who is asked.
        let origin = match (value, path.split_last()) {
            (Some(value), _) => self.origin(value.tag(), path),
            (None, Some((_, group))) => self.group_origin(group),
            (None, None) => Origin::Default,
        };
        Problem { key: path.join("."), found, expected, origin }
    }

    /// Where some key of a group was set.
    fn group_origin(&self, path: &[&str]) -> Origin {
        let Some(Value::Dict(tag, group)) = self.get(path) else { return Origin::Default };
        match group.iter().find(|(_, value)| self.origin(value.tag(), path) != Origin::Default) {
            Some((name, value)) => self.origin(value.tag(), &[path, &[name.as_str()]].concat()),
            None => self.origin(*tag, path),
        }
    }

    /// What a label needs before it can be read at all.
    pub(super) fn incomplete_labels(&self) -> Vec<Problem> {
        let labels = self.names(&[labels::SECTION]);
        if labels.is_empty() {
            return vec![self.problem(&[labels::SECTION], "at least one label".to_owned())];
        }
        let missing = labels.into_iter().map(|label| [labels::SECTION, label, "bedrock_model_id"]);
        missing
            .filter(|path| self.get(path).is_none())
            .map(|path| self.problem(&path, "a Bedrock model id, or for a profile its ARN".to_owned()))
            .collect()
    }

    /// Rules that no single key can keep.
    pub(super) fn broken_rules(&self, config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], expected: &str| problems.push(self.problem(path, expected.to_owned()));
        if config.aws.bedrock.enabled && !cfg!(feature = "aws") {
            refuse(
                &["aws", "bedrock", "enabled"],
                "false: this binary was built without AWS; build it with `--features aws`",
            );
        }
        let bedrock = &config.aws.bedrock;
        if bedrock.enabled && bedrock.timeout() >= config.server.request_timeout() {
            // A submission that waits for AWS must still be answered.
            refuse(&["aws", "bedrock", "timeout_ms"], "less than server.request_timeout_secs");
        }
        if config.metrics.listen.is_some_and(|listen| listen.port() != 0 && listen == config.server.listen) {
            refuse(&["metrics", "listen"], "an address other than server.listen (or metrics.key, to share it)");
        }
        let tls = &config.server.tls;
        if tls.certificate_file.is_some() && !cfg!(feature = "tls") {
            refuse(
                &["server", "tls", "certificate_file"],
                "nothing: this binary was built without TLS; build it with the cargo feature `tls`, which is a default one",
            );
        }
        // One without the other is a mistake that would end in plain HTTP.
        if tls.certificate_file.is_some() != tls.private_key_file.is_some() {
            let missing = if tls.certificate_file.is_none() { "certificate_file" } else { "private_key_file" };
            refuse(
                &["server", "tls", missing],
                "the path of a PEM file, as server.tls needs certificate_file and private_key_file",
            );
        }
        if config.pricing.aws.enabled && !cfg!(feature = "aws") {
            refuse(
                &["pricing", "aws", "enabled"],
                "false: this build cannot reach AWS; build with the cargo feature `aws`, which is a default one",
            );
        }
        if config.auth.refresh_token_ttl_secs < config.auth.access_token_ttl_secs {
            refuse(&["auth", "refresh_token_ttl_secs"], "at least auth.access_token_ttl_secs");
        }
        if (1..MIN_SECRETS_REFRESH_SECS).contains(&config.auth.secrets_refresh_secs) {
            refuse(&["auth", "secrets_refresh_secs"], "0 (never) or at least 5 seconds");
        }
        if config.retention.daily_totals_days < config.retention.usage_days {
            refuse(&["retention", "daily_totals_days"], "at least retention.usage_days");
        }
        if let Err(duplicate) = config.pricing.override_book() {
            refuse(&["pricing", "overrides"], &format!("each model, region and tier once; there are {duplicate}"));
        }
        for (label, entry) in &config.labels {
            let label = [labels::SECTION, label.as_str()];
            let profile = entry.bedrock_model_id.parse::<ProfileArn>();
            if entry.kind == LabelKind::Profile && profile.is_err() {
                refuse(
                    &[&label[..], &["bedrock_model_id"]].concat(),
                    "the ARN of an inference profile, as its kind is profile",
                );
            }
            let Some(prices) = entry.prices else { continue };
            for (name, price) in [
                ("input_usd_micros_per_1m", prices.input_usd_micros_per_1m),
                ("output_usd_micros_per_1m", prices.output_usd_micros_per_1m),
            ] {
                if price.is_none() {
                    let path = [&label[..], &["prices", name]].concat();
                    refuse(&path, "a price: with any price set, input and output are needed (0 is a price)");
                }
            }
        }
        problems
    }
}

/// A figment error without the value in it, which may be a secret. The table of keys has refused everything a person
/// can write before figment sees it; this is for what it missed.
pub(super) fn from_figment(error: &figment::Error) -> Problem {
    use figment::error::Kind;
    let path: Vec<_> = error.path.iter().map(String::as_str).collect();
    let expected = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => expected.clone(),
        Kind::MissingField(name) => format!("a value for {name}"),
        _ => "another value".to_owned(),
    };
    Problem { key: path.join("."), found: Finding::Hidden, expected, origin: origin(error.metadata.as_ref(), &path) }
}

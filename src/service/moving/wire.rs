//! How lines are spelled: one JSON object each. Unknown members are refused at every depth, because what is not
//! understood would be lost in silence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::{Content, FORMAT_VERSION, Header, MovedApp, MovedCredential, MovedOrg, MovedTotal};
use super::parsing::{BadLine, parse};
use super::spelling::{as_text, base64_bytes, cost_drift, pico_usd};
use crate::domain::calendar::{Calendar, Day};
use crate::domain::credential::{PreviousSecret, SecretHash};
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::money::{CostDrift, PicoUsd};
use crate::domain::profile::{InferenceProfile, ProfileArn};
use crate::domain::rate_limits::OrgRateLimits;
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, QuotaScope, Quotas, SHARD_COUNTS};
use crate::domain::usage::Counters;

/// What the first line says a file is.
const EXPORT: &str = "bedrock-cost-keeper-export";
/// Longest name of a store in the first line.
const MAX_BACKEND_CHARS: usize = 32;

/// The last line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    kind: Kind,
    /// Lines before this one.
    pub(super) lines: u64,
    /// SHA-256 of all bytes before this line, in hexadecimal digits.
    pub(super) sha256: String,
}

impl End {
    pub(super) fn new(lines: u64, sha256: String) -> Self {
        Self { kind: Kind::End, lines, sha256 }
    }
}

/// Any line.
#[derive(Debug)]
pub(super) enum Line {
    Header(Header),
    Content(Content),
    End(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[serde(rename = "bedrock-cost-keeper-export")]
    Export,
    Org,
    App,
    Profile,
    Total,
    End,
}

/// What every line has, and the first line has in every version.
#[derive(Deserialize)]
struct Probe {
    kind: String,
    version: Option<serde_json::Number>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderWire {
    kind: Kind,
    version: u32,
    backend: String,
    exported_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrgWire {
    kind: Kind,
    org_id: OrgId,
    #[serde(with = "OrgConfigDef")]
    config: OrgConfig,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    credential: CredentialWire,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppWire {
    kind: Kind,
    org_id: OrgId,
    app_id: AppId,
    #[serde(with = "AppConfigDef")]
    config: AppConfig,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    credential: CredentialWire,
}

/// [`OrgConfig`], every member spelled out.
#[derive(Serialize, Deserialize)]
#[serde(remote = "OrgConfig", deny_unknown_fields)]
struct OrgConfigDef {
    org_name: String,
    timezone: String,
    quota_scope: QuotaScope,
    model_ordering: Vec<ModelLabel>,
    quotas: Quotas,
    monthly_quotas: Quotas,
    agg_shard_count: u8,
    #[serde(with = "OverridesDef")]
    overrides: Overrides,
    // Came later, and most organizations have none: a file without them is as good as before.
    #[serde(default, with = "OrgRateLimitsDef", skip_serializing_if = "OrgRateLimits::is_empty")]
    rate_limits: OrgRateLimits,
}

/// [`OrgRateLimits`], every member spelled out; null is what the service decides.
#[derive(Serialize, Deserialize)]
#[serde(remote = "OrgRateLimits", deny_unknown_fields)]
struct OrgRateLimitsDef {
    token: Option<u32>,
    refresh: Option<u32>,
    revoke: Option<u32>,
    aggregates: Option<u32>,
    model_selection: Option<u32>,
    usage: Option<u32>,
    batches: Option<u32>,
}

/// [`AppConfig`], every member spelled out; null is what is inherited.
#[derive(Serialize, Deserialize)]
#[serde(remote = "AppConfig", deny_unknown_fields)]
struct AppConfigDef {
    app_name: String,
    model_ordering: Option<Vec<ModelLabel>>,
    quotas: Option<Quotas>,
    monthly_quotas: Option<Quotas>,
    #[serde(with = "OverridesDef")]
    overrides: Overrides,
}

/// [`Overrides`], every member spelled out; null is what is inherited.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Overrides", deny_unknown_fields)]
struct OverridesDef {
    tight_mode_threshold_pct: Option<u8>,
    sticky_fallback_enabled: Option<bool>,
    exhausted_policy: Option<ExhaustedPolicy>,
    refresh_interval_normal_secs: Option<u32>,
    refresh_interval_tight_secs: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialWire {
    current: HashWire,
    previous: Option<PreviousWire>,
    version: u64,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashWire {
    #[serde(with = "base64_bytes")]
    salt: [u8; 16],
    #[serde(with = "base64_bytes")]
    hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousWire {
    #[serde(with = "base64_bytes")]
    salt: [u8; 16],
    #[serde(with = "base64_bytes")]
    hash: [u8; 32],
    expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileWire {
    kind: Kind,
    org_id: OrgId,
    app_id: AppId,
    profile_label: ModelLabel,
    #[serde(with = "as_text")]
    arn: ProfileArn,
    description: String,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TotalWire {
    kind: Kind,
    org_id: OrgId,
    day: Day,
    app_id: AppId,
    model_label: ModelLabel,
    #[serde(with = "CountersDef")]
    counters: Counters,
    updated_at: Timestamp,
}

/// [`Counters`]; amounts are pico-dollars.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Counters", deny_unknown_fields)]
struct CountersDef {
    #[serde(rename = "cost_usd_picos", with = "pico_usd")]
    cost: PicoUsd,
    #[serde(rename = "drift_usd_picos", with = "cost_drift")]
    drift: CostDrift,
    requests: u64,
    errors: u64,
    unpriced_requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_write_input_tokens: u64,
}

impl From<&MovedCredential> for CredentialWire {
    fn from(credential: &MovedCredential) -> Self {
        let SecretHash { salt, hash } = credential.current;
        let previous = credential.previous.map(|PreviousSecret { hash: SecretHash { salt, hash }, expires_at }| {
            PreviousWire { salt, hash, expires_at }
        });
        let current = HashWire { salt, hash };
        Self { current, previous, version: credential.version, created_at: credential.created_at }
    }
}

impl From<CredentialWire> for MovedCredential {
    fn from(CredentialWire { current, previous, version, created_at }: CredentialWire) -> Self {
        let HashWire { salt, hash } = current;
        let previous = previous.map(|PreviousWire { salt, hash, expires_at }| PreviousSecret {
            hash: SecretHash { salt, hash },
            expires_at,
        });
        Self { current: SecretHash { salt, hash }, previous, version, created_at }
    }
}

/// Appends the first line, with its end.
pub(super) fn write_header(out: &mut Vec<u8>, header: Header) -> serde_json::Result<()> {
    let Header { backend, exported_at } = header;
    write(out, &HeaderWire { kind: Kind::Export, version: FORMAT_VERSION, backend, exported_at })
}

/// Appends a line of content, with its end.
pub(super) fn write_content(out: &mut Vec<u8>, content: &Content) -> serde_json::Result<()> {
    match content {
        Content::Org(moved) => {
            let Org { org_id, config, version, created_at, updated_at } = moved.org.clone();
            let credential = (&moved.credential).into();
            write(out, &OrgWire { kind: Kind::Org, org_id, config, version, created_at, updated_at, credential })
        }
        Content::App(moved) => {
            let App { org_id, app_id, config, version, created_at, updated_at } = moved.app.clone();
            let credential = (&moved.credential).into();
            let kind = Kind::App;
            write(out, &AppWire { kind, org_id, app_id, config, version, created_at, updated_at, credential })
        }
        Content::Profile(profile) => {
            let InferenceProfile { org_id, app_id, profile_label, arn, description, created_at } = profile.clone();
            let kind = Kind::Profile;
            write(out, &ProfileWire { kind, org_id, app_id, profile_label, arn, description, created_at })
        }
        Content::Total(total) => {
            let MovedTotal { org_id, day, app_id, model_label, counters, updated_at } = total.clone();
            let kind = Kind::Total;
            write(out, &TotalWire { kind, org_id, day, app_id, model_label, counters, updated_at })
        }
    }
}

/// Appends the last line, with its end.
pub(super) fn write_end(out: &mut Vec<u8>, end: &End) -> serde_json::Result<()> {
    write(out, end)
}

fn write(out: &mut Vec<u8>, line: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.push(b'\n');
    Ok(())
}

/// Whether a line says that an export follows, in whatever version.
pub(super) fn is_header(line: &[u8]) -> bool {
    probe(line).is_ok_and(|probe| probe.kind == EXPORT)
}

fn probe(line: &[u8]) -> Result<Probe, BadLine> {
    // A struct could also be read from an array of its members.
    if line.first() != Some(&b'{') {
        return Err(BadLine::Member(None, "is not a JSON object"));
    }
    parse(line)
}

/// Reads a line without its end.
pub(super) fn read(line: &[u8]) -> Result<Line, BadLine> {
    let probe = probe(line)?;
    match probe.kind.as_str() {
        EXPORT => {
            if let Some(version) = probe.version.and_then(|version| u32::try_from(version.as_u64()?).ok())
                && version != FORMAT_VERSION
            {
                return Err(BadLine::Version(version));
            }
            let HeaderWire { kind: _, version: _, backend, exported_at } = parse(line)?;
            let plain = backend.len() <= MAX_BACKEND_CHARS && backend.bytes().all(|byte| byte.is_ascii_lowercase());
            if !plain {
                return Err(BadLine::of("backend", "is not the name of a store"));
            }
            Ok(Line::Header(Header { backend, exported_at }))
        }
        "org" => {
            let OrgWire { kind: _, org_id, config, version, created_at, updated_at, credential } = parse(line)?;
            usable(&config)?;
            let org = Org { org_id, config, version, created_at, updated_at };
            Ok(Line::Content(Content::Org(Box::new(MovedOrg { org, credential: credential.into() }))))
        }
        "app" => {
            let AppWire { kind: _, org_id, app_id, config, version, created_at, updated_at, credential } = parse(line)?;
            for quotas in [&config.quotas, &config.monthly_quotas].into_iter().flatten() {
                countable(quotas)?;
            }
            let app = App { org_id, app_id, config, version, created_at, updated_at };
            Ok(Line::Content(Content::App(Box::new(MovedApp { app, credential: credential.into() }))))
        }
        "profile" => {
            let ProfileWire { kind: _, org_id, app_id, profile_label, arn, description, created_at } = parse(line)?;
            let profile = InferenceProfile { org_id, app_id, profile_label, arn, description, created_at };
            Ok(Line::Content(Content::Profile(profile)))
        }
        "total" => {
            let TotalWire { kind: _, org_id, day, app_id, model_label, counters, updated_at } = parse(line)?;
            Ok(Line::Content(Content::Total(MovedTotal { org_id, day, app_id, model_label, counters, updated_at })))
        }
        "end" => parse(line).map(Line::End),
        _ => Err(BadLine::of("kind", "is unknown to this version")),
    }
}

/// A configuration is carried as it is, whatever the catalog here knows. Only what this version could not work with at
/// all is refused.
fn usable(config: &OrgConfig) -> Result<(), BadLine> {
    if Calendar::new(&config.timezone).is_err() {
        return Err(BadLine::of("config.timezone", "is unknown to this version"));
    }
    if !SHARD_COUNTS.contains(&config.agg_shard_count) {
        return Err(BadLine::of("config.agg_shard_count", "is not a possible number of shards"));
    }
    if config.rate_limits.validate().is_err() {
        return Err(BadLine::of("config.rate_limits", "has a limit that is out of range"));
    }
    countable(&config.quotas)?;
    countable(&config.monthly_quotas)
}

fn countable(quotas: &Quotas) -> Result<(), BadLine> {
    match quotas.values().all(|quota| i64::try_from(quota.0).is_ok()) {
        true => Ok(()),
        false => Err(BadLine::Member(Some("config".to_owned()), "has a quota that is too large")),
    }
}

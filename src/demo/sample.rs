//! A sample organization for somebody who looks around: two applications, a week of usage, and commands to paste.
//!
//! Recorded days lie outside the window the API accepts, so the records are made here as the service would have made
//! them, and committed through the same queue. Their ids follow from application, day and number, so that nothing is
//! ever recorded twice.

mod history;
mod instructions;

use std::collections::BTreeMap;

use secrecy::SecretString;
use uuid::Uuid;

use self::history::{AppHistory, History};
use crate::cli::CommandError;
use crate::domain::calendar::{Calendar, Day};
use crate::domain::catalog::LabelKind;
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, Scope};
use crate::domain::money::MicroUsd;
use crate::domain::rate_limits::OrgRateLimits;
use crate::domain::tenant::{AppConfig, Org, Overrides, QuotaScope, Quotas};
use crate::service::Services;
use crate::service::access::ProvisioningAccess;
use crate::service::credentials::{DeliveredSecret, IssuedCredentials, SecretDelivery};
use crate::service::error::ServiceError;
use crate::service::tenants::{OrgDraft, Put, PutOptions};

/// The sample organization.
pub const ORG_ID: OrgId = OrgId(Uuid::from_u128(0x5a3b_1e00_0000_4000_8000_0000_0000_0001));
/// The application that has fallen back today.
pub const CHAT: &str = "support-chat";
/// The application with room in its quotas.
pub const WRITER: &str = "report-writer";

/// Days of usage, today included.
const DAYS: usize = 7;
/// The labels of a service whose configuration names none.
const USUAL_ORDERING: [&str; 3] = ["premium", "standard", "economy"];
/// Daily quotas of the chat by position in the ordering, in micro-USD: small enough to be spent by a week's sample.
const CHAT_QUOTAS: [u64; 3] = [500_000, 300_000, 50_000];
/// Daily quotas of the organization by position, in micro-USD.
const ORG_QUOTAS: [u64; 3] = [5_000_000, 2_000_000, 500_000];
const TIGHT_THRESHOLD_PCT: u8 = 90;

/// What was provisioned, to tell people about it.
#[derive(Debug)]
pub struct Sample {
    /// Client secret of the chat, where it was created now: nothing but a hash is kept.
    chat_secret: Option<SecretString>,
    /// The label usage is submitted under in the instructions.
    label: ModelLabel,
    /// First and last day with usage of the sample: the last is the one it was provisioned on.
    days: (Day, Day),
}

/// Provisions the sample organization, unless it is there.
///
/// # Errors
/// A sentence for a person, where the store or the configuration does not allow it.
pub async fn provision(services: &Services) -> Result<Sample, CommandError> {
    let ordering = ordering(services)?;
    let label = ordering.first().cloned().ok_or("--sample needs a label of kind `model` in the label catalog")?;
    let access = ProvisioningAccess::of_operator(services.random.as_ref());
    let options = PutOptions { delivery: SecretDelivery::Inline, create_only: true };
    let calendar = Calendar::new("UTC")?;
    let sample = |org: &Org, chat_secret| {
        let (_, days) = last_days(calendar.day_of(org.created_at));
        Sample { chat_secret, label, days }
    };
    let org = match services.put_org(&access, ORG_ID, org_draft(&ordering), options).await {
        Ok(Put::Created(org, _) | Put::Updated(org) | Put::Unchanged(org)) => org,
        Err(ServiceError::AlreadyExists(_)) => {
            let (tenant, _) = services.get_tenant(&access, &Scope::org(ORG_ID)).await?;
            return Ok(sample(&tenant.org, None));
        }
        Err(error) => return Err(error.into()),
    };
    let (days, _) = last_days(calendar.day_of(org.created_at));
    match fill(services, &access, &org, &ordering, &days).await {
        Ok(secret) => Ok(sample(&org, secret)),
        Err(error) => {
            // Half a sample would stay half: the next start is to try again.
            let _ = services.delete_org(&access, ORG_ID).await;
            Err(format!("the sample could not be provisioned: {error}").into())
        }
    }
}

/// The labels the sample uses: the usual ones, or else whatever models the operator configured.
fn ordering(services: &Services) -> Result<Vec<ModelLabel>, CommandError> {
    let is_model = |label: &ModelLabel| services.catalog.get(label).is_some_and(|entry| entry.kind == LabelKind::Model);
    let usual = USUAL_ORDERING.iter().map(|label| label.parse()).collect::<Result<Vec<ModelLabel>, _>>()?;
    if usual.iter().all(is_model) {
        return Ok(usual);
    }
    Ok(services.catalog.labels().filter(|label| is_model(label)).take(USUAL_ORDERING.len()).cloned().collect())
}

/// The days up to this one, and the first and last of them.
fn last_days(today: Day) -> (Vec<Day>, (Day, Day)) {
    let mut days: Vec<_> = std::iter::successors(Some(today), |day| day.previous()).take(DAYS).collect();
    days.reverse();
    let first = days.first().copied().unwrap_or(today);
    (days, (first, today))
}

fn quotas(ordering: &[ModelLabel], by_position: [u64; 3]) -> Quotas {
    ordering.iter().cloned().zip(by_position.map(MicroUsd)).collect()
}

fn org_draft(ordering: &[ModelLabel]) -> OrgDraft {
    OrgDraft {
        org_name: "Sample organization".to_owned(),
        timezone: "UTC".to_owned(),
        quota_scope: QuotaScope::App,
        model_ordering: ordering.to_vec(),
        quotas: quotas(ordering, ORG_QUOTAS),
        monthly_quotas: BTreeMap::new(),
        agg_shard_count: None,
        overrides: Overrides { tight_mode_threshold_pct: Some(TIGHT_THRESHOLD_PCT), ..Overrides::default() },
        rate_limits: OrgRateLimits::default(),
    }
}

/// Creates the applications and records their usage. Answers the chat's secret.
async fn fill(
    services: &Services,
    access: &ProvisioningAccess,
    org: &Org,
    ordering: &[ModelLabel],
    days: &[Day],
) -> Result<Option<SecretString>, CommandError> {
    let (chat, writer): (AppId, AppId) = (CHAT.parse()?, WRITER.parse()?);
    let own = quotas(ordering, CHAT_QUOTAS);
    let create = async |app_id: &AppId, name: &str, quotas: Option<Quotas>| {
        let config = AppConfig {
            app_name: name.to_owned(),
            model_ordering: None,
            quotas,
            monthly_quotas: None,
            overrides: Overrides::default(),
        };
        let options = PutOptions { delivery: SecretDelivery::Inline, create_only: true };
        let (put, _) = services.put_app(access, org.org_id, app_id.clone(), config, options).await?;
        Ok::<_, CommandError>(match put {
            Put::Created(_, issued) => secret_of(issued),
            Put::Updated(_) | Put::Unchanged(_) => None,
        })
    };
    let secret = create(&chat, "Support chat", Some(own.clone())).await?;
    create(&writer, "Report writer", None).await?;

    let now = services.now();
    for (app_id, quotas, falls_back) in [(chat, own, true), (writer, org.config.quotas.clone(), false)] {
        let app = AppHistory { app_id, ordering: ordering.to_vec(), quotas, falls_back };
        History { services, org, now }.record(&app, days).await?;
    }
    Ok(secret)
}

fn secret_of(issued: IssuedCredentials) -> Option<SecretString> {
    match issued.secret {
        DeliveredSecret::Inline(secret) => Some(secret),
        DeliveredSecret::Retrieval { .. } => None,
    }
}

/// The client of the chat.
fn chat_client() -> Option<ClientId> {
    CHAT.parse().ok().map(|app_id| ClientId::of(Scope::app(ORG_ID, app_id)))
}

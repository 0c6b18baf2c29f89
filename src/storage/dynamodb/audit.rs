//! The audit trail: every event in one partition, and those of an organization once more in a partition of its own.
//!
//! Both copies are whole, so that a page is one query. They are written in one transaction and expire at one instant.
//! Neither partition belongs to a tenant: what ends or lists tenants never meets them.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::attributes::{Item, corrupt, epoch_secs, item, n, optional_text, parsed, s, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{self, EXPIRES, SK};
use super::ledger_keys::LAST;
use super::tables::Table;
use super::writes::{Commit, Step};
use crate::domain::audit::{AuditActor, AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::{OrgId, Scope};
use crate::storage::contract::{AuditTrail, Result};

/// Sorts before every position.
const FIRST: &str = "!";

#[async_trait]
impl AuditTrail for DynamoDbStorage {
    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let mut steps = Vec::with_capacity(2);
        for stream in streams(event.org_id()) {
            let put = self.put(&keys::audit_event(stream, event.position), self.attributes(event));
            steps.push(put.condition_expression("attribute_not_exists(pk)").step()?);
        }
        // Refused is what is there already.
        self.commit(steps).await.map(drop)
    }

    async fn settle_audit(
        &self,
        position: AuditPosition,
        org_id: Option<OrgId>,
        outcome: AuditOutcome,
    ) -> Result<bool> {
        if outcome == AuditOutcome::Pending || self.watermark.hides_audit(position.at) {
            return Ok(false);
        }
        let mut steps = Vec::with_capacity(2);
        for stream in streams(org_id) {
            // Not the event of an organization without its copy there.
            let condition = if org_id.is_none() { "attribute_not_exists(org) AND " } else { "" };
            let settle = self
                .update(&keys::audit_event(stream, position))
                .update_expression("SET outcome = :outcome")
                .condition_expression(format!("{condition}outcome = :pending"))
                .expression_attribute_values(":outcome", s(outcome.to_string()))
                .expression_attribute_values(":pending", s(AuditOutcome::Pending.to_string()));
            steps.push(settle.step()?);
        }
        Ok(matches!(self.commit(steps).await?, Commit::Done))
    }

    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        // Whatever expired is before this.
        let oldest = self.watermark.audit_before().map_or_else(|| FIRST.to_owned(), keys::audit_instant);
        let before = before.map(keys::audit_sk);
        if before.as_ref().is_some_and(|before| *before <= oldest) {
            return Ok(Vec::new());
        }
        let range = Range {
            between: Some((&oldest, before.as_deref().unwrap_or(LAST))),
            after: before.as_deref(),
            limit: Some(usize::try_from(limit).unwrap_or(usize::MAX)),
            descending: true,
            consistent: true,
            ..Range::default()
        };
        let items = self.query(Table::Config, &keys::audit_partition(org_id), &range).await?;
        items.iter().map(event_of).collect()
    }
}

/// The partitions that hold an event, by whose they are: everybody's, and its organization's.
fn streams(org_id: Option<OrgId>) -> impl Iterator<Item = Option<OrgId>> {
    std::iter::once(None).chain(org_id.map(Some))
}

impl DynamoDbStorage {
    fn attributes(&self, event: &AuditEvent) -> Item {
        let json = |state: &Option<Value>| state.as_ref().map(Value::to_string);
        let target = event.target.as_ref();
        let mut attributes = item([
            ("actor", s(event.actor.kind())),
            ("action", s(event.action.to_string())),
            ("outcome", s(event.outcome.to_string())),
            ("request", s(event.request_id.as_str())),
        ]);
        if let Some(expires_at) = self.audit_expires_at(event.position.at) {
            attributes.insert(EXPIRES.to_owned(), n(epoch_secs(expires_at)));
        }
        let optional = [
            ("actor_id", event.actor.id()),
            ("org", target.map(|scope| scope.org_id.to_string())),
            ("app", target.and_then(|scope| scope.app_id.as_ref()).map(ToString::to_string)),
            ("subject", event.subject.clone()),
            ("before", json(&event.before)),
            ("after", json(&event.after)),
            ("address", event.address.map(|address| address.to_string())),
        ];
        attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), s(value?)))));
        attributes
    }

    /// When an event expires; `None` where that is after the end of the calendar.
    fn audit_expires_at(&self, at: Timestamp) -> Option<Timestamp> {
        at.checked_add(SignedDuration::from_hours(i64::from(self.options.audit_days) * 24)).ok()
    }
}

fn event_of(item: &Item) -> Result<AuditEvent> {
    let state = |name: &str| {
        let text = optional_text(item, name)?;
        text.map(|text| serde_json::from_str(text).map_err(|_| corrupt(name))).transpose()
    };
    let app_id =
        optional_text(item, "config.app")?.map(|text| text.parse().map_err(|_| corrupt("config.app"))).transpose()?;
    let org_id =
        optional_text(item, "config.org")?.map(|text| text.parse().map_err(|_| corrupt("config.org"))).transpose()?;
    let target = match (org_id, app_id) {
        (Some(org_id), app_id) => Some(Scope { org_id, app_id }),
        (None, None) => None,
        (None, Some(_)) => return Err(corrupt("config.org")),
    };
    let actor = AuditActor::from_parts(text(item, "config.actor")?, optional_text(item, "config.actor_id")?);
    let address = optional_text(item, "config.address")?;
    Ok(AuditEvent {
        position: keys::audit_position(text(item, SK)?)?,
        actor: actor.ok_or_else(|| corrupt("config.actor"))?,
        action: parsed(item, "config.action")?,
        outcome: parsed(item, "config.outcome")?,
        target,
        subject: optional_text(item, "config.subject")?.map(str::to_owned),
        before: state("config.before")?,
        after: state("config.after")?,
        request_id: text(item, "config.request")?.to_owned(),
        address: address.map(|text| text.parse().map_err(|_| corrupt("config.address"))).transpose()?,
    })
}

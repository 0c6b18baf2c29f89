//! Which model to use now.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::access::SelectionAccess;
use super::error::{QuotaExceeded, ServiceError};
use super::fallback::state_expiry;
use super::pricing::StandardPrice;
use super::{Result, Services};
use crate::domain::calendar::Day;
use crate::domain::catalog::LabelEntry;
use crate::domain::ids::ModelLabel;
use crate::domain::money::{MicroUsd, PicoUsd};
use crate::domain::profile::TenantLabels;
use crate::domain::quota::{LabelQuota, QuotaInput, QuotaStatus, evaluate};
use crate::domain::selection::{Decision, FallbackState, Reason, SelectionInput, choose, retry_after};
use crate::domain::tenant::Effective;
use crate::domain::usage::SpendTotals;
use crate::storage::FallbackSwap;

/// Most rounds of choosing again after losing a compare-and-swap. The state only advances by itself, so a chain of
/// *n* labels needs at most *n* rounds; the rest is for administrators who override at the same moment.
const MAX_ROUNDS: usize = 80;

/// The answer to "which model?".
#[derive(Debug)]
pub struct Recommendation {
    /// The label.
    pub label: ModelLabel,
    /// What the label means.
    pub entry: LabelEntry,
    /// Why.
    pub reason: Reason,
    /// Standard prices of the model, where known.
    pub price: Option<StandardPrice>,
    /// Quota status of every label of the ordering, in order.
    pub labels: Vec<(ModelLabel, LabelQuota)>,
    /// Quota status of the recommended label.
    pub quota: LabelQuota,
    /// Whether a fallback state of today is in force.
    pub sticky_fallback_active: bool,
    /// Whether the recommended label is tight.
    pub tight: bool,
    /// Seconds the answer may be kept.
    pub refresh_interval_secs: u32,
    /// Age of the totals in seconds.
    pub data_lag_secs: u64,
    /// The configuration in effect.
    pub effective: Effective,
    /// The local day.
    pub day: Day,
    /// When it was decided.
    pub checked_at: Timestamp,
    /// The next local midnight.
    pub quota_resets_at: Timestamp,
}

/// When an answer was decided, and how old what it was decided on may be.
struct Age {
    checked_at: Timestamp,
    data_lag_secs: u64,
}

impl Services {
    /// Recommends a model for an application, moving its sticky fallback forward where a quota is spent.
    ///
    /// `force_check` adds up totals first, on a store that does not keep them up to date by itself.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered application, [`ServiceError::QuotaExceeded`] where nothing is
    /// left.
    pub async fn recommend(&self, access: &SelectionAccess, force_check: bool) -> Result<Recommendation> {
        let (tenant, effective) = self.registered(&access.scope()).await?;
        let known = TenantLabels::new(&self.catalog, &tenant.profiles);
        let checked_at = self.now();
        let day = effective.calendar.day_of(checked_at);
        let owner = effective.quota_owner();
        if force_check {
            self.consolidate_now(owner.org_id, &effective.calendar, day).await?;
        }
        let state = self.storage.selection_state(&owner, day).await?;
        let data_lag_secs = if force_check { 0 } else { self.data_lag_secs(state.updated_at).await? };
        let labels = label_quotas(&effective, &known, &state.totals)?;
        let expires_at = state_expiry(&effective.calendar, day)?;

        let mut fallback = match effective.fallback_owner == owner {
            true => state.fallback,
            false => self.storage.fallback(&effective.fallback_owner, day).await?,
        };
        let owner = effective.fallback_owner.clone();
        for _ in 0..MAX_ROUNDS {
            let decision = choose(&SelectionInput {
                labels: &labels,
                fallback: fallback.as_ref(),
                sticky: effective.sticky_fallback_enabled.value,
                exhausted_policy: effective.exhausted_policy.value,
                now: checked_at,
            });
            let (index, reason, advance) = match decision {
                Decision::Recommend { index, reason, advance } => (index, reason, advance),
                Decision::Exhausted => {
                    count("exhausted");
                    return Err(exhausted(access, &effective, day, &labels)?);
                }
            };
            if let Some(next) = advance {
                match self.storage.swap_fallback(&owner, day, &next, expires_at).await? {
                    FallbackSwap::Stored => {
                        tracing::info!(
                            org_id = %owner.org_id, app_id = owner.app_id.as_ref().map(tracing::field::display),
                            from = %next.previous_model_label, to = %next.model_label, %reason,
                            "fallback moved to the next model"
                        );
                        fallback = Some(next);
                    }
                    FallbackSwap::Lost(current) => {
                        fallback = current;
                        continue;
                    }
                }
            }
            let entry = labels.get(index).and_then(|(label, _)| known.get(label)).map(Cow::into_owned);
            let entry = entry.ok_or_else(|| ServiceError::Internal("a recommendation without meaning".to_owned()))?;
            count(result_of(&reason));
            let age = Age { checked_at, data_lag_secs };
            return self.recommendation(effective, day, age, labels, index, entry, reason, fallback.as_ref());
        }
        Err(ServiceError::Unavailable("the fallback state kept changing".to_owned()))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer, gathered by its only caller")]
    fn recommendation(
        &self,
        effective: Effective,
        day: Day,
        Age { checked_at, data_lag_secs }: Age,
        labels: Vec<(ModelLabel, LabelQuota)>,
        index: usize,
        entry: LabelEntry,
        reason: Reason,
        fallback: Option<&FallbackState>,
    ) -> Result<Recommendation> {
        let (label, quota) = labels
            .get(index)
            .cloned()
            .ok_or_else(|| ServiceError::Internal("a recommendation outside the ordering".to_owned()))?;
        let tight = quota.status == QuotaStatus::Tight;
        let in_ordering = |state: &&FallbackState| labels.iter().any(|(label, _)| *label == state.model_label);
        Ok(Recommendation {
            price: self.display_price(&entry, checked_at),
            label,
            entry,
            reason,
            quota,
            sticky_fallback_active: effective.sticky_fallback_enabled.value && fallback.filter(in_ordering).is_some(),
            tight,
            // A label that is recommended although it is exceeded wants watching as much as one that is nearly.
            refresh_interval_secs: if quota.status != QuotaStatus::Normal {
                effective.refresh_interval_tight_secs.value
            } else {
                effective.refresh_interval_normal_secs.value
            },
            data_lag_secs,
            quota_resets_at: effective.calendar.end_of(day)?,
            labels,
            effective,
            day,
            checked_at,
        })
    }
}

fn count(result: &'static str) {
    metrics::counter!("model_selections_total", "result" => result).increment(1);
}

/// A fixed word, without the label: metrics name nobody's labels.
fn result_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::Normal => "normal",
        Reason::QuotaExceeded(_) => "moved",
        Reason::StickyFallback => "sticky",
        Reason::ManualOverride => "manual",
        Reason::AllQuotasExceeded => "all_exceeded",
    }
}

/// Quota status of each label of the ordering. A label that means nothing any more cannot be recommended and is passed
/// over; a label whose quota is gone counts as switched off.
pub(crate) fn label_quotas(
    effective: &Effective,
    known: &TenantLabels<'_>,
    totals: &BTreeMap<ModelLabel, SpendTotals>,
) -> Result<Vec<(ModelLabel, LabelQuota)>> {
    let labels: Vec<_> = effective
        .model_ordering
        .value
        .iter()
        .filter(|label| known.knows(label))
        .map(|label| {
            let spend = totals.get(label).copied().unwrap_or_default();
            let quota = evaluate(&QuotaInput {
                day_spend: spend.day.cost,
                day_quota: effective.quotas.value.get(label).copied().unwrap_or(MicroUsd(0)),
                month_spend: spend.month.cost,
                month_quota: effective.monthly_quotas.value.get(label).copied(),
                tight_threshold_pct: effective.tight_mode_threshold_pct.value,
            });
            (label.clone(), quota)
        })
        .collect();
    if labels.is_empty() {
        return Err(ServiceError::Internal(
            "no label of the ordering is in the configured label catalog any more".to_owned(),
        ));
    }
    Ok(labels)
}

fn exhausted(
    access: &SelectionAccess,
    effective: &Effective,
    day: Day,
    labels: &[(ModelLabel, LabelQuota)],
) -> Result<ServiceError> {
    let spent = labels.iter().filter(|(_, quota)| quota.status == QuotaStatus::Exceeded);
    Ok(ServiceError::QuotaExceeded(Box::new(QuotaExceeded {
        org_id: access.org_id(),
        app_id: access.app_id().clone(),
        date: day,
        retry_after: retry_after(&effective.calendar, day, labels.iter().map(|(_, quota)| quota))?,
        models: spent.clone().map(|(label, quota)| (label.clone(), quota.pct)).collect(),
        total_overage: spent.map(|(_, quota)| quota.spend.saturating_sub(PicoUsd::from(quota.quota))).sum(),
    })))
}

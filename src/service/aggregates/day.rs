//! Putting a day together from what was read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::quotas::{ViewQuotas, sum};
use super::{ActiveModel, AppAggregates, DayAggregates, LabelAggregates, MonthAggregates, add};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel};
use crate::domain::money::PicoUsd;
use crate::domain::quota::{QuotaPct, QuotaStatus};
use crate::domain::tenant::{Effective, QuotaScope};
use crate::domain::usage::{Counters, SpendTotals};
use crate::service::Result;
use crate::storage::DailyTotal;

/// Whether anything was submitted for the day itself; totals of a day also name labels used earlier in its month.
pub(super) fn has_usage(spend: &SpendTotals) -> bool {
    spend.day.requests > 0
}

/// Who used anything on a day, and when last.
#[derive(Debug, Default)]
pub(super) struct DayActivity {
    apps: BTreeMap<AppId, Counters>,
    pub(super) updated_at: Option<Timestamp>,
}

impl DayActivity {
    /// Takes in the total of one application and label.
    pub(super) fn add(&mut self, total: &DailyTotal) -> Result<()> {
        self.updated_at = self.updated_at.max(Some(total.updated_at));
        if let Some(app_id) = &total.app_id {
            let app = self.apps.entry(app_id.clone()).or_default();
            *app = add(app, &total.counters)?;
        }
        Ok(())
    }
}

fn shown(app: &Counters) -> AppAggregates {
    AppAggregates { cost: app.cost, requests: app.requests }
}

/// A day as it is shown.
pub(super) fn assemble(
    model_ids: &BTreeMap<ModelLabel, String>,
    effective: Effective,
    day: Day,
    totals: &BTreeMap<ModelLabel, SpendTotals>,
    quotas: &ViewQuotas,
    activity: DayActivity,
    active: ActiveModel,
) -> DayAggregates {
    let labels = labels(model_ids, &effective, totals, quotas);
    let DayActivity { apps, updated_at } = activity;
    let total_cost: PicoUsd = labels.values().map(|label| label.day.cost).sum();
    let total_quota = sum(labels.values().filter_map(|label| label.quota.as_ref()));
    let is_app = effective.scope.app_id.is_some();
    DayAggregates {
        app_name: is_app.then_some(effective.name),
        apps: (!is_app).then(|| apps.into_iter().map(|(app_id, app)| (app_id, shown(&app))).collect()),
        scope: effective.scope,
        day,
        timezone: effective.timezone,
        quota_scope: effective.quota_scope,
        quota_shared: is_app && effective.quota_scope == QuotaScope::Org,
        total_pct: total_quota.map_or(QuotaPct(0), |quota| QuotaPct::of(total_cost, quota)),
        total_quota: total_quota.unwrap_or_default(),
        total_cost,
        labels,
        active,
        // The read names every label used in the month, so its parts add up to the month.
        month: MonthAggregates { cost: totals.values().map(|spend| spend.month.cost).sum(), quota: quotas.month_total },
        updated_at,
        // For the caller, who knows the store.
        data_lag_secs: 0,
    }
}

/// Labels of the ordering, and labels with usage on the day, whether or not they are in the ordering any more.
pub(super) fn shown_labels<'a>(
    effective: &'a Effective,
    totals: &'a BTreeMap<ModelLabel, SpendTotals>,
) -> BTreeSet<&'a ModelLabel> {
    let used = totals.iter().filter(|(_, spend)| has_usage(spend)).map(|(label, _)| label);
    effective.model_ordering.value.iter().chain(used).collect()
}

fn labels(
    model_ids: &BTreeMap<ModelLabel, String>,
    effective: &Effective,
    totals: &BTreeMap<ModelLabel, SpendTotals>,
    quotas: &ViewQuotas,
) -> BTreeMap<ModelLabel, LabelAggregates> {
    let threshold = effective.tight_mode_threshold_pct.value;
    shown_labels(effective, totals)
        .into_iter()
        .map(|label| {
            let spend = totals.get(label).copied().unwrap_or_default();
            let quota = quotas.evaluate(label, &spend, threshold);
            let aggregates = LabelAggregates {
                bedrock_model_id: model_ids.get(label).cloned(),
                day: spend.day,
                month: MonthAggregates { cost: spend.month.cost, quota: quotas.monthly.get(label).copied() },
                quota: quotas.daily.get(label).copied(),
                status: quota.map_or(QuotaStatus::Normal, |quota| quota.status),
                period: quota.map(|quota| quota.period),
                pct: quota.map_or(QuotaPct(0), |quota| quota.pct),
            };
            (label.clone(), aggregates)
        })
        .collect()
}

#[cfg(test)]
#[path = "day_tests.rs"]
mod tests;

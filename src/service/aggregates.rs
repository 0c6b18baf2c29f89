//! Spend of a day against its quotas, for an organization or one application. Ranges of days are in [`range`].
//!
//! The organization's view totals all applications, the application's view its own usage. What a view compares with
//! depends on the quota scope:
//!
//! | view | scope `ORG` | scope `APP` |
//! |---|---|---|
//! | organization | the organization's quotas | by label, the sum over registered applications of their quotas |
//! | application | the organization's quotas, shared with the other applications | its own quotas |

mod day;
mod quotas;
pub mod range;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::access::AggregatesAccess;
use super::error::ServiceError;
use super::selection::label_quotas;
use super::{Result, Services};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::domain::money::{MicroUsd, PicoUsd};
use crate::domain::profile::TenantLabels;
use crate::domain::quota::{QuotaPct, QuotaPeriod, QuotaStatus};
use crate::domain::selection::{Decision, SelectionInput, choose};
use crate::domain::tenant::{Effective, QuotaScope};
use crate::domain::usage::{Counters, SpendTotals};
use crate::storage::{Breakdown, DailyTotal, DailyTotalKey, SelectionState, Tenant};

use self::day::DayActivity;
use self::quotas::{QuotaSums, ViewQuotas};

/// Applications read at once to sum their quotas.
const APPS_PAGE: u32 = 200;
/// Daily totals read at once for one day.
const DAY_PAGE: u32 = 1_000;

/// The day asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedDay {
    /// The organization's current local day.
    Today,
    /// This local day, which must not be in the future.
    On(Day),
}

impl RequestedDay {
    fn resolve(self, today: Day) -> Result<Day> {
        match self {
            Self::Today => Ok(today),
            Self::On(day) if day > today => Err(not_in_the_future("date", today)),
            Self::On(day) => Ok(day),
        }
    }
}

fn not_in_the_future(field: &'static str, today: Day) -> ServiceError {
    ServiceError::invalid(field, format!("must not be after {today}, today in the organization's time zone"))
}

/// Spend and quota of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MonthAggregates {
    /// Exact spend in the month so far.
    pub cost: PicoUsd,
    /// Monthly quota, where there is one.
    pub quota: Option<MicroUsd>,
}

/// One label on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelAggregates {
    /// What a client passes to Bedrock for it; `None` where the label means nothing (any more), or
    /// something else in each application.
    pub bedrock_model_id: Option<String>,
    /// Totals of the day.
    pub day: Counters,
    /// The month the day belongs to.
    pub month: MonthAggregates,
    /// Daily quota; `None` where the label has none, which leaves it without a status of its own.
    pub quota: Option<MicroUsd>,
    /// Status over both periods; normal without a daily quota.
    pub status: QuotaStatus,
    /// The period whose quota binds, which [`pct`](Self::pct) is a share of; `None` without a daily quota.
    pub period: Option<QuotaPeriod>,
    /// Share of the binding quota; zero without a daily quota.
    pub pct: QuotaPct,
}

/// One application's part in an organization's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppAggregates {
    /// Exact spend.
    pub cost: PicoUsd,
    /// Submissions.
    pub requests: u64,
}

/// The label that is recommended, as far as a view has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActiveModel {
    /// The label; `None` where every quota is spent, or where applications choose each for themselves.
    pub label: Option<ModelLabel>,
    /// Whether a sticky fallback of the day is in force.
    pub sticky_fallback: bool,
}

/// Everything about one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayAggregates {
    /// The organization or application.
    pub scope: Scope,
    /// The application's name, in its view.
    pub app_name: Option<String>,
    /// The local day.
    pub day: Day,
    /// IANA time zone the day is local to.
    pub timezone: String,
    /// Who spends a quota.
    pub quota_scope: QuotaScope,
    /// Whether an application is compared with quotas it shares with others.
    pub quota_shared: bool,
    /// Labels of the ordering, and every label with usage on the day.
    pub labels: BTreeMap<ModelLabel, LabelAggregates>,
    /// Applications with usage on the day; only in the organization's view.
    pub apps: Option<BTreeMap<AppId, AppAggregates>>,
    /// Exact spend of the day.
    pub total_cost: PicoUsd,
    /// Sum of the daily quotas in [`labels`](Self::labels).
    pub total_quota: MicroUsd,
    /// Share of that sum; zero where no label has a quota.
    pub total_pct: QuotaPct,
    /// The label in force.
    pub active: ActiveModel,
    /// The month the day belongs to, over all labels.
    pub month: MonthAggregates,
    /// When the day's totals last changed; `None` before the first usage.
    pub updated_at: Option<Timestamp>,
    /// How old the totals may be, in seconds.
    pub data_lag_secs: u64,
}

impl Services {
    /// Spend of a day against its quotas. Nothing is stored: looking at a day never moves a fallback.
    ///
    /// `force_check` adds up totals first, on a store that does not keep them up to date by itself.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered scope, or a past day without usage;
    /// [`ServiceError::InvalidRequest`] naming `date` for a future day.
    pub async fn day_aggregates(
        &self,
        access: &AggregatesAccess,
        day: RequestedDay,
        force_check: bool,
    ) -> Result<DayAggregates> {
        let (tenant, effective) = self.registered(access.scope()).await?;
        let today = effective.calendar.day_of(self.now());
        let day = day.resolve(today)?;
        let known = TenantLabels::new(&self.catalog, &tenant.profiles);
        if force_check {
            self.consolidate_now(effective.scope.org_id, &effective.calendar, day).await?;
        }
        let (totals, active) = self.totals_and_active_model(&effective, &known, day, today).await?;
        if day < today && !totals.values().any(day::has_usage) {
            return Err(ServiceError::NotFound("usage for this day"));
        }
        let model_ids = self.model_ids(&effective, &known, &totals).await?;
        let quotas = self.view_quotas(tenant, &effective).await?;
        let activity = self.day_activity(&effective.scope, day).await?;
        let data_lag_secs = if force_check { 0 } else { self.data_lag_secs(activity.updated_at).await? };
        let assembled = day::assemble(&model_ids, effective, day, &totals, &quotas, activity, active);
        Ok(DayAggregates { data_lag_secs, ..assembled })
    }

    /// Totals of the view and the label in force. Where both belong to the same scope they are read together, so that
    /// an answer does not contradict itself.
    async fn totals_and_active_model(
        &self,
        effective: &Effective,
        known: &TenantLabels<'_>,
        day: Day,
        today: Day,
    ) -> Result<(BTreeMap<ModelLabel, SpendTotals>, ActiveModel)> {
        let scope = &effective.scope;
        let Some(owner) = fallback_owner(effective) else {
            return Ok((self.storage.totals(scope, day).await?, ActiveModel::default()));
        };
        if day < today {
            let state = self.storage.fallback(&owner, day).await?;
            let active = ActiveModel { sticky_fallback: state.is_some(), label: state.map(|state| state.model_label) };
            return Ok((self.storage.totals(scope, day).await?, active));
        }
        let state = self.storage.selection_state(&owner, day).await?;
        let active = self.active_model(effective, known, &state);
        let totals = if owner == *scope { state.totals } else { self.storage.totals(scope, day).await? };
        Ok((totals, active))
    }

    /// What a model selection would recommend now, without storing the move it might make.
    fn active_model(&self, effective: &Effective, known: &TenantLabels<'_>, state: &SelectionState) -> ActiveModel {
        // Spend stays readable where the catalog no longer has any label to recommend.
        let Ok(labels) = label_quotas(effective, known, &state.totals) else {
            return ActiveModel::default();
        };
        let sticky = effective.sticky_fallback_enabled.value;
        let decision = choose(&SelectionInput {
            labels: &labels,
            fallback: state.fallback.as_ref(),
            sticky,
            exhausted_policy: effective.exhausted_policy.value,
            now: self.now(),
        });
        let in_ordering = |wanted: &ModelLabel| labels.iter().any(|(label, _)| label == wanted);
        let stored = sticky && state.fallback.as_ref().is_some_and(|state| in_ordering(&state.model_label));
        match decision {
            Decision::Recommend { index, advance, .. } => ActiveModel {
                label: labels.get(index).map(|(label, _)| label.clone()),
                sticky_fallback: stored || advance.is_some(),
            },
            Decision::Exhausted => ActiveModel { label: None, sticky_fallback: stored },
        }
    }

    /// What a client passes to Bedrock for each label a view shows. In the organization's view a label that its
    /// applications registered themselves has an answer where they all mean the same profile by it.
    async fn model_ids(
        &self,
        effective: &Effective,
        known: &TenantLabels<'_>,
        totals: &BTreeMap<ModelLabel, SpendTotals>,
    ) -> Result<BTreeMap<ModelLabel, String>> {
        let shown = day::shown_labels(effective, totals);
        let whole_org = effective.scope.app_id.is_none();
        let common = if whole_org && shown.iter().any(|label| !known.knows(label)) {
            self.storage.common_profiles(effective.scope.org_id).await?
        } else {
            BTreeMap::new()
        };
        let model_id = |label: &ModelLabel| match known.get(label) {
            Some(entry) => Some(entry.into_owned().bedrock_model_id),
            None => common.get(label).map(ToString::to_string),
        };
        Ok(shown.into_iter().filter_map(|label| Some((label.clone(), model_id(label)?))).collect())
    }

    /// What the view's spend is compared with.
    async fn view_quotas(&self, mut tenant: Tenant, effective: &Effective) -> Result<ViewQuotas> {
        if effective.scope.app_id.is_some() || effective.quota_scope == QuotaScope::Org {
            return Ok(ViewQuotas::of(effective));
        }
        let org_id = effective.scope.org_id;
        let mut sums = QuotaSums::default();
        let mut after: Option<AppId> = None;
        loop {
            let page = self.storage.list_apps(org_id, after.as_ref(), APPS_PAGE).await?;
            let full = page.len() >= APPS_PAGE as usize;
            after = page.last().map(|app| app.app_id.clone());
            for app in page {
                tenant.app = Some(app);
                sums.add(&self.effective(&tenant)?);
            }
            if !full {
                return Ok(sums.finish());
            }
        }
    }

    /// Who used anything on the day, and when last.
    async fn day_activity(&self, scope: &Scope, day: Day) -> Result<DayActivity> {
        let breakdown = scope.app_id.as_ref().map_or(Breakdown::EveryApp, Breakdown::App);
        let mut activity = DayActivity::default();
        self.visit_daily_totals(scope.org_id, breakdown, day..=day, DAY_PAGE, |total| activity.add(total)).await?;
        Ok(activity)
    }

    /// Shows every daily total of a range to `visit`, in order, holding one page at a time.
    async fn visit_daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        page_size: u32,
        mut visit: impl FnMut(&DailyTotal) -> Result<()> + Send,
    ) -> Result<()> {
        let mut after: Option<DailyTotalKey> = None;
        loop {
            let page = self.storage.daily_totals(org_id, breakdown, days.clone(), after.as_ref(), page_size).await?;
            page.iter().try_for_each(&mut visit)?;
            let full = page.len() >= page_size as usize;
            // Keys only ascend and the range is finite, so this ends.
            after = page.into_iter().next_back().map(|DailyTotal { day, app_id, model_label, .. }| DailyTotalKey {
                day,
                app_id,
                model_label,
            });
            if !full {
                return Ok(());
            }
        }
    }
}

/// Whose fallback state a view shows: nobody's for an organization whose applications each have their own.
fn fallback_owner(effective: &Effective) -> Option<Scope> {
    let chooses = effective.scope.app_id.is_some() || effective.quota_scope == QuotaScope::Org;
    chooses.then(|| effective.fallback_owner.clone())
}

/// Sum of counters that were each admitted. They stay far below their range, so an overflow means unreadable data.
fn add(total: &Counters, more: &Counters) -> Result<Counters> {
    total.checked_add(more).ok_or_else(|| ServiceError::Internal("stored totals add up to more than fits".to_owned()))
}

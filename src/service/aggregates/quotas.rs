//! What the spend of a view is compared with.

use std::collections::BTreeSet;

use crate::domain::ids::ModelLabel;
use crate::domain::money::MicroUsd;
use crate::domain::quota::{LabelQuota, QuotaInput, evaluate};
use crate::domain::tenant::{Effective, Quotas};
use crate::domain::usage::SpendTotals;

/// Quotas of a view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ViewQuotas {
    /// Daily quotas.
    pub(super) daily: Quotas,
    /// Monthly quotas a label's spend can be compared with.
    pub(super) monthly: Quotas,
    /// Sum of all monthly quotas, where there are any.
    pub(super) month_total: Option<MicroUsd>,
}

impl ViewQuotas {
    /// The quotas of one effective configuration.
    pub(super) fn of(effective: &Effective) -> Self {
        let monthly = effective.monthly_quotas.value.clone();
        Self { daily: effective.quotas.value.clone(), month_total: sum(monthly.values()), monthly }
    }

    /// Status of a label's spend; `None` where it has no daily quota. Only a label that left the configuration can lack
    /// one: whatever is in an ordering has a daily quota.
    pub(super) fn evaluate(
        &self,
        label: &ModelLabel,
        spend: &SpendTotals,
        tight_threshold_pct: u8,
    ) -> Option<LabelQuota> {
        let input = QuotaInput {
            day_spend: spend.day.cost,
            day_quota: *self.daily.get(label)?,
            month_spend: spend.month.cost,
            month_quota: self.monthly.get(label).copied(),
            tight_threshold_pct,
        };
        Some(evaluate(&input))
    }
}

/// Sum of quotas, `None` for none. Saturates: a sum beyond what fits is as good as unlimited.
pub(super) fn sum<'a>(quotas: impl IntoIterator<Item = &'a MicroUsd>) -> Option<MicroUsd> {
    quotas.into_iter().fold(None, |total, quota| Some(plus(total.unwrap_or_default(), *quota)))
}

fn plus(total: MicroUsd, quota: MicroUsd) -> MicroUsd {
    MicroUsd(total.0.saturating_add(quota.0))
}

/// Sums, by label, the quotas of applications that each own theirs.
#[derive(Debug, Default)]
pub(super) struct QuotaSums {
    daily: Quotas,
    monthly: Quotas,
    /// Labels that some application may use without a monthly quota.
    month_unlimited: BTreeSet<ModelLabel>,
}

impl QuotaSums {
    /// Adds an application's quotas.
    pub(super) fn add(&mut self, app: &Effective) {
        add_each(&mut self.daily, &app.quotas.value);
        add_each(&mut self.monthly, &app.monthly_quotas.value);
        let unlimited = app.quotas.value.keys().filter(|label| !app.monthly_quotas.value.contains_key(*label));
        self.month_unlimited.extend(unlimited.cloned());
    }

    /// The sums. The spend of all applications is compared with a label's monthly sum only where each of them has a
    /// monthly quota: one that has none may spend what it likes, and must not make the others look exceeded.
    pub(super) fn finish(self) -> ViewQuotas {
        let Self { daily, mut monthly, month_unlimited } = self;
        let month_total = sum(monthly.values());
        monthly.retain(|label, _| !month_unlimited.contains(label));
        ViewQuotas { daily, monthly, month_total }
    }
}

fn add_each(sums: &mut Quotas, quotas: &Quotas) {
    for (label, quota) in quotas {
        let total = sums.entry(label.clone()).or_default();
        *total = plus(*total, *quota);
    }
}

#[cfg(test)]
#[path = "quotas_tests.rs"]
mod tests;

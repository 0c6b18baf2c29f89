//! The fallback state of a day, as an administrator sees and sets it.
//!
//! A state belongs to whoever owns the quota: the organization where applications share it, else the application; and
//! to an application that shares a quota but not the chain of labels.
//! Asking at the other level is a mistake worth explaining, not an empty answer.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::access::ProvisioningAccess;
use super::audit::Entry;
use super::error::ServiceError;
use super::{Result, Services};
use crate::domain::audit::AuditAction;
use crate::domain::calendar::{Calendar, CalendarError, Day};
use crate::domain::ids::{ModelLabel, Scope};
use crate::domain::selection::{FallbackReason, FallbackState};
use crate::domain::tenant::{Effective, QuotaScope};
use crate::storage::FallbackSwap;

/// How long a state is kept after its day, for people who look into what happened.
const KEPT_AFTER_DAY: SignedDuration = SignedDuration::from_hours(24);
/// Compare-and-swaps tried before giving up. Automatic moves only advance, at most once per label, so losing this
/// often means that something is wrong.
const MAX_SWAPS: u32 = 8;

/// From when on the store may drop a day's state: 24 hours after the day ended.
///
/// # Errors
/// [`ServiceError::Internal`] at the end of the supported calendar.
pub fn state_expiry(calendar: &Calendar, day: Day) -> Result<Timestamp> {
    let ended = calendar.end_of(day)?;
    Ok(ended.checked_add(KEPT_AFTER_DAY).map_err(|_| CalendarError::OutOfRange)?)
}

/// The fallback state in force for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveFallback {
    /// Who shares it: the whole organization, or one application has it for itself.
    pub quota_scope: QuotaScope,
    /// The local day it holds for.
    pub day: Day,
    /// Index of its label in the ordering in effect now.
    pub index: usize,
    /// The state.
    pub state: FallbackState,
    /// The local midnight that ends it.
    pub expires_at: Timestamp,
}

/// What the audit trail says of a state.
#[derive(Serialize)]
struct AuditedState<'a> {
    model_label: &'a ModelLabel,
    reason: &'a FallbackReason,
    activated_at: Timestamp,
}

impl<'a> AuditedState<'a> {
    fn of(state: &'a FallbackState) -> Self {
        Self { model_label: &state.model_label, reason: &state.reason, activated_at: state.activated_at }
    }
}

/// Everything about a scope that its fallback depends on.
struct Today {
    effective: Effective,
    day: Day,
    now: Timestamp,
}

impl Today {
    fn position_of(&self, label: &ModelLabel) -> Option<usize> {
        self.effective.model_ordering.value.iter().position(|candidate| candidate == label)
    }

    /// A stored state as the caller sees it; `None` where model selection ignores it, because its label left the
    /// ordering or fallbacks no longer stick.
    fn in_force(&self, state: FallbackState) -> Result<Option<ActiveFallback>> {
        if !self.effective.sticky_fallback_enabled.value {
            return Ok(None);
        }
        let Some(index) = self.position_of(&state.model_label) else { return Ok(None) };
        let expires_at = self.effective.calendar.end_of(self.day)?;
        let own = self.effective.fallback_owner.app_id.is_some();
        let quota_scope = if own { QuotaScope::App } else { QuotaScope::Org };
        Ok(Some(ActiveFallback { quota_scope, day: self.day, index, state, expires_at }))
    }

    /// The state that puts a manual override in the place of `stored`.
    fn overridden(&self, label: &ModelLabel, index: usize, stored: Option<&FallbackState>) -> FallbackState {
        let active = stored.map(|state| &state.model_label).filter(|label| self.position_of(label).is_some());
        let first = self.effective.model_ordering.value.first();
        FallbackState {
            model_label: label.clone(),
            model_index: u16::try_from(index).unwrap_or(u16::MAX),
            // An ordering is never empty where `label` is in it.
            previous_model_label: active.or(first).unwrap_or(label).clone(),
            reason: FallbackReason::ManualOverride,
            activated_at: self.now,
            // A state that is ignored is still the stored one to be replaced.
            version: stored.map_or(1, |state| state.version.saturating_add(1)),
        }
    }
}

impl Services {
    /// The configuration and day of a scope that owns its fallback state.
    async fn fallback_today(&self, scope: &Scope) -> Result<Today> {
        let (_, effective) = self.registered(scope).await?;
        match (effective.quota_scope, &scope.app_id) {
            (QuotaScope::Org, Some(_)) if effective.fallback_owner != *scope => {
                return Err(ServiceError::conflict(format!(
                    "the applications of this organization share its quota and so its fallback (quota_scope ORG); \
                     use /api/v1/orgs/{}/fallback",
                    scope.org_id
                )));
            }
            (QuotaScope::App, None) => {
                return Err(ServiceError::conflict(format!(
                    "each application of this organization has its own quota and so its own fallback (quota_scope \
                     APP); use /api/v1/orgs/{}/apps/{{app_id}}/fallback",
                    scope.org_id
                )));
            }
            (QuotaScope::Org, None | Some(_)) | (QuotaScope::App, Some(_)) => {}
        }
        let now = self.now();
        Ok(Today { day: effective.calendar.day_of(now), effective, now })
    }

    /// Today's fallback state of a scope.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the scope is not registered or has no state in force today,
    /// [`ServiceError::Conflict`] where the state belongs to the other level.
    pub async fn get_fallback(&self, _access: &ProvisioningAccess, scope: &Scope) -> Result<ActiveFallback> {
        let today = self.fallback_today(scope).await?;
        let stored = self.storage.fallback(scope, today.day).await?;
        let active = stored.map(|state| today.in_force(state)).transpose()?.flatten();
        active.ok_or(ServiceError::NotFound("fallback state for today"))
    }

    /// Chooses the label a scope starts from for the rest of the day, backwards too: only automatic moves are
    /// monotone. Choosing the label that is already chosen by hand changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::InvalidModelLabel`] for a label that is not in the ordering in effect,
    /// [`ServiceError::NotFound`] where the scope is not registered, [`ServiceError::Conflict`] where the state
    /// belongs to the other level or fallbacks do not stick, [`ServiceError::Unavailable`] where other requests kept
    /// changing it.
    pub async fn set_fallback(
        &self,
        access: &ProvisioningAccess,
        scope: &Scope,
        label: &ModelLabel,
    ) -> Result<ActiveFallback> {
        let today = self.fallback_today(scope).await?;
        if !today.effective.sticky_fallback_enabled.value {
            return Err(ServiceError::Conflict {
                message: "sticky fallback is switched off here, so no state is kept that could be set; enable \
                          sticky_fallback_enabled first"
                    .to_owned(),
                field: Some("sticky_fallback_enabled"),
            });
        }
        let Some(index) = today.position_of(label) else {
            return Err(ServiceError::InvalidModelLabel {
                label: label.to_string(),
                configured: today.effective.model_ordering.value.clone(),
            });
        };
        let state = self.swap_in(access, scope, &today, label, index).await?;
        today.in_force(state)?.ok_or_else(|| ServiceError::Internal("the fallback just set is not in force".to_owned()))
    }

    async fn swap_in(
        &self,
        access: &ProvisioningAccess,
        scope: &Scope,
        today: &Today,
        label: &ModelLabel,
        index: usize,
    ) -> Result<FallbackState> {
        let expires_at = state_expiry(&today.effective.calendar, today.day)?;
        let mut stored = self.storage.fallback(scope, today.day).await?;
        for _ in 0..MAX_SWAPS {
            if let Some(state) = &stored
                && state.reason == FallbackReason::ManualOverride
                && state.model_label == *label
            {
                return Ok(state.clone());
            }
            let next = today.overridden(label, index, stored.as_ref());
            let before = stored.as_ref().map(AuditedState::of);
            let entry = Entry::new(AuditAction::FallbackSet, scope.clone())
                .subject(&today.day)
                .states(before.as_ref(), Some(&AuditedState::of(&next)));
            let swap = self.storage.swap_fallback(scope, today.day, &next, expires_at);
            let won = |swap: &FallbackSwap| matches!(swap, FallbackSwap::Stored);
            match self.audited(access.by(), entry, swap, won).await?? {
                FallbackSwap::Stored => return Ok(next),
                FallbackSwap::Lost(winner) => stored = winner,
            }
        }
        Err(ServiceError::Unavailable("the fallback state kept changing under a manual override".to_owned()))
    }

    /// Clears today's fallback state of a scope: the next check starts at the first label again. Clearing nothing is
    /// fine, and so is clearing what an earlier configuration left behind.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the scope is not registered, [`ServiceError::Conflict`] where the state
    /// belongs to the other level.
    pub async fn clear_fallback(&self, access: &ProvisioningAccess, scope: &Scope) -> Result<()> {
        let today = self.fallback_today(scope).await?;
        let Some(state) = self.storage.fallback(scope, today.day).await? else { return Ok(()) };
        let entry = Entry::new(AuditAction::FallbackCleared, scope.clone())
            .subject(&today.day)
            .states(Some(&AuditedState::of(&state)), None);
        self.audited(access.by(), entry, self.storage.clear_fallback(scope, today.day), |()| true).await??;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_24_hours_beyond_a_day_of_any_length() {
        let berlin = Calendar::new("Europe/Berlin").unwrap();
        let kept_until = |day: &str| state_expiry(&berlin, day.parse().unwrap()).unwrap().to_string();
        assert_eq!(kept_until("2026-01-23"), "2026-01-24T23:00:00Z");
        // Days of 23 and 25 hours.
        assert_eq!(kept_until("2026-03-29"), "2026-03-30T22:00:00Z");
        assert_eq!(kept_until("2026-10-25"), "2026-10-26T23:00:00Z");
    }
}

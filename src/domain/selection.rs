//! Choosing the model to recommend, with a fallback that sticks for the rest of the day.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, CalendarError, Day};
use super::ids::ModelLabel;
use super::quota::{LabelQuota, QuotaStatus};

/// What to answer when every label is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExhaustedPolicy {
    /// Refuse with the instant a label is free again.
    #[default]
    Reject,
    /// Recommend the last label of the ordering anyway.
    Last,
}

/// Why a label is recommended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The first label of the ordering has room.
    Normal,
    /// The label directly before the recommended one is exceeded.
    QuotaExceeded(ModelLabel),
    /// An earlier check of the day moved here, and it sticks.
    StickyFallback,
    /// An administrator chose it for the day.
    ManualOverride,
    /// Every label is exceeded and the policy is to recommend the last one.
    AllQuotasExceeded,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("NORMAL"),
            Self::QuotaExceeded(label) => write!(f, "QUOTA_EXCEEDED_{}", label.as_str().to_uppercase()),
            Self::StickyFallback => f.write_str("STICKY_FALLBACK"),
            Self::ManualOverride => f.write_str("MANUAL_OVERRIDE"),
            Self::AllQuotasExceeded => f.write_str("ALL_QUOTAS_EXCEEDED"),
        }
    }
}

/// Why the fallback state of a day is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "kind", content = "label")]
pub enum FallbackReason {
    /// This label was exceeded.
    QuotaExceeded(ModelLabel),
    /// An administrator set it.
    ManualOverride,
}

impl From<&FallbackReason> for Reason {
    fn from(reason: &FallbackReason) -> Self {
        match reason {
            FallbackReason::QuotaExceeded(label) => Self::QuotaExceeded(label.clone()),
            FallbackReason::ManualOverride => Self::ManualOverride,
        }
    }
}

/// Where the fallback of a scope stands on one day. The state names its label: should the label leave the ordering,
/// the state is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackState {
    /// The label in force.
    pub model_label: ModelLabel,
    /// Its index in the ordering when the state was made; for people, never for decisions.
    pub model_index: u16,
    /// The label left by this move.
    pub previous_model_label: ModelLabel,
    /// Why the state was made.
    pub reason: FallbackReason,
    /// When it was made.
    pub activated_at: Timestamp,
    /// Grows by one with every change of this scope's state on this day; what a compare-and-swap compares.
    pub version: u64,
}

/// Input of [`choose`].
#[derive(Debug, Clone, Copy)]
pub struct SelectionInput<'a> {
    /// Labels in order of preference with their quota status.
    pub labels: &'a [(ModelLabel, LabelQuota)],
    /// The day's fallback state of the scope, if any.
    pub fallback: Option<&'a FallbackState>,
    /// Whether fallbacks stick.
    pub sticky: bool,
    /// What to do when every label is exceeded.
    pub exhausted_policy: ExhaustedPolicy,
    /// Now.
    pub now: Timestamp,
}

/// Answer of [`choose`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Use this label.
    Recommend {
        /// Its index in the ordering.
        index: usize,
        /// Why.
        reason: Reason,
        /// The state to store first, where the fallback moves forward. Whoever loses the compare-and-swap chooses
        /// again from the winner's state.
        advance: Option<FallbackState>,
    },
    /// Every label from the start on is exceeded.
    Exhausted,
}

/// Chooses the label to recommend. Pure: the same input always gives the same answer.
#[must_use]
pub fn choose(input: &SelectionInput<'_>) -> Decision {
    let position_of = |label: &ModelLabel| input.labels.iter().position(|(candidate, _)| candidate == label);
    let state =
        input.fallback.filter(|_| input.sticky).and_then(|state| Some((position_of(&state.model_label)?, state)));
    let start = state.map_or(0, |(position, _)| position);
    let found = input
        .labels
        .iter()
        .enumerate()
        .skip(start)
        .find(|(_, (_, quota))| quota.status != QuotaStatus::Exceeded)
        .map(|(index, _)| index);

    let Some(index) = found else {
        return match (input.exhausted_policy, input.labels.len().checked_sub(1)) {
            (ExhaustedPolicy::Last, Some(last)) => {
                Decision::Recommend { index: last, reason: Reason::AllQuotasExceeded, advance: None }
            }
            _ => Decision::Exhausted,
        };
    };

    if let Some((position, state)) = state.filter(|(position, _)| *position == index) {
        let reason = match state.reason {
            FallbackReason::ManualOverride => Reason::ManualOverride,
            // A state at the first position can only be left over from another ordering: nothing fell back.
            FallbackReason::QuotaExceeded(_) if position == 0 => Reason::Normal,
            FallbackReason::QuotaExceeded(_) => Reason::StickyFallback,
        };
        return Decision::Recommend { index, reason, advance: None };
    }
    // The chosen label lies after the start: the one directly before it is exceeded.
    let Some((left, _)) = index.checked_sub(1).and_then(|before| input.labels.get(before)) else {
        return Decision::Recommend { index, reason: Reason::Normal, advance: None };
    };
    let advance = input.sticky.then(|| advance_to(input, index, left, state.map(|(_, state)| state))).flatten();
    Decision::Recommend { index, reason: Reason::QuotaExceeded(left.clone()), advance }
}

fn advance_to(
    input: &SelectionInput<'_>,
    index: usize,
    left: &ModelLabel,
    current: Option<&FallbackState>,
) -> Option<FallbackState> {
    let (label, _) = input.labels.get(index)?;
    let (first, _) = input.labels.first()?;
    Some(FallbackState {
        model_label: label.clone(),
        model_index: u16::try_from(index).unwrap_or(u16::MAX),
        previous_model_label: current.map_or(first, |state| &state.model_label).clone(),
        reason: FallbackReason::QuotaExceeded(left.clone()),
        activated_at: input.now,
        // A state that is ignored (its label left the ordering) is still the stored one to be replaced.
        version: input.fallback.map_or(1, |state| state.version.saturating_add(1)),
    })
}

/// When a label is free again after everything was exceeded: the next local midnight, or the first of the next month
/// where only that helps. Labels switched off by a quota of zero never come back by themselves and are left out; if
/// all are off it is the next local midnight.
///
/// # Errors
/// [`CalendarError::OutOfRange`] at the end of the supported calendar.
pub fn retry_after<'a>(
    calendar: &Calendar,
    today: Day,
    labels: impl IntoIterator<Item = &'a LabelQuota>,
) -> Result<Timestamp, CalendarError> {
    let midnight = calendar.end_of(today)?;
    let mut live = labels.into_iter().filter(|quota| !quota.switched_off).peekable();
    if live.peek().is_none() || live.any(|quota| !quota.month_exceeded) {
        return Ok(midnight);
    }
    calendar.end_of_month(today.month())
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;

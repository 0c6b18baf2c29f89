//! Rate limits: which requests share one, how many of them a caller may send, and what an organization changes.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::tenant::InvalidConfig;

/// Requests a minute that a limit may allow. More than the upper bound would limit nothing: one instance does not answer
/// as many.
pub const PER_MINUTE_RANGE: RangeInclusive<u32> = 1..=1_000_000;

/// Requests that share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateLimitGroup {
    /// Getting tokens.
    Token,
    /// Refreshing them.
    Refresh,
    /// Revoking one's own.
    Revoke,
    /// Everything an administrator does that no other group names.
    Provisioning,
    /// New secrets, and the end of all tokens of a client.
    Rotation,
    /// Reading spend.
    Aggregates,
    /// Asking which model to use, and what that takes: labels and inference profiles.
    ModelSelection,
    /// Submissions of usage and costs.
    Usage,
    /// The same in batches.
    Batches,
}

impl RateLimitGroup {
    /// Every group.
    pub const ALL: [Self; 9] = [
        Self::Token,
        Self::Refresh,
        Self::Revoke,
        Self::Provisioning,
        Self::Rotation,
        Self::Aggregates,
        Self::ModelSelection,
        Self::Usage,
        Self::Batches,
    ];

    /// As it is written in configuration and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Provisioning => "provisioning",
            Self::Rotation => "rotation",
            Self::Aggregates => "aggregates",
            Self::ModelSelection => "model_selection",
            Self::Usage => "usage",
            Self::Batches => "batches",
        }
    }
}

/// Requests a minute of each group that one caller may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// [`RateLimitGroup::Token`].
    pub token: u32,
    /// [`RateLimitGroup::Refresh`].
    pub refresh: u32,
    /// [`RateLimitGroup::Revoke`].
    pub revoke: u32,
    /// [`RateLimitGroup::Provisioning`].
    pub provisioning: u32,
    /// [`RateLimitGroup::Rotation`].
    pub rotation: u32,
    /// [`RateLimitGroup::Aggregates`].
    pub aggregates: u32,
    /// [`RateLimitGroup::ModelSelection`].
    pub model_selection: u32,
    /// [`RateLimitGroup::Usage`].
    pub usage: u32,
    /// [`RateLimitGroup::Batches`].
    pub batches: u32,
}

impl RateLimits {
    /// What the service allows where nothing else is configured.
    pub const DEFAULT: Self = Self {
        token: 10,
        refresh: 30,
        revoke: 10,
        provisioning: 120,
        rotation: 10,
        aggregates: 300,
        model_selection: 1_200,
        usage: 60_000,
        batches: 6_000,
    };

    /// The limit of a group.
    #[must_use]
    pub const fn of(&self, group: RateLimitGroup) -> u32 {
        match group {
            RateLimitGroup::Token => self.token,
            RateLimitGroup::Refresh => self.refresh,
            RateLimitGroup::Revoke => self.revoke,
            RateLimitGroup::Provisioning => self.provisioning,
            RateLimitGroup::Rotation => self.rotation,
            RateLimitGroup::Aggregates => self.aggregates,
            RateLimitGroup::ModelSelection => self.model_selection,
            RateLimitGroup::Usage => self.usage,
            RateLimitGroup::Batches => self.batches,
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Failed attempts a minute to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedLoginLimits {
    /// For one client id.
    pub per_client: u32,
    /// From one address.
    pub per_address: u32,
}

/// What an organization sets for each of its clients; for the other groups the service's limits hold.
///
/// Groups of administrators are not among them: an organization is not who they act for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrgRateLimits {
    /// [`RateLimitGroup::Token`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u32>,
    /// [`RateLimitGroup::Refresh`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u32>,
    /// [`RateLimitGroup::Revoke`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<u32>,
    /// [`RateLimitGroup::Aggregates`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<u32>,
    /// [`RateLimitGroup::ModelSelection`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_selection: Option<u32>,
    /// [`RateLimitGroup::Usage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<u32>,
    /// [`RateLimitGroup::Batches`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<u32>,
}

impl OrgRateLimits {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is set for a group.
    #[must_use]
    pub const fn of(&self, group: RateLimitGroup) -> Option<u32> {
        match group {
            RateLimitGroup::Token => self.token,
            RateLimitGroup::Refresh => self.refresh,
            RateLimitGroup::Revoke => self.revoke,
            RateLimitGroup::Aggregates => self.aggregates,
            RateLimitGroup::ModelSelection => self.model_selection,
            RateLimitGroup::Usage => self.usage,
            RateLimitGroup::Batches => self.batches,
            RateLimitGroup::Provisioning | RateLimitGroup::Rotation => None,
        }
    }

    /// These, and the service's where nothing is set. The groups of administrators stay unset.
    #[must_use]
    pub fn or(&self, service: &RateLimits) -> Self {
        Self {
            token: self.token.or(Some(service.token)),
            refresh: self.refresh.or(Some(service.refresh)),
            revoke: self.revoke.or(Some(service.revoke)),
            aggregates: self.aggregates.or(Some(service.aggregates)),
            model_selection: self.model_selection.or(Some(service.model_selection)),
            usage: self.usage.or(Some(service.usage)),
            batches: self.batches.or(Some(service.batches)),
        }
    }

    /// # Errors
    /// [`InvalidConfig`] naming the first limit that is out of range.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        for group in RateLimitGroup::ALL {
            if self.of(group).is_some_and(|limit| !PER_MINUTE_RANGE.contains(&limit)) {
                return Err(Self::out_of_range(group));
            }
        }
        Ok(())
    }

    /// The refusal of a limit that is out of range.
    #[must_use]
    pub fn out_of_range(group: RateLimitGroup) -> InvalidConfig {
        let (least, most) = PER_MINUTE_RANGE.into_inner();
        let field = format!("rate_limits.{}", group.as_str());
        InvalidConfig::new(field, format!("must be between {least} and {most} requests per minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_written_before_a_group_existed_can_be_read_and_unset_ones_are_not_written() {
        assert_eq!(serde_json::from_str::<OrgRateLimits>("{}").unwrap(), OrgRateLimits::default());
        let usage = OrgRateLimits { usage: Some(7), ..OrgRateLimits::default() };
        assert_eq!(serde_json::to_string(&usage).unwrap(), r#"{"usage":7}"#);
        assert!(OrgRateLimits::default().is_empty() && !usage.is_empty());
    }

    #[test]
    fn an_organization_sets_what_its_clients_do_and_the_service_the_rest() {
        let own = OrgRateLimits { token: Some(1), batches: Some(1_000_000), ..OrgRateLimits::default() };
        let effective = own.or(&RateLimits::DEFAULT);
        for group in RateLimitGroup::ALL {
            let administrators = matches!(group, RateLimitGroup::Provisioning | RateLimitGroup::Rotation);
            let expected = own.of(group).unwrap_or(RateLimits::DEFAULT.of(group));
            assert_eq!(effective.of(group), (!administrators).then_some(expected), "{group:?}");
        }
        assert!(own.validate().is_ok());
        for limit in [0, 1_000_001] {
            let refused = OrgRateLimits { model_selection: Some(limit), ..own }.validate().unwrap_err();
            assert_eq!(refused.field, "rate_limits.model_selection");
        }
    }
}

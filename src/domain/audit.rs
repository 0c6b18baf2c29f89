//! The audit trail: who changed what, when, and what that came to.
//!
//! An event names keys by their id and never holds a secret, a token or a hash of one.

// Of `core`, which has no sockets: the domain is pure.
use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::ids::{ClientId, OrgId, Scope};

/// Longest JSON text of [`AuditEvent::before`] or [`AuditEvent::after`], in bytes. Configurations are a few kilobytes;
/// the bound keeps an event far below the size of an item in any store.
pub const MAX_STATE_BYTES: usize = 16 * 1024;

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AuditActor {
    /// The holder of a provisioning key, by the id of the key.
    Administrator(String),
    /// A client with an access token.
    Client(ClientId),
    /// Whoever runs the command line on the service's own host.
    Operator,
    /// Somebody who could not prove to be anybody.
    Anonymous,
}

impl AuditActor {
    /// The kind of actor, as stored and shown.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Administrator(_) => "administrator",
            Self::Client(_) => "client",
            Self::Operator => "operator",
            Self::Anonymous => "anonymous",
        }
    }

    /// Which one of its kind: a key's id or a client's.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Administrator(key_id) => Some(key_id.clone()),
            Self::Client(client_id) => Some(client_id.to_string()),
            Self::Operator | Self::Anonymous => None,
        }
    }

    /// The actor of a stored [`kind`](Self::kind) and [`id`](Self::id); `None` where they name none.
    #[must_use]
    pub fn from_parts(kind: &str, id: Option<&str>) -> Option<Self> {
        match (kind, id) {
            ("administrator", Some(key_id)) => Some(Self::Administrator(key_id.to_owned())),
            ("client", Some(client_id)) => client_id.parse().ok().map(Self::Client),
            ("operator", None) => Some(Self::Operator),
            ("anonymous", None) => Some(Self::Anonymous),
            _ => None,
        }
    }
}

/// What somebody did or tried to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Registered an organization.
    OrgCreated,
    /// Replaced an organization's configuration.
    OrgUpdated,
    /// Deleted an organization.
    OrgDeleted,
    /// Registered an application.
    AppCreated,
    /// Replaced an application's configuration.
    AppUpdated,
    /// Deleted an application.
    AppDeleted,
    /// Gave a client a new secret.
    SecretRotated,
    /// Fetched a client's new secret with its one-time token.
    SecretRetrieved,
    /// Ended every token of a client.
    TokensRevoked,
    /// Revoked one access token, or a session.
    TokenRevoked,
    /// Set the fallback state of a day.
    FallbackSet,
    /// Cleared the fallback state of a day.
    FallbackCleared,
    /// Registered an inference profile.
    ProfileRegistered,
    /// Deleted an inference profile.
    ProfileDeleted,
    /// Priced recorded usage again.
    UsageRepriced,
    /// Presented a client id with a wrong secret, or a bad refresh token, and was told off for the rest of the minute.
    LoginThrottled,
    /// Presented wrong client credentials.
    LoginRefused,
    /// Presented a provisioning key that is none.
    KeyRefused,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 18] = [
        Self::OrgCreated,
        Self::OrgUpdated,
        Self::OrgDeleted,
        Self::AppCreated,
        Self::AppUpdated,
        Self::AppDeleted,
        Self::SecretRotated,
        Self::SecretRetrieved,
        Self::TokensRevoked,
        Self::TokenRevoked,
        Self::FallbackSet,
        Self::FallbackCleared,
        Self::ProfileRegistered,
        Self::ProfileDeleted,
        Self::UsageRepriced,
        Self::LoginThrottled,
        Self::LoginRefused,
        Self::KeyRefused,
    ];
}

/// What an action came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// Announced, and not heard of again: it is under way, its instance ended in the middle, or the store could not say
    /// what became of it. It may have happened.
    Pending,
    /// Done.
    Succeeded,
    /// Refused. Nothing changed.
    Refused,
}

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// Place in the trail and name.
    pub position: AuditPosition,
    /// Who.
    pub actor: AuditActor,
    /// What.
    pub action: AuditAction,
    /// What it came to.
    pub outcome: AuditOutcome,
    /// The organization or application it concerns; `None` where it concerns the service.
    pub target: Option<Scope>,
    /// What of it: a label, a day, a session, a client id that was claimed. Always something that was parsed, never a text
    /// as somebody sent it: not every store takes every character.
    pub subject: Option<String>,
    /// What was changed, as it was. Only members that differ, without secrets.
    pub before: Option<Value>,
    /// What was changed, as it is now. Only members that differ, without secrets.
    pub after: Option<Value>,
    /// The `X-Request-Id` of the request, or the command's own id.
    pub request_id: String,
    /// Address of the caller, behind trusted proxies the one they name.
    pub address: Option<IpAddr>,
}

impl AuditEvent {
    /// The organization whose trail the event is part of.
    #[must_use]
    pub fn org_id(&self) -> Option<OrgId> {
        self.target.as_ref().map(|scope| scope.org_id)
    }
}

/// Place of an event in the trail: by time, and among those of one millisecond by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditPosition {
    /// When, in whole milliseconds.
    pub at: Timestamp,
    /// Names the event.
    pub id: Uuid,
}

/// The word of a unit variant, as serde writes it.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        // Unit variants are written as strings; the test below goes through all.
        _ => String::new(),
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word(self))
    }
}

impl fmt::Display for AuditOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word(self))
    }
}

/// A text that is no word of an [`AuditAction`] or [`AuditOutcome`]; perhaps of a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown word")]
pub struct UnknownWord;

/// The unit variant of a word that serde writes.
fn of_word<'de, T: Deserialize<'de>>(word: &'de str) -> Result<T, UnknownWord> {
    let word: StrDeserializer<'de, WordError> = word.into_deserializer();
    T::deserialize(word).map_err(|_| UnknownWord)
}

impl FromStr for AuditAction {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        of_word(word)
    }
}

impl FromStr for AuditOutcome {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        of_word(word)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    /// The words that serde knows for a type: the error for one it does not know lists them.
    fn words_of<T: for<'de> Deserialize<'de>>() -> BTreeSet<String> {
        let error = serde_json::from_value::<T>(Value::String(String::new())).err().unwrap().to_string();
        error.split('`').skip(1).step_by(2).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn every_action_has_a_word_of_its_own_that_is_read_back() {
        let words: BTreeSet<_> = AuditAction::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words, words_of::<AuditAction>());
        for action in AuditAction::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        assert_eq!(AuditAction::OrgCreated.to_string(), "org_created");
        assert_eq!("OrgCreated".parse::<AuditAction>(), Err(UnknownWord));
    }

    #[test]
    fn every_outcome_has_a_word_of_its_own_that_is_read_back() {
        let outcomes = [AuditOutcome::Pending, AuditOutcome::Succeeded, AuditOutcome::Refused];
        let words: BTreeSet<_> = outcomes.iter().map(ToString::to_string).collect();
        assert_eq!(words, words_of::<AuditOutcome>());
        for outcome in outcomes {
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
        }
        assert_eq!("".parse::<AuditOutcome>(), Err(UnknownWord));
    }

    #[test]
    fn an_actor_is_read_back_from_its_parts_and_from_nothing_else() {
        let client: ClientId = "org-550e8400-e29b-41d4-a716-446655440000-app-shop".parse().unwrap();
        let actors = [
            AuditActor::Administrator("ops-2026".to_owned()),
            AuditActor::Client(client),
            AuditActor::Operator,
            AuditActor::Anonymous,
        ];
        for actor in actors {
            assert_eq!(AuditActor::from_parts(actor.kind(), actor.id().as_deref()), Some(actor));
        }
        for (kind, id) in [
            ("administrator", None),
            ("client", None),
            ("client", Some("x")),
            ("operator", Some("x")),
            ("anonymous", Some("x")),
            ("Operator", None),
            ("", None),
        ] {
            assert_eq!(AuditActor::from_parts(kind, id), None, "{kind} {id:?}");
        }
    }

    #[test]
    fn positions_are_ordered_by_time_and_within_a_millisecond_by_id() {
        let at = |second, id| AuditPosition { at: Timestamp::from_second(second).unwrap(), id: Uuid::from_u128(id) };
        assert!(at(1, u128::MAX) < at(2, 0) && at(2, 0) < at(2, 1) && at(2, 1) < at(2, 1 << 127));
    }
}

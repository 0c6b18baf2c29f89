//! Identifiers: who is who, and how each is written.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the identifier it should be. Never repeats the text: it may be hostile or secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected}")]
pub struct InvalidId {
    /// The identifier's name, as a person knows it.
    pub what: &'static str,
    /// The accepted form.
    pub expected: &'static str,
}

fn parse_uuid(text: &str, what: &'static str) -> Result<Uuid, InvalidId> {
    // Only the hyphenated form (36 characters), in any case: `client_id` parsing relies on that length.
    if text.len() != 36 {
        return Err(InvalidId { what, expected: "a hyphenated UUID" });
    }
    Uuid::try_parse(text).map_err(|_| InvalidId { what, expected: "a hyphenated UUID" })
}

/// An organization: a UUID chosen by the administrator; read in any case, written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrgId(pub Uuid);

impl FromStr for OrgId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_uuid(text, "org_id").map(Self)
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The caller's idempotency key of one submission, unique inside an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub Uuid);

impl FromStr for RequestId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_uuid(text, "request_id").map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// An application, unique inside its organization: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(Arc<str>);

impl AppId {
    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = text.bytes();
        let head_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let tail_ok = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if head_ok && tail_ok && text.len() <= 64 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId {
                what: "app_id",
                expected: "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit",
            })
        }
    }
}

impl TryFrom<String> for AppId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<AppId> for String {
    fn from(id: AppId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a model *role* (`premium`, `standard`, …), never a model id: `^[a-z][a-z0-9_-]{0,49}$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelLabel(Arc<str>);

impl ModelLabel {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelLabel {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = text.bytes();
        let head_ok = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let tail_ok = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if head_ok && tail_ok && text.len() <= 50 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId {
                what: "model label",
                expected: "1 to 50 lower-case letters, digits, '_' or '-', starting with a letter",
            })
        }
    }
}

impl TryFrom<String> for ModelLabel {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ModelLabel> for String {
    fn from(label: ModelLabel) -> Self {
        label.0.as_ref().to_owned()
    }
}

impl fmt::Display for ModelLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What spend is totalled over, and what a fallback state belongs to: an organization or one application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The organization.
    pub org_id: OrgId,
    /// The application; `None` is the whole organization.
    pub app_id: Option<AppId>,
}

impl Scope {
    /// The whole organization.
    #[must_use]
    pub fn org(org_id: OrgId) -> Self {
        Self { org_id, app_id: None }
    }

    /// One application.
    #[must_use]
    pub fn app(org_id: OrgId, app_id: AppId) -> Self {
        Self { org_id, app_id: Some(app_id) }
    }
}

/// An OAuth2 client: `org-{org_id}` or `org-{org_id}-app-{app_id}`.
///
/// A UUID is 36 characters, so the text is never ambiguous whatever the application's name is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub Scope);

impl ClientId {
    /// The client of a scope: each organization and each application has exactly one.
    #[must_use]
    pub fn of(scope: Scope) -> Self {
        Self(scope)
    }
}

impl FromStr for ClientId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { what: "client_id", expected: "org-{org_id} or org-{org_id}-app-{app_id}" };
        let rest = text.strip_prefix("org-").ok_or_else(|| invalid.clone())?;
        let (org, tail) = rest.split_at_checked(36).ok_or_else(|| invalid.clone())?;
        let org_id: OrgId = org.parse().map_err(|_| invalid.clone())?;
        if tail.is_empty() {
            return Ok(Self(Scope::org(org_id)));
        }
        let app = tail.strip_prefix("-app-").ok_or_else(|| invalid.clone())?;
        let app_id: AppId = app.parse().map_err(|_| invalid)?;
        Ok(Self(Scope::app(org_id, app_id)))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.app_id {
            None => write!(f, "org-{}", self.0.org_id),
            Some(app_id) => write!(f, "org-{}-app-{}", self.0.org_id, app_id),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ORG: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn a_uuid_is_read_hyphenated_in_any_case_and_written_in_lower_case() {
        assert_eq!(ORG.to_uppercase().parse::<OrgId>().unwrap().to_string(), ORG);
        assert!(ORG.replace('-', "").parse::<OrgId>().is_err());
        assert!(format!("{{{ORG}}}").parse::<OrgId>().is_err());
        assert!(format!("urn:uuid:{ORG}").parse::<RequestId>().is_err());
    }

    #[test]
    fn an_app_id_starts_with_a_letter_or_digit_and_has_at_most_64_characters() {
        for good in ["a", "9", "App.1_x-y", &"a".repeat(64)] {
            assert!(good.parse::<AppId>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "é", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<AppId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_model_label_is_lower_case_and_has_at_most_50_characters() {
        for good in ["premium", "a", "x-1_y", &"a".repeat(50)] {
            assert!(good.parse::<ModelLabel>().is_ok(), "{good}");
        }
        for bad in ["", "Premium", "1a", "_a", "a.b", &"a".repeat(51)] {
            assert!(bad.parse::<ModelLabel>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_id_survives_any_app_name() {
        for app in ["x", "app-y", "a-app-b", "550e8400-e29b-41d4-a716-446655440000"] {
            let client = ClientId::of(Scope::app(ORG.parse().unwrap(), app.parse().unwrap()));
            assert_eq!(client.to_string().parse::<ClientId>().unwrap(), client);
        }
        let org = ClientId::of(Scope::org(ORG.parse().unwrap()));
        assert_eq!(org.to_string().parse::<ClientId>().unwrap(), org);
        for bad in ["", "org-", "org-x", &format!("org-{ORG}-"), &format!("org-{ORG}-app-"), &format!("app-{ORG}")] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
        assert!("org-550e8400-e29b-41d4-a716-44665544é000".parse::<ClientId>().is_err());
    }
}

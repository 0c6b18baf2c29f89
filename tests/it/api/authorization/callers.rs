//! Everybody who may come along, and the class of answer each gets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::{Value, json};

use super::table::For;
use crate::support::client::Call;
use crate::support::server::{ADMIN_KEY, TestServer};
use crate::support::tenants::{ORG, OTHER_ORG, Tenant};

pub(super) const ABSENT_ORG: &str = "770e8400-e29b-41d4-a716-446655440000";
const SECOND_KEY: &str = "a-second-provisioning-key-123456";

/// What a caller turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Presents nothing that is good.
    Nobody,
    Administrator,
    /// Presents a key where a token belongs: good for metrics alone.
    KeyAsBearer,
    /// The client of the organization.
    Org,
    /// The client of its application `chat`.
    App,
    /// A client of some other organization or application.
    Stranger,
}

/// Somebody with what it presents.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) standing: Standing,
    headers: Vec<(&'static str, String)>,
}

impl Caller {
    /// The call with this caller's credentials.
    pub(super) fn present(&self, call: Call) -> Call {
        self.headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    }

    /// Whether who this is depends on what is asked for.
    pub(super) fn is_client(&self) -> bool {
        matches!(self.standing, Standing::Org | Standing::App | Standing::Stranger)
    }
}

/// Whether what a path names is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Existing,
    AbsentApp,
    AbsentOrg,
}

impl Target {
    pub(super) fn path(self, template: &str) -> String {
        let (org_id, app_id) = match self {
            Self::Existing => (ORG, "chat"),
            Self::AbsentApp => (ORG, "nobody"),
            Self::AbsentOrg => (ABSENT_ORG, "chat"),
        };
        let path = template
            .replace("{org_id}", org_id)
            .replace("{app_id}", app_id)
            .replace("{date}", "2026-01-23")
            .replace("{profile_label}", "none");
        assert!(!path.contains('{'), "a value for each parameter: {path}");
        path
    }
}

/// The refusal a caller gets; `None` where it is let in.
pub(super) fn refusal(audience: For, standing: Standing, target: Target) -> Option<u16> {
    use Standing::{Administrator, App, KeyAsBearer, Nobody, Org, Stranger};
    match (audience, standing) {
        (For::Everybody, _) | (For::MetricsKey, Administrator | KeyAsBearer) => None,
        (_, Nobody | KeyAsBearer) | (For::MetricsKey, _) => Some(401),
        (For::AppWriters | For::Clients, Administrator) => Some(403),
        (_, Administrator) | (For::Readers | For::Clients, _) => None,
        // Of its own organization it may know that an application is not there.
        (For::OrgReaders | For::AppReaders | For::AppWriters, Org) => (target == Target::AbsentOrg).then_some(403),
        (For::AppReaders | For::AppWriters, App) => (target != Target::Existing).then_some(403),
        (_, Org | App | Stranger) => Some(403),
    }
}

fn bearer(token: &str) -> Vec<(&'static str, String)> {
    vec![("authorization", format!("Bearer {token}"))]
}

fn key(key: &str) -> Vec<(&'static str, String)> {
    vec![("x-api-key", key.to_owned())]
}

async fn log_in(tenant: &Tenant<'_>) -> (String, String) {
    let tokens = tenant.server.token(&tenant.client_id, &tenant.secret).await.ok(200);
    (tokens.str("access_token").to_owned(), tokens.str("refresh_token").to_owned())
}

async fn revoke(tenant: &Tenant<'_>, token: &str) {
    tenant.server.post("/auth/revoke").bearer(&tenant.token).json(&json!({"token": token})).await.ok(204);
}

/// The same claims, signed by somebody else in the name of the same key.
fn signed_by_somebody_else(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let header = Header { kid: decode_header(token).unwrap().kid, ..Header::new(Algorithm::HS256) };
    encode(&header, &claims, &EncodingKey::from_secret(b"another-signing-secret-0123456789-abcde")).unwrap()
}

/// Registers the tenants and answers everybody. The tokens of the dead were the organization's own, which reach
/// furthest.
pub(super) async fn everybody(server: &TestServer) -> Vec<Caller> {
    // The organization had an earlier life.
    let earlier = server.org(json!({})).await;
    server.delete(&earlier.path).admin().await.ok(204);
    let mut org = server.org(json!({})).await;
    let (of_earlier_epoch, _) = log_in(&org).await;
    org.admin("POST", "/credentials/revoke-tokens").await.ok(204);
    let (expired, _) = log_in(&org).await;
    server.at("2026-01-23T16:30:45Z");

    org.log_in().await;
    let app = org.app("chat", json!({})).await;
    let other_app = org.app("mail", json!({})).await;
    let other_org = server.org_named(OTHER_ORG, json!({})).await;
    let namesake = other_org.app("chat", json!({})).await;
    let deleted = org.app("gone", json!({})).await;
    server.delete(&deleted.path).admin().await.ok(204);
    let (revoked, _) = log_in(&org).await;
    revoke(&org, &revoked).await;
    let (of_revoked_session, session) = log_in(&org).await;
    revoke(&org, &session).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", org.client_id, org.secret)));
    let both = |presented: &str, token: &str| [key(presented), bearer(token)].concat();

    use Standing::{Administrator, App, KeyAsBearer, Nobody, Org, Stranger};
    [
        ("nobody", Nobody, vec![]),
        ("a malformed token", Nobody, bearer("garbage")),
        ("an empty token", Nobody, bearer("")),
        ("a token signed by somebody else", Nobody, bearer(&signed_by_somebody_else(&org.token))),
        ("an administrator", Administrator, key(ADMIN_KEY)),
        ("an administrator with the second key", Administrator, key(SECOND_KEY)),
        ("a wrong key", Nobody, key("test-provisioning-key-012345678X")),
        ("an empty key", Nobody, key("")),
        ("the organization", Org, bearer(&org.token)),
        ("the application", App, bearer(&app.token)),
        ("another organization", Stranger, bearer(&other_org.token)),
        ("another application of the organization", Stranger, bearer(&other_app.token)),
        ("an application of that name elsewhere", Stranger, bearer(&namesake.token)),
        ("an expired token", Nobody, bearer(&expired)),
        ("a revoked token", Nobody, bearer(&revoked)),
        ("a token of a revoked session", Nobody, bearer(&of_revoked_session)),
        ("a token of a deleted client", Nobody, bearer(&deleted.token)),
        ("a token from before all were revoked", Nobody, bearer(&of_earlier_epoch)),
        ("a refresh token", Nobody, bearer(&org.refresh_token)),
        ("a token of the client's earlier life", Nobody, bearer(&earlier.token)),
        ("a client with its id and secret", Nobody, vec![("authorization", basic)]),
        ("a key and a token", Administrator, both(ADMIN_KEY, &other_org.token)),
        ("a wrong key and a good token", Nobody, both("wrong", &org.token)),
        ("a key as a token", KeyAsBearer, bearer(ADMIN_KEY)),
        ("a token as a key", Nobody, key(&org.token)),
        ("a token without its scheme", Nobody, vec![("authorization", org.token.clone())]),
        ("two keys", Nobody, [key(ADMIN_KEY), key(SECOND_KEY)].concat()),
        ("two tokens", Nobody, [bearer(&org.token), bearer(&app.token)].concat()),
    ]
    .into_iter()
    .map(|(name, standing, headers)| Caller { name, standing, headers })
    .collect()
}

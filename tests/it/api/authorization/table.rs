//! Whom each operation is for.

use std::collections::BTreeSet;

use crate::support::server::TestServer;

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Everybody,
    /// Holders of a provisioning key.
    Administrators,
    /// Holders of a key, which may also come as a bearer token.
    MetricsKey,
    /// Every client, and administrators.
    Readers,
    /// The organization's client, and administrators.
    OrgReaders,
    /// The application's client, its organization's, and administrators: also whoever may register profiles.
    AppReaders,
    /// The application's client and its organization's: administrators submit nothing.
    AppWriters,
    /// Every client.
    Clients,
}

/// One row for each operation. Written out: a rule over paths would also let in what nobody thought about.
const TABLE: &[(&str, For)] = &[
    ("GET /", For::Everybody),
    ("GET /health", For::Everybody),
    ("GET /livez", For::Everybody),
    ("GET /readyz", For::Everybody),
    ("GET /metrics", For::MetricsKey),
    ("GET /.well-known/jwks.json", For::Everybody),
    ("POST /auth/token", For::Everybody),
    ("POST /auth/refresh", For::Everybody),
    ("POST /auth/revoke", For::Clients),
    ("GET /api/v1/orgs", For::Administrators),
    ("PUT /api/v1/orgs/{org_id}", For::Administrators),
    ("GET /api/v1/orgs/{org_id}", For::Administrators),
    ("DELETE /api/v1/orgs/{org_id}", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/config", For::Administrators),
    ("POST /api/v1/orgs/{org_id}/credentials/rotate", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/credentials/secret", For::Administrators),
    ("POST /api/v1/orgs/{org_id}/credentials/revoke-tokens", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/fallback", For::Administrators),
    ("PUT /api/v1/orgs/{org_id}/fallback", For::Administrators),
    ("DELETE /api/v1/orgs/{org_id}/fallback", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/aggregates", For::OrgReaders),
    ("GET /api/v1/orgs/{org_id}/aggregates/today", For::OrgReaders),
    ("GET /api/v1/orgs/{org_id}/aggregates/{date}", For::OrgReaders),
    ("GET /api/v1/orgs/{org_id}/apps", For::Administrators),
    ("PUT /api/v1/orgs/{org_id}/apps/{app_id}", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}", For::Administrators),
    ("DELETE /api/v1/orgs/{org_id}/apps/{app_id}", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/config", For::Administrators),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/credentials/rotate", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/credentials/secret", For::Administrators),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/credentials/revoke-tokens", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/fallback", For::Administrators),
    ("PUT /api/v1/orgs/{org_id}/apps/{app_id}/fallback", For::Administrators),
    ("DELETE /api/v1/orgs/{org_id}/apps/{app_id}/fallback", For::Administrators),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/aggregates", For::AppReaders),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/aggregates/today", For::AppReaders),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/aggregates/{date}", For::AppReaders),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/model-selection", For::AppReaders),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/inference-profiles", For::AppReaders),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/inference-profiles", For::AppReaders),
    ("GET /api/v1/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}", For::AppReaders),
    ("DELETE /api/v1/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}", For::AppReaders),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/usage", For::AppWriters),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/usage/batch", For::AppWriters),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/costs", For::AppWriters),
    ("POST /api/v1/orgs/{org_id}/apps/{app_id}/costs/batch", For::AppWriters),
    ("GET /api/v1/models", For::Readers),
    ("POST /api/v1/config/import", For::Administrators),
    ("POST /api/v1/reprice", For::Administrators),
    ("GET /api/v1/audit", For::Administrators),
];

/// `METHOD path` of every operation in the document.
async fn documented(server: &TestServer) -> BTreeSet<String> {
    let document = server.get("/openapi.json").await.ok(200);
    let paths = document["paths"].as_object().unwrap();
    let methods = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.keys()
                .filter(|key| methods.contains(&key.as_str()))
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

/// Method, path template and audience of every operation; those of the table are those of the document.
pub(super) async fn operations(server: &TestServer) -> Vec<(&'static str, &'static str, For)> {
    let listed: BTreeSet<String> = TABLE.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    assert_eq!(listed.len(), TABLE.len(), "an operation has two rows");
    let documented = documented(server).await;
    let missing: Vec<_> = documented.difference(&listed).collect();
    assert!(missing.is_empty(), "say who may call them: {missing:?}");
    let gone: Vec<_> = listed.difference(&documented).collect();
    assert!(gone.is_empty(), "the document has no such operations: {gone:?}");
    TABLE
        .iter()
        .map(|(operation, audience)| {
            let (method, path) = operation.split_once(' ').unwrap();
            (method, path, *audience)
        })
        .collect()
}

#[tokio::test]
async fn every_operation_of_the_document_has_a_row_and_every_row_an_operation() {
    assert!(operations(&TestServer::start().await).await.len() >= 48);
}

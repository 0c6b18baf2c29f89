//! Import of whole configurations.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, org_body, with};

fn document() -> Value {
    let org = with(org_body(), json!({"org_id": ORG, "secret_delivery": null}));
    let apps = json!([{"app_id": "chat", "app_name": "Chat"}, {"app_id": "mail", "app_name": "Mail", "quotas": {"premium": 7}}]);
    json!({"orgs": [with(org, json!({"apps": apps}))]})
}

const YAML: &str = "
orgs:
  - org_id: 550e8400-e29b-41d4-a716-446655440000
    org_name: Acme
    timezone: America/New_York
    quota_scope: APP
    model_ordering: [premium, standard, economy]
    quotas: {premium: 10000000, standard: 5000000, economy: 1000000}
    apps:
      - {app_id: chat, app_name: Chat}
      - app_id: mail
        app_name: Mail
        quotas: {premium: 7}
";

async fn import(server: &TestServer, query: &str, body: &Value) -> Reply {
    server.post(&format!("/api/v1/config/import{query}")).admin().json(body).await
}

async fn import_yaml(server: &TestServer, media: &str, text: &str) -> Reply {
    server.post("/api/v1/config/import").admin().body(media, text).await
}

/// `action resource fields` of each change.
fn changes(reply: &Reply) -> Vec<String> {
    let change = |change: &Value| {
        let fields: Vec<_> = change["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
        let resource = change["resource"].as_str().unwrap().replace(ORG, "ORG");
        format!("{} {resource} {}", change["action"].as_str().unwrap(), fields.join(",")).trim().to_owned()
    };
    reply["changes"].as_array().unwrap().iter().map(change).collect()
}

const ORG_FIELDS: &str = "agg_shard_count,model_ordering,org_name,quota_scope,quotas,timezone";

#[tokio::test]
async fn what_is_new_is_created_with_one_time_retrieval_of_its_secrets() {
    let server = TestServer::start().await;
    let reply = import(&server, "", &document()).await.ok(200);
    assert_eq!(reply["applied"], true);
    assert_eq!(
        changes(&reply),
        [
            format!("create orgs/ORG {ORG_FIELDS}"),
            "create orgs/ORG/apps/chat app_name".to_owned(),
            "create orgs/ORG/apps/mail app_name,quotas".to_owned()
        ]
    );
    let credentials = reply["credentials"].as_array().unwrap();
    let clients: Vec<_> = credentials.iter().map(|issued| issued["client_id"].as_str().unwrap()).collect();
    assert_eq!(clients, [format!("org-{ORG}"), format!("org-{ORG}-app-chat"), format!("org-{ORG}-app-mail")]);
    for issued in credentials {
        let secret = server.get(issued["secret_retrieval"]["url"].as_str().unwrap()).admin().await.ok(200);
        server.token(issued["client_id"].as_str().unwrap(), secret.str("client_secret")).await.ok(200);
    }
    let mail = server.get(&format!("/api/v1/orgs/{ORG}/apps/mail")).admin().await.ok(200);
    assert_eq!(mail["configuration"]["quotas"]["premium"], 7);
}

#[tokio::test]
async fn yaml_means_the_same_as_json() {
    let server = TestServer::start().await;
    import_yaml(&server, "application/yaml", YAML).await.ok(200);
    let reply = import(&server, "", &document()).await.ok(200);
    assert_eq!(changes(&reply), ["unchanged orgs/ORG", "unchanged orgs/ORG/apps/chat", "unchanged orgs/ORG/apps/mail"]);
    assert!(reply.json.get("credentials").is_none());
    for media in ["application/x-yaml", "text/yaml; charset=utf-8", "text/x-yaml"] {
        import_yaml(&server, media, YAML).await.ok(200);
    }
}

#[tokio::test]
async fn importing_again_changes_nothing_and_differences_are_named() {
    let server = TestServer::start().await;
    import(&server, "", &document()).await.ok(200);
    let before = server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(200);
    server.at("2026-01-23T16:00:00Z");
    import(&server, "", &document()).await.ok(200);
    assert_eq!(server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(200).json, before.json);
    let mut other = document();
    other["orgs"][0]["quotas"]["premium"] = json!(1);
    other["orgs"][0]["org_name"] = json!("Acme 2");
    other["orgs"][0]["apps"] = json!([{"app_id": "mail", "app_name": "Mail"}]);
    let reply = import(&server, "", &other).await.ok(200);
    assert_eq!(changes(&reply), ["update orgs/ORG org_name,quotas", "update orgs/ORG/apps/mail quotas"]);
    server.get(&format!("/api/v1/orgs/{ORG}/apps/chat")).admin().await.ok(200);
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let server = TestServer::start().await;
    let dry = import(&server, "?dry_run=true", &document()).await.ok(200);
    assert_eq!((&dry["applied"], dry.json.get("credentials")), (&json!(false), None));
    server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.error(404, "NOT_FOUND");
    let wet = import(&server, "?dry_run=false", &document()).await.ok(200);
    assert_eq!(wet["changes"], dry["changes"]);
    import(&server, "?dry_run=perhaps", &document()).await.refuses("INVALID_REQUEST", "dry_run");
    import(&server, "?colour=red", &document()).await.refuses("INVALID_REQUEST", "colour");
}

#[tokio::test]
async fn a_document_with_a_mistake_changes_nothing_and_the_place_is_named() {
    let server = TestServer::start().await;
    let with_second_org = |second: Value| {
        let mut document = document();
        document["orgs"].as_array_mut().unwrap().push(second);
        document
    };
    let second = with(org_body(), json!({"org_id": OTHER_ORG, "secret_delivery": null}));
    let with_apps = |apps: Value| with_second_org(with(second.clone(), json!({"apps": apps})));
    for (document, code, field) in [
        (
            with_second_org(with(second.clone(), json!({"timezone": "Mars/Olympus"}))),
            "INVALID_CONFIG",
            "orgs[1].timezone",
        ),
        (with_second_org(with(second.clone(), json!({"org_id": "acme"}))), "INVALID_CONFIG", "orgs[1].org_id"),
        (with_second_org(with(second.clone(), json!({"org_id": ORG}))), "INVALID_CONFIG", "orgs[1].org_id"),
        (with_second_org(with(second.clone(), json!({"org_id": null}))), "INVALID_REQUEST", "orgs[1].org_id"),
        (with_second_org(with(second.clone(), json!({"colour": "red"}))), "INVALID_REQUEST", "orgs[1].colour"),
        (
            with_second_org(with(second.clone(), json!({"secret_delivery": "inline"}))),
            "INVALID_REQUEST",
            "orgs[1].secret_delivery",
        ),
        (
            with_second_org(with(second.clone(), json!({"quotas": {"premium": -1}}))),
            "INVALID_CONFIG",
            "orgs[1].quotas.premium",
        ),
        (with_apps(json!([{"app_id": "-", "app_name": "A"}])), "INVALID_CONFIG", "orgs[1].apps[0].app_id"),
        (
            with_apps(json!([{"app_id": "a", "app_name": "A"}, {"app_id": "a", "app_name": "A"}])),
            "INVALID_CONFIG",
            "orgs[1].apps[1].app_id",
        ),
        (with_apps(json!([{"app_id": "a", "app_name": ""}])), "INVALID_CONFIG", "orgs[1].apps[0].app_name"),
        (
            with_apps(json!([{"app_id": "a", "app_name": "A", "model_ordering": ["x"]}])),
            "INVALID_CONFIG",
            "orgs[1].apps[0].model_ordering[0]",
        ),
        (json!({"orgs": {}}), "INVALID_REQUEST", "orgs"),
        (json!({}), "INVALID_REQUEST", "orgs"),
    ] {
        import(&server, "", &document).await.refuses(code, field);
    }
    for text in ["orgs: [", "orgs: 5", "- 1", "", &YAML.replace("org_name: Acme", "org_name: Acme\n    colour: red")] {
        import_yaml(&server, "application/yaml", text).await.error(400, "INVALID_REQUEST");
    }
    let twice = YAML.replace("{premium: 7}", "{premium: 7, premium: 8}");
    import_yaml(&server, "application/yaml", &twice).await.error(400, "INVALID_REQUEST");
    import_yaml(&server, "text/plain", YAML).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(server.get("/api/v1/orgs").admin().await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn a_changed_shard_count_is_a_conflict() {
    let server = TestServer::start().await;
    import(&server, "", &document()).await.ok(200);
    let mut other = document();
    other["orgs"][0]["overrides"] = json!({"agg_shard_count": 64});
    other["orgs"][0]["org_name"] = json!("Acme 2");
    import(&server, "", &other).await.error(409, "CONFLICT");
    assert_eq!(server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(200)["configuration"]["org_name"], "Acme");
}

#[tokio::test]
async fn an_organization_must_still_fit_the_applications_the_document_leaves_alone() {
    let server = TestServer::start().await;
    import(&server, "", &document()).await.ok(200);
    server
        .put(&format!("/api/v1/orgs/{ORG}/apps/own"))
        .admin()
        .json(&json!({"app_name": "Own", "model_ordering": ["economy"]}))
        .await
        .ok(201);
    let mut smaller = document();
    smaller["orgs"][0]["model_ordering"] = json!(["premium"]);
    smaller["orgs"][0]["quotas"] = json!({"premium": 1});
    let reply = import(&server, "", &smaller).await.refuses("INVALID_CONFIG", "orgs[0].quotas.economy");
    assert!(reply.str("message").contains("own"));
}

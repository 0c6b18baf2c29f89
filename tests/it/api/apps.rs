//! Provisioning of applications, and what they inherit.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, app_body, with};

async fn put(org: &Tenant<'_>, app_id: &str, body: &Value) -> Reply {
    org.admin("PUT", &format!("/apps/{app_id}")).json(body).await
}

fn inherited(reply: &Reply) -> BTreeSet<String> {
    let fields = reply["configuration"]["inherited_fields"].as_array().unwrap();
    fields.iter().map(|field| field.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_application_that_sets_nothing_inherits_everything() {
    let server = TestServer::start().await;
    let org =
        server.org(json!({"monthly_quotas": {"premium": 9}, "overrides": {"tight_mode_threshold_pct": 80}})).await;
    let reply = put(&org, "chat", &app_body()).await.ok(201);
    assert_eq!((reply.str("org_id"), reply.str("app_id"), reply.str("status")), (ORG, "chat", "created"));
    assert_eq!(reply["credentials"]["client_id"], json!(format!("org-{ORG}-app-chat")));
    let configuration = &reply["configuration"];
    assert_eq!(
        (&configuration["app_name"], &configuration["timezone"]),
        (&json!("Support chat"), &json!("America/New_York"))
    );
    assert_eq!(configuration["model_ordering"], json!(["premium", "standard", "economy"]));
    assert_eq!(
        (&configuration["monthly_quotas"], &configuration["tight_mode_threshold_pct"]),
        (&json!({"premium": 9}), &json!(80))
    );
    let all = [
        "timezone",
        "quota_scope",
        "agg_shard_count",
        "model_ordering",
        "quotas",
        "monthly_quotas",
        "tight_mode_threshold_pct",
        "sticky_fallback_enabled",
        "exhausted_policy",
        "refresh_interval_normal_secs",
        "refresh_interval_tight_secs",
        "rate_limits",
    ];
    assert_eq!(inherited(&reply), all.into_iter().map(str::to_owned).collect());
}

#[tokio::test]
async fn what_an_application_sets_is_its_own_and_quotas_are_inherited_label_by_label() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let own = json!({
        "model_ordering": ["standard", "premium"], "quotas": {"premium": 7}, "monthly_quotas": {"standard": 70},
        "overrides": {"sticky_fallback_enabled": false, "exhausted_policy": "last", "refresh_interval_normal_secs": 10},
    });
    let reply = put(&org, "chat", &with(app_body(), own)).await.ok(201);
    let configuration = &reply["configuration"];
    assert_eq!(configuration["quotas"], json!({"premium": 7, "standard": 5_000_000, "economy": 1_000_000}));
    assert_eq!(
        (&configuration["model_ordering"], &configuration["monthly_quotas"]),
        (&json!(["standard", "premium"]), &json!({"standard": 70}))
    );
    assert_eq!(
        (&configuration["sticky_fallback_enabled"], &configuration["exhausted_policy"]),
        (&json!(false), &json!("last"))
    );
    let rest = [
        "timezone",
        "quota_scope",
        "agg_shard_count",
        "tight_mode_threshold_pct",
        "refresh_interval_tight_secs",
        "rate_limits",
    ];
    assert_eq!(inherited(&reply), rest.into_iter().map(str::to_owned).collect());
    // Replaced as a whole: what is left out is inherited again.
    let reply = put(&org, "chat", &json!({"app_name": "Chat"})).await.ok(200);
    assert_eq!(
        (reply.str("status"), reply["configuration"]["quotas"]["premium"].as_u64()),
        ("updated", Some(10_000_000))
    );
    assert!(reply.json.get("credentials").is_none());
    assert_eq!(org.admin("GET", "/apps/chat").await.ok(200)["configuration"], reply["configuration"]);
}

#[tokio::test]
async fn own_quotas_do_not_count_while_the_organization_shares_its_quota() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let chat = org.app("chat", json!({"quotas": {"premium": 7}})).await;
    let reply = chat.admin("GET", "").await.ok(200);
    assert_eq!(reply["configuration"]["quotas"]["premium"], 10_000_000);
    assert!(inherited(&reply).contains("quotas"));
    let view = chat.admin("GET", "/config").await.ok(200);
    assert_eq!(view["values"]["quotas"]["source"], "org");
    assert!(view["notes"][0].as_str().unwrap().contains("quotas"));
}

#[tokio::test]
async fn an_impossible_application_is_refused_naming_the_field() {
    let server = TestServer::start().await;
    let org = server.org(json!({"model_ordering": ["premium"], "quotas": {"premium": 5}})).await;
    for (changes, code, field) in [
        (json!({"app_name": null}), "INVALID_REQUEST", "app_name"),
        (json!({"timezone": "UTC"}), "INVALID_REQUEST", "timezone"),
        (json!({"quotas": []}), "INVALID_REQUEST", "quotas"),
        (json!({"app_name": "tab\t"}), "INVALID_CONFIG", "app_name"),
        (json!({"model_ordering": []}), "INVALID_CONFIG", "model_ordering"),
        (json!({"model_ordering": ["unheard-of"]}), "INVALID_CONFIG", "model_ordering[0]"),
        (json!({"model_ordering": ["premium", "standard"]}), "INVALID_CONFIG", "quotas.standard"),
        (json!({"quotas": {"premium": -5}}), "INVALID_CONFIG", "quotas.premium"),
        (json!({"overrides": {"agg_shard_count": 8}}), "INVALID_CONFIG", "overrides.agg_shard_count"),
        (json!({"overrides": {"tight_mode_threshold_pct": 5}}), "INVALID_CONFIG", "overrides.tight_mode_threshold_pct"),
    ] {
        put(&org, "chat", &with(app_body(), changes)).await.refuses(code, field);
    }
    let own = json!({"model_ordering": ["premium", "standard"], "quotas": {"standard": 1}});
    put(&org, "chat", &with(app_body(), own)).await.ok(201);
    for bad in ["-chat", "chat%20room", "ch%C3%A4t", &"x".repeat(65), "a%2Fb"] {
        put(&org, bad, &app_body()).await.refuses("INVALID_REQUEST", "app_id");
    }
    for good in ["0", "A.b_c-d", &"x".repeat(64)] {
        put(&org, good, &app_body()).await.ok(201);
    }
}

#[tokio::test]
async fn an_application_needs_its_organization_and_creation_only_is_kept() {
    let server = TestServer::start().await;
    let nowhere = format!("/api/v1/orgs/{OTHER_ORG}/apps");
    server.put(&format!("{nowhere}/chat")).admin().json(&app_body()).await.error(404, "NOT_FOUND");
    server.get(&nowhere).admin().await.error(404, "NOT_FOUND");
    server.get(&format!("{nowhere}/chat")).admin().await.error(404, "NOT_FOUND");
    let org = server.org(json!({})).await;
    org.admin("GET", "/apps/chat").await.error(404, "NOT_FOUND");
    for (status, code) in [(201, None), (409, Some("ALREADY_EXISTS"))] {
        let reply = org.admin("PUT", "/apps/chat").header("if-none-match", "*").json(&app_body()).await;
        match code {
            None => reply.ok(status),
            Some(code) => reply.error(status, code),
        };
    }
}

#[tokio::test]
async fn applications_are_listed_in_pages_of_their_organization() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let other = server.org_named(OTHER_ORG, json!({})).await;
    other.app("elsewhere", json!({})).await;
    for app_id in ["b", "a.1", "Z", "a"] {
        org.app(app_id, json!({})).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = org.admin("GET", &format!("/apps?limit=3{cursor}")).await.ok(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|app| app["app_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["Z", "a", "a.1", "b"], "byte order");
    for (query, field) in [("limit=0", "limit"), ("limit=201", "limit"), ("cursor=***", "cursor"), ("x=1", "x")] {
        org.admin("GET", &format!("/apps?{query}")).await.refuses("INVALID_REQUEST", field);
    }
}

#[tokio::test]
async fn deleting_an_application_ends_its_client_at_once_and_nobody_elses() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    chat.admin("DELETE", "").await.ok(204);
    chat.selection().await.error(401, "UNAUTHORIZED");
    chat.post("/usage", &json!({})).await.error(401, "UNAUTHORIZED");
    server.token(&chat.client_id, &chat.secret).await.error(401, "UNAUTHORIZED");
    chat.admin("DELETE", "").await.error(404, "NOT_FOUND");
    chat.admin("GET", "/config").await.error(404, "NOT_FOUND");
    mail.selection().await.ok(200);
    org.today().await;
    // Its next life has other credentials, and a fresh fallback.
    let again = org.app("chat", json!({})).await;
    chat.selection().await.error(401, "UNAUTHORIZED");
    server.token(&chat.client_id, &chat.secret).await.error(401, "UNAUTHORIZED");
    again.selection().await.ok(200);
}

#[tokio::test]
async fn the_effective_configuration_says_where_each_value_came_from() {
    let server = TestServer::start().await;
    let org = server.org(json!({"overrides": {"tight_mode_threshold_pct": 80, "exhausted_policy": "last"}})).await;
    let chat = org.app("chat", json!({"quotas": {"premium": 7}, "overrides": {"exhausted_policy": "reject"}})).await;
    let view = chat.admin("GET", "/config").await.ok(200);
    assert_eq!((view.str("org_id"), view.str("app_id")), (ORG, "chat"));
    for (field, value, source) in [
        ("timezone", json!("America/New_York"), "org"),
        ("quota_scope", json!("APP"), "org"),
        ("agg_shard_count", json!(8), "org"),
        ("model_ordering", json!(["premium", "standard", "economy"]), "org"),
        ("quotas", json!({"premium": 7, "standard": 5_000_000, "economy": 1_000_000}), "app"),
        ("monthly_quotas", json!({}), "org"),
        ("tight_mode_threshold_pct", json!(80), "org"),
        ("exhausted_policy", json!("reject"), "app"),
        ("sticky_fallback_enabled", json!(true), "default"),
        ("refresh_interval_normal_secs", json!(300), "default"),
        ("refresh_interval_tight_secs", json!(60), "default"),
    ] {
        assert_eq!(view["values"][field], json!({"value": value, "source": source}), "{field}");
    }
    let view = org.admin("GET", "/config").await.ok(200);
    assert!(view.json.get("app_id").is_none());
    assert_eq!(view["values"]["exhausted_policy"], json!({"value": "last", "source": "org"}));
    assert_eq!(view["values"]["sticky_fallback_enabled"]["source"], "default");
    org.admin("GET", "/apps/nobody/config").await.error(404, "NOT_FOUND");
    server.get(&format!("/api/v1/orgs/{OTHER_ORG}/config")).admin().await.error(404, "NOT_FOUND");
}

//! Provisioning of organizations.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, org_body, with};

async fn put(server: &TestServer, body: &Value) -> Reply {
    server.put(&format!("/api/v1/orgs/{ORG}")).admin().json(body).await
}

#[tokio::test]
async fn a_new_organization_is_created_with_its_client() {
    let server = TestServer::start().await;
    let reply = put(&server, &org_body()).await.ok(201);
    assert_eq!((reply.str("org_id"), reply.str("status")), (ORG, "created"));
    assert_eq!(reply.str("created_at"), "2026-01-23T15:30:45Z");
    assert_eq!(reply["credentials"]["client_id"], json!(format!("org-{ORG}")));
    assert_eq!(reply["credentials"]["client_secret"].as_str().unwrap().len(), 44, "32 bytes in base64");
    assert_eq!(
        reply["configuration"],
        json!({
            "org_name": "Acme", "timezone": "America/New_York", "quota_scope": "APP",
            "model_ordering": ["premium", "standard", "economy"],
            "quotas": {"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000}, "monthly_quotas": {},
            "agg_shard_count": 8, "tight_mode_threshold_pct": 95, "sticky_fallback_enabled": true,
            "exhausted_policy": "reject", "refresh_interval_normal_secs": 300, "refresh_interval_tight_secs": 60,
            "rate_limits": {
                "token": 10, "refresh": 30, "revoke": 10, "aggregates": 300, "model_selection": 1_200, "usage": 60_000,
                "batches": 6_000,
            },
        })
    );
}

#[tokio::test]
async fn by_default_the_secret_is_delivered_by_a_one_time_token() {
    let server = TestServer::start().await;
    for delivery in [json!(null), json!("token")] {
        let reply = put(&server, &with(org_body(), json!({"secret_delivery": delivery}))).await.ok(201);
        let credentials = &reply["credentials"];
        assert!(credentials.get("client_secret").is_none());
        let retrieval = &credentials["secret_retrieval"];
        let token = retrieval["token"].as_str().unwrap();
        assert_eq!(retrieval["url"], json!(format!("/api/v1/orgs/{ORG}/credentials/secret?token={token}")));
        assert_eq!(retrieval["expires_at"], "2026-01-23T15:40:45Z");
        server.delete(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(204);
    }
}

#[tokio::test]
async fn putting_again_replaces_the_configuration_and_keeps_the_credentials() {
    let server = TestServer::start().await;
    let org =
        server.org(json!({"monthly_quotas": {"premium": 5}, "overrides": {"tight_mode_threshold_pct": 80}})).await;
    server.at("2026-01-23T15:31:00Z");
    let reply = put(&server, &with(org_body(), json!({"org_name": "Acme 2"}))).await.ok(200);
    assert_eq!((reply.str("status"), reply.str("updated_at")), ("updated", "2026-01-23T15:31:00Z"));
    assert!(reply.json.get("credentials").is_none());
    let configuration = &reply["configuration"];
    assert_eq!((&configuration["org_name"], &configuration["monthly_quotas"]), (&json!("Acme 2"), &json!({})));
    assert_eq!(configuration["tight_mode_threshold_pct"], 95, "replaced as a whole");
    server.token(&org.client_id, &org.secret).await.ok(200);
    org.get("/aggregates/today").await.ok(200);
    // An identical body is no change.
    server.at("2026-01-23T15:32:00Z");
    let reply = put(&server, &with(org_body(), json!({"org_name": "Acme 2"}))).await.ok(200);
    assert_eq!((reply.str("status"), reply.str("updated_at")), ("updated", "2026-01-23T15:31:00Z"));
}

#[tokio::test]
async fn if_none_match_creates_only() {
    let server = TestServer::start().await;
    let create = async |tag: &str| {
        let call = server.put(&format!("/api/v1/orgs/{ORG}")).admin().header("if-none-match", tag);
        call.json(&org_body()).await
    };
    create("*").await.ok(201);
    create("*").await.error(409, "ALREADY_EXISTS");
    create("\"tag\"").await.refuses("INVALID_REQUEST", "If-None-Match");
}

#[tokio::test]
async fn an_id_is_read_in_any_case_and_written_in_lower_case() {
    let server = TestServer::start().await;
    let upper = format!("/api/v1/orgs/{}", ORG.to_uppercase());
    let created = server.put(&upper).admin().json(&org_body()).await.ok(201);
    assert_eq!(created.str("org_id"), ORG);
    assert_eq!(server.get(&upper).admin().await.ok(200).str("org_id"), ORG);
    let token =
        server.token(&format!("org-{ORG}"), created["credentials"]["client_secret"].as_str().unwrap()).await.ok(200);
    server.get(&format!("{upper}/aggregates/today")).bearer(token.str("access_token")).await.ok(200);
    for bad in ["acme", "550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g"] {
        let path = format!("/api/v1/orgs/{bad}");
        server.put(&path).admin().json(&org_body()).await.refuses("INVALID_REQUEST", "org_id");
        server.get(&path).admin().await.refuses("INVALID_REQUEST", "org_id");
    }
}

#[tokio::test]
async fn a_malformed_body_is_an_invalid_request() {
    let server = TestServer::start().await;
    for (changes, field) in [
        (json!({"org_name": null}), "org_name"),
        (json!({"timezone": null}), "timezone"),
        (json!({"quota_scope": null}), "quota_scope"),
        (json!({"model_ordering": null}), "model_ordering"),
        (json!({"quotas": null}), "quotas"),
        (json!({"colour": "red"}), "colour"),
        (json!({"org_name": 5}), "org_name"),
        (json!({"quota_scope": "TEAM"}), "quota_scope"),
        (json!({"model_ordering": "premium"}), "model_ordering"),
        (json!({"model_ordering": ["premium", 5]}), "model_ordering[1]"),
        (json!({"quotas": {"premium": "1"}}), "quotas.premium"),
        (json!({"quotas": {"premium": 1.5}}), "quotas.premium"),
        (json!({"quotas": {"premium": 1_u64 << 63}}), "quotas.premium"),
        (json!({"overrides": {"colour": "red"}}), "overrides.colour"),
        (json!({"overrides": {"sticky_fallback_enabled": "yes"}}), "overrides.sticky_fallback_enabled"),
        (json!({"overrides": {"exhausted_policy": "first"}}), "overrides.exhausted_policy"),
        (json!({"secret_delivery": "email"}), "secret_delivery"),
    ] {
        let label = changes.to_string();
        let reply = put(&server, &with(org_body(), changes)).await.error(400, "INVALID_REQUEST");
        assert_eq!(reply["details"]["field"], field, "{label}: {}", reply.text());
    }
    for (twice, field) in
        [("\"org_name\":\"Acme\",", "org_name"), ("\"quotas\":{\"premium\":1,\"premium\":2},", "quotas")]
    {
        let text =
            with(org_body(), json!({"quotas": if field == "quotas" { json!(null) } else { json!({}) }})).to_string();
        let text = text.replacen('{', &format!("{{{twice}"), 1);
        let call = server.put(&format!("/api/v1/orgs/{ORG}")).admin().body("application/json", text);
        call.await.refuses("INVALID_REQUEST", field);
    }
    server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn an_impossible_configuration_is_refused_naming_the_field() {
    let server = TestServer::start().await;
    for (changes, field) in [
        (json!({"org_name": ""}), "org_name"),
        (json!({"org_name": "  "}), "org_name"),
        (json!({"org_name": "x".repeat(201)}), "org_name"),
        (json!({"org_name": "two\nlines"}), "org_name"),
        (json!({"org_name": "nul\u{0}"}), "org_name"),
        (json!({"org_name": "c1\u{85}"}), "org_name"),
        (json!({"timezone": "Mars/Olympus"}), "timezone"),
        (json!({"timezone": ""}), "timezone"),
        (json!({"timezone": "EST5EDT,M3.2.0,M11.1.0"}), "timezone"),
        (json!({"model_ordering": []}), "model_ordering"),
        (json!({"model_ordering": ["premium", "premium"]}), "model_ordering[1]"),
        (json!({"model_ordering": ["premium", "unheard-of"]}), "model_ordering[1]"),
        (json!({"model_ordering": ["Premium"]}), "model_ordering[0]"),
        (json!({"quotas": {"premium": 1}}), "quotas.standard"),
        (json!({"quotas": {"premium": -1, "standard": 1, "economy": 1}}), "quotas.premium"),
        (json!({"quotas": {"Premium": 1}}), "quotas"),
        (json!({"monthly_quotas": {"premium": -1}}), "monthly_quotas.premium"),
        (json!({"overrides": {"tight_mode_threshold_pct": 49}}), "overrides.tight_mode_threshold_pct"),
        (json!({"overrides": {"tight_mode_threshold_pct": 101}}), "overrides.tight_mode_threshold_pct"),
        (json!({"overrides": {"tight_mode_threshold_pct": 999}}), "overrides.tight_mode_threshold_pct"),
        (json!({"overrides": {"agg_shard_count": 7}}), "overrides.agg_shard_count"),
        (json!({"overrides": {"refresh_interval_normal_secs": 0}}), "overrides.refresh_interval_normal_secs"),
        (json!({"overrides": {"refresh_interval_tight_secs": 86_401}}), "overrides.refresh_interval_tight_secs"),
        (json!({"overrides": {"refresh_interval_secs": -1}}), "overrides.refresh_interval_secs"),
        (
            json!({"overrides": {"refresh_interval_secs": 5, "refresh_interval_tight_secs": 6}}),
            "overrides.refresh_interval_secs",
        ),
    ] {
        let label = changes.to_string();
        let reply = put(&server, &with(org_body(), changes)).await.error(400, "INVALID_CONFIG");
        assert_eq!(reply["details"]["field"], field, "{label}: {}", reply.text());
    }
    server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_edges_of_what_is_possible_are_accepted() {
    let server = TestServer::start().await;
    for changes in [
        json!({"org_name": "ü".repeat(200)}),
        json!({"overrides": {"tight_mode_threshold_pct": 50}}),
        json!({"overrides": {"tight_mode_threshold_pct": 100}}),
        json!({"overrides": {"refresh_interval_normal_secs": 1, "refresh_interval_tight_secs": 86_400}}),
        json!({"quotas": {"premium": i64::MAX, "standard": 0, "economy": 1}}),
        json!({"quotas": {"premium": 1, "standard": 1, "economy": 1, "some-profile": 5}}),
        json!({"timezone": "UTC", "quota_scope": "ORG"}),
    ] {
        let label = changes.to_string();
        let reply = put(&server, &with(org_body(), changes)).await;
        assert!(matches!(reply.status, 200 | 201), "{label}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_alias_sets_the_tight_interval() {
    let server = TestServer::start().await;
    let reply = put(&server, &with(org_body(), json!({"overrides": {"refresh_interval_secs": 17}}))).await.ok(201);
    assert_eq!(reply["configuration"]["refresh_interval_tight_secs"], 17);
    assert!(reply["configuration"].get("refresh_interval_secs").is_none());
}

#[tokio::test]
async fn the_shard_count_is_fixed_at_creation() {
    let server = TestServer::start().await;
    let shards = |count: u64| with(org_body(), json!({"overrides": {"agg_shard_count": count}}));
    put(&server, &shards(64)).await.ok(201);
    let reply = put(&server, &shards(8)).await.error(409, "CONFLICT");
    assert_eq!(reply["details"]["field"], "overrides.agg_shard_count");
    put(&server, &shards(64)).await.ok(200);
    let unsaid = put(&server, &org_body()).await.ok(200);
    assert_eq!(unsaid["configuration"]["agg_shard_count"], 64);
}

#[tokio::test]
async fn an_update_that_an_application_could_not_live_with_is_refused() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.admin("PUT", "").json(&json!({"app_name": "Chat", "model_ordering": ["economy"]})).await.ok(200);
    let without_economy = with(org_body(), json!({"model_ordering": ["premium"], "quotas": {"premium": 1}}));
    let reply = put(&server, &without_economy).await.refuses("INVALID_CONFIG", "quotas.economy");
    assert!(reply.str("message").contains("chat"));
    assert_eq!(
        server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(200)["configuration"]["quotas"]["premium"],
        10_000_000
    );
    // Own quotas end to count with scope ORG.
    chat.admin("PUT", "")
        .json(&json!({"app_name": "Chat", "model_ordering": ["economy"], "quotas": {"economy": 5}}))
        .await
        .ok(200);
    put(&server, &without_economy).await.ok(200);
    let shared = with(without_economy, json!({"quota_scope": "ORG"}));
    put(&server, &shared).await.refuses("INVALID_CONFIG", "quotas.economy");
}

#[tokio::test]
async fn an_organization_is_read_without_secrets() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let reply = org.admin("GET", "").await.ok(200);
    assert_eq!((reply.str("org_id"), reply.str("client_id")), (ORG, org.client_id.as_str()));
    assert_eq!(reply["configuration"]["org_name"], "Acme");
    for text in [
        reply.text(),
        org.admin("GET", "/config").await.ok(200).text(),
        server.get("/api/v1/orgs").admin().await.ok(200).text(),
    ] {
        assert!(!text.contains(&org.secret) && !text.contains("hash") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn organizations_are_listed_in_pages() {
    let server = TestServer::start().await;
    let id = |n: usize| format!("{n}50e8400-e29b-41d4-a716-446655440000");
    for n in [3, 1, 5, 2, 4] {
        server.org_named(&id(n), json!({})).await;
    }
    let ids = |reply: &Reply| -> Vec<String> {
        reply["items"].as_array().unwrap().iter().map(|org| org["org_id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for expected in [2, 2, 1] {
        let page = server.get(&format!("/api/v1/orgs?limit=2{cursor}")).admin().await.ok(200);
        assert_eq!(ids(&page).len(), expected);
        seen.extend(ids(&page));
        cursor = page["next_cursor"].as_str().map_or_else(String::new, |next| format!("&cursor={next}"));
    }
    assert_eq!((seen, cursor), ((1..=5).map(id).collect(), String::new()));
    let whole = server.get("/api/v1/orgs?limit=5").admin().await.ok(200);
    assert_eq!((ids(&whole).len(), &whole["next_cursor"]), (5, &json!(null)), "a full last page has no next");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("cursor=!", "cursor"),
        ("cursor=MTp4", "cursor"),
        ("page=2", "page"),
    ] {
        server.get(&format!("/api/v1/orgs?{query}")).admin().await.refuses("INVALID_REQUEST", field);
    }
}

#[tokio::test]
async fn deleting_an_organization_ends_everything_of_it_at_once() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let other = server.org_named(OTHER_ORG, json!({})).await;
    chat.spend("premium", 5).await;
    org.admin("DELETE", "").await.ok(204);
    for tenant in [&org, &chat] {
        tenant.get("/aggregates/today").await.error(401, "UNAUTHORIZED");
        server.token(&tenant.client_id, &tenant.secret).await.error(401, "UNAUTHORIZED");
        tenant.admin("GET", "").await.error(404, "NOT_FOUND");
        tenant.admin("DELETE", "").await.error(404, "NOT_FOUND");
    }
    other.get("/aggregates/today").await.ok(200);
}

#[tokio::test]
async fn a_new_life_of_an_organization_does_not_revive_credentials_or_tokens_of_the_old_one() {
    let server = TestServer::start().await;
    let old = server.org(json!({})).await;
    old.admin("DELETE", "").await.ok(204);
    let new = server.org(json!({})).await;
    old.get("/aggregates/today").await.error(401, "UNAUTHORIZED");
    server.token(&old.client_id, &old.secret).await.error(401, "UNAUTHORIZED");
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": old.refresh_token});
    server.post("/auth/refresh").json(&refresh).await.error(401, "UNAUTHORIZED");
    new.get("/aggregates/today").await.ok(200);
    new.get("/apps/chat/aggregates/today").await.error(404, "NOT_FOUND");
}

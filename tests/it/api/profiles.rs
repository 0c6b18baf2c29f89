//! Inference profiles: registration, and the labels they give to submissions, orderings and views.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::{PROFILE_ARN, TestServer, request_id};
use crate::support::tenants::{ORG, Tenant, app_body, cost, org_body, usage, with};

const OPAQUE_ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456";

fn body(label: &str, arn: &str) -> Value {
    json!({"profile_label": label, "inference_profile_arn": arn})
}

async fn register(chat: &Tenant<'_>, label: &str, arn: &str) -> Reply {
    chat.post("/inference-profiles", &body(label, arn)).await
}

/// A submission of 3,760 micro-USD of Nova Pro, from a region.
fn regional(n: u32, label: &str) -> Value {
    with(usage(&request_id(n), label), json!({"calling_region": "us-east-1"}))
}

#[tokio::test]
async fn a_profile_is_registered_listed_read_and_deleted() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let request = with(body("support", PROFILE_ARN), json!({"description": "Support chat"}));
    let created = chat.post("/inference-profiles", &request).await.ok(201);
    let expected = json!({
        "org_id": ORG, "app_id": "chat", "profile_label": "support", "inference_profile_arn": PROFILE_ARN,
        "description": "Support chat", "region": "us-east-1", "model": "amazon.nova-pro-v1:0",
        "priced_model_id": "us.amazon.nova-pro-v1:0", "created_at": "2026-01-23T15:30:45Z",
    });
    assert_eq!(created.json, expected);
    // The same again, with and without the description.
    server.at("2026-01-23T16:00:00Z");
    assert_eq!(chat.post("/inference-profiles", &request).await.ok(200).json, expected);
    assert_eq!(register(&chat, "support", PROFILE_ARN).await.ok(200).json, expected);
    assert_eq!(chat.get("/inference-profiles/support").await.ok(200).json, expected);
    let opaque = register(&chat, "another", OPAQUE_ARN).await.ok(201);
    assert_eq!((&opaque["model"], &opaque["priced_model_id"]), (&json!(null), &json!(null)));
    let list = chat.get("/inference-profiles").await.ok(200);
    assert_eq!(list.json, json!({"items": [opaque.json, expected], "next_cursor": null}));
    assert_eq!(chat.call("DELETE", "/inference-profiles/support").await.ok(204).text(), "");
    for method in ["GET", "DELETE"] {
        chat.call(method, "/inference-profiles/support").await.error(404, "NOT_FOUND");
    }
    register(&chat, "support", OPAQUE_ARN).await.ok(201);
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for label in ["c", "a", "b"] {
        register(&chat, label, PROFILE_ARN).await.ok(201);
    }
    let mut seen = Vec::new();
    let mut path = "/inference-profiles?limit=2".to_owned();
    loop {
        let page = chat.get(&path).await.ok(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["profile_label"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/inference-profiles?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["a", "b", "c"]);
    chat.get("/inference-profiles?limit=0").await.refuses("INVALID_REQUEST", "limit");
    chat.get("/inference-profiles?cursor=x").await.refuses("INVALID_REQUEST", "cursor");
}

#[tokio::test]
async fn what_is_malformed_is_refused_naming_the_field() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (changes, field) in [
        (json!({"profile_label": null}), "profile_label"),
        (json!({"profile_label": "Support"}), "profile_label"),
        (json!({"inference_profile_arn": null}), "inference_profile_arn"),
        (json!({"inference_profile_arn": "us.amazon.nova-pro-v1:0"}), "inference_profile_arn"),
        (
            json!({"inference_profile_arn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"}),
            "inference_profile_arn",
        ),
        (json!({"inference_profile_arn": format!("{PROFILE_ARN}{}", "x".repeat(3_000))}), "inference_profile_arn"),
        (json!({"description": "two\nlines"}), "description"),
        (json!({"description": "x".repeat(201)}), "description"),
        (json!({"colour": 1}), "colour"),
    ] {
        let body = with(body("support", PROFILE_ARN), changes);
        chat.post("/inference-profiles", &body).await.refuses("INVALID_REQUEST", field);
    }
    chat.get("/inference-profiles/Support").await.refuses("INVALID_REQUEST", "profile_label");
    assert_eq!(chat.get("/inference-profiles").await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn a_label_that_means_something_else_is_a_conflict() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let conflict = |reply: Reply, field: &str| assert_eq!(reply.error(409, "CONFLICT")["details"]["field"], field);
    conflict(register(&chat, "premium", PROFILE_ARN).await, "profile_label");
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    conflict(register(&chat, "support", OPAQUE_ARN).await, "profile_label");
    let described = with(body("support", PROFILE_ARN), json!({"description": "new"}));
    conflict(chat.post("/inference-profiles", &described).await, "description");
    // In another application it is another label.
    let org_path = chat.path.strip_suffix("/apps/chat").unwrap();
    server.put(&format!("{org_path}/apps/mail")).admin().json(&app_body()).await.ok(201);
    let mail = format!("{org_path}/apps/mail/inference-profiles");
    server.post(&mail).admin().json(&body("support", OPAQUE_ARN)).await.ok(201);
    assert_eq!(chat.get("/inference-profiles/support").await["inference_profile_arn"], PROFILE_ARN);
}

#[tokio::test]
async fn an_application_has_at_most_a_hundred_profiles() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for n in 0..100 {
        register(&chat, &format!("p{n}"), PROFILE_ARN).await.ok(201);
    }
    let refused = register(&chat, "p100", PROFILE_ARN).await.error(409, "CONFLICT");
    assert!(refused.str("message").contains("100"), "{}", refused.text());
    register(&chat, "p99", PROFILE_ARN).await.ok(200);
    chat.call("DELETE", "/inference-profiles/p0").await.ok(204);
    register(&chat, "p100", PROFILE_ARN).await.ok(201);
}

#[tokio::test]
async fn an_application_that_is_not_registered_has_no_profiles() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    org.post("/apps/nobody/inference-profiles", &body("support", PROFILE_ARN)).await.error(404, "NOT_FOUND");
    for (method, path) in [("GET", ""), ("GET", "/support"), ("DELETE", "/support")] {
        org.call(method, &format!("/apps/nobody/inference-profiles{path}")).await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn profiles_end_with_their_application() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    chat.admin("DELETE", "").await.ok(204);
    chat.admin("PUT", "").json(&app_body()).await.ok(201);
    assert_eq!(chat.admin("GET", "/inference-profiles").await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn a_registered_profile_may_be_used_at_once_without_a_quota_and_is_priced_as_its_id() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let refused = chat.post("/usage", &regional(1, "support")).await.error(400, "INVALID_MODEL_LABEL");
    assert_eq!(refused["details"]["configured_labels"], json!(["economy", "premium", "standard"]));
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    // The calling region decides the price, so it must be said.
    for (path, body) in [("/usage", usage(&request_id(1), "support")), ("/costs", cost(&request_id(1), "support", 5))] {
        chat.post(path, &body).await.refuses("INVALID_REQUEST", "calling_region");
    }
    let reply = chat.post("/usage", &regional(1, "support")).await.ok(202);
    let pricing = &reply["processing"]["pricing"];
    assert_eq!((&pricing["status"], &pricing["model_id"]), (&json!("PRICED"), &json!(PROFILE_ARN)));
    assert_eq!(reply["processing"]["cost_usd_micros"], 3760);
    assert_eq!(
        (&reply["daily_total"]["quota_usd_micros"], &reply["daily_total"]["status"]),
        (&json!(null), &json!("NORMAL"))
    );
    let refused = chat.post("/usage", &regional(2, "unheard-of")).await.error(400, "INVALID_MODEL_LABEL");
    assert_eq!(refused["details"]["configured_labels"], json!(["economy", "premium", "standard", "support"]));
    // Both views name what was called.
    let org_path = chat.path.strip_suffix("/apps/chat").unwrap();
    for view in [chat.today().await, server.get(&format!("{org_path}/aggregates/today")).admin().await.ok(200)] {
        let support = &view["models"]["support"];
        assert_eq!((&support["bedrock_model_id"], &support["requests"]), (&json!(PROFILE_ARN), &json!(1)));
    }
}

#[tokio::test]
async fn an_organizations_view_names_a_label_only_where_its_applications_agree() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    for (app, arn, n) in [("chat", PROFILE_ARN, 1), ("mail", OPAQUE_ARN, 2)] {
        let app = org.app(app, json!({})).await;
        register(&app, "support", arn).await.ok(201);
        app.post("/usage", &regional(n, "support")).await.ok(202);
    }
    assert_eq!(org.today().await["models"]["support"]["bedrock_model_id"], json!(null));
}

#[tokio::test]
async fn a_profile_of_the_ordering_is_recommended_by_its_arn_and_cannot_be_deleted() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let ordering = json!({"model_ordering": ["support", "economy"], "quotas": {"support": 10_000}});
    // Not before it is registered, not without a quota, and never in the organization's ordering.
    let config = with(app_body(), ordering.clone());
    chat.admin("PUT", "").json(&config).await.refuses("INVALID_CONFIG", "model_ordering[0]");
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    let without_quota = with(config.clone(), json!({"quotas": null}));
    chat.admin("PUT", "").json(&without_quota).await.refuses("INVALID_CONFIG", "quotas.support");
    let of_org = with(org_body(), json!({"model_ordering": ["support"], "quotas": {"support": 1}}));
    org.admin("PUT", "").json(&of_org).await.refuses("INVALID_CONFIG", "model_ordering[0]");
    chat.admin("PUT", "").json(&config).await.ok(200);

    let selection = chat.selection().await.ok(200);
    assert_eq!(
        selection["recommended_model"],
        json!({"label": "support", "bedrock_model_id": PROFILE_ARN, "reason": "NORMAL", "description": ""})
    );
    assert_eq!(selection["pricing"]["input_price_usd_micros_per_1m"], 800_000);
    let refused = chat.call("DELETE", "/inference-profiles/support").await.error(409, "CONFLICT");
    assert_eq!(refused["details"]["field"], "model_ordering");

    // An unrelated change of the organization still knows the application's own labels.
    chat.update_org(json!({"org_name": "Acme & Co"})).await;
    // Its quota is spent like any other, and the fallback may be set to it.
    let spent = with(cost(&request_id(1), "support", 10_000), json!({"calling_region": "us-east-1"}));
    assert_eq!(chat.post("/costs", &spent).await.ok(202)["daily_total"]["status"], "EXCEEDED");
    assert_eq!(chat.recommended().await, ("economy".to_owned(), "QUOTA_EXCEEDED_SUPPORT".to_owned()));
    chat.admin("PUT", "/fallback").json(&json!({"model_label": "support"})).await.ok(200);

    chat.admin("PUT", "").json(&app_body()).await.ok(200);
    chat.call("DELETE", "/inference-profiles/support").await.ok(204);
    let left = chat.today().await;
    let support = &left["models"]["support"];
    assert_eq!((&support["bedrock_model_id"], &support["cost_usd_micros"]), (&json!(null), &json!(10_000)));
}

#[tokio::test]
async fn a_quota_of_the_organization_counts_for_a_profile_under_scope_org() {
    let server = TestServer::start().await;
    let quotas = json!({"premium": 5, "standard": 5, "economy": 5, "support": 7_520});
    let chat = server.chat(json!({"quota_scope": "ORG", "quotas": quotas})).await;
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    let reply = chat.post("/usage", &regional(1, "support")).await.ok(202);
    let total = &reply["daily_total"];
    assert_eq!((&total["quota_usd_micros"], &total["quota_pct"]), (&json!(7_520), &json!(50.0)));
}

#[tokio::test]
async fn an_import_knows_the_profiles_an_application_has() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let app = json!({
        "app_id": "chat", "app_name": "Chat", "model_ordering": ["support"], "quotas": {"support": 5},
    });
    let file = |apps: Value| json!({"orgs": [with(org_body(), json!({"org_id": ORG, "secret_delivery": null, "apps": apps}))]});
    let import = async |apps: Value| server.post("/api/v1/config/import").admin().json(&file(apps)).await;
    import(json!([app.clone()])).await.refuses("INVALID_CONFIG", "orgs[0].apps[0].model_ordering[0]");
    register(&chat, "support", PROFILE_ARN).await.ok(201);
    import(json!([app.clone()])).await.ok(200);
    assert_eq!(import(json!([app])).await.ok(200)["changes"][1]["action"], "unchanged");
    import(json!([])).await.ok(200);
    assert_eq!(chat.recommended().await.0, "support");
}

#[tokio::test]
async fn an_opaque_profile_nobody_can_explain_is_accepted_and_unpriced() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    register(&chat, "support", OPAQUE_ARN).await.ok(201);
    let reply = chat.post("/usage", &regional(1, "support")).await.ok(202);
    let pricing = &reply["processing"]["pricing"];
    assert_eq!((&pricing["status"], &pricing["model_id"]), (&json!("UNPRICED"), &json!(OPAQUE_ARN)));
    let support = &chat.today().await["models"]["support"];
    assert_eq!((&support["unpriced_requests"], &support["input_tokens"]), (&json!(1), &json!(1500)));
}

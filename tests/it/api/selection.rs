//! Which model is recommended, and why.

use serde_json::json;

use crate::support::server::{PROFILE_ARN, TestServer};
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, with};

fn is(label: &str, reason: &str) -> (String, String) {
    (label.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn the_first_label_with_room_is_recommended_with_everything_it_was_decided_by() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 2_500_000).await;
    let reply = chat.selection().await.ok(200);
    assert_eq!((reply.str("org_id"), reply.str("app_id")), (ORG, "chat"));
    assert_eq!(
        reply["recommended_model"],
        json!({
            "label": "premium", "bedrock_model_id": "amazon.nova-pro-v1:0", "reason": "NORMAL",
            "description": "Most capable: demanding reasoning and long documents",
        })
    );
    let status = |spend: u64, quota: u64, pct: f64| json!({"spend_usd_micros": spend, "quota_usd_micros": quota, "quota_pct": pct, "status": "NORMAL", "period": "DAY"});
    assert_eq!(
        reply["quota_status"],
        json!({
            "scope": "APP", "mode": "NORMAL", "current_model": "premium", "spend_usd_micros": 2_500_000,
            "quota_usd_micros": 10_000_000, "quota_pct": 25.0, "sticky_fallback_active": false,
            "models_status": {
                "premium": status(2_500_000, 10_000_000, 25.0),
                "standard": status(0, 5_000_000, 0.0),
                "economy": status(0, 1_000_000, 0.0),
            },
        })
    );
    let pricing = &reply["pricing"];
    assert_eq!(pricing["input_price_usd_micros_per_1m"], 800_000);
    assert_eq!(pricing["output_price_usd_micros_per_1m"], 3_200_000);
    assert_eq!(pricing["cache_read_price_usd_micros_per_1m"], 200_000);
    assert_eq!(pricing["cache_write_price_usd_micros_per_1m"], 0);
    assert_eq!(pricing["source"], "EMBEDDED");
    let guidance = &reply["client_guidance"];
    assert_eq!(
        (&guidance["check_frequency"], &guidance["cache_duration_secs"]),
        (&json!("PERIODIC_300S"), &json!(300))
    );
    assert!(guidance["explanation"].is_string());
    assert_eq!((reply.str("checked_at"), reply.str("org_day")), ("2026-01-23T15:30:45Z", "20260123"));
    assert_eq!(reply.str("org_local_time"), "2026-01-23T10:30:45-05:00");
    assert_eq!(reply.str("quota_resets_at"), "2026-01-24T05:00:00Z");
}

#[tokio::test]
async fn a_spent_label_is_left_for_the_next_one_and_that_sticks() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 9_999_999).await;
    assert_eq!(chat.recommended().await, is("premium", "NORMAL"));
    chat.spend("premium", 1).await;
    let reply = chat.selection().await.ok(200);
    assert_eq!(reply["recommended_model"]["reason"], "QUOTA_EXCEEDED_PREMIUM");
    let status = &reply["quota_status"];
    assert_eq!((&status["sticky_fallback_active"], &status["current_model"]), (&json!(true), &json!("standard")));
    assert_eq!(status["models_status"]["premium"]["status"], "EXCEEDED");
    assert_eq!(chat.recommended().await, is("standard", "STICKY_FALLBACK"));
    // More room on the label that was left does not bring it back before midnight.
    chat.update_org(json!({"quotas": {"premium": 99_000_000, "standard": 5_000_000, "economy": 1_000_000}})).await;
    assert_eq!(chat.recommended().await, is("standard", "STICKY_FALLBACK"));
}

#[tokio::test]
async fn the_reason_names_the_label_directly_before_the_recommended_one() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 10_000_000).await;
    chat.spend("standard", 5_000_000).await;
    assert_eq!(chat.recommended().await, is("economy", "QUOTA_EXCEEDED_STANDARD"));
    let state = chat.admin("GET", "/fallback").await.ok(200);
    assert_eq!((state.str("previous_model_label"), state.str("reason")), ("premium", "QUOTA_EXCEEDED_STANDARD"));
}

#[tokio::test]
async fn without_stickiness_each_check_starts_at_the_first_label_and_nothing_is_stored() {
    let server = TestServer::start().await;
    let changes = json!({"overrides": {"sticky_fallback_enabled": false}});
    let chat = server.chat(changes.clone()).await;
    chat.spend("premium", 10_000_000).await;
    for _ in 0..2 {
        let reply = chat.selection().await.ok(200);
        assert_eq!(reply["recommended_model"]["reason"], "QUOTA_EXCEEDED_PREMIUM");
        assert_eq!(reply["quota_status"]["sticky_fallback_active"], false);
    }
    chat.admin("GET", "/fallback").await.error(404, "NOT_FOUND");
    let roomier = json!({"quotas": {"premium": 99_000_000, "standard": 5_000_000, "economy": 1_000_000}});
    chat.update_org(with(changes, roomier)).await;
    assert_eq!(chat.recommended().await, is("premium", "NORMAL"));
}

#[tokio::test]
async fn near_its_quota_a_label_is_tight_and_is_to_be_checked_more_often() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (more, mode, frequency, secs) in [(9_499_999, "NORMAL", "PERIODIC_300S", 300), (1, "TIGHT", "PERIODIC_60S", 60)]
    {
        chat.spend("premium", more).await;
        let reply = chat.selection().await.ok(200);
        assert_eq!(reply["quota_status"]["mode"], mode);
        assert_eq!(reply["client_guidance"]["check_frequency"], frequency);
        assert_eq!(reply["client_guidance"]["cache_duration_secs"], secs);
        assert_eq!(reply.header("cache-control"), format!("private, max-age={secs}"));
    }
}

#[tokio::test]
async fn threshold_and_intervals_are_set_by_organization_and_application() {
    let server = TestServer::start().await;
    let overrides =
        json!({"tight_mode_threshold_pct": 50, "refresh_interval_normal_secs": 120, "refresh_interval_tight_secs": 7});
    let org = server.org(json!({"overrides": overrides})).await;
    let chat = org.app("chat", json!({})).await;
    let mail = org.app("mail", json!({"overrides": {"refresh_interval_secs": 11}})).await;
    let frequency =
        async |app: &Tenant<'_>| app.selection().await.ok(200)["client_guidance"]["check_frequency"].clone();
    assert_eq!(frequency(&chat).await, "PERIODIC_120S");
    for (app, expected) in [(&chat, "PERIODIC_7S"), (&mail, "PERIODIC_11S")] {
        app.spend("premium", 5_000_000).await;
        assert_eq!(frequency(app).await, expected);
    }
}

#[tokio::test]
async fn with_every_quota_spent_the_answer_says_when_a_label_is_free_again() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (label, micros) in [("premium", 12_500_000), ("standard", 5_000_000), ("economy", 1_000_001)] {
        chat.spend(label, micros).await;
    }
    let reply = chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert_eq!(reply["retry_after"], "2026-01-24T05:00:00Z");
    // 13 h 29 min 15 s.
    assert_eq!(reply.header("retry-after"), "48555");
    assert_eq!(
        reply["details"],
        json!({
            "org_id": ORG, "app_id": "chat", "date": "2026-01-23",
            "models": {
                "premium": {"quota_pct": 125.0, "exceeded": true},
                "standard": {"quota_pct": 100.0, "exceeded": true},
                "economy": {"quota_pct": 100.0, "exceeded": true},
            },
            "total_overage_usd_micros": 2_500_001,
        })
    );
    // Half a second earlier a client must wait a second longer, not come back too soon.
    server.at("2026-01-23T15:30:44.500Z");
    assert_eq!(chat.selection().await.error(429, "QUOTA_EXCEEDED").header("retry-after"), "48556");
}

#[tokio::test]
async fn with_the_policy_last_the_last_label_is_recommended_anyway() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"overrides": {"exhausted_policy": "last"}})).await;
    for (label, micros) in [("premium", 10_000_000), ("standard", 5_000_000), ("economy", 1_000_000)] {
        chat.spend(label, micros).await;
    }
    assert_eq!(chat.recommended().await, is("economy", "ALL_QUOTAS_EXCEEDED"));
}

#[tokio::test]
async fn a_monthly_quota_binds_where_its_percentage_is_higher() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"monthly_quotas": {"premium": 12_000_000}})).await;
    chat.spend("premium", 6_000_000).await;
    let premium = async || chat.selection().await.ok(200)["quota_status"]["models_status"]["premium"].clone();
    assert_eq!(
        premium().await,
        json!({"spend_usd_micros": 6_000_000, "quota_usd_micros": 10_000_000, "quota_pct": 60.0, "status": "NORMAL", "period": "DAY"})
    );
    chat.spend_at("2026-01-22T12:00:00Z", "premium", 5_000_000).await;
    assert_eq!(
        premium().await,
        json!({"spend_usd_micros": 11_000_000, "quota_usd_micros": 12_000_000, "quota_pct": 91.66, "status": "NORMAL", "period": "MONTH"})
    );
    chat.spend_at("2026-01-22T12:00:00Z", "premium", 400_000).await;
    assert_eq!(premium().await["status"], "TIGHT");
    chat.spend_at("2026-01-22T12:00:00Z", "premium", 600_000).await;
    assert_eq!(chat.recommended().await, is("standard", "QUOTA_EXCEEDED_PREMIUM"));
}

#[tokio::test]
async fn retry_after_is_the_first_instant_that_frees_a_label_and_switched_off_ones_never_do() {
    let server = TestServer::start().await;
    let tight = |monthly: serde_json::Value, quotas: serde_json::Value| json!({"monthly_quotas": monthly, "quotas": quotas, "model_ordering": ["premium", "economy"]});
    for (monthly, quotas, expected) in [
        // Both months are spent.
        (json!({"premium": 5, "economy": 5}), json!({"premium": 100, "economy": 100}), "2026-02-01T05:00:00Z"),
        // Midnight frees economy.
        (json!({"premium": 5}), json!({"premium": 100, "economy": 5}), "2026-01-24T05:00:00Z"),
        // Economy is off; only the next month frees premium.
        (json!({"premium": 5}), json!({"premium": 100, "economy": 0}), "2026-02-01T05:00:00Z"),
        // All are off.
        (json!({}), json!({"premium": 0, "economy": 0}), "2026-01-24T05:00:00Z"),
    ] {
        let org = server.org(tight(monthly, quotas)).await;
        let chat = org.app("chat", json!({})).await;
        chat.spend("premium", 10).await;
        chat.spend("economy", 10).await;
        assert_eq!(chat.selection().await.error(429, "QUOTA_EXCEEDED")["retry_after"], expected);
        org.admin("DELETE", "").await.ok(204);
    }
}

#[tokio::test]
async fn a_quota_of_zero_switches_a_label_off() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"quotas": {"premium": 0, "standard": 5, "economy": 5}})).await;
    let reply = chat.selection().await.ok(200);
    assert_eq!(reply["recommended_model"]["reason"], "QUOTA_EXCEEDED_PREMIUM");
    let premium = &reply["quota_status"]["models_status"]["premium"];
    assert_eq!((&premium["status"], &premium["quota_pct"]), (&json!("EXCEEDED"), &json!(100.0)));
}

#[tokio::test]
async fn with_scope_org_applications_spend_together_and_fall_back_together() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    chat.spend("premium", 6_000_000).await;
    mail.spend("premium", 4_000_000).await;
    assert_eq!(chat.recommended().await, is("standard", "QUOTA_EXCEEDED_PREMIUM"));
    assert_eq!(mail.recommended().await, is("standard", "STICKY_FALLBACK"));
    assert_eq!(mail.selection().await.ok(200)["quota_status"]["scope"], "ORG");
}

#[tokio::test]
async fn with_scope_app_each_application_has_its_own_quota_and_fallback() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({"quotas": {"premium": 5}})).await);
    chat.spend("premium", 10_000_000).await;
    assert_eq!(chat.recommended().await, is("standard", "QUOTA_EXCEEDED_PREMIUM"));
    assert_eq!(mail.recommended().await, is("premium", "NORMAL"));
    mail.spend("premium", 5).await;
    assert_eq!(mail.recommended().await, is("standard", "QUOTA_EXCEEDED_PREMIUM"));
}

#[tokio::test]
async fn a_fallback_whose_label_left_the_ordering_is_ignored() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 10_000_000).await;
    assert_eq!(chat.recommended().await.0, "standard");
    chat.update_org(json!({"model_ordering": ["premium", "economy"]})).await;
    assert_eq!(chat.recommended().await, is("economy", "QUOTA_EXCEEDED_PREMIUM"));
    assert_eq!(chat.recommended().await, is("economy", "STICKY_FALLBACK"));
}

#[tokio::test]
async fn a_profile_label_is_recommended_by_its_arn() {
    let server = TestServer::with(|setup| setup.profile_label()).await;
    let chat = server.chat(json!({"model_ordering": ["profile"], "quotas": {"profile": 5}})).await;
    assert_eq!(chat.selection().await.ok(200)["recommended_model"]["bedrock_model_id"], PROFILE_ARN);
}

#[tokio::test]
async fn an_unregistered_application_is_not_found() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    org.get("/apps/nobody/model-selection").await.error(404, "NOT_FOUND");
    let nowhere = format!("/api/v1/orgs/{OTHER_ORG}/apps/chat/model-selection");
    server.get(&nowhere).admin().await.error(404, "NOT_FOUND");
    org.get("/apps/-bad-/model-selection").await.refuses("INVALID_REQUEST", "app_id");
}

//! Rate limits: exact for each group, told on every answer, nobody else's business, and the organization's to set.

use std::time::Duration;

use bedrock_cost_keeper::api::rate_limit::groups::{self, RouteLimit};
use bedrock_cost_keeper::clock::Clock as _;
use bedrock_cost_keeper::config::RateLimitsConfig;
use bedrock_cost_keeper::domain::rate_limits::{PER_MINUTE_RANGE, RateLimitGroup, RateLimits};
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Call, Reply};
use crate::support::faulty::Fault;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, org_body, usage, with};

const HEADERS: [&str; 4] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-clientid"];
const SECOND_KEY: &str = "a-second-provisioning-key-123456";

/// A server with these limits.
pub(super) async fn limited(configure: impl FnOnce(&mut RateLimitsConfig)) -> TestServer {
    TestServer::with(|setup| {
        setup.config.rate_limits.enabled = true;
        configure(&mut setup.config.rate_limits);
    })
    .await
}

/// Lets time pass.
pub(super) fn wait(server: &TestServer, secs: u64) {
    let now = server.clock.now().checked_add(SignedDuration::from_secs(i64::try_from(secs).unwrap())).unwrap();
    server.clock.set(now);
}

/// Limit, requests left and who was counted.
pub(super) fn standing(reply: &Reply) -> (&str, &str, &str) {
    let [limit, remaining, _, client_id] = HEADERS.map(|name| reply.header(name));
    (limit, remaining, client_id)
}

/// Asserts a refusal of the limiter; answers the seconds to wait.
#[track_caller]
pub(super) fn waits(reply: &Reply) -> u64 {
    assert_eq!((reply.status, reply["error"].as_str()), (429, Some("RATE_LIMIT_EXCEEDED")), "{}", reply.text());
    assert_eq!(reply["retry_after"], json!(reply.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(reply.header("x-ratelimit-remaining"), "0");
    reply["retry_after"].as_u64().unwrap()
}

/// A request of a group that succeeds, of the client of an application or of an administrator.
fn of_group(group: RateLimitGroup, chat: &Tenant<'_>) -> Call {
    let (server, id) = (chat.server, chat.server.request_id());
    let grant = |grant_type: &str| json!({"grant_type": grant_type, "client_id": chat.client_id});
    match group {
        RateLimitGroup::Token => {
            server.post("/auth/token").json(&with(grant("client_credentials"), json!({"client_secret": chat.secret})))
        }
        RateLimitGroup::Refresh => {
            let refresh = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
            server.post("/auth/refresh").json(&refresh)
        }
        RateLimitGroup::Revoke => server.post("/auth/revoke").bearer(&chat.token).json(&json!({"token": "unknown"})),
        RateLimitGroup::Provisioning => server.get("/api/v1/orgs").admin(),
        RateLimitGroup::Rotation => chat.admin("POST", "/credentials/revoke-tokens"),
        RateLimitGroup::Aggregates => chat.get("/aggregates/today"),
        RateLimitGroup::ModelSelection => chat.get("/model-selection"),
        RateLimitGroup::Usage => chat.post("/usage", &usage(&id, "premium")),
        RateLimitGroup::Batches => chat.post("/usage/batch", &json!({"requests": [usage(&id, "premium")]})),
    }
}

#[tokio::test]
async fn every_documented_route_has_a_group_or_is_unlimited_and_limited_ones_document_429() {
    let document = TestServer::start().await.get("/openapi.json").await.ok(200);
    let mut unlimited = Vec::new();
    let mut limited = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let operation_name = format!("{} {path}", method.to_uppercase());
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            match groups::of(&method, path) {
                None => panic!("{operation_name} has no group in src/api/rate_limit/groups.rs"),
                Some(RouteLimit::Unlimited) => unlimited.push(operation_name),
                Some(RouteLimit::Group(_)) => {
                    limited += 1;
                    let headers = &operation["responses"]["429"]["headers"];
                    for name in [
                        "Retry-After",
                        "X-RateLimit-Limit",
                        "X-RateLimit-Remaining",
                        "X-RateLimit-Reset",
                        "X-RateLimit-ClientId",
                    ] {
                        assert!(headers[name].is_object(), "{operation_name} does not document {name} of a 429");
                    }
                }
            }
        }
    }
    unlimited.sort();
    let expected = ["GET /", "GET /.well-known/jwks.json", "GET /health", "GET /livez", "GET /metrics", "GET /readyz"];
    assert_eq!(unlimited, expected);
    assert!(limited > 40, "{limited}");
    assert_eq!(groups::of(&Method::HEAD, "/api/v1/models"), groups::of(&Method::GET, "/api/v1/models"));
}

#[tokio::test]
async fn each_groups_limit_is_exact_and_passes_when_it_says() {
    let limits = RateLimitsConfig {
        token_per_minute: 3,
        refresh_per_minute: 4,
        revoke_per_minute: 5,
        provisioning_per_minute: 6,
        rotation_per_minute: 7,
        aggregates_per_minute: 8,
        model_selection_per_minute: 9,
        usage_per_minute: 10,
        batches_per_minute: 11,
        ..RateLimitsConfig::default()
    };
    let server = limited(|config| *config = limits).await;
    let mut chat = server.chat(json!({})).await;
    for group in RateLimitGroup::ALL {
        // Revoking all tokens is one of the groups.
        wait(&server, 60);
        chat.log_in().await;
        wait(&server, 60);
        let limit = limits.limits().of(group);
        let subject = match group {
            RateLimitGroup::Provisioning | RateLimitGroup::Rotation => "key:",
            _ => chat.client_id.as_str(),
        };
        let reset = |secs: i64| (server.clock.now().as_second() + secs).to_string();
        for left in (0..limit).rev() {
            let reply = of_group(group, &chat).await;
            assert!(reply.status < 300, "{group:?} {left}: {}", reply.text());
            let (told_limit, told_left, told_subject) = standing(&reply);
            assert_eq!((told_limit, told_left), (&*limit.to_string(), &*left.to_string()), "{group:?}");
            assert!(told_subject.starts_with(subject), "{group:?}: {told_subject}");
            let full_in = i64::from((60 * (limit - left)).div_ceil(limit));
            assert_eq!(reply.header("x-ratelimit-reset"), reset(full_in), "{group:?} {left}");
        }
        let refused = of_group(group, &chat).await.error(429, "RATE_LIMIT_EXCEEDED");
        let secs = waits(&refused);
        assert_eq!((secs, refused.header("x-ratelimit-reset")), (u64::from(60_u32.div_ceil(limit)), &*reset(60)));
        assert_eq!(standing(&refused).0, limit.to_string());
        wait(&server, secs - 1);
        waits(&of_group(group, &chat).await);
        wait(&server, 1);
        let passed = of_group(group, &chat).await;
        assert!(passed.status < 300, "{group:?}: {}", passed.text());
        waits(&of_group(group, &chat).await);
    }
}

#[tokio::test]
async fn the_defaults_are_those_of_the_documentation() {
    let server = limited(|_| {}).await;
    let chat = server.chat(json!({})).await;
    for group in RateLimitGroup::ALL {
        // The last one ends the tokens the others need.
        if group != RateLimitGroup::Rotation {
            assert_eq!(standing(&of_group(group, &chat).await).0, RateLimits::DEFAULT.of(group).to_string());
        }
    }
    assert_eq!(standing(&of_group(RateLimitGroup::Rotation, &chat).await).0, "10");
    let defaults = RateLimitGroup::ALL.map(|group| RateLimits::DEFAULT.of(group));
    assert_eq!(defaults, [10, 30, 10, 120, 10, 300, 1_200, 60_000, 6_000]);
}

#[tokio::test]
async fn every_answer_to_a_known_caller_tells_how_it_stands_whatever_the_answer_is() {
    let server = limited(|_| {}).await;
    let chat = server.chat(json!({})).await;
    let selected = chat.get("/model-selection").await.ok(200);
    let etag = selected.header("etag");
    let foreign = format!("/api/v1/orgs/{OTHER_ORG}/apps/chat/model-selection");
    let wrong = json!({"grant_type": "client_credentials", "client_id": chat.client_id, "client_secret": "wrong"});
    for (status, call) in [
        (304, chat.get("/model-selection").header("if-none-match", etag)),
        (400, chat.get("/model-selection?force_check=maybe")),
        (400, chat.get("/aggregates/yesterday")),
        (400, chat.post("/usage", &json!({}))),
        (403, server.get(&foreign).bearer(&chat.token)),
        (403, server.get("/api/v1/orgs").bearer(&chat.token)),
        (403, server.post("/auth/revoke").admin().json(&json!({"token": "x"}))),
        (404, server.get(&format!("/api/v1/orgs/{OTHER_ORG}")).admin()),
        (404, chat.get("/aggregates/2026-01-01")),
        (413, chat.call("POST", "/usage").body("application/json", vec![b' '; 2 * 1024 * 1024])),
        (415, chat.call("POST", "/usage").body("text/plain", "x")),
        (401, server.post("/auth/token").json(&wrong)),
    ] {
        let reply = call.await;
        assert_eq!(reply.status, status, "{}", reply.text());
        for name in HEADERS {
            assert!(!reply.header(name).is_empty(), "{status} without {name}: {:?}", reply.headers);
        }
    }
    // Nobody is known here, so nobody was counted.
    for reply in [
        server.get("/api/v1/models").await,
        server.get("/api/v1/models").bearer("x").await,
        server.get("/nowhere").await,
    ] {
        assert!(HEADERS.iter().all(|name| reply.header(name).is_empty()), "{:?}", reply.headers);
    }
}

#[tokio::test]
async fn what_tells_whether_the_service_works_is_not_limited() {
    let server = limited(|config| {
        *config = RateLimitsConfig { provisioning_per_minute: 1, token_per_minute: 1, ..RateLimitsConfig::default() };
    })
    .await;
    for path in ["/", "/health", "/livez", "/readyz", "/openapi.json", "/.well-known/jwks.json", "/metrics"] {
        for _ in 0..20 {
            let reply = server.get(path).admin().await.ok(200);
            assert!(HEADERS.iter().all(|name| reply.header(name).is_empty()), "{path}: {:?}", reply.headers);
        }
    }
}

#[tokio::test]
async fn nobody_pays_for_the_requests_of_another() {
    let server = limited(|config| {
        config.aggregates_per_minute = 2;
        config.provisioning_per_minute = 4;
    })
    .await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    let exhausted = async |call: &dyn Fn() -> Call| {
        for left in ["1", "0"] {
            assert_eq!(standing(&call().await.ok(200)).1, left);
        }
        waits(&call().await)
    };
    let today = format!("{}/aggregates/today", chat.path);
    // Each of them from the beginning: two applications, their organization, and two administrators who read the same.
    exhausted(&|| chat.get("/aggregates/today")).await;
    exhausted(&|| mail.get("/aggregates/today")).await;
    exhausted(&|| server.get(&today).bearer(&org.token)).await;
    exhausted(&|| server.get(&today).admin()).await;
    exhausted(&|| server.get(&today).header("x-api-key", SECOND_KEY)).await;
    let keys = [
        server.get("/api/v1/models").admin().await.ok(200).header("x-ratelimit-clientid").to_owned(),
        server
            .get("/api/v1/models")
            .header("x-api-key", SECOND_KEY)
            .await
            .ok(200)
            .header("x-ratelimit-clientid")
            .to_owned(),
    ];
    assert!(keys.iter().all(|key| key.starts_with("key:") && key.len() == 12) && keys[0] != keys[1], "{keys:?}");
    // Another token of the same client is the same client.
    let again = server.token(&chat.client_id, &chat.secret).await.ok(200);
    waits(&server.get(&today).bearer(again.str("access_token")).await);
    // A client that knocks where only administrators may enter uses up its own requests.
    for _ in 0..4 {
        server.get("/api/v1/orgs").bearer(&chat.token).await.error(403, "FORBIDDEN");
    }
    waits(&server.get("/api/v1/orgs").bearer(&chat.token).await);
    server.get("/api/v1/orgs").header("x-api-key", SECOND_KEY).await.ok(200);
}

#[tokio::test]
async fn an_organization_raises_and_lowers_the_limits_of_its_clients_at_once() {
    let server = limited(|_| {}).await;
    let chat = server.chat(json!({"rate_limits": {"aggregates": 2, "token": 25}})).await;
    let other = server.org_named(OTHER_ORG, json!({})).await;
    let limit = async |call: Call| call.await.header("x-ratelimit-limit").to_owned();
    assert_eq!(limit(chat.get("/aggregates/today")).await, "2");
    chat.get("/aggregates/today").await.ok(200);
    waits(&chat.get("/aggregates/today").await);
    assert_eq!(limit(chat.get("/model-selection")).await, "1200");
    assert_eq!(limit(of_group(RateLimitGroup::Token, &chat)).await, "25");
    assert_eq!(limit(other.get("/aggregates/today")).await, "300");
    assert_eq!(limit(server.get(&format!("{}/aggregates/today", chat.path)).admin()).await, "300");
    // Raised: whoever waited need not wait.
    chat.update_org(json!({"rate_limits": {"aggregates": 1_000_000}})).await;
    assert_eq!(standing(&chat.get("/aggregates/today").await.ok(200)), ("1000000", "999999", chat.client_id.as_str()));
    assert_eq!(limit(of_group(RateLimitGroup::Token, &chat)).await, "10");
    chat.update_org(json!({"rate_limits": {"usage": 1}})).await;
    assert_eq!(limit(chat.get("/aggregates/today")).await, "300");
    chat.spend("premium", 1).await;
    waits(&of_group(RateLimitGroup::Usage, &chat).await);
    // With the organization, its limits are gone.
    chat.update_org(json!({"rate_limits": {"token": 5}})).await;
    assert_eq!(limit(of_group(RateLimitGroup::Token, &chat)).await, "5");
    server.delete(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(204);
    assert_eq!(limit(of_group(RateLimitGroup::Token, &chat)).await, "10");
}

#[tokio::test]
async fn limits_of_an_organization_are_checked_and_shown() {
    let server = limited(|config| config.refresh_per_minute = 77).await;
    let path = format!("/api/v1/orgs/{ORG}");
    let put =
        async |limits: Value| server.put(&path).admin().json(&with(org_body(), json!({"rate_limits": limits}))).await;
    let (least, most) = PER_MINUTE_RANGE.into_inner();
    for limit in [json!(0), json!(-1), json!(most + 1), json!(i64::MAX)] {
        put(json!({"usage": limit})).await.refuses("INVALID_CONFIG", "rate_limits.usage");
    }
    put(json!({"provisioning": 5})).await.refuses("INVALID_REQUEST", "rate_limits.provisioning");
    put(json!({"usage": "5"})).await.refuses("INVALID_REQUEST", "rate_limits.usage");
    put(json!([5])).await.refuses("INVALID_REQUEST", "rate_limits");
    put(json!({"token": least, "batches": most, "usage": null})).await.ok(201);
    let effective = json!({
        "token": 1, "refresh": 77, "revoke": 10, "aggregates": 300, "model_selection": 1_200, "usage": 60_000,
        "batches": 1_000_000,
    });
    assert_eq!(server.get(&path).admin().await.ok(200)["configuration"]["rate_limits"], effective);
    let view = server.get(&format!("{path}/config")).admin().await.ok(200);
    assert_eq!(view["values"]["rate_limits"], json!({"value": effective, "source": "org"}));
    server.put(&format!("{path}/apps/chat")).admin().json(&json!({"app_name": "Chat"})).await.ok(201);
    let app = server.get(&format!("{path}/apps/chat/config")).admin().await.ok(200);
    assert_eq!(app["values"]["rate_limits"], json!({"value": effective, "source": "org"}));
    put(Value::Null).await.ok(200);
    let view = server.get(&format!("{path}/config")).admin().await.ok(200);
    assert_eq!(view["values"]["rate_limits"]["source"], "default");
    assert_eq!(view["values"]["rate_limits"]["value"]["token"], 10);
}

#[tokio::test]
async fn an_import_sets_limits_too() {
    let server = limited(|_| {}).await;
    let org = with(org_body(), json!({"org_id": ORG, "secret_delivery": null, "rate_limits": {"aggregates": 9}}));
    let import = async |org: &Value| server.post("/api/v1/config/import").admin().json(&json!({"orgs": [org]})).await;
    let created = import(&org).await.ok(200);
    assert!(created["changes"][0]["fields"].as_array().unwrap().contains(&json!("rate_limits")), "{}", created.text());
    let shown = server.get(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(200);
    assert_eq!(shown["configuration"]["rate_limits"]["aggregates"], 9);
    let changed = import(&with(org.clone(), json!({"rate_limits": null}))).await.ok(200);
    assert_eq!(changed["changes"][0]["fields"], json!(["rate_limits"]));
    let bad = with(org, json!({"rate_limits": {"aggregates": 0}}));
    import(&bad).await.refuses("INVALID_CONFIG", "orgs[0].rate_limits.aggregates");
}

#[tokio::test]
async fn where_the_store_does_not_say_the_services_limits_hold() {
    let server = limited(|_| {}).await;
    let chat = server.chat(json!({"rate_limits": {"revoke": 2, "usage": 3}})).await;
    server.store.fail_reads(Fault::Unavailable);
    // Whatever was read before is forgotten within a second.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let reply = of_group(RateLimitGroup::Revoke, &chat).await;
        if reply.header("x-ratelimit-limit") == "10" {
            reply.ok(204);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", reply.headers);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What fails is what needs the store, not the limiter.
    chat.get("/model-selection").await.error(503, "SERVICE_UNAVAILABLE");
    server.store.fail_reads(None);
    loop {
        let reply = of_group(RateLimitGroup::Revoke, &chat).await;
        if reply.header("x-ratelimit-limit") == "2" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", reply.headers);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_limits_nothing_is_counted_and_nothing_told() {
    let server = TestServer::with(|setup| {
        let config = RateLimitsConfig { enabled: false, token_per_minute: 1, ..RateLimitsConfig::default() };
        setup.config.rate_limits =
            RateLimitsConfig { failed_logins_per_client_per_minute: 1, aggregates_per_minute: 1, ..config };
    })
    .await;
    let chat = server.chat(json!({})).await;
    for _ in 0..20 {
        for reply in [
            chat.get("/aggregates/today").await.ok(200),
            of_group(RateLimitGroup::Token, &chat).await.ok(200),
            server.token(&chat.client_id, "wrong").await.error(401, "UNAUTHORIZED"),
        ] {
            assert!(HEADERS.iter().all(|name| reply.header(name).is_empty()), "{:?}", reply.headers);
        }
    }
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_locks_nobody_out() {
    let server = limited(|config| config.aggregates_per_minute = 1).await;
    let chat = server.chat(json!({})).await;
    chat.get("/aggregates/today").await.ok(200);
    server.at("2026-01-23T15:00:00Z");
    assert_eq!(waits(&chat.get("/aggregates/today").await), 60);
    wait(&server, 60);
    chat.get("/aggregates/today").await.ok(200);
}

#[tokio::test]
async fn refusals_are_counted_by_group() {
    let recorder = PrometheusBuilder::new().build_recorder();
    // Tests run their server on the thread they run on.
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = limited(|config| {
        config.aggregates_per_minute = 1;
        config.failed_logins_per_client_per_minute = 1;
    })
    .await;
    let chat = server.chat(json!({})).await;
    for _ in 0..3 {
        chat.get("/aggregates/today").await;
        server.token(&chat.client_id, "wrong").await;
    }
    let rendered = recorder.handle().render();
    for group in ["aggregates", "failed_logins_per_client"] {
        let line = format!("rate_limited_total{{group=\"{group}\"}} 2");
        assert!(rendered.contains(&line), "no {line} in\n{rendered}");
    }
}

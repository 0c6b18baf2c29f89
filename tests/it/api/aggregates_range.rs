//! Usage over a range of days.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{Tenant, usage, with};

/// Two applications, two days, three labels.
async fn filled(server: &TestServer) -> (Tenant<'_>, Tenant<'_>) {
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    for (app, at, label, micros) in [
        (&chat, "2026-01-22T12:00:00Z", "premium", 100),
        (&chat, "2026-01-22T12:00:00Z", "economy", 20),
        (&mail, "2026-01-22T12:00:00Z", "premium", 3),
        (&mail, "2026-01-23T12:00:00Z", "premium", 5000),
        (&mail, "2026-01-23T12:00:00Z", "premium", 60_000),
    ] {
        app.spend_at(at, label, micros).await;
    }
    (org, chat)
}

async fn range(tenant: &Tenant<'_>, query: &str) -> Reply {
    tenant.get(&format!("/aggregates?from=2026-01-01&to=2026-01-23{query}")).await
}

/// `day app model cost requests` of each row, parts that are missing left out.
fn rows(reply: &Reply) -> Vec<String> {
    let row = |row: &Value| {
        let parts = ["day", "app", "model", "cost_usd_micros", "requests"].map(|part| match &row[part] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    reply["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn rows_are_grouped_by_any_of_day_model_and_app_and_sorted() {
    let server = TestServer::start().await;
    let (org, chat) = filled(&server).await;
    for (group_by, names, expected) in [
        ("", json!(["day"]), vec!["2026-01-22 123 3", "2026-01-23 65000 2"]),
        ("&group_by=day", json!(["day"]), vec!["2026-01-22 123 3", "2026-01-23 65000 2"]),
        ("&group_by=model", json!(["model"]), vec!["economy 20 1", "premium 65103 4"]),
        ("&group_by=app", json!(["app"]), vec!["chat 120 2", "mail 65003 3"]),
        (
            "&group_by=model,day",
            json!(["day", "model"]),
            vec!["2026-01-22 economy 20 1", "2026-01-22 premium 103 2", "2026-01-23 premium 65000 2"],
        ),
        (
            "&group_by=app,model",
            json!(["app", "model"]),
            vec!["chat economy 20 1", "chat premium 100 1", "mail premium 65003 3"],
        ),
        (
            "&group_by=day,app",
            json!(["day", "app"]),
            vec!["2026-01-22 chat 120 2", "2026-01-22 mail 3 1", "2026-01-23 mail 65000 2"],
        ),
        (
            "&group_by=day,model,app",
            json!(["day", "app", "model"]),
            vec![
                "2026-01-22 chat economy 20 1",
                "2026-01-22 chat premium 100 1",
                "2026-01-22 mail premium 3 1",
                "2026-01-23 mail premium 65000 2",
            ],
        ),
    ] {
        let reply = range(&org, group_by).await.ok(200);
        assert_eq!(
            (rows(&reply), &reply["group_by"]),
            (expected.into_iter().map(str::to_owned).collect(), &names),
            "{group_by}"
        );
        assert_eq!((&reply["totals"]["cost_usd_micros"], &reply["totals"]["requests"]), (&json!(65123), &json!(5)));
        assert_eq!(
            (reply.str("from"), reply.str("to"), &reply["next_cursor"]),
            ("2026-01-01", "2026-01-23", &json!(null))
        );
    }
    let own = range(&chat, "&group_by=model").await.ok(200);
    assert_eq!((rows(&own), own.str("app_id")), (vec!["economy 20 1".to_owned(), "premium 100 1".to_owned()], "chat"));
}

#[tokio::test]
async fn a_row_has_every_counter_and_both_ends_of_the_range_count() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = json!({"status": "ERROR", "bedrock_model_id": "acme.unknown-v1:0", "cache_read_input_tokens": 3, "cache_write_input_tokens": 4});
    chat.post("/usage", &with(usage(&request_id(1), "premium"), body)).await.ok(202);
    chat.spend_at("2026-01-22T05:00:00Z", "premium", 9).await;
    let reply = chat.get("/aggregates?from=2026-01-22&to=2026-01-23").await.ok(200);
    assert_eq!(
        reply["rows"][1],
        json!({
            "day": "2026-01-23", "cost_usd_micros": 0, "requests": 1, "errors": 1, "unpriced_requests": 1,
            "input_tokens": 1500, "output_tokens": 800, "cache_read_input_tokens": 3, "cache_write_input_tokens": 4,
        })
    );
    for day in ["2026-01-22", "2026-01-23"] {
        let reply = chat.get(&format!("/aggregates?from={day}&to={day}")).await.ok(200);
        assert_eq!(reply["rows"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_range_without_usage_has_no_rows_and_zero_totals() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = range(&chat, "").await.ok(200);
    assert_eq!((&reply["rows"], &reply["totals"]["cost_usd_micros"]), (&json!([]), &json!(0)));
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat_and_totals_cover_the_whole_range() {
    let server = TestServer::start().await;
    let (org, _) = filled(&server).await;
    for group_by in ["day", "model", "app", "day,model,app"] {
        let whole = rows(&range(&org, &format!("&group_by={group_by}")).await.ok(200));
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let reply = range(&org, &format!("&group_by={group_by}&limit=1{cursor}")).await.ok(200);
            assert_eq!(reply["totals"]["cost_usd_micros"], 65123);
            paged.extend(rows(&reply));
            let Some(next) = reply["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, whole, "{group_by}");
    }
}

#[tokio::test]
async fn csv_has_the_same_rows_below_their_names() {
    let server = TestServer::start().await;
    let (org, chat) = filled(&server).await;
    let reply = range(&org, "&group_by=day,app&format=csv&limit=2").await.ok(200);
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        reply.text(),
        "day,app,cost_usd_micros,requests,errors,unpriced_requests,input_tokens,output_tokens,\
         cache_read_input_tokens,cache_write_input_tokens\n\
         2026-01-22,chat,120,2,0,0,0,0,0,0\n\
         2026-01-22,mail,3,1,0,0,0,0,0,0\n"
    );
    let next = reply.header("x-next-cursor");
    let last = range(&org, &format!("&group_by=day,app&format=csv&limit=2&cursor={next}")).await.ok(200);
    assert!(last.text().ends_with("\n2026-01-23,mail,65000,2,0,0,0,0,0,0\n"));
    assert!(last.header("x-next-cursor").is_empty());
    let disposition = range(&chat, "&format=csv").await.ok(200).header("content-disposition").to_owned();
    assert!(
        disposition.starts_with("attachment; filename=\"usage_")
            && disposition.contains("_chat_2026-01-01_2026-01-23.csv")
    );
}

#[tokio::test]
async fn a_range_that_cannot_be_answered_is_refused_naming_the_parameter() {
    let server = TestServer::start().await;
    let (org, chat) = filled(&server).await;
    let cursor = range(&org, "&group_by=day,model&limit=1").await.ok(200).str("next_cursor").to_owned();
    for (query, field) in [
        ("".to_owned(), "from"),
        ("?from=2026-01-01".to_owned(), "to"),
        ("?from=2026-1-1&to=2026-01-23".to_owned(), "from"),
        ("?from=2026-01-01&to=2026-02-30".to_owned(), "to"),
        ("?from=2026-01-23&to=2026-01-22".to_owned(), "from"),
        ("?from=2026-01-23&to=2026-01-24".to_owned(), "to"),
        // 401 days.
        ("?from=2024-12-19&to=2026-01-23".to_owned(), "from"),
    ] {
        for tenant in [&org, &chat] {
            tenant.get(&format!("/aggregates{query}")).await.refuses("INVALID_REQUEST", field);
        }
    }
    for (query, field) in [
        ("&group_by=".to_owned(), "group_by"),
        ("&group_by=label".to_owned(), "group_by"),
        ("&group_by=day,day".to_owned(), "group_by"),
        ("&format=xml".to_owned(), "format"),
        ("&limit=0".to_owned(), "limit"),
        ("&limit=10001".to_owned(), "limit"),
        ("&limit=many".to_owned(), "limit"),
        ("&cursor=nonsense".to_owned(), "cursor"),
        (format!("&group_by=day&cursor={cursor}"), "cursor"),
        ("&colour=red".to_owned(), "colour"),
    ] {
        range(&org, &query).await.refuses("INVALID_REQUEST", field);
    }
    range(&chat, "&group_by=app").await.refuses("INVALID_REQUEST", "group_by");
    // 400 days, and the largest page.
    chat.get("/aggregates?from=2024-12-20&to=2026-01-23&limit=10000").await.ok(200);
}

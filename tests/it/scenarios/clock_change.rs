//! Days of 23 and 25 hours.

use serde_json::json;

use crate::support::server::TestServer;

/// A local day of Berlin and its length.
struct LocalDay {
    before: &'static str,
    day: &'static str,
    after: &'static str,
    /// First and last millisecond of the day.
    first: &'static str,
    last: &'static str,
    ends: &'static str,
    noon: &'static str,
    local_noon: &'static str,
    /// From noon to its end.
    retry_after: &'static str,
}

const SHORT: LocalDay = LocalDay {
    before: "2026-03-28",
    day: "2026-03-29",
    after: "2026-03-30",
    first: "2026-03-28T23:00:00Z",
    last: "2026-03-29T21:59:59.999Z",
    ends: "2026-03-29T22:00:00Z",
    noon: "2026-03-29T10:00:00Z",
    local_noon: "2026-03-29T12:00:00+02:00",
    retry_after: "43200",
};

const LONG: LocalDay = LocalDay {
    before: "2026-10-24",
    day: "2026-10-25",
    after: "2026-10-26",
    first: "2026-10-24T22:00:00Z",
    last: "2026-10-25T22:59:59.999Z",
    ends: "2026-10-25T23:00:00Z",
    noon: "2026-10-25T11:00:00Z",
    local_noon: "2026-10-25T12:00:00+01:00",
    retry_after: "43200",
};

async fn lives_through(day: LocalDay) {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let changes = json!({"timezone": "Europe/Berlin", "model_ordering": ["premium"], "quotas": {"premium": 300}});
    let chat = server.chat(changes).await;

    // The day begins: the millisecond before it is the day before.
    server.at(day.first);
    let before: jiff::Timestamp = day.first.parse().unwrap();
    let before = before - jiff::SignedDuration::from_millis(1);
    assert_eq!(chat.spend_at(&before.to_string(), "premium", 1).await["daily_total"]["date"], day.before);
    assert_eq!(chat.spend_at(day.first, "premium", 100).await["daily_total"]["date"], day.day);

    server.at(day.noon);
    let selection = chat.selection().await.ok(200);
    assert_eq!((selection.str("org_local_time"), selection.str("quota_resets_at")), (day.local_noon, day.ends));
    chat.spend("premium", 200).await;
    let exhausted = chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert_eq!((exhausted.str("retry_after"), exhausted.header("retry-after")), (day.ends, day.retry_after));

    // Its last millisecond, and the first of the next day.
    server.at(day.last);
    chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert_eq!(
        chat.spend_at(day.ends, "premium", 7).await["daily_total"]["date"],
        day.after,
        "clocks may differ by minutes"
    );
    server.at(day.ends);
    assert_eq!(chat.recommended().await.1, "NORMAL");
    assert_eq!(chat.spend_at(day.last, "premium", 30).await["daily_total"]["date"], day.day);

    let range = chat.get(&format!("/aggregates?from={}&to={}", day.before, day.after)).await.ok(200);
    let costs: Vec<_> = range["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["day"].as_str().unwrap(), row["cost_usd_micros"].as_u64().unwrap()))
        .collect();
    assert_eq!(costs, [(day.before, 1), (day.day, 330), (day.after, 7)]);
}

#[tokio::test]
async fn a_day_of_23_hours_begins_and_ends_at_local_midnight() {
    lives_through(SHORT).await;
}

#[tokio::test]
async fn a_day_of_25_hours_begins_and_ends_at_local_midnight() {
    lives_through(LONG).await;
}

#[tokio::test]
async fn both_passes_of_the_repeated_hour_belong_to_the_same_day() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({"timezone": "Europe/Berlin"})).await;
    server.at("2026-10-25T02:00:00Z");
    for instant in ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"] {
        assert_eq!(chat.spend_at(instant, "premium", 1).await["daily_total"]["date"], "2026-10-25");
    }
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 2);
}

#[tokio::test]
async fn the_accepted_window_reaches_24_hours_before_a_short_day() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({"timezone": "Europe/Berlin"})).await;
    // The day after the short one began at 22:00Z: 24 hours earlier it was still the 28th.
    server.at("2026-03-30T10:00:00Z");
    let receipt = chat.spend_at("2026-03-28T22:00:00Z", "premium", 1).await;
    assert_eq!(receipt["daily_total"]["date"], "2026-03-28");
}

//! The story: one afternoon, one midnight, two applications.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit;
use super::client::{Advice, AdvisedClient, Call, Selection};
use super::http::{self, ask};
use super::session::{Credentials, Session};
use super::stage::Stage;
use super::timeline::Timeline;
use crate::cli::CommandError;

/// The organization of the demo.
pub(super) const ORG: &str = "0de30000-cafe-4000-8000-000000000001";
/// Falls back.
pub(super) const CHAT: &str = "support-chat";
/// Has room for the whole day.
pub(super) const WRITER: &str = "report-writer";
/// Where its midnight is.
const TIMEZONE: &str = "America/New_York";
/// 16:00 there.
pub(super) const START: Timestamp = Timestamp::constant(1_769_202_000, 0);
/// The midnight that follows.
const MIDNIGHT: Timestamp = Timestamp::constant(1_769_230_800, 0);
/// 00:30: long enough to see that the new day goes on as it began.
const END: Timestamp = Timestamp::constant(1_769_232_600, 0);
/// The local day of [`START`].
pub(super) const FIRST_DAY: &str = "2026-01-23";
/// The local day from [`MIDNIGHT`] on.
pub(super) const SECOND_DAY: &str = "2026-01-24";

/// The organization's labels in order of preference.
pub(super) const ORDERING: [&str; 3] = ["premium", "standard", "economy"];

/// The clock moves in steps of a minute.
const STEP: SignedDuration = SignedDuration::from_secs(60);
const CHAT_EVERY_MINUTES: i64 = 2;
const WRITER_EVERY_MINUTES: i64 = 10;
/// Reports the writer collects before it submits them. The seventh of the last round falls on midnight.
const WRITER_BATCH: usize = 7;
/// How long nothing may change before the chat's state is told again.
const CHAT_ROW_EVERY: SignedDuration = SignedDuration::from_mins(30);
/// The same for the writer, about which there is less to tell.
const WRITER_ROW_EVERY: SignedDuration = SignedDuration::from_hours(2);
/// The chat's submission whose answer gets lost.
const LOST_ANSWER: u32 = 12;

/// What the chat has to be told, in this order and with nothing in between.
const CHAT_STORY: &[&str] = &[
    "premium NORMAL, mode NORMAL",
    "premium NORMAL, mode TIGHT",
    "standard QUOTA_EXCEEDED_PREMIUM, mode NORMAL",
    "standard STICKY_FALLBACK, mode NORMAL",
    "standard STICKY_FALLBACK, mode TIGHT",
    "economy QUOTA_EXCEEDED_STANDARD, mode NORMAL",
    "economy STICKY_FALLBACK, mode NORMAL",
    "economy STICKY_FALLBACK, mode TIGHT",
    EXHAUSTED,
    "premium NORMAL, mode NORMAL",
];
/// What the writer has to be told: its quota is its own, whatever the chat spends.
const WRITER_STORY: &[&str] = &["premium NORMAL, mode NORMAL"];
const EXHAUSTED: &str = "429 QUOTA_EXCEEDED";

/// The local day of an instant of the story, as the clients know it.
pub(super) fn day_of(instant: Timestamp) -> &'static str {
    if instant < MIDNIGHT { FIRST_DAY } else { SECOND_DAY }
}

/// What an application was told so far, compared with what it has to be told.
struct Story {
    app: &'static str,
    expected: &'static [&'static str],
    told: usize,
    last_row: Timestamp,
    row_every: SignedDuration,
}

impl Story {
    fn new(app: &'static str, expected: &'static [&'static str], row_every: SignedDuration) -> Self {
        Self { app, expected, told: 0, last_row: START, row_every }
    }

    /// Takes an answer; says whether it is worth a row: it is new, or the last row is long ago.
    fn hear(&mut self, answer: &str, now: Timestamp) -> Result<bool, CommandError> {
        let current = self.told.checked_sub(1).and_then(|last| self.expected.get(last));
        let mut row = self.row_every <= now.duration_since(self.last_row);
        if current != Some(&answer) {
            match self.expected.get(self.told) {
                Some(expected) if *expected == answer => self.told += 1,
                Some(expected) => {
                    return Err(format!("{}: expected {expected} next, but was told {answer}", self.app).into());
                }
                None => {
                    return Err(
                        format!("{}: nothing should have changed any more, but was told {answer}", self.app).into()
                    );
                }
            }
            row = true;
        }
        if row {
            self.last_row = now;
        }
        Ok(row)
    }

    fn finish(&self) -> Result<(), CommandError> {
        match self.expected.get(self.told) {
            None => Ok(()),
            Some(missing) => Err(format!("{}: was never told {missing}", self.app).into()),
        }
    }
}

fn answer_of(selection: &Selection) -> String {
    let model = &selection.recommended_model;
    format!("{} {}, mode {}", model.label, model.reason, selection.quota_status.mode)
}

/// Plays the story and checks that it went as told.
pub(super) async fn play(stage: &Stage, out: &mut dyn Write, pause: Duration) -> Result<(), CommandError> {
    let mut timeline = Timeline::new(out, Arc::clone(&stage.clock), TIMEZONE, pause)?;
    let http = http::client()?;
    timeline.line(
        "A simulated day on a real service: SQLite in a temporary directory, HTTP on loopback, prices as built in.",
    )?;
    timeline.line("Bedrock is imitated (Converse with token counts). Nothing leaves this machine.")?;
    timeline.line("")?;
    let credentials = provision(stage, &http, &mut timeline).await?;
    let mut day = Day {
        chat: AdvisedClient::new(stage, http.clone(), CHAT, credentials.chat),
        writer: AdvisedClient::new(stage, http.clone(), WRITER, credentials.writer),
        chat_story: Story::new(CHAT, CHAT_STORY, CHAT_ROW_EVERY),
        writer_story: Story::new(WRITER, WRITER_STORY, WRITER_ROW_EVERY),
        chat_submissions: 0,
        renewals_told: false,
        timeline,
    };
    day.check_scopes_are_apart().await?;
    day.timeline.head()?;
    day.pass(stage).await?;
    day.chat_story.finish()?;
    day.writer_story.finish()?;
    let Day { chat, writer, mut timeline, .. } = day;
    let renewals = [chat.session.renewals, writer.session.renewals];
    // From 16:00 to 00:30 a token that lives an hour has to be replaced several times.
    if renewals.iter().any(|renewals| *renewals < 3) {
        return Err(format!("access tokens were renewed {renewals:?} times in 8 hours, though they live one").into());
    }
    let mut ledger = chat.ledger;
    ledger.merge(writer.ledger);
    let auditor = Session::new(http.clone(), &stage.api, Arc::clone(&stage.clock) as _, credentials.org);
    audit::run(&http, &stage.api, auditor, &ledger, &mut timeline).await
}

struct Clients {
    org: Credentials,
    chat: Credentials,
    writer: Credentials,
}

#[derive(Deserialize)]
struct Provisioned {
    credentials: Credentials,
}

/// Registers the organization and its applications, as an administrator would.
async fn provision(
    stage: &Stage,
    http: &reqwest::Client,
    timeline: &mut Timeline<'_>,
) -> Result<Clients, CommandError> {
    let put = async |path: String, body: Value| -> Result<Credentials, CommandError> {
        let request = http.put(format!("{}/api/v1{path}", stage.api)).header("x-api-key", stage.key.expose_secret());
        let answer = ask(format!("PUT {path}"), request.json(&body)).await?;
        Ok(answer.expect::<Provisioned>(StatusCode::CREATED)?.credentials)
    };
    let org = put(
        format!("/orgs/{ORG}"),
        json!({
            "org_name": "Example Inc.",
            "timezone": TIMEZONE,
            "quota_scope": "APP",
            "model_ordering": ORDERING,
            "quotas": {"premium": 20_000_000, "standard": 10_000_000, "economy": 1_000_000},
            "overrides": {"tight_mode_threshold_pct": 90},
            "secret_delivery": "inline",
        }),
    );
    let org = org.await?;
    timeline.line(&format!("organization   {ORG}, {TIMEZONE}, quotas by application, tight from 90 %"))?;
    let chat = put(
        format!("/orgs/{ORG}/apps/{CHAT}"),
        json!({
            "app_name": "Support chat",
            "quotas": {"premium": 2_000_000, "standard": 1_000_000, "economy": 150_000},
            "secret_delivery": "inline",
        }),
    );
    let chat = chat.await?;
    timeline.line(&format!(
        "{CHAT}   a call every {CHAT_EVERY_MINUTES} minutes; a day: premium $2.00, standard $1.00, economy $0.15"
    ))?;
    let writer = put(
        format!("/orgs/{ORG}/apps/{WRITER}"),
        json!({
            "app_name": "Report writer",
            "secret_delivery": "inline",
        }),
    );
    let writer = writer.await?;
    timeline.line(&format!(
        "{WRITER}  a call every {WRITER_EVERY_MINUTES} minutes; the organization's quotas: $20.00, $10.00, $1.00"
    ))?;
    Ok(Clients { org, chat, writer })
}

/// The day as it passes.
struct Day<'a> {
    chat: AdvisedClient,
    writer: AdvisedClient,
    chat_story: Story,
    writer_story: Story,
    chat_submissions: u32,
    renewals_told: bool,
    timeline: Timeline<'a>,
}

impl Day<'_> {
    async fn check_scopes_are_apart(&mut self) -> Result<(), CommandError> {
        let status = self.chat.status_for(WRITER).await?;
        if status != StatusCode::FORBIDDEN {
            return Err(format!("{CHAT} asked about {WRITER} and got {status} instead of 403").into());
        }
        self.timeline.line(&format!("{CHAT}   got a token (OAuth2); with it, asking about {WRITER} is refused (403)"))
    }

    async fn pass(&mut self, stage: &Stage) -> Result<(), CommandError> {
        let (mut now, mut minute) = (START, 0_i64);
        while now <= END {
            stage.clock.set(now);
            if now == MIDNIGHT {
                self.timeline.line(&format!(
                    "-----  midnight in {TIMEZONE}: quotas and fallbacks start anew, without any job having to run"
                ))?;
            }
            if minute % CHAT_EVERY_MINUTES == 0 {
                self.chat_turn(now).await?;
            }
            if minute % WRITER_EVERY_MINUTES == 0 {
                self.writer_turn(now).await?;
            }
            now = now.checked_add(STEP)?;
            minute += 1;
        }
        self.writer.submit_batch().await
    }

    async fn chat_turn(&mut self, now: Timestamp) -> Result<(), CommandError> {
        let advice = self.chat.advice().await?;
        if !self.renewals_told && self.chat.session.renewals > 0 {
            self.renewals_told = true;
            self.timeline
                .note(CHAT, "the access token's hour is over: renewed with the refresh token (and so on, every hour)")
                .await?;
        }
        let selection = match advice {
            Advice::Waiting => return Ok(()),
            Advice::Exhausted(until) => {
                if until != MIDNIGHT {
                    return Err(format!("429 names {until} as the end of the quotas, which is {MIDNIGHT}").into());
                }
                self.chat_story.hear(EXHAUSTED, now)?;
                return self
                    .timeline
                    .note(CHAT, "429 QUOTA_EXCEEDED: every quota is spent; asks again at 00:00, as told")
                    .await;
            }
            Advice::Fresh(selection) => {
                if self.chat_story.hear(&answer_of(&selection), now)? {
                    self.timeline.row(CHAT, &selection).await?;
                }
                selection
            }
            Advice::Kept(selection) => selection,
        };
        let call = self.chat.call(&selection).await?;
        let receipt = self.chat.submit(&call).await?;
        if receipt.duplicate {
            return Err("a first submission was taken for a duplicate".into());
        }
        self.chat_submissions += 1;
        if self.chat_submissions == LOST_ANSWER {
            self.repeat(&call, &receipt).await?;
        }
        Ok(())
    }

    /// The client did not get the answer and does what is safe: sends the same again.
    async fn repeat(&mut self, call: &Call, first: &super::client::Receipt) -> Result<(), CommandError> {
        let second = self.chat.submit(call).await?;
        if !second.duplicate || second.daily_total != first.daily_total {
            return Err(format!("a repeated submission counted twice: first {first:?}, then {second:?}").into());
        }
        self.timeline
            .note(CHAT, "no answer to a submission (simulated): sent again, duplicate: true, counted once")
            .await
    }

    async fn writer_turn(&mut self, now: Timestamp) -> Result<(), CommandError> {
        let selection = match self.writer.advice().await? {
            Advice::Fresh(selection) => {
                if self.writer_story.hear(&answer_of(&selection), now)? {
                    self.timeline.row(WRITER, &selection).await?;
                }
                selection
            }
            Advice::Kept(selection) => selection,
            Advice::Exhausted(_) | Advice::Waiting => {
                return Err(format!("{WRITER} was told that its quotas are spent, which they are not").into());
            }
        };
        let call = self.writer.call(&selection).await?;
        self.writer.keep_for_batch(call);
        if self.writer.unreported() == WRITER_BATCH {
            self.writer.submit_batch().await?;
            if now == MIDNIGHT {
                let text =
                    format!("a batch with {} calls of before midnight: charged to {FIRST_DAY}", WRITER_BATCH - 1);
                self.timeline.note(WRITER, &text).await?;
            } else if now.duration_since(START) < SignedDuration::from_hours(2) {
                self.timeline
                    .note(
                        WRITER,
                        &format!("reports {WRITER_BATCH} calls in one batch (and so on, every {WRITER_BATCH} calls)"),
                    )
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Story {
        Story::new("app", &["a", "b"], SignedDuration::from_mins(30))
    }

    #[test]
    fn what_is_new_and_what_was_long_ago_gets_a_row() {
        let mut story = story();
        let at = |minutes| START.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        assert!(story.hear("a", at(0)).unwrap());
        assert!(!story.hear("a", at(29)).unwrap());
        assert!(story.hear("a", at(30)).unwrap());
        assert!(!story.hear("a", at(59)).unwrap());
        assert!(story.hear("b", at(59)).unwrap());
        assert!(story.finish().is_ok());
    }

    #[test]
    fn a_story_that_goes_another_way_or_ends_early_fails_and_says_where() {
        let mut early = story();
        early.hear("a", START).unwrap();
        assert_eq!(early.finish().unwrap_err().to_string(), "app: was never told b");
        assert_eq!(early.hear("c", START).unwrap_err().to_string(), "app: expected b next, but was told c");
        early.hear("b", START).unwrap();
        assert!(early.hear("a", START).is_err());
    }
}

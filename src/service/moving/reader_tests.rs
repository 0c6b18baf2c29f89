#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::domain::credential::{PreviousSecret, SecretHash};
use crate::domain::ids::OrgId;
use crate::domain::money::{CostDrift, MicroUsd, PicoUsd};
use crate::domain::profile::InferenceProfile;
use crate::domain::rate_limits::OrgRateLimits;
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, QuotaScope};
use crate::domain::usage::Counters;
use crate::service::moving::lines::{MovedApp, MovedCredential, MovedOrg, MovedTotal};
use crate::service::moving::writer::ExportWriter;

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn hash(seed: u8) -> SecretHash {
    SecretHash { salt: [seed; 16], hash: [seed.wrapping_add(1); 32] }
}

fn credential(seed: u8) -> MovedCredential {
    let previous = (seed % 2 == 1).then(|| PreviousSecret { hash: hash(seed ^ 0xff), expires_at: at(5) });
    MovedCredential { current: hash(seed), previous, version: u64::from(seed), created_at: at(-1) }
}

fn org_id(n: u8) -> OrgId {
    OrgId(uuid::Uuid::from_bytes([n; 16]))
}

fn org(n: u8) -> Content {
    let config = OrgConfig {
        org_name: "Acme \"Größe\" \u{2028}\\".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        quota_scope: QuotaScope::App,
        model_ordering: vec!["premium".parse().unwrap(), "not-in-any-catalog".parse().unwrap()],
        quotas: BTreeMap::from([("premium".parse().unwrap(), MicroUsd(i64::MAX.unsigned_abs()))]),
        monthly_quotas: BTreeMap::new(),
        agg_shard_count: 8,
        overrides: Overrides { exhausted_policy: Some(ExhaustedPolicy::Last), ..Overrides::default() },
        rate_limits: OrgRateLimits { token: Some(7), ..OrgRateLimits::default() },
    };
    let org = Org { org_id: org_id(n), config, version: 7, created_at: at(1), updated_at: at(1_700_000_000_123) };
    Content::Org(Box::new(MovedOrg { org, credential: credential(n) }))
}

fn app(n: u8, id: &str) -> Content {
    let config = AppConfig {
        app_name: id.to_owned(),
        model_ordering: None,
        quotas: Some(BTreeMap::new()),
        monthly_quotas: None,
        overrides: Overrides { sticky_fallback_enabled: Some(false), ..Overrides::default() },
    };
    let (org_id, app_id) = (org_id(n), id.parse().unwrap());
    let app = App { org_id, app_id, config, version: u64::MAX, created_at: at(1), updated_at: at(2) };
    Content::App(Box::new(MovedApp { app, credential: credential(n + 1) }))
}

fn profile(n: u8, app: &str, label: &str) -> Content {
    Content::Profile(InferenceProfile {
        org_id: org_id(n),
        app_id: app.parse().unwrap(),
        profile_label: label.parse().unwrap(),
        arn: "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc".parse().unwrap(),
        description: "🚀".to_owned(),
        created_at: at(3),
    })
}

fn total(n: u8, day: &str, app: &str) -> Content {
    let counters = Counters {
        cost: PicoUsd::new(u128::MAX),
        drift: CostDrift::new(i128::MIN),
        requests: u64::MAX,
        errors: 1,
        unpriced_requests: 2,
        input_tokens: (1 << 53) + 1,
        output_tokens: 4,
        cache_read_input_tokens: 5,
        cache_write_input_tokens: 6,
    };
    Content::Total(MovedTotal {
        org_id: org_id(n),
        day: day.parse().unwrap(),
        app_id: app.parse().unwrap(),
        model_label: "premium".parse().unwrap(),
        counters,
        updated_at: at(1_700_000_000_999),
    })
}

/// Something of every kind, in order.
fn sample() -> Vec<Content> {
    vec![
        org(1),
        app(1, "Chat"),
        profile(1, "Chat", "a"),
        profile(1, "Chat", "b"),
        app(1, "chat"),
        total(1, "2026-01-01", "deleted"),
        total(1, "2026-01-02", "chat"),
        org(2),
        org(200),
        app(200, "x"),
    ]
}

fn header() -> Header {
    Header { backend: "sqlite".to_owned(), exported_at: at(1_800_000_000_000) }
}

pub(super) fn written(contents: &[Content]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ExportWriter::begin(&mut bytes, header()).unwrap();
    for content in contents {
        writer.add(content).unwrap();
    }
    writer.end().unwrap();
    bytes
}

/// A file of these lines, as somebody who can compute a checksum would forge it.
fn forged(lines: &[String]) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    let mut context = Checksum::context();
    context.update(&bytes);
    wire::write_end(&mut bytes, &End::new(lines.len() as u64, Checksum::of(context).to_string())).unwrap();
    bytes
}

fn lines_of(contents: &[Content]) -> Vec<String> {
    let text = String::from_utf8(written(contents)).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.pop();
    lines
}

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Content>, FileError> {
    let mut reader = ExportReader::new(bytes);
    let mut contents = Vec::new();
    while let Some(content) = reader.next_content()? {
        contents.push(content);
    }
    reader.verified().map(|_| contents)
}

fn problem(bytes: &[u8]) -> String {
    verify(bytes).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_read() {
    let contents = sample();
    assert_eq!(read(&written(&contents)).unwrap(), contents);
    let verified = verify(&*written(&contents)).unwrap();
    assert_eq!((verified.header, verified.lines), (header(), contents.len() as u64 + 2));
    assert_eq!(read(&written(&[])).unwrap(), []);
}

#[test]
fn the_spelling_of_lines_stays_what_it_is() {
    let lines = lines_of(&[org(1), app(1, "x"), profile(1, "x", "p"), total(1, "2026-01-01", "x")]);
    let salt = |n: &str| format!("\"salt\":\"{n}\"");
    assert_eq!(
        lines[0],
        r#"{"kind":"bedrock-cost-keeper-export","version":1,"backend":"sqlite","exported_at":"2027-01-15T08:00:00Z"}"#
    );
    assert!(lines[1].starts_with(
        "{\"kind\":\"org\",\"org_id\":\"01010101-0101-0101-0101-010101010101\",\"config\":{\"org_name\":\"Acme "
    ));
    assert!(lines[1].contains(&salt("AQEBAQEBAQEBAQEBAQEBAQ==")), "{}", lines[1]);
    assert!(lines[1].contains(r#""quota_scope":"APP","model_ordering":["premium","not-in-any-catalog"]"#));
    assert!(lines[1].contains(r#""quotas":{"premium":9223372036854775807},"monthly_quotas":{},"agg_shard_count":8"#));
    assert!(lines[2].contains(r#""model_ordering":null,"quotas":{},"monthly_quotas":null"#), "{}", lines[2]);
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    assert!(lines[3].contains(&format!(r#""profile_label":"p","arn":"{arn}""#)), "{}", lines[3]);
    assert_eq!(
        lines[4],
        concat!(
            r#"{"kind":"total","org_id":"01010101-0101-0101-0101-010101010101","day":"2026-01-01","app_id":"x","#,
            r#""model_label":"premium","counters":{"cost_usd_picos":"340282366920938463463374607431768211455","#,
            r#""drift_usd_picos":"-170141183460469231731687303715884105728","requests":18446744073709551615,"#,
            r#""errors":1,"unpriced_requests":2,"input_tokens":9007199254740993,"output_tokens":4,"#,
            r#""cache_read_input_tokens":5,"cache_write_input_tokens":6},"updated_at":"2023-11-14T22:13:20.999Z"}"#
        )
    );
}

#[test]
fn a_change_of_any_byte_is_found() {
    let bytes = written(&sample());
    for position in 0..bytes.len() {
        for change in [1, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[position] ^= change;
            assert!(verify(&*changed).is_err(), "byte {position} changed by {change}");
        }
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_found() {
    let bytes = written(&sample());
    for length in 0..bytes.len() {
        assert!(matches!(verify(&bytes[..length]), Err(FileError::CutOff(_))), "cut at {length}");
    }
}

#[test]
fn an_added_byte_or_line_is_found_anywhere() {
    let bytes = written(&sample());
    for position in 0..=bytes.len() {
        for added in [b' ', b'\n', b'0'] {
            let mut changed = bytes.clone();
            changed.insert(position, added);
            assert!(verify(&*changed).is_err(), "{added} added at {position}");
        }
    }
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for after in 0..=lines.len() {
        for line in &lines {
            let mut changed = lines.clone();
            changed.insert(after, line);
            assert!(verify(&*changed.concat()).is_err());
        }
    }
}

#[test]
fn a_missing_or_exchanged_line_is_found() {
    let bytes = written(&sample());
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for index in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(index);
        assert!(verify(&*fewer.concat()).is_err(), "line {index} is missing");
        for other in 0..index {
            let mut exchanged = lines.clone();
            exchanged.swap(index, other);
            assert!(verify(&*exchanged.concat()).is_err(), "lines {index} and {other} are exchanged");
        }
    }
}

#[test]
fn lines_that_are_repeated_out_of_order_or_orphaned_are_found_also_under_a_right_checksum() {
    let all = lines_of(&sample());
    assert!(verify(&*forged(&all)).is_ok());
    for index in 0..all.len() {
        let mut twice = all.clone();
        twice.insert(index, all[index].clone());
        assert!(problem(&forged(&twice)).contains(&format!("line {}: ", index + 2)), "{index}");
    }
    let refused = |contents: &[Content]| assert!(problem(&forged(&lines_of(contents))).contains("line "));
    refused(&[app(1, "x")]);
    refused(&[total(1, "2026-01-01", "x")]);
    refused(&[org(1), profile(1, "x", "p")]);
    refused(&[org(1), app(1, "x"), profile(1, "y", "p")]);
    refused(&[org(1), app(2, "x")]);
    refused(&[org(1), org(2), total(1, "2026-01-01", "x")]);
    refused(&[org(1), app(1, "x"), app(1, "y"), profile(1, "x", "p")]);
    refused(&[org(1), total(1, "2026-01-01", "x"), app(1, "x")]);
    refused(&[org(1), total(1, "2026-01-02", "x"), total(1, "2026-01-01", "x")]);
    refused(&[org(2), org(1)]);
}

#[test]
fn content_has_the_same_checksum_whenever_and_from_whichever_store_it_was_exported() {
    let mut other = Vec::new();
    let header = Header { backend: "postgres".to_owned(), exported_at: at(0) };
    let mut writer = ExportWriter::begin(&mut other, header).unwrap();
    for content in sample() {
        writer.add(&content).unwrap();
    }
    let exported = writer.end().unwrap();
    let here = verify(&*written(&sample())).unwrap();
    assert_eq!(verify(&*other).unwrap().content, here.content);
    assert_eq!(exported.content, here.content);
    assert_ne!(verify(&*written(&sample()[1..2])).map(|verified| verified.content).ok(), Some(here.content));
}

#[test]
fn a_refusal_names_line_and_member_and_quotes_nothing() {
    let [header, org, app] = <[String; 3]>::try_from(lines_of(&[org(1), app(1, "x")])).unwrap();
    let with = |change: &dyn Fn(&str) -> String| problem(&forged(&[header.clone(), change(&org), app.clone()]));
    let replaced = |from: &str, to: &str| {
        assert!(org.contains(from), "{from} in {org}");
        with(&|line| line.replacen(from, to, 1))
    };
    let salt = r#""salt":"AQEBAQEBAQEBAQEBAQEBAQ==""#;
    for (text, expected) in [
        (replaced(salt, r#""salt":"hunter2""#), "line 2: credential.current.salt is not a valid value"),
        (replaced(salt, r#""salt":7"#), "line 2: credential.current.salt is not a valid value"),
        (replaced(&format!("{salt},"), ""), "line 2: credential.current.salt is missing"),
        (replaced(salt, &format!("{salt},{salt}")), "line 2: credential.current.salt is there twice"),
        (replaced(r#""version":7"#, r#""version":-7"#), "line 2: version is not a valid value"),
        (replaced(r#""version":7"#, r#""version":7.0"#), "line 2: version is not a valid value"),
        (replaced("Europe/Berlin", "Mars/Hunter2"), "line 2: config.timezone is unknown to this version"),
        (
            replaced(r#""agg_shard_count":8"#, r#""agg_shard_count":9"#),
            "line 2: config.agg_shard_count is not a possible",
        ),
        (replaced("9223372036854775807", "9223372036854775808"), "line 2: config has a quota that is too large"),
        (replaced(r#""kind":"org""#, r#""kind":"hunter2""#), "line 2: kind is unknown to this version"),
        (with(&|_| "hunter2".to_owned()), "line 2: is not a JSON object"),
        (with(&|_| "[]".to_owned()), "line 2: is not a JSON object"),
        (with(&|line| format!("{line} {line}")), "line 2: is not one JSON object"),
        (with(&|line| line[..line.len() - 1].to_owned()), "line 2: is not JSON"),
        (with(&|line| line.replacen("{", r#"{"hunter2":1,"#, 1)), "unknown to this version"),
        (replaced(r#""overrides":{"#, r#""overrides":{"hunter2":1,"#), "unknown to this version"),
        (replaced(r#""current":{"#, r#""current":{"hunter2":1,"#), "unknown to this version"),
        (with(&|_| "{\"kind\":\"org\"".repeat(100_000)), "line 2: is too long"),
    ] {
        assert!(text.starts_with("line 2: ") && text.contains(expected), "{text} instead of {expected}");
        assert!(text.len() < 200, "{text}");
    }
    let text = problem(&forged(&[header.clone(), org.replacen("Europe/Berlin", "Mars/Hunter2", 1)]));
    assert!(!text.contains("Hunter2"), "{text}");
}

#[test]
fn another_version_of_the_format_is_named() {
    let [header] = <[String; 1]>::try_from(lines_of(&[])).unwrap();
    let newer = header.replace(r#""version":1"#, r#""version":2,"compression":"none""#);
    let text = problem(&forged(&[newer]));
    assert!(text.contains("version 2") && text.contains("reads version 1"), "{text}");
    let hostile = header.replace("sqlite", r"\u001b[2Jsqlite");
    assert_eq!(problem(&forged(&[hostile])), "line 1: backend is not the name of a store");
}

#[test]
fn an_export_is_told_from_other_documents_by_its_first_line() {
    let bytes = written(&[]);
    let first = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    assert!(is_export(first));
    assert!(is_export(br#"{"version":9,"new":[],"kind":"bedrock-cost-keeper-export"}"#));
    for other in ["", "orgs:\n", "{}", r#"{"orgs":[]}"#, r#"{"kind":"org"}"#, r#"["bedrock-cost-keeper-export",1]"#] {
        assert!(!is_export(other.as_bytes()), "{other}");
    }
}

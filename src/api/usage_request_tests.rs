use super::*;

fn usage(extra: &str) -> Result<Submission, ApiError> {
    let body = format!(
        r#"{{"request_id":"7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11","model_label":"premium","status":"OK"{extra}}}"#
    );
    from_json::<UsageRequest>(body.as_bytes())?.into_submission()
}

fn refused_field(extra: &str) -> String {
    usage(extra).unwrap_err().details["field"].as_str().unwrap().to_owned()
}

#[test]
fn tokens_come_as_fields_or_as_a_converse_usage_object() {
    let flat =
        usage(r#","input_tokens":1,"output_tokens":2,"cache_write_input_tokens":5,"cache_write_1h_input_tokens":3"#);
    let converse = usage(
        r#","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":8,"cacheWriteInputTokens":5,
           "cacheDetails":[{"ttl":"1h","inputTokens":3},{"ttl":"5m","inputTokens":2}],"someday":true}"#,
    );
    assert_eq!(flat.unwrap().tokens, converse.unwrap().tokens);
    let unexplained = usage(
        r#","usage":{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":5,"cacheDetails":[{"ttl":"1h","inputTokens":3}]}"#,
    );
    assert_eq!(unexplained.unwrap().tokens.cache_write_1h, 0);
}

#[test]
fn each_refusal_names_its_field() {
    assert_eq!(refused_field(""), "input_tokens");
    assert_eq!(refused_field(r#","input_tokens":1"#), "output_tokens");
    assert_eq!(refused_field(r#","input_tokens":-1,"output_tokens":0"#), "input_tokens");
    assert_eq!(refused_field(r#","input_tokens":1.5,"output_tokens":0"#), "input_tokens");
    assert_eq!(refused_field(r#","input_tokens":1000000000001,"output_tokens":0"#), "input_tokens");
    assert_eq!(refused_field(r#","input_tokens":1,"output_tokens":0,"cost_usd_micros":5"#), "cost_usd_micros");
    assert_eq!(refused_field(r#","input_tokens":1,"output_tokens":0,"colour":5"#), "colour");
    assert_eq!(
        refused_field(r#","input_tokens":1,"output_tokens":0,"cache_write_1h_input_tokens":1"#),
        "cache_write_1h_input_tokens"
    );
    assert_eq!(refused_field(r#","usage":{"inputTokens":1,"outputTokens":2},"input_tokens":1"#), "usage");
    assert_eq!(refused_field(r#","usage":{"inputTokens":1}"#), "usage.outputTokens");
    assert_eq!(refused_field(r#","input_tokens":1,"output_tokens":0,"timestamp":"yesterday""#), "timestamp");
    assert_eq!(refused_field(r#","input_tokens":1,"output_tokens":0,"status":"OK""#), "status");
}

#[test]
fn what_is_an_object_is_not_read_from_an_array() {
    assert_eq!(refused_field(r#","usage":[1,2,3,null,null,null]"#), "usage");
    assert_eq!(refused_field(r#","input_tokens":1,"output_tokens":0,"cost_usd_micros":null"#), "cost_usd_micros");
    assert_eq!(from_json::<UsageRequest>(b"[1]").unwrap_err().details["field"], "body");
    assert_eq!(from_json::<UsageRequest>(b"{").unwrap_err().details["field"], "body");
}

#[test]
fn a_region_has_the_form_aws_gives_it() {
    for good in ["us-east-1", "eu-south-2", "us-gov-west-1", "ap-southeast-3"] {
        assert!(region(good.into()).is_ok(), "{good}");
    }
    for bad in ["", "us", "us-1", "us-east", "US-east-1", "usa-east-1", "us-east-12", "us--1", "us-east-1\n"] {
        assert!(region(bad.into()).is_err(), "{bad}");
    }
}

#[test]
fn a_timestamp_is_an_instant_with_an_offset() {
    assert!(timestamp("2026-01-23T15:30:45Z").is_ok());
    assert!(timestamp("2026-01-23T10:30:45.123-05:00").is_ok());
    assert_eq!(
        timestamp("2026-01-23T15:30:45.123456789999Z").unwrap(),
        timestamp("2026-01-23T15:30:45.123456789Z").unwrap()
    );
    for bad in [
        "2026-01-23",
        "2026-01-23T15:30:45",
        "1769182245",
        "",
        "2026-01-23T15Z",
        "20260123T153045Z",
        "2026-01-23T15:30:45,5Z",
        "2026-01-23T15:30:45.Z",
        "2026-01-23T15:30:45+00",
        "2026-01-23T15:30:45Z[UTC]",
        "2026-13-23T15:30:45Z",
        "2026-01-23T15:30:45+0100",
    ] {
        assert!(timestamp(bad).is_err(), "{bad}");
    }
}

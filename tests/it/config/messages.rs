//! Every refusal names key, value, what is expected and where it came from, and no message holds a secret.

use bedrock_cost_keeper::config::{Config, ConfigError, Finding, Origin, Sources};

use super::{load_env, load_file, load_overrides, load_yaml, sources, write};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

#[test]
fn a_bad_value_is_named_with_what_is_expected_and_its_source() {
    for (key, value, expected) in [
        ("server.listen", "localhost:8080", "an IP address and port such as 127.0.0.1:8080"),
        ("server.request_timeout_secs", "0", "a whole number of seconds from 1 to 300"),
        ("server.request_timeout_secs", "15s", "a whole number of seconds from 1 to 300"),
        ("server.body_limit_bytes", "1e6", "a whole number of bytes"),
        ("server.body_limit_bytes", "18446744073709551616", "a whole number of bytes"),
        ("server.cors_origins", "https://a.example/path", "a list, each entry an origin"),
        ("server.cors_origins", "*", "a list, each entry an origin"),
        ("storage.url", "mysql://db/x", "sqlite://path/to.db"),
        ("storage.auto_migrate", "yes", "true or false"),
        ("auth.access_token_ttl_secs", "-1", "a whole number of seconds from 60 to 86400"),
        ("auth.refresh_token_ttl_secs", "3599", "at least auth.access_token_ttl_secs"),
        ("rate_limits.usage_per_minute", "0", "expected a whole number of requests from 1 to 1000000"),
        ("server.trusted_proxies", "10.0.0.0/8, proxy.example", "expected a list, each entry an IP address or network"),
        ("server.trusted_proxies", "::ffff:10.0.0.1", "expected a list, each entry an IP address or network"),
        ("labels.premium.kind", "Model", "one of model, profile"),
        ("labels.premium.kind", "profile", ""),
        ("labels.premium.bedrock_model_id", "a b", "a Bedrock model id"),
        ("labels.premium.prices.input_usd_micros_per_1m", "1000000000001", "from 0 to 1000000000000"),
        ("defaults.tight_mode_threshold_pct", "49", "a whole number of percent from 50 to 100"),
        ("defaults.exhausted_policy", "first", "one of reject, last"),
        ("defaults.refresh_interval_tight_secs", "0", "a whole number of seconds from 1 to 86400"),
        ("defaults.agg_shard_count", "7", "one of 8, 16, 32, 64"),
        ("metering.queue_capacity", "99", "a whole number of submissions from 100"),
        ("pricing.unknown_model", "free", "one of unpriced, ceiling"),
        ("pricing.ceiling.input_usd_micros_per_1m", "0", "a whole number of micro-USD per 1M tokens from 1"),
        ("aws.bedrock.enabled", "on", "true or false"),
        ("aws.bedrock.endpoint_url", "bedrock.local", "an address such as https://bedrock.us-east-1.amazonaws.com"),
        ("aws.bedrock.timeout_ms", "10001", "a whole number of milliseconds from 100 to 10000"),
        ("retention.daily_totals_days", "31", "a whole number of days from 32"),
        ("metrics.listen", "9464", "an IP address and port"),
        ("metrics.listen", "127.0.0.1:8080", "an address other than server.listen"),
        ("log.format", "xml", "one of text, json"),
        ("log.level", "inof", "trace, debug, info, warn, error or off"),
    ] {
        let variable = format!("COST_KEEPER_{}", key.to_uppercase().replace('.', "__"));
        let from_env = load_env([(&variable, value)]).unwrap_err();
        let from_line = load_overrides([(key, value)]).unwrap_err();
        for (message, origin) in
            [(from_env, format!("environment variable {variable}")), (from_line, "command line".into())]
        {
            if key == "labels.premium.kind" && value == "profile" {
                // The id is what does not fit, and that is a default.
                assert!(message.contains("labels.premium.bedrock_model_id: found `amazon.nova-pro-v1:0`"), "{message}");
                continue;
            }
            assert!(message.starts_with(&format!("configuration refused: {key}: found `{value}`, ")), "{message}");
            assert!(message.contains(expected), "{message}");
            assert!(message.ends_with(&format!("; from {origin}")), "{message}");
        }
    }
}

#[test]
#[cfg(feature = "tls")]
fn a_certificate_needs_its_key_and_the_other_way_round() {
    for (given, missing) in [("certificate_file", "private_key_file"), ("private_key_file", "certificate_file")] {
        let given = format!("server.tls.{given}");
        let message = load_overrides([(given.as_str(), "/x.pem")]).unwrap_err();
        assert!(message.contains(&format!("server.tls.{missing}: ")) && message.contains("command line"), "{message}");
    }
    load_overrides([("server.tls.certificate_file", "/x.pem"), ("server.tls.private_key_file", "/y.pem")]).unwrap();
}

#[test]
#[cfg(not(feature = "tls"))]
fn a_binary_built_without_tls_refuses_a_certificate() {
    let files = [("server.tls.certificate_file", "/x.pem"), ("server.tls.private_key_file", "/y.pem")];
    let message = load_overrides(files).unwrap_err();
    assert!(message.contains("server.tls.certificate_file") && message.contains("cargo feature `tls`"), "{message}");
}

#[test]
#[cfg(feature = "aws")]
fn a_submission_must_not_wait_for_aws_until_it_times_out() {
    let patience = [("aws.bedrock.timeout_ms", "1000"), ("server.request_timeout_secs", "1")];
    load_overrides(patience).unwrap();
    let asking = [patience[0], patience[1], ("aws.bedrock.enabled", "true")];
    let message = load_overrides(asking).unwrap_err();
    assert!(message.contains("aws.bedrock.timeout_ms: found `1000`, expected less than server.request"), "{message}");
    load_overrides([patience[0], asking[2]]).unwrap();
}

#[test]
#[cfg(not(feature = "aws"))]
fn a_binary_built_without_aws_refuses_to_ask_it() {
    let message = load_overrides([("aws.bedrock.enabled", "true")]).unwrap_err();
    assert!(message.contains("aws.bedrock.enabled: found `true`") && message.contains("--features aws"), "{message}");
}

#[test]
fn a_file_is_held_to_its_types() {
    for (yaml, found) in [
        ("server: {listen: 8080}", "server.listen: found `8080`"),
        ("server: {request_timeout_secs: '15'}", "server.request_timeout_secs: found `15`"),
        ("server: {request_timeout_secs: 1.5}", "server.request_timeout_secs: found `1.5`"),
        ("server: {request_timeout_secs: -1}", "server.request_timeout_secs: found `-1`"),
        ("server: {request_timeout_secs: 99999999999999999999}", "server.request_timeout_secs: found `"),
        ("server: {cors_origins: 'https://a.example'}", "server.cors_origins: found `https://a.example`"),
        ("storage: {auto_migrate: 'true'}", "storage.auto_migrate: found `true`"),
        ("server: {listen: {host: a}}", "server.listen: found `a group of keys`"),
        ("data_dir: 7", "data_dir: found `7`"),
    ] {
        let message = load_yaml(yaml).unwrap_err();
        assert!(message.contains(found), "{message}");
        assert!(message.contains(", expected ") && message.contains("; from file "), "{message}");
        assert!(message.ends_with("cost-keeper.yaml"), "{message}");
    }
    assert!(load_yaml("server: 5").unwrap_err().contains("server: found (redacted), expected one of listen, "));
}

#[test]
fn a_mistake_in_the_file_is_told_even_where_a_later_source_covers_it() {
    let (dir, sources) = sources();
    write(dir.path(), "cost-keeper.yaml", "server: 5\nlog: {format: xml}");
    let sources = sources.with_overrides([("server.drain_timeout_secs", "5"), ("log.format", "json")]);
    let message = Config::load(&sources).unwrap_err().to_string();
    assert!(message.contains("2 problems") && message.contains("server: found (redacted), expected"), "{message}");
    assert!(message.contains("log.format: found `xml`") && !message.contains("missing"), "{message}");
}

#[test]
fn an_unknown_key_is_named_with_those_that_exist_and_without_its_value() {
    let message = load_yaml("auth: {jwt_secrte: hunter2}").unwrap_err();
    assert!(
        message.contains("auth.jwt_secrte: unknown key, expected one of provisioning_keys, provisioning_keys_file, "),
        "{message}"
    );
    assert!(message.contains("; from file "), "{message}");
    let message = load_yaml("labels: {x: {bedrock_model_id: m, price: {input: 1}}}").unwrap_err();
    assert!(message.contains("labels.x.price: unknown key, expected one of kind, bedrock_model_id, "), "{message}");
    let message = load_yaml("servr: {listen: x}").unwrap_err();
    assert!(message.contains("servr: unknown key, expected one of server, data_dir, storage, "), "{message}");
    let message = load_overrides([("server.lissten", "hunter2")]).unwrap_err();
    assert!(message.contains("server.lissten: unknown key") && message.ends_with("; from command line"), "{message}");
    let message = load_env([("COST_KEEPER_SERVER__LISTEN__X", "hunter2")]).unwrap_err();
    assert!(message.contains("unknown key, expected one of listen, "), "{message}");
    for message in [load_env([("COST_KEEPER_SERVER", "hunter2")]), load_overrides([("server", "hunter2")])] {
        let message = message.unwrap_err();
        assert!(message.contains("server: unknown key, expected one of listen, "), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_misspelt_variable_is_answered_with_the_right_spelling() {
    for (name, right) in [
        ("COST_KEEPER_LOG_LEVEL", "COST_KEEPER_LOG__LEVEL"),
        ("COST_KEEPER_AUTH_JWT_SECRET", "COST_KEEPER_AUTH__JWT_SECRET"),
        ("COST_KEEPER_log__level", "COST_KEEPER_LOG__LEVEL"),
    ] {
        let message = load_env([(name, SECRET)]).unwrap_err();
        assert!(message.contains(&format!("unknown key, expected {right} ")), "{message}");
        assert!(message.ends_with(&format!("from environment variable {name}")), "{message}");
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[test]
fn labels_are_checked_as_a_whole() {
    let message = load_yaml("labels: {Premium: {bedrock_model_id: m}}").unwrap_err();
    assert!(message.contains("labels.Premium: ") && message.contains("lower-case letters"), "{message}");
    let message = load_yaml("labels: {x: {description: d}}").unwrap_err();
    assert!(message.contains("labels.x.bedrock_model_id: missing, expected a Bedrock model id"), "{message}");
    assert!(message.contains("; from file "), "{message}");
    let message = load_yaml("labels: {}").unwrap_err();
    assert!(message.contains("expected at least one label"), "{message}");
    let message = load_yaml("labels: {x: {bedrock_model_id: m, prices: {input_usd_micros_per_1m: 5}}}").unwrap_err();
    assert!(message.contains("labels.x.prices.output_usd_micros_per_1m: missing, expected a price"), "{message}");
    let message = load_yaml("labels: {x: {kind: profile, bedrock_model_id: us.amazon.nova-pro-v1:0}}").unwrap_err();
    assert!(message.contains("found `us.amazon.nova-pro-v1:0`, expected the ARN of an inference profile"), "{message}");
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    load_yaml(&format!("labels: {{x: {{kind: profile, bedrock_model_id: '{arn}'}}}}")).unwrap();
    let message = load_env([("COST_KEEPER_LABELS__X__DESCRIPTION", "d")]).unwrap_err();
    assert!(message.contains("labels.x.bedrock_model_id: missing"), "{message}");
    assert!(message.ends_with("from environment variable COST_KEEPER_LABELS__X__DESCRIPTION"), "{message}");
}

#[test]
fn all_problems_are_told_at_once() {
    let (dir, sources) = sources();
    let path = write(dir.path(), "cost-keeper.yaml", "server: {listen: nowhere, lissten: x}\nlog: {format: xml}\n");
    let sources = sources.with_env([("COST_KEEPER_DATA", "x")]).with_overrides([("retention.usage_days", "1")]);
    let ConfigError::Refused(problems) = Config::load(&sources).unwrap_err() else { panic!("another refusal") };
    let told: Vec<_> = problems.iter().map(|problem| (problem.key.as_str(), &problem.found, &problem.origin)).collect();
    let value = |text: &str| Finding::Value(text.to_owned());
    assert_eq!(
        told,
        [
            ("log.format", &value("xml"), &Origin::File(path.clone())),
            ("server.lissten", &Finding::UnknownKey, &Origin::File(path.clone())),
            ("server.listen", &value("nowhere"), &Origin::File(path)),
            ("data", &Finding::UnknownKey, &Origin::Env("COST_KEEPER_DATA".to_owned())),
            ("retention.usage_days", &value("1"), &Origin::CommandLine),
        ]
    );
    let message = ConfigError::Refused(problems).to_string();
    assert!(message.starts_with("configuration refused, 5 problems:\n  - log.format: found `xml`"), "{message}");
    assert_eq!(message.lines().count(), 6);
}

#[test]
fn a_broken_file_is_told_by_line_and_never_quoted() {
    for (extension, contents, told) in [
        ("yaml", "auth:\n  jwt_secret: \"hunter2\n", "line"),
        ("yaml", "auth: {jwt_secret: hunter2, jwt_secret: hunter2}", "key \"jwt_secret\" is there twice"),
        ("yaml", "server: {listen: }\nserver: {}\n", "key \"server\" is there twice"),
        ("yaml", "- hunter2\n", "expected keys and values"),
        ("yaml", "hunter2", "expected keys and values"),
        ("yaml", "auth: *hunter", "unknown anchor"),
        ("yaml", "auth: !hunter2 hunter2", ""),
        ("toml", "[auth]\njwt_secret = \"hunter2\n", "at line 2"),
        ("toml", "[auth]\njwt_secret = hunter2\n", "at line 2"),
        ("toml", "[auth]\njwt_secret = 'x'\njwt_secret = 'hunter2'\n", "duplicate key"),
    ] {
        let message = load_file(extension, contents).unwrap_err();
        assert!(message.starts_with("configuration file ") && message.contains(told), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "keeper.ini", "");
    let message = Config::load(&Sources::in_dir(dir.path()).with_config_file(path)).unwrap_err().to_string();
    assert!(message.ends_with("expected a name ending in .yaml, .yml, .toml or .json"), "{message}");
}

#[test]
fn a_secret_is_never_shown() {
    let (dir, sources) = sources();
    let file = format!("auth: {{jwt_secret: '{SECRET}', provisioning_keys: ['{SECRET}1', '{SECRET}2']}}");
    write(dir.path(), "cost-keeper.yaml", &file);
    let sources = sources
        .with_env([("COST_KEEPER_METRICS__KEY", SECRET)])
        .with_overrides([("auth.jwt_verification_secrets", SECRET), ("storage.url", "postgres://u:hunter2@db/x")]);
    let loaded = Config::load(&sources).unwrap();
    let json = loaded.to_json().unwrap().to_string();
    for text in
        [format!("{sources:?}"), format!("{loaded:?}"), format!("{:#?}", loaded.config), loaded.describe(), json]
    {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = loaded.describe();
    for key in ["auth.provisioning_keys", "auth.jwt_secret", "auth.jwt_verification_secrets", "metrics.key"] {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("(redacted)"), "{line}");
    }
    assert!(text.contains("postgres://(redacted)@db/x"), "{text}");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown_either() {
    for yaml in [
        "auth: {jwt_secret: 74123581}",
        "auth: {jwt_secret: [a74123581]}",
        "auth: {provisioning_keys: a74123581}",
        "auth: {provisioning_keys: [74123581]}",
        "auth: {jwt_verification_secrets: {a74123581: 1}}",
        "metrics: {key: 74123581.5}",
        "storage: {url: ['postgres://u:74123581@db/x']}",
        "storage: {url: 'mysql://u:74123581@db/x'}",
    ] {
        let message = load_yaml(yaml).unwrap_err();
        assert!(!message.contains("74123581"), "{message}");
        assert!(message.contains("redacted") && message.contains(", expected "), "{message}");
    }
}

#[test]
fn a_message_stays_on_its_line() {
    let message = load_overrides([("log.format", "x\n2026-01-01 forged \u{1b}[2J")]).unwrap_err();
    assert_eq!(message.lines().count(), 1);
    assert!(message.contains("`x\\n2026-01-01 forged \\u{1b}[2J`"), "{message}");
    let message = load_overrides([(format!("a\nb{}", "c".repeat(500)).as_str(), "x")]).unwrap_err();
    assert!(message.lines().count() == 1 && message.len() < 500, "{message}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused_without_its_value() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let (_dir, sources) = sources();
    let bytes = OsString::from_vec(b"hunter2\xff".to_vec());
    let message = Config::load(&sources.with_env([("COST_KEEPER_AUTH__JWT_SECRET", bytes)])).unwrap_err().to_string();
    assert!(message.contains("auth.jwt_secret: found (redacted)") && message.contains("UTF-8"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

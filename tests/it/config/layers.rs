//! Which source wins, and how each is read.

use std::net::SocketAddr;

use bedrock_cost_keeper::config::{Config, ConfigError, Origin, Sources, UnknownModel};
use bedrock_cost_keeper::domain::selection::ExhaustedPolicy;
use secrecy::ExposeSecret;

use super::{load_env, load_file, load_overrides, load_yaml, shown, sources, write};
use crate::support::process::SERVICE_LINKS;

#[test]
fn later_sources_win_key_by_key() {
    let (dir, sources) = sources();
    let file = "server: {request_timeout_secs: 2, read_timeout_secs: 2, drain_timeout_secs: 2}";
    let path = write(dir.path(), "cost-keeper.yaml", file);
    let sources = sources
        .with_env([("COST_KEEPER_SERVER__READ_TIMEOUT_SECS", "3"), ("COST_KEEPER_SERVER__DRAIN_TIMEOUT_SECS", "3")])
        .with_overrides([("server.drain_timeout_secs", "4")]);
    let loaded = Config::load(&sources).unwrap();
    let server = &loaded.config.server;
    assert_eq!(server.body_limit_bytes, 1_048_576);
    assert_eq!((server.request_timeout_secs, server.read_timeout_secs, server.drain_timeout_secs), (2, 3, 4));
    assert_eq!(loaded.file.as_ref(), Some(&path));
    assert_eq!(shown(&loaded, "server.body_limit_bytes"), ("1048576", &Origin::Default));
    assert_eq!(shown(&loaded, "server.request_timeout_secs"), ("2", &Origin::File(path)));
    let variable = "COST_KEEPER_SERVER__READ_TIMEOUT_SECS".to_owned();
    assert_eq!(shown(&loaded, "server.read_timeout_secs"), ("3", &Origin::Env(variable)));
    assert_eq!(shown(&loaded, "server.drain_timeout_secs"), ("4", &Origin::CommandLine));
}

#[test]
fn without_any_source_the_defaults_are_in_effect() {
    let loaded = load_env([]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse::<SocketAddr>().unwrap());
    assert_eq!(config.storage.url.expose(), "sqlite://data/cost-keeper.db");
    assert_eq!(config.tenant_defaults(), Config::default().tenant_defaults());
    assert_eq!(config.label_catalog(), Config::default().label_catalog());
    assert!(config.auth.jwt_secret.is_none() && config.auth.provisioning_keys.is_empty());
    assert!(config.metrics.listen.is_none() && config.metrics.key.is_none());
    assert_eq!(config.pricing.unknown_model_rates(), None);
    assert!(loaded.entries().iter().all(|entry| entry.origin == Origin::Default));
}

#[test]
fn the_store_follows_the_data_directory_unless_it_is_named() {
    let loaded = load_overrides([("data_dir", "/var/lib/keeper")]).unwrap();
    assert_eq!(loaded.config.storage.url.expose(), "sqlite:///var/lib/keeper/cost-keeper.db");
    assert_eq!(shown(&loaded, "storage.url").1, &Origin::Default);
    let loaded = load_overrides([("data_dir", "d"), ("storage.url", "sqlite://other.db")]).unwrap();
    assert_eq!(loaded.config.storage.url.expose(), "sqlite://other.db");
}

#[test]
fn the_environment_reaches_every_depth() {
    let loaded = load_env([
        ("COST_KEEPER_DATA_DIR", "elsewhere"),
        ("COST_KEEPER_PRICING__UNKNOWN_MODEL", "ceiling"),
        ("COST_KEEPER_PRICING__CEILING__INPUT_USD_MICROS_PER_1M", "7"),
        ("COST_KEEPER_LABELS__PREMIUM__PRICES__INPUT_USD_MICROS_PER_1M", "1"),
        ("COST_KEEPER_LABELS__PREMIUM__PRICES__OUTPUT_USD_MICROS_PER_1M", "0"),
        ("COST_KEEPER_DEFAULTS__EXHAUSTED_POLICY", " last "),
        ("COST_KEEPER_DEFAULTS__STICKY_FALLBACK_ENABLED", "false"),
        ("COST_KEEPER_METRICS__LISTEN", "[::1]:9464"),
        ("PATH", "/bin"),
        ("COST_KEEPERX", "ignored"),
    ])
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.data_dir, std::path::Path::new("elsewhere"));
    assert_eq!(config.pricing.unknown_model, UnknownModel::Ceiling);
    let ceiling = config.pricing.unknown_model_rates().unwrap();
    assert_eq!((ceiling.input, ceiling.output, ceiling.cache_write_1h), (Some(7), Some(150_000_000), Some(7)));
    let premium = config.labels.get(&"premium".parse().unwrap()).unwrap();
    let prices = premium.prices.unwrap();
    assert_eq!((prices.input_usd_micros_per_1m, prices.output_usd_micros_per_1m), (Some(1), Some(0)));
    assert_eq!(premium.bedrock_model_id, "amazon.nova-pro-v1:0");
    assert_eq!(config.tenant_defaults().exhausted_policy, ExhaustedPolicy::Last);
    assert!(!config.tenant_defaults().sticky_fallback_enabled);
    assert_eq!(config.metrics.listen, Some("[::1]:9464".parse().unwrap()));
}

#[test]
fn lists_are_separated_by_commas_outside_a_file() {
    let loaded = load_env([
        ("COST_KEEPER_AUTH__PROVISIONING_KEYS", " first-key , ,second=key,"),
        ("COST_KEEPER_SERVER__CORS_ORIGINS", "https://a.example,http://localhost:3000"),
    ])
    .unwrap();
    let keys: Vec<_> = loaded.config.auth.provisioning_keys.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, ["first-key", "second=key"]);
    assert_eq!(loaded.config.server.cors_origins, ["https://a.example", "http://localhost:3000"]);
    let none = load_overrides([("server.cors_origins", "")]).unwrap();
    assert!(none.config.server.cors_origins.is_empty());
}

#[test]
fn a_secret_is_taken_as_it_is_written() {
    for text in ["01234567890123456789012345678901", "true", "[x]", "{a=1}", "1.50", "\"q\"", "'c'", " a,b ", "null"] {
        let loaded = load_env([
            ("COST_KEEPER_AUTH__JWT_SECRET", text),
            ("COST_KEEPER_METRICS__KEY", text),
            ("COST_KEEPER_AUTH__JWT_VERIFICATION_SECRETS", &text.replace([',', ' '], "")),
        ])
        .unwrap();
        let auth = &loaded.config.auth;
        assert_eq!(auth.jwt_secret.as_ref().unwrap().expose_secret(), text);
        assert_eq!(loaded.config.metrics.key.as_ref().unwrap().expose_secret(), text);
        assert_eq!(auth.jwt_verification_secrets[0].expose_secret(), text.replace([',', ' '], ""));
        let loaded = load_overrides([("auth.jwt_secret", text)]).unwrap();
        assert_eq!(loaded.config.auth.jwt_secret.unwrap().expose_secret(), text);
    }
}

#[test]
fn other_text_is_text_too() {
    let loaded = load_env([("COST_KEEPER_DATA_DIR", "123"), ("COST_KEEPER_LABELS__PREMIUM__DESCRIPTION", "true")]);
    let config = loaded.unwrap().config;
    assert_eq!(config.data_dir, std::path::Path::new("123"));
    assert_eq!(config.labels.get(&"premium".parse().unwrap()).unwrap().description, "true");
}

#[test]
fn an_empty_variable_is_unset() {
    let loaded = load_env([("COST_KEEPER_AUTH__JWT_SECRET", ""), ("COST_KEEPER_SERVER__LISTEN", "")]).unwrap();
    assert!(loaded.config.auth.jwt_secret.is_none());
    assert_eq!(shown(&loaded, "server.listen"), ("127.0.0.1:8080", &Origin::Default));
}

#[test]
fn variables_of_a_service_named_cost_keeper_are_not_configuration() {
    let (_dir, sources) = sources();
    Config::load(&sources.with_env(SERVICE_LINKS.iter().copied())).unwrap();
    assert!(load_env([("COST_KEEPER_SERVER_PORT", "8080")]).is_err());
}

#[test]
fn toml_and_json_say_the_same_as_yaml() {
    let yaml = "server:\n  drain_timeout_secs: 7\n  cors_origins: ['https://a.example']\nlabels:\n  x: {bedrock_model_id: m}\n";
    let toml = "[server]\ndrain_timeout_secs = 7\ncors_origins = [\"https://a.example\"]\n[labels.x]\nbedrock_model_id = \"m\"\n";
    let yaml = load_yaml(yaml).unwrap().to_json().unwrap();
    assert_eq!(load_file("toml", toml).unwrap().to_json().unwrap(), yaml);
    assert_eq!(yaml["server"]["drain_timeout_secs"], 7);
    let dir = tempfile::tempdir().unwrap();
    let json = write(dir.path(), "exported.json", &yaml.to_string());
    let again = Config::load(&Sources::in_dir(dir.path()).with_config_file(json)).unwrap();
    assert_eq!(again.to_json().unwrap(), yaml);
}

#[test]
fn a_section_without_keys_says_nothing() {
    for empty in ["", "# only a comment\n", "server:\n  # listen: x\nauth:\n  jwt_secret:\nlabels:\n"] {
        let loaded = load_yaml(empty).unwrap();
        assert_eq!(loaded.to_json().unwrap(), load_env([]).unwrap().to_json().unwrap());
    }
}

#[test]
fn a_file_that_lists_labels_replaces_the_default_ones() {
    let yaml = "labels:\n  cheap:\n    bedrock_model_id: amazon.nova-micro-v1:0\n";
    let loaded = load_yaml(yaml).unwrap();
    let names = |config: &Config| config.labels.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&loaded.config), ["cheap"]);
    assert_eq!(shown(&loaded, "labels.cheap.kind"), ("model", &Origin::Default));

    let (dir, sources) = sources();
    write(dir.path(), "cost-keeper.yaml", yaml);
    let sources = sources.with_env([
        ("COST_KEEPER_LABELS__CHEAP__DESCRIPTION", "amended"),
        ("COST_KEEPER_LABELS__DEAR__BEDROCK_MODEL_ID", "amazon.nova-pro-v1:0"),
    ]);
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(names(&config), ["cheap", "dear"]);
    assert_eq!(config.labels.get(&"cheap".parse().unwrap()).unwrap().description, "amended");

    let amended = load_env([("COST_KEEPER_LABELS__CHEAP__BEDROCK_MODEL_ID", "m")]).unwrap();
    assert_eq!(names(&amended.config), ["cheap", "economy", "premium", "standard"]);
}

#[test]
fn a_named_file_must_exist_and_a_found_one_be_the_only_one() {
    let (dir, sources) = sources();
    let missing = sources.clone().with_config_file(dir.path().join("nowhere.yaml"));
    let refused = Config::load(&missing).unwrap_err();
    assert!(matches!(refused, ConfigError::File { .. }));
    assert!(refused.to_string().contains("nowhere.yaml: No such file"), "{refused}");

    let named = write(dir.path(), "named.yml", "data_dir: named");
    write(dir.path(), "cost-keeper.yml", "data_dir: yml");
    assert_eq!(Config::load(&sources).unwrap().config.data_dir, std::path::Path::new("yml"));
    write(dir.path(), "cost-keeper.toml", "data_dir = 'toml'");
    let refused = Config::load(&sources).unwrap_err().to_string();
    assert!(refused.contains("cost-keeper.yml") && refused.contains("cost-keeper.toml exists as well"), "{refused}");
    let loaded = Config::load(&sources.with_config_file(named)).unwrap();
    assert_eq!(loaded.config.data_dir, std::path::Path::new("named"));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_there_but_cannot_be_read_is_not_passed_over() {
    let (dir, sources) = sources();
    std::os::unix::fs::symlink("/nonexistent", dir.path().join("cost-keeper.yaml")).unwrap();
    assert!(Config::load(&sources).unwrap_err().to_string().contains("cost-keeper.yaml: No such file"));
    std::fs::remove_file(dir.path().join("cost-keeper.yaml")).unwrap();
    std::fs::create_dir(dir.path().join("cost-keeper.toml")).unwrap();
    assert!(matches!(Config::load(&sources), Err(ConfigError::File { .. })));
}

#[test]
fn an_override_is_split_at_its_first_equals_sign() {
    let split = Sources::parse_override("auth.jwt_secret=a=b").unwrap();
    assert_eq!(split, ("auth.jwt_secret".to_owned(), "a=b".to_owned()));
    for bad in ["hunter2", "=hunter2"] {
        assert!(!Sources::parse_override(bad).unwrap_err().contains("hunter2"));
    }
}

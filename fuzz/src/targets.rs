//! What is fuzzed, and what must hold for any bytes. The tests of the service run these too, so they cannot rot.
//!
//! None may panic, and what was read must mean the same when it is written and read again.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_cost_keeper::api::apps::PutAppRequest;
use bedrock_cost_keeper::api::error::ApiError;
use bedrock_cost_keeper::api::extract::{from_json, from_pairs};
use bedrock_cost_keeper::api::fuzzing::{basic_credentials, forwarded_for};
use bedrock_cost_keeper::api::import::{ImportFormat, parse_document};
use bedrock_cost_keeper::api::orgs::PutOrgRequest;
use bedrock_cost_keeper::api::pagination::{PageQuery, decode_cursor, encode_cursor};
use bedrock_cost_keeper::api::tokens::TokenRequest;
use bedrock_cost_keeper::api::usage_request::{
    CostBatchRequest, CostRequest, SubmissionBody, UsageBatchRequest, UsageRequest,
};
use bedrock_cost_keeper::domain::ids::{AppId, ClientId, ModelLabel, OrgId};
use bedrock_cost_keeper::domain::pricing::price_list::{from_document, parse, to_document};
use bedrock_cost_keeper::domain::pricing::{PriceBook, embedded};
use bedrock_cost_keeper::domain::profile::ProfileArn;
use bedrock_cost_keeper::domain::signing_key::SigningKey;
use bedrock_cost_keeper::domain::tokens::MAX_TOKENS_PER_SUBMISSION;
use bedrock_cost_keeper::service::moving;
use bedrock_cost_keeper::service::signing::{TokenKeys, TokenSigner, Verdict};
use bedrock_cost_keeper::service::tokens::Claims;
use ipnet::IpNet;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

/// What is done with an input; panics where something is wrong.
pub(crate) type Target = fn(&[u8]);

/// Every target by name; seeds are in the folder of `fuzz/corpus` that has the name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("token", token),
    ("claims", claims),
    ("usage", submission::<UsageRequest>),
    ("costs", submission::<CostRequest>),
    ("usage_batch", usage_batch),
    ("costs_batch", costs_batch),
    ("org", org),
    ("app", app),
    ("import_json", import_json),
    ("import_yaml", import_yaml),
    ("token_request", token_request),
    ("query", query),
    ("cursor", cursor),
    ("arn", arn),
    ("ids", ids),
    ("price_list", price_list),
    ("price_document", price_document),
    ("export_file", export_file),
    ("basic", basic),
    ("forwarded_for", client_address),
];

/// Longest message of a refusal: it repeats nothing but names of members, cut short.
const MAX_MESSAGE: usize = 2_000;
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const SECRET: &str = "fuzzing-signing-secret-0123456789-abcdef";

static SIGNER: LazyLock<TokenSigner> =
    LazyLock::new(|| TokenSigner::new(&TokenKeys { signing: SigningKey::hs256(SECRET), verification: Vec::new() }));
static BOOK: LazyLock<PriceBook> = LazyLock::new(|| embedded().expect("the embedded prices are good"));

/// A refusal is a short 4xx that names a field.
fn refused(error: &ApiError) {
    assert!(error.status.is_client_error(), "{error:?}");
    assert!(error.message.len() < MAX_MESSAGE, "{} bytes", error.message.len());
    assert!(error.details["field"].as_str().is_some_and(|field| !field.is_empty()), "{error:?}");
}

/// What nobody signed is never taken for signed.
fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(!matches!(SIGNER.verify::<Claims>(text, NOW), Verdict::Signed(_)), "{text}");
}

/// Any claims, well signed: whatever they are, those that are taken agree with each other.
fn claims(data: &[u8]) {
    let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, SigningKey::hs256(SECRET).kid());
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(data));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("it is signed");
    if let Verdict::Signed(claims) = SIGNER.verify::<Claims>(&format!("{message}.{signature}"), NOW) {
        let written = SIGNER.sign(&claims).expect("claims are written");
        let Verdict::Signed(again) = SIGNER.verify::<Claims>(&written, NOW) else { panic!("own claims are refused") };
        assert_eq!(again.client_id(), claims.client_id());
    }
}

fn submitted<T: SubmissionBody>(parsed: Result<T, ApiError>) {
    match parsed.and_then(T::into_submission) {
        Err(error) => refused(&error),
        Ok(submission) => {
            let tokens = submission.tokens;
            assert!(tokens.cache_write_1h <= tokens.cache_write);
            for count in [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write] {
                assert!(count <= MAX_TOKENS_PER_SUBMISSION);
            }
        }
    }
}

fn submission<T: SubmissionBody>(data: &[u8]) {
    submitted(from_json::<T>(data));
}

fn usage_batch(data: &[u8]) {
    match from_json::<UsageBatchRequest>(data) {
        Err(error) => refused(&error),
        Ok(batch) => batch.requests.iter().for_each(|record| submission::<UsageRequest>(record.get().as_bytes())),
    }
}

fn costs_batch(data: &[u8]) {
    match from_json::<CostBatchRequest>(data) {
        Err(error) => refused(&error),
        Ok(batch) => batch.requests.iter().for_each(|record| submission::<CostRequest>(record.get().as_bytes())),
    }
}

fn org(data: &[u8]) {
    match from_json::<PutOrgRequest>(data) {
        Err(error) => refused(&error),
        Ok(body) => drop(body.into_draft()),
    }
}

fn app(data: &[u8]) {
    match from_json::<PutAppRequest>(data) {
        Err(error) => refused(&error),
        Ok(body) => drop(body.into_config()),
    }
}

fn import(data: &[u8], format: ImportFormat) {
    match parse_document(data, format) {
        Err(error) => refused(&error),
        Ok(document) => drop(document.into_orgs()),
    }
}

fn import_json(data: &[u8]) {
    import(data, ImportFormat::Json);
}

fn import_yaml(data: &[u8]) {
    import(data, ImportFormat::Yaml);
}

fn token_request(data: &[u8]) {
    if let Err(error) = from_json::<TokenRequest>(data) {
        refused(&error);
    }
    if let Err(error) = from_pairs::<TokenRequest>(data, "body") {
        refused(&error);
    }
}

fn query(data: &[u8]) {
    if let Err(error) = from_pairs::<PageQuery>(data, "query") {
        refused(&error);
    }
}

/// A cursor that is taken is one that was given out: there is one for each position.
fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match decode_cursor(text, |position| Some(position.to_owned())) {
        Err(error) => refused(&error),
        Ok(position) => assert_eq!(encode_cursor(&position), text),
    }
}

fn arn(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(arn) = text.parse::<ProfileArn>() {
        assert_eq!(arn.as_str(), text);
        assert!(!arn.region().is_empty() && arn.region().len() < text.len());
        assert_eq!(arn.to_string().parse::<ProfileArn>().as_ref(), Ok(&arn));
    }
}

/// An identifier that is taken means itself when it is written and read again.
fn means_itself<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        let written = id.to_string();
        assert!(written.parse::<T>().is_ok_and(|again| again == id), "{text}");
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    }
}

fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    means_itself::<ClientId>(text);
    means_itself::<OrgId>(text);
    means_itself::<AppId>(text);
    means_itself::<ModelLabel>(text);
}

/// One item on each line.
fn price_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let publication = parse(text.lines(), &BOOK, NOW);
    assert_eq!(publication.products, text.lines().count());
}

fn price_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(list) = from_document(text) {
        let written = to_document(&list).expect("a list is written");
        assert_eq!(from_document(&written).expect("and read again"), list);
    }
}

fn export_file(data: &[u8]) {
    drop(moving::verify(data));
}

fn basic(data: &[u8]) {
    if let Err(error) = basic_credentials(data) {
        assert!(error.status.is_client_error() && error.message.len() < MAX_MESSAGE, "{error:?}");
    }
}

/// Nobody gets to be somebody else by what it writes itself.
fn client_address(data: &[u8]) {
    let peer: IpAddr = "10.0.0.1".parse().expect("an address");
    assert_eq!(forwarded_for(peer, data, &[]), peer);
    let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")];
    let stranger: IpAddr = "203.0.113.9".parse().expect("an address");
    assert_eq!(forwarded_for(stranger, data, &proxies), stranger);
    let address = forwarded_for(peer, data, &proxies);
    assert_eq!(address, address.to_canonical());
}

//! Bodies that are hostile as a whole.

use std::io::Write as _;

use serde_json::{Value, json};

use super::routes::{in_time, refused, refused_or_failed, routes, start};

/// The largest body that is read.
const LIMIT: usize = 1024 * 1024;

#[tokio::test]
async fn a_body_that_nests_ten_thousand_deep_is_refused() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    for route in routes(&chat).await {
        let first = route.body.as_object().unwrap().keys().next().unwrap().clone();
        for (how, open, close) in [("lists", "[", "]"), ("objects", "{\"a\":", "}")] {
            for inner in ["", "1"] {
                let nested = format!("{}{inner}{}", open.repeat(10_000), close.repeat(10_000));
                let what = format!("{}: {how} around {inner:?}", route.name);
                refused(route.send(&chat, nested.clone()).await, &what);
                refused_or_failed(route.send(&chat, format!("{{\"{first}\":{nested}}}")).await, &what);
                let unknown = route.send(&chat, format!("{{\"surprise\":{nested}}}")).await;
                assert!((400..500).contains(&unknown.status), "{what}: {}", unknown.text());
                // And one that never ends.
                refused(route.send(&chat, open.repeat(10_000)).await, &what);
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_body_that_is_no_text_or_no_object_is_refused() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    for route in routes(&chat).await {
        let good = route.body.to_string();
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let invalid = good.replacen(":\"", ":\"\u{1}", 1).into_bytes();
        let invalid: Vec<u8> = invalid.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        let bodies: Vec<(&str, Vec<u8>)> = vec![
            ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
            ("UTF-16", utf16),
            ("invalid UTF-8", invalid),
            ("a NUL before it", [b"\0", good.as_bytes()].concat()),
            ("a NUL after it", [good.as_bytes(), b"\0"].concat()),
            ("twice itself", [good.as_bytes(), good.as_bytes()].concat()),
            ("a comment", format!("/* */{good}").into_bytes()),
            ("a trailing comma", format!("{},}}", good.strip_suffix('}').unwrap()).into_bytes()),
            ("single quotes", good.replace('"', "'").into_bytes()),
            ("a list of itself", format!("[{good}]").into_bytes()),
            ("a text", b"\"text\"".to_vec()),
            ("a number", b"5".to_vec()),
            ("white space", b" \n\t".to_vec()),
            ("the start of itself", good.as_bytes()[..good.len() - 1].to_vec()),
            ("an XML document", b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>".to_vec()),
        ];
        for (how, body) in bodies {
            refused(route.send(&chat, body).await, &format!("{}: {how}", route.name));
        }
        // A rotation may leave its body out, or send null.
        if !route.name.starts_with("rotation") {
            refused(route.send(&chat, "null").await, route.name);
            refused(route.send(&chat, "").await, route.name);
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_body_of_a_mebibyte_of_anything_is_refused_in_bounded_time() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let filled = |start: &str, unit: &str, end: &str| {
        let times = (LIMIT - start.len() - end.len()) / unit.len();
        format!("{start}{}{end}", unit.repeat(times))
    };
    let members: String = (0..).map(|n| format!("\"k{n}\":0,")).take(80_000).collect();
    let bodies = [
        ("white space", filled("", " ", "")),
        ("opening brackets", filled("", "[", "")),
        ("opening objects", filled("", "{\"a\":", "")),
        ("one text", filled("{\"a\":\"", "x", "\"}")),
        ("one name", filled("{\"", "x", "\":1}")),
        ("escapes", filled("{\"a\":\"", "\\u0041", "\"}")),
        ("one number", filled("{\"a\":", "9", "}")),
        ("one fraction", filled("{\"a\":0.", "0", "1}")),
        ("one exponent", filled("{\"a\":1e", "9", "}")),
        ("the same member", filled("{", "\"a\":0,", "\"a\":0}")),
        ("many members", format!("{{{members}\"k\":0}}")),
        ("a list of nulls", filled("{\"requests\":[null", ",null", "]}")),
        ("a list of objects", filled("{\"requests\":[{}", ",{}", "]}")),
        ("a list of organizations", filled("{\"orgs\":[{}", ",{}", "]}")),
        ("quotas", format!("{{\"quotas\":{{{members}\"k\":0}}}}")),
        ("an ordering", filled("{\"model_ordering\":[\"a\"", ",\"a\"", "]}")),
    ];
    for route in routes(&chat).await {
        for (how, body) in &bodies {
            assert!(body.len() <= LIMIT, "{how}: {}", body.len());
            let what = format!("{}: {how}", route.name);
            let reply = route.send(&chat, body.clone()).await;
            // Members that it does not know an OAuth2 client may send; the grant is missing then, or the token.
            refused_or_failed(reply, &what);
        }
        let reply = route.call(&chat).body("application/json", "x".repeat(LIMIT + 1)).await;
        reply.error(413, "PAYLOAD_TOO_LARGE");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_not_inflated() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    // Stored, not compressed, but well-formed: were it inflated, the body would be good.
    let gzip = |text: &[u8]| {
        let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
        let length = u16::try_from(text.len()).unwrap();
        bytes.write_all(&length.to_le_bytes()).unwrap();
        bytes.write_all(&(!length).to_le_bytes()).unwrap();
        bytes.extend_from_slice(text);
        bytes
    };
    for route in routes(&chat).await {
        let good = route.body.to_string();
        for coding in ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "", "x"] {
            for body in [gzip(good.as_bytes()), good.clone().into_bytes()] {
                let call = route.call(&chat).header("content-encoding", coding).body("application/json", body);
                let reply = in_time(call, route.name).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
                assert_eq!(reply.header("accept-encoding"), "identity", "{coding}");
                assert!(reply.str("message").contains("Content-Encoding"), "{}", reply.text());
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
    let usage = routes(&chat).await.into_iter().find(|route| route.name == "usage").unwrap();
    let call = usage.call(&chat).header("content-encoding", "Identity");
    call.body("application/json", usage.body.to_string()).await.ok(202);
}

#[tokio::test]
async fn a_form_whose_parameter_stands_twice_names_it() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    for (path, name) in [
        ("/auth/token", "grant_type"),
        ("/auth/token", "client_secret"),
        ("/auth/refresh", "refresh_token"),
        ("/auth/revoke", "token"),
    ] {
        let form = format!("{name}=hunter2&{name}=hunter2");
        let call = server.post(path).bearer(&chat.token).body("application/x-www-form-urlencoded", form);
        let reply = call.await.refuses("INVALID_REQUEST", name);
        assert!(!reply.text().contains("hunter2"), "{}", reply.text());
    }
    for form in ["%ff=%fe", "=", "&&&&", "a=b=c", "grant_type[]=x", &"a=b&".repeat(100_000)] {
        let call = server.post("/auth/token").body("application/x-www-form-urlencoded", form);
        refused(in_time(call, form.get(..8).unwrap_or(form)).await, "form");
    }
}

#[tokio::test]
async fn a_yaml_document_that_is_hostile_is_refused() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let laughs: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}]\n", m = n - 1)).collect();
    let good: Value = routes(&chat).await.into_iter().find(|route| route.name == "import").unwrap().body;
    for (how, field, document) in [
        ("expands without end", "a0", format!("a0: &a0 [x]\n{laughs}orgs: *a29\n")),
        ("nests in blocks", "a", (0..5_000).map(|n| format!("{}a:\n", " ".repeat(n.min(200)))).collect::<String>()),
        ("has a word in an object", "orgs[0].quota_scope", good.to_string().replace("\"APP\"", "{APP: null}")),
        ("has a word with a tag", "orgs[0].quota_scope", good.to_string().replace("\"APP\"", "!APP")),
        ("has a text for a number", "orgs[0].quotas.premium", "orgs: [{quotas: {premium: many}}]".to_owned()),
        ("lacks a member", "orgs[0].org_name", format!("orgs: [{{org_id: {}}}]", crate::support::tenants::ORG)),
        ("has a member twice", "orgs", "orgs: []\norgs: []\n".to_owned()),
        ("is two documents", "body", "orgs: []\n---\norgs: []\n".to_owned()),
        ("is a tag", "body", "!!python/object:os.system [ls]".to_owned()),
        ("is no document", "body", "\t@".to_owned()),
    ] {
        let call = server.post("/api/v1/config/import").admin().body("application/yaml", document);
        let named = refused(in_time(call, how).await, how);
        assert_eq!(named, field, "{how}");
    }
    assert_eq!(server.snapshot().await, before);
}

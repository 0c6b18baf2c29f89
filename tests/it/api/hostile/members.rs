//! One member of a good body spoilt at a time: each of them, at every level.

use serde_json::{Value, json};

use super::routes::{Route, refused, routes, start};
use crate::support::client::Reply;
use crate::support::tenants::Tenant;

const MARK: &str = "\"@mark@\"";

/// A place in a body, written as refusals name it, and how to get there.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    pointer: String,
}

/// Every place below a value that `wanted` accepts.
fn places(value: &Value, wanted: fn(&Value) -> bool) -> Vec<Place> {
    let mut found = Vec::new();
    collect(value, Place { name: String::new(), pointer: String::new() }, wanted, &mut found);
    found
}

fn collect(value: &Value, at: Place, wanted: fn(&Value) -> bool, found: &mut Vec<Place>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if at.name.is_empty() { "" } else { "." };
                let below =
                    Place { name: format!("{}{dot}{name}", at.name), pointer: format!("{}/{name}", at.pointer) };
                collect(member, below, wanted, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let below = Place { name: format!("{}[{index}]", at.name), pointer: format!("{}/{index}", at.pointer) };
                collect(item, below, wanted, found);
            }
        }
        _ => {}
    }
    if wanted(value) {
        found.push(at);
    }
}

/// The body with other text at a place.
fn spoilt(body: &Value, pointer: &str, text: &str) -> String {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = json!("@mark@");
    body.to_string().replace(MARK, text)
}

/// What a refusal says is wrong: of a batch that of its only record.
fn refused_place(route: &Route, reply: Reply, what: &str) -> String {
    if route.is_batch() && reply.status == 207 {
        let reply = reply.ok(207);
        let result = &reply["results"][0];
        assert_eq!((&reply["failed"], &result["error"]), (&json!(1), &json!("INVALID_REQUEST")), "{what}: {result}");
        let message = result["message"].as_str().unwrap();
        return format!("requests[0].{}", message.split(": ").next().unwrap());
    }
    refused(reply, what)
}

fn is_leaf(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// Sends it, and asserts that it was refused naming that place.
async fn is_refused_at(route: &Route, chat: &Tenant<'_>, text: String, place: &Place, how: &str) {
    let what = format!("{}: {} {how}", route.name, place.name);
    let reply = route.send(chat, text).await;
    let named = refused_place(route, reply, &what);
    // The place, the map it belongs to, or one inside of what stands there instead.
    let inside = named.strip_prefix(&place.name).is_some_and(|rest| rest.starts_with('['));
    assert!(named == place.name || inside || place.name.starts_with(&format!("{named}.")), "{what}: names {named}");
}

#[tokio::test]
async fn a_member_of_no_possible_value_is_refused_by_name() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let texts = [
        ("is an exponent", "1e400"),
        ("is a negative exponent", "-1e-400"),
        ("is a fraction", "1.5"),
        ("is a list", "[]"),
        ("is an object", "{}"),
        ("is nested deeply", deep.as_str()),
        ("is a lone surrogate", r#""\ud800""#),
        ("is a reversed pair", r#""\udc00\ud800""#),
        ("is a bad escape", r#""\x41""#),
        ("is a raw line break", "\"a\nb\""),
    ];
    for route in routes(&chat).await {
        for place in places(&route.body, is_leaf) {
            for (how, text) in texts {
                // What nobody reads may be anything that is JSON.
                if place.name == "token_type_hint" && matches!(how, "is a list" | "is an object") {
                    continue;
                }
                is_refused_at(&route, &chat, spoilt(&route.body, &place.pointer, text), &place, how).await;
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn an_integer_that_is_none_is_refused_by_name() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let mut integers = 0;
    for route in routes(&chat).await {
        for place in places(&route.body, Value::is_number) {
            integers += 1;
            for text in
                ["-1", "18446744073709551616", "99999999999999999999999999999999", "1.0", "\"1\"", "true", "-0.0"]
            {
                is_refused_at(&route, &chat, spoilt(&route.body, &place.pointer, text), &place, text).await;
            }
        }
    }
    assert!(integers > 30, "{integers}");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_word_is_taken_as_a_word_only() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let words = ["quota_scope", "exhausted_policy", "secret_delivery", "status", "service_tier", "latency"];
    let mut seen = 0;
    for route in routes(&chat).await {
        for place in places(&route.body, Value::is_string) {
            if !words.iter().any(|word| place.name.ends_with(word)) {
                continue;
            }
            seen += 1;
            let word = route.body.pointer(&place.pointer).unwrap().as_str().unwrap();
            for text in [
                format!("{{\"{word}\":null}}"),
                format!("{{\"{word}\":{{}}}}"),
                format!("[\"{word}\"]"),
                format!("\"{word} \""),
                format!(
                    "\"{}\"",
                    word.chars()
                        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                        .collect::<String>()
                ),
                "\"\"".to_owned(),
                "0".to_owned(),
                "true".to_owned(),
            ] {
                is_refused_at(&route, &chat, spoilt(&route.body, &place.pointer, &text), &place, &text).await;
            }
        }
    }
    assert!(seen >= 12, "{seen}");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_text_that_is_endless_or_has_control_characters_changes_nothing() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let long = format!("{:?}", "x".repeat(200_000));
    for route in routes(&chat).await {
        for place in places(&route.body, Value::is_string) {
            // A time to live that AWS may invent is taken as it is, and not kept.
            if place.name.ends_with("ttl") {
                continue;
            }
            // An OAuth2 client's texts are compared, not kept: wrong ones are wrong credentials, or name no token.
            if route.is_oauth() {
                for text in [r#""a\u0000b""#, long.as_str()] {
                    let reply = route.send(&chat, spoilt(&route.body, &place.pointer, text)).await;
                    assert!(matches!(reply.status, 204 | 400 | 401), "{}: {}", route.name, reply.text());
                }
                continue;
            }
            for (how, text) in
                [("has a NUL", r#""a\u0000b""#), ("is endless", &long), ("is an escape", r#""\u001b[2J""#)]
            {
                is_refused_at(&route, &chat, spoilt(&route.body, &place.pointer, text), &place, how).await;
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused_by_name_at_every_level() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let mut twice = 0;
    for route in routes(&chat).await {
        for object in places(&route.body, Value::is_object) {
            let members = route.body.pointer(&object.pointer).unwrap().as_object().unwrap().clone();
            for (name, value) in &members {
                let whole = Value::Object(members.clone()).to_string();
                let text = format!("{},\"{name}\":{value}}}", whole.strip_suffix('}').unwrap());
                let text = if object.pointer.is_empty() { text } else { spoilt(&route.body, &object.pointer, &text) };
                let what = format!("{}: {name} twice in {:?}", route.name, object.name);
                let named = refused_place(&route, route.send(&chat, text).await, &what);
                // A repeated label of a map of quotas is refused at the map.
                let expected = if object.name.is_empty() { name.clone() } else { format!("{}.{name}", object.name) };
                assert!(named == expected || named == object.name, "{what}: names {named}");
                twice += 1;
            }
        }
    }
    assert!(twice > 100, "{twice}");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn an_unknown_member_is_refused_by_name_at_every_level_but_where_others_add_some() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    for route in routes(&chat).await.into_iter().filter(|route| !route.is_oauth()) {
        for object in places(&route.body, Value::is_object) {
            // AWS adds members to what Converse answers.
            let ignored = object.name.contains("usage") || object.name.contains("cacheDetails");
            let quotas = object.name.ends_with("quotas");
            if ignored || quotas {
                continue;
            }
            let mut body = route.body.clone();
            body.pointer_mut(&object.pointer).unwrap()["surprise"] = json!({"deep": [1, 2]});
            let what = format!("{}: in {:?}", route.name, object.name);
            let named = refused_place(&route, route.send(&chat, body.to_string()).await, &what);
            assert!(named.ends_with("surprise"), "{what}: names {named}");
        }
    }
    assert_eq!(server.snapshot().await, before);
}

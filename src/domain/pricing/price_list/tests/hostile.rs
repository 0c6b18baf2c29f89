//! Texts that nobody should send, and documents that nobody should write.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn hostile_items_are_counted_and_nothing_more() {
    let good = item(
        &json!({"model": "Nova Pro", "regionCode": "us-east-1", "usagetype": "X-NovaPro-input-tokens"}),
        "1K tokens",
        "0.0008",
    );
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed.to_string()
    };
    let price = "/terms/OnDemand/2VJZ7QH5KEHZ2VCM.JRTCKXETXF/priceDimensions/2VJZ7QH5KEHZ2VCM.JRTCKXETXF.6YS6EN2CT7";
    for (text, skip) in [
        (String::new(), Skip::Malformed),
        ("{".repeat(100_000), Skip::Malformed),
        ("[".repeat(60_000), Skip::Malformed),
        (format!("\"{}\"", "x".repeat(70_000)), Skip::Malformed),
        (with("/product/attributes", json!("none")), Skip::Malformed),
        (with("/product/attributes/usagetype", json!(7)), Skip::Malformed),
        (with("/product/attributes/usagetype", json!("x".repeat(500))), Skip::Malformed),
        (with("/product/attributes/regionCode", json!("us-east-1'; DROP TABLE")), Skip::NoRegion),
        (with("/product/attributes/regionCode", json!(null)), Skip::NoRegion),
        (with("/terms", json!({})), Skip::NoPrice),
        (with(&format!("{price}/pricePerUnit"), json!({"CNY": "1.0"})), Skip::NoPrice),
        (with(&format!("{price}/pricePerUnit"), json!({"USD": 0.0008})), Skip::Malformed),
        (with(&format!("{price}/pricePerUnit"), json!({"USD": "-0.0008"})), Skip::BadPrice),
        (with(&format!("{price}/pricePerUnit"), json!({"USD": "NaN"})), Skip::BadPrice),
        (with(&format!("{price}/pricePerUnit"), json!({"USD": "9999999"})), Skip::BadPrice),
        (with(&format!("{price}/unit"), json!("hour")), Skip::OtherUnit),
    ] {
        let read = read(std::slice::from_ref(&text));
        let skipped: Vec<_> = read.skipped.keys().copied().collect();
        assert_eq!(skipped, [skip], "{}", text.chars().take(300).collect::<String>());
    }
    let strange = read(&[with("/product/attributes/usagetype", json!("ééé-𝄞-input-tokens"))]);
    assert!(strange.skipped.is_empty(), "the name of the model is enough");
    let many: Vec<_> = (0..500).map(|n| native(&format!("Marvel {n}"), "us-east-1", "X-Y-input-tokens", "1")).collect();
    assert_eq!(read(&many).unknown_names.len(), 50);
}

#[test]
fn a_list_survives_its_document_and_a_wrong_document_is_refused() {
    let list = accept(&both(), None).unwrap().list;
    let document = to_document(&list).unwrap();
    assert_eq!(from_document(&document).unwrap(), list);
    for wrong in [
        document.replace("\"schema\":1", "\"schema\":2"),
        document.replace("800000", "9000000000000"),
        document.replace("us-east-1", "../etc"),
        document.replace("\"input\":800000", "\"input\":null"),
        document.replace("us-west-2", "us-east-1"),
        document.replace("800000", "-1"),
        document[..document.len() / 2].to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert!(from_document(&wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_without_panic(texts in proptest::collection::vec("\\PC*", 0..4)) {
        let _ = read(&texts);
        let _ = from_document(&texts.concat());
    }

    #[test]
    fn any_row_is_read_without_panic(
        usagetype in "(USE1-)?(MP:USE1_)?[A-Za-z0-9._:-]{0,30}(-input-tokens|InputTokenCount|é)?[a-zA-Z0-9_-]{0,20}",
        model in "\\PC{0,20}", tier in "[a-z]{0,8}", unit in "1K tokens|1M tokens|Units|\\PC{0,8}", usd in "[0-9.eE+-]{0,14}",
    ) {
        let attributes = json!({
            "usagetype": usagetype, "model": model, "service_tier": tier, "regionCode": "us-east-1",
        });
        let read = read(&[item(&attributes, &unit, &usd).to_string()]);
        let _ = validate(read, None, &embedded().unwrap(), Limits { min_rows: 0, keep_for: SignedDuration::ZERO }, now());
    }
}

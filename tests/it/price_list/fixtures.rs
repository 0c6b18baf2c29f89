//! Price-list strings in the shape AWS writes them.

use std::collections::BTreeMap;

use serde_json::Value;

const PRODUCTS: &str = include_str!("fixtures/products.csv");
const SHAPE: &str = include_str!("fixtures/product.json");

/// Billing prefixes; nobody can derive them.
const PREFIXES: [(&str, &str); 6] = [
    ("us-east-1", "USE1"),
    ("us-west-2", "USW2"),
    ("eu-central-1", "EUC1"),
    ("eu-west-1", "EU"),
    ("ap-northeast-1", "APN1"),
    ("ap-southeast-2", "APS2"),
];

/// When the fixture was published.
pub(super) const PUBLISHED: &str = "2026-01-20T17:03:51Z";

/// Price-list strings by service code.
pub(super) type Products = BTreeMap<String, Vec<String>>;

/// A publication of everything.
pub(super) fn publication() -> Products {
    let mut products = Products::new();
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(PRODUCTS.as_bytes());
    for (line, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let [service, regions, attributes, usagetype, unit, usd] = std::array::from_fn(|cell| &record[cell]);
        for (number, region) in regions.split('|').enumerate() {
            let (_, prefix) = PREFIXES.into_iter().find(|(known, _)| *known == region).unwrap();
            let usagetype = usagetype.replace("@prefix", prefix);
            let text = SHAPE
                .replace("@service", service)
                .replace("@region", region)
                .replace("@sku", &format!("SKU{line:04}{number:02}"))
                .replace("@unit", unit)
                .replace("@usagetype", &usagetype)
                .replace("@usd", usd);
            let mut product: Value = serde_json::from_str(&text).unwrap();
            let target = product["product"]["attributes"].as_object_mut().unwrap();
            target.insert("usagetype".to_owned(), usagetype.into());
            for (name, value) in attributes.split(';').filter_map(|pair| pair.split_once('=')) {
                target.insert(name.to_owned(), value.into());
            }
            products.entry(service.to_owned()).or_default().push(product.to_string());
        }
    }
    products
}

/// A later publication, with these texts replaced in the strings that contain the word.
pub(super) fn later(published: &str, word: &str, from: &str, to: &str) -> Products {
    let mut products = publication();
    for item in products.values_mut().flatten() {
        *item = item.replace(PUBLISHED, published);
        if item.contains(word) {
            *item = item.replace(from, to);
        }
    }
    products
}

#![allow(clippy::unwrap_used)]

use super::*;

const DAY: &str = "2026-01-22";

fn params(from: &str, to: &str) -> RangeParams {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    RangeParams { from: text(from), to: text(to), group_by: None, format: None, limit: None, cursor: None }
}

fn refused_field(params: &RangeParams) -> String {
    let error = params.parse().unwrap_err();
    assert_eq!(error.code, "INVALID_REQUEST");
    error.details["field"].as_str().unwrap().to_owned()
}

fn key(day: Option<&str>, app: Option<&str>, model: Option<&str>) -> GroupKey {
    GroupKey {
        day: day.map(|text| text.parse().unwrap()),
        app_id: app.map(|text| text.parse().unwrap()),
        model_label: model.map(|text| text.parse().unwrap()),
    }
}

#[test]
fn what_is_not_asked_for_has_a_default() {
    let (range, format) = params("2026-01-22", "2026-01-23").parse().unwrap();
    assert_eq!((range.group_by, range.limit), (Grouping { day: true, ..Grouping::default() }, 1_000));
    assert_eq!((range.after, format), (None, Format::Json));
}

#[test]
fn a_refusal_names_the_parameter() {
    assert_eq!(refused_field(&params("", "2026-01-23")), "from");
    assert_eq!(refused_field(&params("2026-01-22", "")), "to");
    assert_eq!(refused_field(&params("2026-1-22", "2026-01-23")), "from");
    assert_eq!(refused_field(&params("2026-01-22", "2026-02-30")), "to");
    let good = || params("2026-01-22", "2026-01-23");
    for by in ["", "hour", "day,", "day,day", "Day", "day model"] {
        assert_eq!(refused_field(&RangeParams { group_by: Some(by.into()), ..good() }), "group_by", "{by}");
    }
    assert_eq!(refused_field(&RangeParams { format: Some("xml".into()), ..good() }), "format");
    for limit in [-1, 0, 10_001] {
        assert_eq!(refused_field(&RangeParams { limit: Some(limit), ..good() }), "limit");
    }
    assert_eq!(refused_field(&RangeParams { cursor: Some("AAAA".into()), ..good() }), "cursor");
}

#[test]
fn a_cursor_leads_back_to_its_key_and_only_under_its_grouping() {
    let keys = [
        key(Some("2026-01-22"), None, None),
        key(None, Some("App.1_x-y"), None),
        key(None, None, Some("premium")),
        key(Some("2026-01-22"), Some("chat"), Some("a-b_c")),
    ];
    for key in keys {
        let by = Grouping { day: key.day.is_some(), app: key.app_id.is_some(), model: key.model_label.is_some() };
        let back = |by| decode_cursor(&cursor_of(&key), |text| parse_key(text, by)).ok();
        assert_eq!(back(by), Some(key.clone()));
        assert_eq!(back(Grouping { day: !by.day, ..by }), None);
        assert_eq!(back(Grouping { model: !by.model, ..by }), None);
    }
    let by_day = Grouping { day: true, ..Grouping::default() };
    for bad in ["", "2026-01-22", "2026-01-22//x", "2026-01-22///", "x//"] {
        assert_eq!(parse_key(bad, by_day), None, "{bad}");
    }
}

#[test]
fn csv_has_the_columns_and_rows_of_the_answer() {
    let counters = Counters { requests: 3, output_tokens: 9, ..Counters::default() };
    let page = RangePage {
        scope: crate::domain::ids::Scope::org("550e8400-e29b-41d4-a716-446655440000".parse().unwrap()),
        from: DAY.parse().unwrap(),
        to: DAY.parse().unwrap(),
        group_by: parse_grouping("model,app,day").unwrap(),
        rows: vec![RangeRow { key: key(Some(DAY), Some("chat"), Some("premium")), counters }],
        totals: counters,
        next: None,
    };
    let page = RangeResponse::from(page);
    assert_eq!(page.group_by, ["day", "app", "model"]);
    let text = String::from_utf8(csv_body::to_csv(&page).unwrap()).unwrap();
    let columns = "cost_usd_micros,requests,errors,unpriced_requests,input_tokens,output_tokens,\
                   cache_read_input_tokens,cache_write_input_tokens";
    assert_eq!(text, format!("day,app,model,{columns}\n{DAY},chat,premium,0,3,0,0,0,9,0,0\n"));

    let response = csv_body::respond(&page).unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/csv; charset=utf-8"));
    let name = "attachment; filename=\"usage_550e8400-e29b-41d4-a716-446655440000_2026-01-22_2026-01-22.csv\"";
    assert_eq!(header("content-disposition").as_deref(), Some(name));
    assert_eq!(header("x-next-cursor"), None);
}

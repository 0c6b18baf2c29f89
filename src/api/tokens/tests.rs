use super::presented::MALFORMED_BASIC;
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

const CLIENT: &str = "org-550e8400-e29b-41d4-a716-446655440000-app-chat";
const SECRET: &str = "p0Zk+/Yb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=";

fn authorization(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn with_basic(pair: &[u8]) -> HeaderMap {
    authorization(&[format!("Basic {}", STANDARD.encode(pair)).as_bytes()])
}

fn read(headers: &HeaderMap) -> (String, String) {
    let presented = basic(headers).unwrap().unwrap();
    (presented.client_id.unwrap(), presented.secret.unwrap().expose_secret().to_owned())
}

fn presented(client_id: Option<&str>, secret: Option<&str>) -> Presented {
    Presented { client_id: client_id.map(str::to_owned), secret: secret.map(|secret| secret.to_owned().into()) }
}

fn expose(secret: Option<Secret>) -> Option<String> {
    secret.map(|Secret(secret)| secret.expose_secret().to_owned())
}

fn form<T: DeserializeOwned>(body: &'static str) -> Result<T, ApiError> {
    from_pairs(body.as_bytes(), "body")
}

#[test]
fn basic_credentials_are_understood_encoded_or_as_they_are() {
    let expected = (CLIENT.to_owned(), SECRET.to_owned());
    assert_eq!(read(&with_basic(format!("{CLIENT}:{SECRET}").as_bytes())), expected);
    let encoded = SECRET.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
    assert_eq!(read(&with_basic(format!("{}:{encoded}", CLIENT.replace('-', "%2D")).as_bytes())), expected);
    // The scheme is read in any case, and only the first colon separates.
    let value = format!("bASIC  {}", STANDARD.encode("a%3Ab:c:d"));
    assert_eq!(read(&authorization(&[value.as_bytes()])), ("a:b".to_owned(), "c:d".to_owned()));
}

#[test]
fn only_basic_authenticates_a_client() {
    assert!(basic(&HeaderMap::new()).unwrap().is_none());
    for other in [&b"Bearer abc"[..], b"", b"Basically abc", b"Digest username=x", b"\xff\xfe"] {
        assert!(basic(&authorization(&[other])).unwrap().is_none(), "{other:?}");
    }
}

#[test]
fn hostile_basic_headers_are_refused_without_repeating_them() {
    let hostile: [&[u8]; 7] =
        [b"Basic", b"Basic ", b"Basic !!!", b"Basic YTpi=", b"Basic \xff\xff", b"Basic YQ==", b"Basic YTpi YTpi"];
    for value in hostile {
        let error = basic(&authorization(&[value])).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (StatusCode::UNAUTHORIZED, MALFORMED_BASIC), "{value:?}");
    }
    for pair in [&b"\xff:x"[..], b"x:\xff", b"%ff:x", b"x:%C3%28"] {
        assert_eq!(basic(&with_basic(pair)).unwrap_err().status, StatusCode::UNAUTHORIZED, "{pair:?}");
    }
    // A broken escape is no escape; it reaches the comparison, which it cannot pass.
    assert_eq!(read(&with_basic(b"%zz:%")), ("%zz".to_owned(), "%".to_owned()));
    let twice = basic(&authorization(&[b"Basic YTpi", b"Basic YTpi"])).unwrap_err();
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
}

#[test]
fn basic_and_body_may_agree_but_not_differ() {
    let from_basic = || Some(presented(Some("a"), Some("s")));
    for body in [presented(None, None), presented(Some("a"), None), presented(Some("a"), Some("s"))] {
        let merged = merged(from_basic(), body).unwrap();
        assert_eq!(merged.client_id.as_deref(), Some("a"));
        assert_eq!(merged.secret.unwrap().expose_secret(), "s");
    }
    for body in [presented(Some("b"), None), presented(Some("a"), Some("t")), presented(None, Some("t"))] {
        assert_eq!(merged(from_basic(), body).unwrap_err().status, StatusCode::BAD_REQUEST);
    }
    assert!(merged(None, presented(None, None)).unwrap().client_id.is_none());
}

#[test]
fn json_and_form_say_the_same_and_unknown_parameters_are_ignored() {
    let json = format!(
        r#"{{"grant_type":"client_credentials","client_id":"{CLIENT}","client_secret":"{SECRET}","resource":["x"]}}"#
    );
    let from_json: TokenRequest = params_from_json(json.as_bytes()).unwrap();
    let body = "grant_type=client_credentials&client_id=org-550e8400-e29b-41d4-a716-446655440000-app-chat\
                &client_secret=p0Zk%2B%2FYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo%3D&resource=x&resource=y";
    let from_form: TokenRequest = form(body).unwrap();
    for request in [from_json, from_form] {
        assert_eq!(request.grant_type.as_deref(), Some("client_credentials"));
        assert_eq!(request.client_id.as_deref(), Some(CLIENT));
        assert_eq!(expose(request.client_secret).as_deref(), Some(SECRET));
        assert!(request.refresh_token.is_none());
    }
}

#[test]
fn a_parameter_that_stands_twice_is_refused_by_name() {
    let json = params_from_json::<TokenRequest>(br#"{"client_secret":"a","client_secret":"b"}"#).unwrap_err();
    let form = form::<TokenRequest>("client_secret=a&client_secret=b").unwrap_err();
    for error in [json, form] {
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert!(error.message.contains("client_secret"), "{}", error.message);
    }
}

#[test]
fn what_has_no_value_counts_as_omitted() {
    let request: TokenRequest = form("grant_type=&client_id=&client_secret=&refresh_token").unwrap();
    assert_eq!(given(request.client_id), None);
    assert!(given_secret(request.client_secret).is_none());
    assert!(given_secret(request.refresh_token).is_none());
    assert!(grant_of(request.grant_type.as_deref()).is_err());
    let request: TokenRequest = params_from_json(br#" {"client_secret":null}"#).unwrap();
    assert!(request.client_secret.is_none());
    assert!(form::<RevokeRequest>("").unwrap().token.is_none());
}

#[test]
fn a_refusal_never_repeats_a_secret() {
    for body in [r#""hunter2""#, r#"{"client_secret":["hunter2"]}"#, r#"{"client_secret":{"hunter2":1}}"#] {
        let error = params_from_json::<TokenRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let number = params_from_json::<TokenRequest>(br#"{"client_secret":31337}"#).unwrap_err();
    assert!(!number.message.contains("31337"), "{}", number.message);
    let request: TokenRequest = params_from_json(br#"{"client_secret":"hunter2"}"#).unwrap();
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[test]
fn only_two_grants_are_known() {
    assert_eq!(grant_of(Some("client_credentials")).unwrap(), Grant::ClientCredentials);
    assert_eq!(grant_of(Some("refresh_token")).unwrap(), Grant::RefreshToken);
    for bad in [None, Some(""), Some("password"), Some("Client_Credentials"), Some(" refresh_token")] {
        let error = grant_of(bad).unwrap_err();
        assert_eq!((error.status, error.code), (StatusCode::BAD_REQUEST, "INVALID_REQUEST"), "{bad:?}");
    }
}

#[test]
fn basic_is_challenged_only_where_it_was_tried() {
    let challenges = |error: &ApiError| error.headers.get_all(header::WWW_AUTHENTICATE).iter().count();
    assert_eq!(challenges(&with_challenge(ApiError::unauthorized("no"), true)), 2);
    assert_eq!(challenges(&with_challenge(ApiError::unauthorized("no"), false)), 1);
    assert_eq!(challenges(&with_challenge(ApiError::invalid("grant_type", "no"), true)), 0);

    let mut tried = with_basic(b"a:b");
    assert!(wants_challenge(&tried) && !wants_challenge(&HeaderMap::new()));
    tried.insert("x-requested-with", HeaderValue::from_static("XMLHttpRequest"));
    assert!(!wants_challenge(&tried), "a browser would open a login dialogue instead of answering its script");
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), tried in any::<bool>()) {
        let mut value = if tried { b"Basic ".to_vec() } else { Vec::new() };
        value.extend(bytes);
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let _ = basic(&authorization(&[value.as_bytes()]));
        }
    }

    #[test]
    fn any_pair_survives_encoding(id in "[ -~]{0,40}", secret in "\\PC{0,40}") {
        let escape = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let headers = with_basic(format!("{}:{}", escape(&id), escape(&secret)).as_bytes());
        prop_assert_eq!(read(&headers), (id, secret));
    }
}

//! The one place that translates the SDK's errors into the store's own words.
//!
//! Decided by type and code, never by message: texts differ between implementations and may quote what was stored. So
//! no text of the service is passed on either.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};

use super::tables::Table;
use crate::storage::error::StorageError;

/// The code of a table that is not there.
pub(super) const NO_TABLE: &str = "ResourceNotFoundException";
/// The code of a table that is there already, or is being changed.
pub(super) const TABLE_IN_USE: &str = "ResourceInUseException";

/// What passes by itself: overload, and failures on the other side.
const PASSING: [&str; 14] = [
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ThrottlingError",
    "ThrottlingException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Whether a code, of a call or of a canceled transaction, means that the same may succeed a moment later.
pub(super) fn is_passing(code: &str) -> bool {
    PASSING.contains(&code)
}

/// What stays until somebody changes a permission or a setting, and what to look at.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessDeniedException" => "the identity may not do this: check its policy",
        "UnrecognizedClientException" | "InvalidClientTokenId" => "the credentials are not known: check them",
        "ExpiredTokenException" | "ExpiredToken" => "the credentials have expired: renew them",
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "the signature is refused: check the secret key and this host's clock"
        }
        "MissingAuthenticationTokenException" | "IncompleteSignature" => "the request is not signed: check credentials",
        "OptInRequired" | "SubscriptionRequiredException" => "the account has no access to DynamoDB in this region",
        "KMSAccessDeniedException" => "the identity may not use the key that encrypts the tables",
        _ => return None,
    })
}

/// What a failed call means to a caller of the store.
pub(super) fn translate<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> StorageError {
    match error {
        SdkError::TimeoutError(_) => StorageError::Unavailable("no answer in time".to_owned()),
        SdkError::ResponseError(_) => StorageError::Unavailable("an answer that cannot be read".to_owned()),
        SdkError::ConstructionFailure(_) => StorageError::Backend("the request could not be made".to_owned()),
        SdkError::DispatchFailure(failure) => {
            let connector = failure.as_connector_error();
            match connector.and_then(|connector| credentials_error(connector)) {
                Some(error) => credentials(error),
                None if failure.is_user() => StorageError::Backend("the endpoint cannot be called".to_owned()),
                None if failure.is_timeout() => StorageError::Unavailable("no connection in time".to_owned()),
                None => StorageError::Unavailable("no connection".to_owned()),
            }
        }
        SdkError::ServiceError(context) => of_service(context.err().code(), context.raw().status().as_u16()),
        _ => StorageError::Backend("an unknown failure".to_owned()),
    }
}

/// [`translate`] for a call of one table, which an error names by its role.
pub(super) fn translate_in<E: ProvideErrorMetadata>(table: Table, error: &SdkError<E, HttpResponse>) -> StorageError {
    if code(error) == Some(NO_TABLE) { missing_table(table) } else { translate(error) }
}

/// [`translate_in`] where the table is known.
pub(super) fn translate_of<E: ProvideErrorMetadata>(
    table: Option<Table>,
    error: &SdkError<E, HttpResponse>,
) -> StorageError {
    table.map_or_else(|| translate(error), |table| translate_in(table, error))
}

/// The error of a table that is not there.
pub(super) fn missing_table(table: Table) -> StorageError {
    StorageError::Unavailable(format!("the {} table is missing: run `migrate`", table.role()))
}

/// The service's code of a failed call.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn of_service(code: Option<&str>, status: u16) -> StorageError {
    let named = code.unwrap_or("no code");
    match code {
        Some(NO_TABLE) => StorageError::Unavailable("a table is missing: run `migrate`".to_owned()),
        Some(code) if is_passing(code) => StorageError::Unavailable(code.to_owned()),
        _ if status >= 500 || status == 429 => StorageError::Unavailable(format!("{named} ({status})")),
        Some(code) => match hint(code) {
            Some(hint) => StorageError::Backend(format!("{code}: {hint}")),
            None => StorageError::Backend(code.to_owned()),
        },
        None => StorageError::Backend(format!("status {status}")),
    }
}

/// The failure to find credentials among the causes of an error.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    // Longer chains of causes than this do not occur.
    std::iter::successors(Some(error), |&error| error.source()).take(16).find_map(|error| error.downcast_ref())
}

fn credentials(error: &CredentialsError) -> StorageError {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => StorageError::Backend(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the task or \
             instance a role"
                .to_owned(),
        ),
        CredentialsError::InvalidConfiguration(_) => {
            StorageError::Backend("the AWS configuration of credentials is invalid".to_owned())
        }
        // Where credentials come from a service, that service may be away for a moment.
        _ => StorageError::Unavailable("AWS credentials could not be loaded".to_owned()),
    }
}

/// The error of a request that lacks a part, which none of ours does.
pub(super) fn incomplete(_: BuildError) -> StorageError {
    StorageError::Backend("the request is incomplete".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::provider::{ProvideCredentials, future};
    use aws_sdk_dynamodb::config::{BehaviorVersion, Region};

    use super::*;

    #[test]
    fn overload_and_failures_of_the_service_pass_and_refusals_stay() {
        for (code, status) in [
            (Some("ThrottlingException"), 400),
            (Some("ProvisionedThroughputExceededException"), 400),
            (Some("TransactionInProgressException"), 400),
            (Some("InternalServerError"), 500),
            (Some("Unheard"), 503),
            (None, 502),
            (Some(NO_TABLE), 400),
        ] {
            assert!(of_service(code, status).is_transient(), "{code:?} {status}");
        }
        for (code, status) in [
            (Some("AccessDeniedException"), 400),
            (Some("ValidationException"), 400),
            (Some("UnrecognizedClientException"), 400),
            (None, 400),
        ] {
            assert!(matches!(of_service(code, status), StorageError::Backend(_)), "{code:?} {status}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_look_at() {
        assert!(of_service(Some("AccessDeniedException"), 400).to_string().contains("policy"));
        assert!(of_service(Some(NO_TABLE), 400).to_string().contains("migrate"));
        assert!(missing_table(Table::Usage).to_string().contains("usage table"));
    }

    #[derive(Debug)]
    struct Failing(fn() -> CredentialsError);

    impl ProvideCredentials for Failing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err((self.0)()))
        }
    }

    /// The error of a call whose credentials cannot be loaded. Nothing is called.
    async fn without_credentials(error: fn() -> CredentialsError) -> StorageError {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://127.0.0.1:9")
            .credentials_provider(Failing(error))
            .build();
        translate(&aws_sdk_dynamodb::Client::from_conf(config).list_tables().send().await.unwrap_err())
    }

    #[tokio::test]
    async fn credentials_that_are_missing_stay_missing_and_a_source_that_does_not_answer_may_answer_later() {
        let absent = without_credentials(|| CredentialsError::not_loaded("x")).await;
        assert!(matches!(&absent, StorageError::Backend(text) if text.contains("AWS_PROFILE")), "{absent}");
        let late = without_credentials(|| CredentialsError::provider_timed_out(Duration::from_secs(1))).await;
        assert!(late.is_transient() && late.to_string().contains("credentials"), "{late}");
    }
}

//! Answers that are lost after a commit: what may be repeated is, and what may not is left to the caller.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bedrock_cost_keeper::domain::audit::{AuditEvent, AuditOutcome};
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::sql::PostgresStorage;
use bedrock_cost_keeper::storage::{
    AuditTrail, Credentials, Fallbacks, Maintenance, PostgresOptions, RecordOutcome, TakenSecret, Tenants, UsageLedger,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Database, number};
use crate::conformance::audit::{event, position};
use crate::support::samples::{acme, client, day, noon, noon_plus, org, org_scope, sealed_client, state, usage};

/// The whole word: transactions begin as READ COMMITTED.
const COMMIT: &str = "COMMIT\0";

/// Passes everything on, except the answer to a message that contains a text: that one ends the connection. The server
/// has done by then what it was told.
struct Forgetful {
    address: SocketAddr,
    text: Arc<Mutex<Option<&'static str>>>,
    forgotten: Arc<AtomicUsize>,
}

impl Forgetful {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (text, forgotten) = (Arc::default(), Arc::default());
        let (shared, count) = (Arc::clone(&text), Arc::clone(&forgotten));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (text, forgotten) = (Arc::clone(&shared), Arc::clone(&count));
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let _ = pass_on(client, server, &text, &forgotten).await;
                });
            }
        });
        Self { address, text, forgotten }
    }

    /// The next answer to a message with this text is lost.
    fn forget_the_answer_to(&self, text: &'static str) {
        *self.text.lock().unwrap() = Some(text);
    }

    fn forgotten(&self) -> usize {
        self.forgotten.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    mut client: TcpStream,
    mut server: TcpStream,
    text: &Mutex<Option<&'static str>>,
    forgotten: &AtomicUsize,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut lose = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let message = &asked[..read?];
                if message.is_empty() {
                    return Ok(());
                }
                let found = |text: &str| message.windows(text.len()).any(|window| window == text.as_bytes());
                if text.lock().unwrap().take_if(|text| found(text)).is_some() {
                    lose = true;
                }
                server.write_all(message).await?;
            }
            read = server.read(&mut answered) => {
                let message = &answered[..read?];
                if lose || message.is_empty() {
                    forgotten.fetch_add(usize::from(lose), Ordering::SeqCst);
                    return Ok(());
                }
                client.write_all(message).await?;
            }
        }
    }
}

/// A store whose answers can be lost, and the one who loses them.
async fn forgetful(database: &Database, prepared_statements: bool) -> (PostgresStorage, Forgetful) {
    database.storage().await;
    let url = reqwest::Url::parse(&database.url()).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let forgetful = Forgetful::before(tokio::net::lookup_host(server).await.unwrap().next().unwrap()).await;
    let mut through = url;
    through.set_host(Some("127.0.0.1")).unwrap();
    through.set_port(Some(forgetful.address.port())).unwrap();
    // In plain text, so that messages can be told apart.
    through.set_query(Some("sslmode=disable"));
    let options = PostgresOptions { prepared_statements, ..PostgresOptions::default() };
    let storage = PostgresStorage::new(through.as_str(), &options).unwrap();
    storage.ping().await.unwrap();
    (storage, forgetful)
}

#[tokio::test]
async fn a_recording_whose_answer_is_lost_is_repeated_and_counts_once() {
    // Alone the statement commits by itself, else with its transaction.
    for (prepared_statements, text) in [(true, "mark-of-the-record"), (false, COMMIT)] {
        let database = Database::new().await;
        let (storage, forgetful) = forgetful(&database, prepared_statements).await;
        // Prepares the statement, so that the next message is the one that carries the record.
        storage.record_usage(&[usage("shop", 1)]).await.unwrap();
        forgetful.forget_the_answer_to(text);
        let mut record = usage("shop", 2);
        record.pricing.model_id = "mark-of-the-record".to_owned();
        let outcomes = storage.record_usage(std::slice::from_ref(&record)).await.unwrap();
        assert_eq!(forgetful.forgotten(), 1);
        assert!(matches!(&outcomes[..], [RecordOutcome::Duplicate(first, _)] if **first == record), "{outcomes:?}");
        let counted = "SELECT sum(requests)::bigint FROM totals WHERE app_id = '' AND length(period) = 10";
        assert_eq!(number(&mut database.shell().await, counted).await, 2);
    }
}

#[tokio::test]
async fn what_would_be_answered_differently_is_not_repeated_after_a_lost_answer() {
    let database = Database::new().await;
    let (storage, forgetful) = forgetful(&database, true).await;
    let client_id = ClientId::of(org_scope());
    let unavailable = |result: Result<(), bedrock_cost_keeper::storage::StorageError>, times: usize| {
        assert!(result.as_ref().is_err_and(|error| error.is_transient()), "{result:?}");
        assert_eq!(forgetful.forgotten(), times, "one attempt");
    };

    forgetful.forget_the_answer_to(COMMIT);
    unavailable(storage.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon_plus(1))).await, 1);
    assert!(storage.tenant(&org_scope()).await.unwrap().is_some(), "the server had done it");

    forgetful.forget_the_answer_to(COMMIT);
    unavailable(storage.take_secret(&client_id, &[1; 32], noon()).await.map(drop), 2);
    assert_eq!(storage.take_secret(&client_id, &[1; 32], noon()).await.unwrap(), TakenSecret::AlreadyUsed);

    forgetful.forget_the_answer_to(COMMIT);
    let swap = storage.swap_fallback(&org_scope(), day("2026-01-23"), &state("economy", 1), noon_plus(1)).await;
    unavailable(swap.map(drop), 3);

    forgetful.forget_the_answer_to(COMMIT);
    unavailable(storage.delete_org(acme()).await.map(drop), 4);
    assert!(!storage.delete_org(acme()).await.unwrap());
}

#[tokio::test]
async fn what_had_not_begun_to_commit_is_repeated_whatever_it_is() {
    let database = Database::new().await;
    // Unprepared, so that every statement is sent in words.
    let (storage, forgetful) = forgetful(&database, false).await;
    for (times, text) in ["BEGIN", "INSERT INTO orgs", "INSERT INTO credentials"].iter().enumerate() {
        forgetful.forget_the_answer_to(text);
        storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
        assert_eq!(forgetful.forgotten(), times + 1);
        assert!(storage.delete_org(acme()).await.unwrap());
    }
}

#[tokio::test]
async fn an_event_whose_answer_is_lost_is_appended_once_and_an_outcome_is_left_to_the_caller() {
    for (prepared_statements, append, settle) in [(true, "mark-of-the-event", "refused"), (false, COMMIT, COMMIT)] {
        let database = Database::new().await;
        let (storage, forgetful) = forgetful(&database, prepared_statements).await;
        // Prepares the statements, so that the next messages are those that carry the values.
        storage.append_audit(&event(-1, 1)).await.unwrap();
        assert!(storage.settle_audit(position(-1, 1), Some(acme()), AuditOutcome::Succeeded).await.unwrap());

        let marked = AuditEvent { subject: Some("mark-of-the-event".to_owned()), ..event(0, 1) };
        forgetful.forget_the_answer_to(append);
        storage.append_audit(&marked).await.unwrap();
        assert_eq!(forgetful.forgotten(), 1, "and then it was repeated");
        assert_eq!(storage.audit_events(None, Some(position(1, 0)), 10).await.unwrap().len(), 2);

        forgetful.forget_the_answer_to(settle);
        let settled = storage.settle_audit(marked.position, Some(acme()), AuditOutcome::Refused).await;
        // A second attempt would say that somebody else had been first.
        assert!(settled.as_ref().is_err_and(|error| error.is_transient()), "{settled:?}");
        assert_eq!(forgetful.forgotten(), 2, "one attempt");
        let expected = AuditEvent { outcome: AuditOutcome::Refused, ..marked };
        assert_eq!(storage.audit_events(None, None, 1).await.unwrap(), [expected]);
    }
}

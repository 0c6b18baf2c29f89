//! Encrypted connections.

use bedrock_cost_keeper::storage::{StorageOptions, open};

use super::{connect, run};
use crate::support::servers::postgres::PostgresServer;

/// Makes an authority and a certificate for 127.0.0.1 beside the server's data, with the server's own rights.
const CERTIFICATES: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
     -subj /CN=authority -keyout ca.key -out ca.crt && \
     openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key \
     -out server.csr && printf subjectAltName=IP:127.0.0.1 >san.cnf && \
     openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san.cnf \
     -out server.crt && chmod 600 server.key";

async fn opened(url: &str) -> Result<(), String> {
    let store = open::open(url, &StorageOptions::default()).await.map_err(|error| error.to_string())?;
    store.ping().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_certificate_is_checked_against_the_authority_that_is_given() {
    let server = PostgresServer::start();
    let url = server.url();
    let refused = opened(&format!("{url}?sslmode=require")).await.unwrap_err();
    assert!(refused.contains("does not support TLS"), "{refused}");

    let mut superuser = connect(&server.superuser_url()).await;
    run(&mut superuser, &format!("COPY (SELECT 1) TO PROGRAM '({CERTIFICATES}) >&2'")).await;
    run(&mut superuser, "ALTER SYSTEM SET ssl = on").await;
    run(&mut superuser, "SELECT pg_reload_conf()").await;
    let authority: String =
        sqlx::query_scalar("SELECT pg_read_file('ca.crt')").fetch_one(&mut superuser).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let trusting = |mode: &str, url: &str| format!("{url}?sslmode={mode}&sslrootcert={}", file.display());
    // The server takes its new settings in a moment.
    let mut secure = opened(&trusting("verify-full", &url)).await;
    for _ in 0..100 {
        if secure.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        secure = opened(&trusting("verify-full", &url)).await;
    }
    secure.unwrap();

    // Nobody vouches for it; and it is not called so.
    let unknown = opened(&format!("{url}?sslmode=verify-full")).await.unwrap_err();
    assert!(unknown.contains("UnknownIssuer") && !unknown.contains("keeper-test"), "{unknown}");
    let by_name = url.replace("127.0.0.1", "localhost");
    let misnamed = opened(&trusting("verify-full", &by_name)).await.unwrap_err();
    assert!(misnamed.contains("not valid for name"), "{misnamed}");
    opened(&trusting("verify-ca", &by_name)).await.unwrap();
    // Encrypted, whoever it is.
    opened(&format!("{url}?sslmode=require")).await.unwrap();

    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE ssl AND application_name = 'bedrock-cost-keeper'";
    let store = open::open(&trusting("verify-full", &url), &StorageOptions::default()).await.unwrap();
    store.ping().await.unwrap();
    assert!(super::number(&mut superuser, encrypted).await >= 1);
}

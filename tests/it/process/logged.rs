//! A process with its whole log.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::process::Served;

/// A process that serves, and writes everything into its log that any part of it says.
pub(super) struct Logged {
    pub(super) dir: tempfile::TempDir,
    served: Served,
    client: Client,
    pub(super) key: String,
}

impl Logged {
    pub(super) fn start(format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let format = format!("log.format={format}");
        let served = Served::start_logging(dir.path(), &["--set", "log.level=trace", "--set", &format], &log);
        let key = Served::provisioning_key(dir.path());
        Self { dir, served, client: Client::builder().no_proxy().build().unwrap(), key }
    }

    pub(super) fn call(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.served.url))
    }

    pub(super) fn admin(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.call(method, path).header("x-api-key", &self.key)
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Value {
        let response = self.admin(Method::PUT, path).json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    pub(super) async fn token(&self, client_id: &str, secret: &str) -> (u16, Value) {
        let grant = json!({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret});
        let response = self.call(Method::POST, "/auth/token").json(&grant).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Bytes that no client library would send.
    pub(super) async fn raw(&self, bytes: &[u8]) {
        let address = self.served.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    /// Stops the service; answers its whole log.
    pub(super) fn log(mut self) -> String {
        self.served.signal("INT");
        assert!(self.served.child.wait().unwrap().success());
        let bytes = std::fs::read(self.dir.path().join("log")).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// An organization whose secret is in the answer.
pub(super) fn org() -> Value {
    json!({
        "org_name": "Acme", "timezone": "UTC", "quota_scope": "APP", "model_ordering": ["premium"],
        "quotas": {"premium": 1_000_000_000_u64}, "secret_delivery": "inline",
    })
}

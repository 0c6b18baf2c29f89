//! TLS 1.2 and 1.3 of a listener, with a certificate that may be renewed while it is served.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::certificate::{self, Certificate, Material};
use crate::clock::Clock;

/// From how many days before its end a certificate is warned of, once a day: automatic renewal is due 30 days before
/// and has failed for two weeks then.
const WARN_DAYS: i64 = 14;

/// PEM files of a certificate chain and its private key.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate of this server first.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// One of the [`CertificateFiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate chain.
    Certificate,
    /// The private key.
    PrivateKey,
}

/// A file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} {reason}", .path.display())]
pub struct TlsError {
    /// Which.
    pub file: TlsFile,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it, without any of its content.
    pub reason: String,
}

/// The certificate a server with this file presents.
///
/// # Errors
/// [`TlsError`] where the file holds none.
pub fn presented_certificate(file: &Path) -> Result<CertificateDer<'static>, TlsError> {
    certificate::first(file).map_err(|reason| TlsError { file: TlsFile::Certificate, path: file.to_owned(), reason })
}

/// TLS with the certificate in force. Clones share it.
#[derive(Clone)]
pub struct Tls {
    files: CertificateFiles,
    current: Arc<ArcSwap<Current>>,
    hsts: Option<HeaderValue>,
}

/// What new connections get.
struct Current {
    config: Arc<ServerConfig>,
    certificate: Certificate,
    digest: Vec<u8>,
}

impl Current {
    fn new(material: &Material, files: &CertificateFiles) -> Result<Self, TlsError> {
        material.warn_if_exposed(files);
        let (mut config, certificate) = material.server_config(files)?;
        // The one protocol of this server; a client that wants another is told so in the handshake.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), certificate, digest: material.digest() })
    }

    fn announce(&self) {
        let Certificate { fingerprint, not_after } = &self.certificate;
        tracing::info!(sha256 = %fingerprint, not_after = not_after.map(tracing::field::display), "TLS certificate in force");
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] where one cannot be read, is not what it should be, or does not belong to the other.
    pub fn open(files: CertificateFiles) -> Result<Self, TlsError> {
        let current = Current::new(&Material::read(&files)?, &files)?;
        current.announce();
        Ok(Self { files, current: Arc::new(ArcSwap::from_pointee(current)), hsts: None })
    }

    /// Answers with `Strict-Transport-Security` of this age; none for 0 seconds. Of this host alone: what its
    /// subdomains are, the service does not know.
    #[must_use]
    pub fn with_hsts(self, max_age_secs: u64) -> Self {
        let hsts = (max_age_secs > 0).then(|| HeaderValue::try_from(format!("max-age={max_age_secs}")).ok()).flatten();
        Self { hsts, ..self }
    }

    pub(super) fn hsts(&self) -> Option<HeaderValue> {
        self.hsts.clone()
    }

    /// The handshake of one connection, with the certificate in force now.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.current.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Looks every `interval` whether the files have changed (without one never), and warns of the certificate's end.
    /// New connections get a new certificate once both files are good; until then the old one stays in force, and each
    /// change that is no good is logged once. Ends with `stop`.
    pub async fn keep_current(&self, interval: Option<Duration>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut seen = Seen { content: Ok(self.current.load().digest.clone()), warned_days: None };
        loop {
            show_end(&self.current.load().certificate);
            seen.warn_of_end(&self.current.load().certificate, &*clock);
            let pause = interval.unwrap_or(DAILY);
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
            if interval.is_some() {
                self.look(&mut seen).await;
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Look {
        let files = self.files.clone();
        // A file system that hangs must not hold up requests.
        let Ok(read) = tokio::task::spawn_blocking(move || Material::read(&files)).await else {
            return Look::Unchanged;
        };
        let content = read.as_ref().map(Material::digest).map_err(TlsError::to_string);
        if content == seen.content {
            return Look::Unchanged;
        }
        seen.content = content;
        match read.and_then(|material| Current::new(&material, &self.files)) {
            Ok(current) => {
                current.announce();
                self.current.store(Arc::new(current));
                Look::Renewed
            }
            Err(error) => {
                tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays in force");
                Look::Refused
            }
        }
    }
}

/// What a look at the files found.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// What was seen before, good or bad.
    Unchanged,
    /// A change that is no good, logged now.
    Refused,
    /// Files that are in force now.
    Renewed,
}

/// How often the end of a certificate is looked at where files are not.
const DAILY: Duration = Duration::from_secs(86_400);

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; seconds since 1970 are far below 2^52")]
fn show_end(certificate: &Certificate) {
    if let Some(not_after) = certificate.not_after {
        metrics::gauge!("tls_certificate_expires_timestamp_seconds").set(not_after.as_second() as f64);
    }
}

/// What was logged already.
struct Seen {
    /// Digest of the files as last read, or why they could not be.
    content: Result<Vec<u8>, String>,
    warned_days: Option<i64>,
}

impl Seen {
    /// Whether a warning is due; the same days are warned of once.
    fn warn_of_end(&mut self, certificate: &Certificate, clock: &dyn Clock) -> bool {
        let Some(not_after) = certificate.not_after else { return false };
        let days = not_after.duration_since(clock.now()).as_secs().div_euclid(86_400);
        if days >= WARN_DAYS || self.warned_days == Some(days) {
            return false;
        }
        self.warned_days = Some(days);
        if days < 0 {
            tracing::error!(%not_after, "the TLS certificate has expired; clients will refuse it");
        } else {
            tracing::warn!(%not_after, "the TLS certificate expires soon");
        }
        true
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = &self.current.load().certificate;
        f.debug_struct("Tls").field("files", &self.files).field("certificate", certificate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::ManualClock;

    fn write(directory: &Path, certificate: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles { certificate: directory.join("tls.crt"), private_key: directory.join("tls.key") };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.private_key, key).unwrap();
        files
    }

    fn issue() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["keeper.example".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[tokio::test]
    async fn each_change_of_the_files_is_judged_once() {
        let dir = tempfile::tempdir().unwrap();
        let ((old, old_key), (new, new_key)) = (issue(), issue());
        let tls = Tls::open(write(dir.path(), &old, &old_key)).unwrap();
        let in_force = || tls.current.load().certificate.fingerprint.clone();
        let mut seen = Seen { content: Ok(tls.current.load().digest.clone()), warned_days: None };
        let first = in_force();
        for (certificate, key, found) in [
            (&old, &old_key, Look::Unchanged),
            (&new, &old_key, Look::Refused),
            (&new, &old_key, Look::Unchanged),
            (&String::new(), &old_key, Look::Refused),
            (&String::new(), &old_key, Look::Unchanged),
        ] {
            write(dir.path(), certificate, key);
            assert_eq!(tls.look(&mut seen).await, found);
            assert_eq!(in_force(), first);
        }
        std::fs::remove_file(dir.path().join("tls.key")).unwrap();
        assert_eq!(tls.look(&mut seen).await, Look::Refused);
        assert_eq!(tls.look(&mut seen).await, Look::Unchanged);
        write(dir.path(), &new, &new_key);
        assert_eq!(tls.look(&mut seen).await, Look::Renewed);
        assert_ne!(in_force(), first);
        assert_eq!(tls.look(&mut seen).await, Look::Unchanged);
    }

    #[test]
    fn the_end_of_a_certificate_is_warned_of_once_a_day() {
        let certificate =
            Certificate { fingerprint: String::new(), not_after: Some("2031-03-20T00:00:00Z".parse().unwrap()) };
        let mut seen = Seen { content: Ok(Vec::new()), warned_days: None };
        for (now, due) in [
            ("2031-03-05T23:59:59Z", false),
            ("2031-03-06T00:00:01Z", true),
            ("2031-03-06T23:59:59Z", false),
            ("2031-03-07T00:00:01Z", true),
            ("2031-03-20T00:00:01Z", true),
            ("2031-03-20T12:00:00Z", false),
            ("2031-03-21T12:00:00Z", true),
        ] {
            let clock = ManualClock::at(now.parse().unwrap());
            assert_eq!(seen.warn_of_end(&certificate, &clock), due, "{now}");
        }
    }
}

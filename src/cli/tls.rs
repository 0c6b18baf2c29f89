//! TLS of the main listener, as configured.

use super::CommandError;
use crate::config::Config;
use crate::server::tls::Tls;

/// TLS with the configured files; `None` where there are none.
///
/// # Errors
/// A sentence that names the key of the file that cannot be used.
#[cfg(feature = "tls")]
pub(super) fn open(config: &Config) -> Result<Option<Tls>, CommandError> {
    use crate::config::{CERTIFICATE_FILE, PRIVATE_KEY_FILE};
    use crate::server::tls::{CertificateFiles, TlsFile};

    let settings = &config.server.tls;
    let Some((certificate, private_key)) = settings.files() else { return Ok(None) };
    let files = CertificateFiles { certificate: certificate.to_owned(), private_key: private_key.to_owned() };
    let tls = Tls::open(files).map_err(|error| {
        let key = match error.file {
            TlsFile::Certificate => CERTIFICATE_FILE,
            TlsFile::PrivateKey => PRIVATE_KEY_FILE,
        };
        format!("{key}: {error}")
    })?;
    Ok(Some(tls.with_hsts(settings.hsts_max_age_secs)))
}

/// A build without TLS refuses a configuration that wants it.
#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "as with TLS")]
pub(super) fn open(_config: &Config) -> Result<Option<Tls>, CommandError> {
    Ok(None)
}

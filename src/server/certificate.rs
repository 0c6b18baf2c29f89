//! Certificate and private key: read from files, and what a log line says of them.

use std::fs::{File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::tls::{CertificateFiles, TlsError, TlsFile};

/// Longest file that is read. A chain is some kilobytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Access for everybody.
const READABLE_BY_OTHERS: u32 = 0o004;

/// What the two files hold, as it is.
pub(super) struct Material {
    certificate: Vec<u8>,
    private_key: SecretSlice<u8>,
    readable_by_others: bool,
}

impl Material {
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, TlsError> {
        let (certificate, _) = read(&files.certificate).map_err(|reason| files.error(TlsFile::Certificate, reason))?;
        let (private_key, permissions) =
            read(&files.private_key).map_err(|reason| files.error(TlsFile::PrivateKey, reason))?;
        Ok(Self {
            certificate,
            private_key: private_key.into(),
            readable_by_others: permissions.mode() & READABLE_BY_OTHERS != 0,
        })
    }

    /// Changes with either file.
    pub(super) fn digest(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        context.update(&u64::try_from(self.certificate.len()).unwrap_or_default().to_be_bytes());
        context.update(&self.certificate);
        context.update(self.private_key.expose_secret());
        context.finish().as_ref().to_vec()
    }

    pub(super) fn warn_if_exposed(&self, files: &CertificateFiles) {
        if self.readable_by_others {
            let path = files.private_key.display();
            tracing::warn!(%path, "the private key can be read by every user of this machine; chmod 600 it");
        }
    }

    /// A TLS configuration, if both files are what they should be and belong together.
    pub(super) fn server_config(&self, files: &CertificateFiles) -> Result<(ServerConfig, Certificate), TlsError> {
        let chain = chain(&self.certificate).map_err(|reason| files.error(TlsFile::Certificate, reason))?;
        // The parser's error may quote the file: of a key, nothing is said.
        let key = PrivateKeyDer::from_pem_slice(self.private_key.expose_secret()).map_err(|_| {
            files.error(TlsFile::PrivateKey, "holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1)")
        })?;
        let certificate = Certificate::of(chain.first());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, key))
            .map_err(|error| refused(files, &error))?;
        Ok((config, certificate))
    }
}

fn refused(files: &CertificateFiles, error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => files.error(
            TlsFile::PrivateKey,
            format!("does not belong to the first certificate in {}", files.certificate.display()),
        ),
        // All rustls says of a key it cannot use; the text is about kinds of keys, not about this one.
        rustls::Error::General(_) => {
            files.error(TlsFile::PrivateKey, "is no RSA, ECDSA or Ed25519 key that can be used")
        }
        _ => files.error(TlsFile::Certificate, format!("cannot be used: {error}")),
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Permissions), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
    Ok((bytes, metadata.permissions()))
}

/// All certificates of a PEM file.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not PEM: {error}"))?;
    if chain.is_empty() { Err("holds no certificate in PEM form".to_owned()) } else { Ok(chain) }
}

/// The certificate a server with this file presents: the first one.
///
/// # Errors
/// A reason without the path.
pub(super) fn first(path: &Path) -> Result<CertificateDer<'static>, String> {
    let (bytes, _) = read(path)?;
    chain(&bytes)?.into_iter().next().ok_or_else(|| "holds no certificate in PEM form".to_owned())
}

/// What may be said of a certificate: enough to tell it from another, and no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` has it without the colons.
    pub(super) fingerprint: String,
    /// When it ends; `None` where that cannot be read.
    pub(super) not_after: Option<Timestamp>,
}

impl Certificate {
    fn of(certificate: Option<&CertificateDer<'_>>) -> Self {
        let der = certificate.map_or(&[][..], |certificate| certificate.as_ref());
        let fingerprint = digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Self { fingerprint, not_after: not_after(der) }
    }
}

/// The end of the validity in a certificate (RFC 5280, 4.1). rustls keeps its own reading of it to itself.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut fields, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, validity) = element(validity)?;
    let (tag, text, _) = element(validity)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows, of one DER element.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, mut input) = input.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (bytes, rest) = input.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        input = rest;
        bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    let (content, rest) = input.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `UTCTime` (two digits for the years 1950 to 2049) or `GeneralizedTime`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let (date, time) = match tag {
        0x17 => {
            let (date, time) = text.split_at_checked(6)?;
            (format!("{}{date}", if date < "50" { "20" } else { "19" }), time)
        }
        0x18 => {
            let (date, time) = text.split_at_checked(8)?;
            (date.to_owned(), time)
        }
        _ => return None,
    };
    format!("{date}T{time}").parse().ok()
}

impl CertificateFiles {
    fn error(&self, file: TlsFile, reason: impl Into<String>) -> TlsError {
        let path: &PathBuf = match file {
            TlsFile::Certificate => &self.certificate,
            TlsFile::PrivateKey => &self.private_key,
        };
        TlsError { file, path: path.clone(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn end_of(year: i32) -> Option<Timestamp> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["keeper.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 9);
        not_after(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_time() {
        assert_eq!(end_of(2031), Some("2031-03-09T00:00:00Z".parse().unwrap()));
        assert_eq!(end_of(2049), Some("2049-03-09T00:00:00Z".parse().unwrap()));
        assert_eq!(end_of(2050), Some("2050-03-09T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["keeper.example".to_owned()]).unwrap();
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        assert!(not_after(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        assert_eq!(not_after(&[0x30, 0xff, 1, 2, 3]), None);
    }
}

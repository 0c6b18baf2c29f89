//! One GET over TLS from the server whose certificate is known.

use std::path::Path;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::CommandError;
use crate::server::tls::presented_certificate;

/// Longest answer that is read; a healthy one has some hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Trusts exactly one certificate, whatever its names, issuer and dates. That is stricter than an authority: only
/// the holder of that certificate's private key can answer, and the handshake proves that it is.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Status and body of `url`, if the server presents the first certificate of `certificate_file`.
///
/// # Errors
/// A sentence for a person. The caller limits the time.
pub(super) async fn get(url: &Url, certificate_file: &Path) -> Result<(StatusCode, String), CommandError> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let pinned = Pinned { certificate: presented_certificate(certificate_file)?, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    let host = url.host_str().ok_or("the URL has no host")?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let address = format!("{host}:{}", url.port_or_known_default().ok_or("the URL has no port")?);
    let stream = TcpStream::connect(&address).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| explained(&error))?;

    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = Request::get(path).header(header::HOST, &address).body(Empty::<Bytes>::new())?;
    // The connection has to be driven for an answer to arrive; what is wrong with it shows in the answer's error.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

fn explained(error: &std::io::Error) -> CommandError {
    let refused = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match refused {
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            "it presents another certificate than that of server.tls.certificate_file".into()
        }
        _ => format!("no TLS connection: {error}").into(),
    }
}

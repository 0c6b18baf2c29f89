//! Certificates made for a test, and a client that trusts one of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto};

/// A certificate chain for this machine, with its key.
pub(crate) struct Issued {
    /// The chain: the server's certificate first.
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    /// The server's certificate.
    pub(crate) end_entity: CertificateDer<'static>,
    /// The one a client trusts.
    pub(crate) authority: CertificateDer<'static>,
}

fn params() -> CertificateParams {
    CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap()
}

impl Issued {
    /// Signed by itself.
    pub(crate) fn self_signed() -> Self {
        Self::valid_until(None)
    }

    /// Signed by itself, until the first day of a year.
    pub(crate) fn valid_until(year: Option<i32>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params();
        if let Some(year) = year {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let certificate = params.self_signed(&key).unwrap();
        Self {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            end_entity: certificate.der().clone(),
            authority: certificate.der().clone(),
        }
    }

    /// Signed by an intermediate authority, which the client does not know.
    pub(crate) fn by_an_intermediate() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            (params, KeyPair::generate().unwrap())
        };
        let (params_of_root, key_of_root) = authority("root");
        let root = CertifiedIssuer::self_signed(params_of_root, key_of_root).unwrap();
        let (params_of_middle, key_of_middle) = authority("intermediate");
        let middle = CertifiedIssuer::signed_by(params_of_middle, key_of_middle, &root).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params().signed_by(&key, &middle).unwrap();
        Self {
            chain_pem: leaf.pem() + &middle.pem(),
            key_pem: key.serialize_pem(),
            end_entity: leaf.der().clone(),
            authority: root.der().clone(),
        }
    }

    /// Writes both files, the key for their owner alone, and replaces earlier ones whole.
    pub(crate) fn write(&self, directory: &Path) -> Files {
        let files = Files { certificate: directory.join("tls.crt"), private_key: directory.join("tls.key") };
        replace(&files.certificate, self.chain_pem.as_bytes());
        replace(&files.private_key, self.key_pem.as_bytes());
        files
    }

    fn connector(&self, alpn: &[&[u8]], versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// Connects as a client that trusts this authority and no other.
    pub(crate) async fn connect(&self, url: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_with(url, &[b"http/1.1"], &[&TLS12, &TLS13]).await
    }

    pub(crate) async fn connect_with(
        &self,
        url: &str,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address(url)).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.connector(alpn, versions).connect(name, stream).await
    }

    /// Sends a request on a connection of its own; answers all the server says until it closes.
    pub(crate) async fn ask(&self, url: &str, request: &str) -> String {
        let mut stream = self.connect(url).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// Where the files of a certificate are.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

impl Files {
    /// Arguments that switch TLS on.
    pub(crate) fn args(&self) -> Vec<String> {
        vec![
            "--set".to_owned(),
            format!("server.tls.certificate_file={}", self.certificate.display()),
            "--set".to_owned(),
            format!("server.tls.private_key_file={}", self.private_key.display()),
        ]
    }
}

/// Replaces a file at once, as programs that renew certificates do.
pub(crate) fn replace(path: &Path, content: &[u8]) {
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, content).unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

/// Host and port of a URL.
pub(crate) fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

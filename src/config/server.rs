//! `server`: where and how the API is served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use super::tls::TlsConfig;

/// What an address looks like, for `server.listen` and `metrics.listen`.
pub(super) const ADDRESS: Kind = Kind::Text {
    expected: "an IP address and port such as 127.0.0.1:8080 or [::]:8080",
    accepts: |text| text.parse::<SocketAddr>().is_ok(),
};

pub(super) const KEYS: &[Key] = &[
    Key::new("server.listen", "Address of the API", ADDRESS),
    Key::new(
        "server.request_timeout_secs",
        "Time a request may take before it is answered with 408",
        Kind::Int { min: 1, max: 300, unit: "seconds" },
    ),
    Key::new(
        "server.read_timeout_secs",
        "Time the header, and then the body, of a request may take to arrive",
        Kind::Int { min: 1, max: 300, unit: "seconds" },
    ),
    Key::new(
        "server.body_limit_bytes",
        "Longest request body; a longer one is answered with 413",
        Kind::Int { min: 1024, max: 64 * 1024 * 1024, unit: "bytes" },
    ),
    Key::new(
        "server.max_connections",
        "Connections at once, of all clients together; further ones wait until one ends",
        Kind::Int { min: 1, max: 65_536, unit: "connections" },
    ),
    Key::new(
        "server.drain_delay_secs",
        "Time after SIGTERM in which new connections are still taken while `/readyz` fails already",
        Kind::Int { min: 0, max: 60, unit: "seconds" },
    ),
    Key::new(
        "server.drain_timeout_secs",
        "Time requests in flight get to finish after SIGTERM",
        Kind::Int { min: 0, max: 300, unit: "seconds" },
    ),
    Key::new(
        "server.cors_origins",
        "Web origins that may call the API from a browser",
        Kind::List { expected: "an origin such as https://console.example.com, without a path", accepts: is_origin },
    ),
    Key::new(
        "server.trusted_proxies",
        "Proxies whose `X-Forwarded-For` is believed",
        Kind::List {
            expected: "an IP address or network such as 10.0.0.0/8 or fd00::/8",
            accepts: |text| network(text).is_some(),
        },
    ),
];

/// How the API is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address of the main listener.
    pub listen: SocketAddr,
    /// Seconds a request may take before it is answered with 408.
    pub request_timeout_secs: u64,
    /// Seconds the header, and then the body, of a request may take to arrive.
    pub read_timeout_secs: u64,
    /// Longest accepted request body in bytes.
    pub body_limit_bytes: usize,
    /// Most connections at once; further ones wait until one ends.
    pub max_connections: usize,
    /// Seconds after SIGTERM in which new connections are still taken while `/readyz` fails already.
    pub drain_delay_secs: u64,
    /// Seconds that requests in flight get to finish once a stop was asked for.
    pub drain_timeout_secs: u64,
    /// Origins whose pages may call the API from a browser; none switches CORS off.
    pub cors_origins: Vec<String>,
    /// Addresses and networks of proxies whose `X-Forwarded-For` is believed; none believes nobody.
    pub trusted_proxies: Vec<String>,
    /// HTTPS on this listener.
    pub tls: TlsConfig,
}

impl ServerConfig {
    /// [`request_timeout_secs`](Self::request_timeout_secs) as a duration.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_secs)
    }

    /// [`read_timeout_secs`](Self::read_timeout_secs) as a duration.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.read_timeout_secs)
    }

    /// [`trusted_proxies`](Self::trusted_proxies) as networks.
    #[must_use]
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        self.trusted_proxies.iter().filter_map(|text| network(text)).collect()
    }

    /// [`drain_delay_secs`](Self::drain_delay_secs) as a duration.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay_secs)
    }

    /// [`drain_timeout_secs`](Self::drain_timeout_secs) as a duration.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_secs)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Loopback: whoever wants to be reached from elsewhere says so.
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            request_timeout_secs: 15,
            read_timeout_secs: 10,
            body_limit_bytes: 1024 * 1024,
            // A connection costs a file descriptor and, while a request is read, up to some 70 KB.
            max_connections: 8_192,
            drain_delay_secs: 1,
            drain_timeout_secs: 25,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: TlsConfig::default(),
        }
    }
}

/// A network, or one address as the network of itself. IPv4 addresses mapped into IPv6 are refused: peers are compared in
/// their plain form, so such an entry would match nobody.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let mapped = matches!(network, IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some());
    (!mapped).then_some(network)
}

/// Scheme, host and optional port, exactly as a browser sends it in `Origin`. `*` is not one: it would open
/// the API to every page.
fn is_origin(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

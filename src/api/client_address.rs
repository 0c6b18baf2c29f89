//! Where a request came from: the peer of its connection or, behind proxies that are trusted, whom they name.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::router::ApiState;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most entries of `X-Forwarded-For` that are looked at, from the right: longer than any chain of proxies, and far less
/// than a header can hold.
const MAX_HOPS: usize = 32;

/// The address of the client; `None` where the connection's peer is not known.
///
/// `X-Forwarded-For` is written by whoever sends the request, and each proxy appends whom it got it from. So it is
/// read from the right, and only as far as those who wrote it are trusted (`server.trusted_proxies`).
#[must_use]
pub fn client_address(parts: &Parts, state: &ApiState) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(behind_proxies(peer.ip().to_canonical(), &parts.headers, &state.settings.trusted_proxies))
}

pub(super) fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    // Several lines are one list, in their order.
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = peer;
    for entry in entries.take(MAX_HOPS) {
        if !is_trusted(&client) {
            break;
        }
        // What is no address says nothing, and neither does what stands left of it.
        let Some(address) = address_of(entry) else { break };
        client = address;
    }
    client
}

/// An address as proxies write it: alone or with a port, IPv6 then in brackets.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PEER: &str = "10.0.0.1";

    fn client_behind(peer: &str, trusted: &[&str], lines: &[&[u8]]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        behind_proxies(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    fn client(lines: &[&[u8]]) -> String {
        client_behind(PEER, &["10.0.0.0/8", "fd00::/8"], lines)
    }

    #[test]
    fn a_peer_that_is_not_trusted_says_nothing_about_anybody() {
        assert_eq!(client_behind("203.0.113.9", &["10.0.0.0/8"], &[b"198.51.100.1"]), "203.0.113.9");
        assert_eq!(client_behind(PEER, &[], &[b"198.51.100.1"]), PEER);
        assert_eq!(client_behind("2001:db8::1", &["0.0.0.0/0"], &[b"198.51.100.1"]), "2001:db8::1");
    }

    #[test]
    fn the_first_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        assert_eq!(client(&[]), PEER);
        assert_eq!(client(&[b"198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&[b"1.1.1.1, 198.51.100.1 ,10.2.0.1,\t10.3.0.1"]), "198.51.100.1");
        assert_eq!(client(&[b"1.1.1.1", b"198.51.100.1, 10.2.0.1", b"10.3.0.1"]), "198.51.100.1");
        // All of them are proxies: the one furthest away is as near to the client as anybody knows.
        assert_eq!(client(&[b"10.2.0.1, 10.3.0.1"]), "10.2.0.1");
    }

    #[test]
    fn addresses_may_have_ports_and_brackets_and_be_mapped() {
        for (entry, address) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:80", "198.51.100.1"),
        ] {
            assert_eq!(client(&[entry.as_bytes()]), address, "{entry}");
        }
        // A proxy is known in either form.
        assert_eq!(client(&[b"198.51.100.1, ::ffff:10.9.9.9, [fd00::7]:80"]), "198.51.100.1");
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_good_address() {
        let garbage: [&[u8]; 9] = [
            b"unknown",
            b"",
            b"10.0.0",
            b"10.0.0.256",
            b"_hidden",
            b"fe80::1%eth0",
            b"[10.0.0.1]",
            b"\xff\xfe",
            b"10.0.0.1;198.51.100.1",
        ];
        for entry in garbage {
            let line = [b"198.51.100.1, ", entry, b", 10.2.0.1"].concat();
            assert_eq!(client(&[&line]), "10.2.0.1", "{}", String::from_utf8_lossy(entry));
        }
    }

    #[test]
    fn only_so_many_hops_are_looked_at() {
        let chain = |hops: usize| format!("198.51.100.1{}", ", 10.2.0.1".repeat(hops));
        assert_eq!(client(&[chain(MAX_HOPS - 1).as_bytes()]), "198.51.100.1");
        assert_eq!(client(&[chain(MAX_HOPS).as_bytes()]), "10.2.0.1");
        assert_eq!(client(&[chain(100_000).as_bytes()]), "10.2.0.1");
    }
}

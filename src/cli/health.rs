//! `health`: what a container probe runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::CommandResult;
use crate::config::Config;

/// Longest time to wait for the answer: below the default time-out of container probes that would hide the cause.
const TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// URL to ask; default: /health of the configured server.listen
    #[arg(long)]
    url: Option<String>,
}

/// Where this process's own configuration says the service listens; a wildcard address is reached over loopback.
fn own_url(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/health", SocketAddr::new(ip, listen.port()))
}

pub(super) async fn run(config: &Config, args: HealthArgs) -> CommandResult {
    let url = args.url.unwrap_or_else(|| own_url(config.server.listen));
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let response = match client.get(&url).send().await {
        Ok(response) => response,
        Err(error) => {
            println!("unhealthy: {url} does not answer ({})", root_cause(&error));
            return Ok(ExitCode::FAILURE);
        }
    };
    let healthy = response.status().is_success();
    let body = response.text().await.unwrap_or_default();
    println!("{}", if body.is_empty() { "no body" } else { &body });
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The innermost error says what happened; the outer ones only that a request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_is_asked_over_loopback() {
        assert_eq!(own_url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80/health");
        assert_eq!(own_url("[::]:80".parse().unwrap()), "http://[::1]:80/health");
        assert_eq!(own_url("10.0.0.1:81".parse().unwrap()), "http://10.0.0.1:81/health");
    }
}

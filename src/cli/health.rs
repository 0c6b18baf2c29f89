//! `health`: what a container probe runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;
use reqwest::Url;

use super::{CommandError, CommandResult};
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
fn own_url(listen: SocketAddr, tls: bool) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{}://{}/health", if tls { "https" } else { "http" }, SocketAddr::new(ip, listen.port()))
}

pub(super) async fn run(config: &Config, args: HealthArgs) -> CommandResult {
    let url = args.url.unwrap_or_else(|| own_url(config.server.listen, config.server.tls.files().is_some()));
    let url: Url = url.parse().map_err(|error| format!("--url: {url}: {error}"))?;
    let answer = tokio::time::timeout(TIMEOUT, ask(config, &url)).await;
    match answer.unwrap_or_else(|_| Err("no answer in time".into())) {
        Ok((status, body)) => {
            println!("{}", if body.is_empty() { "no body" } else { &body });
            Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            println!("unhealthy: {url} does not answer ({})", root_cause(&*error));
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn ask(config: &Config, url: &Url) -> Result<(StatusCode, String), CommandError> {
    if url.scheme() == "https" {
        return ask_over_tls(config, url).await;
    }
    // No proxy of the environment: the service is asked itself.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(url.clone()).send().await?;
    Ok((response.status(), response.text().await?))
}

#[cfg(feature = "tls")]
async fn ask_over_tls(config: &Config, url: &Url) -> Result<(StatusCode, String), CommandError> {
    let trusted = config.server.tls.certificate_file.as_deref();
    super::https::get(url, trusted.ok_or("server.tls.certificate_file says which certificate to trust")?).await
}

#[cfg(not(feature = "tls"))]
async fn ask_over_tls(_config: &Config, _url: &Url) -> Result<(StatusCode, String), CommandError> {
    Err("this binary was built without TLS; build it with the cargo feature `tls`".into())
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
        assert_eq!(own_url("0.0.0.0:80".parse().unwrap(), false), "http://127.0.0.1:80/health");
        assert_eq!(own_url("[::]:80".parse().unwrap(), true), "https://[::1]:80/health");
        assert_eq!(own_url("10.0.0.1:81".parse().unwrap(), false), "http://10.0.0.1:81/health");
    }
}

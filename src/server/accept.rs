//! The loop that accepts connections, and the life of one.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, header};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::stream::ConnectionStream;
use super::unreadable::Unreadable;

/// Longest header of a request, its first line included. Tokens and the longest paths of the API take some 3 KB, and
/// what proxies and browsers add has room beside them. Of the number of fields, hyper's own limit of 100 holds.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Most bytes read ahead, or waiting to be written, of one connection. Larger bodies pass through in pieces.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Pause after a failed accept (out of file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Longest time a client may take for one step: the TLS handshake, the header of a request (also on an idle
    /// connection), and taking the next bytes of an answer.
    pub client_timeout: Duration,
    /// Longest time requests in flight may take to finish after a stop.
    pub drain_timeout: Duration,
    /// Most connections at once. Beyond them the kernel's backlog waits.
    pub max_connections: usize,
}

/// What all connections of a listener share.
struct Shared {
    endpoint: Endpoint,
    hsts: Option<HeaderValue>,
    http: http1::Builder,
    limits: ServerLimits,
    stop: CancellationToken,
}

/// Serves until `stop` is cancelled, then lets requests in flight finish. Every request carries the address of its
/// TCP peer as [`ConnectInfo`].
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Into<Endpoint>,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let limit = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    metrics::gauge!("http_connections_limit").set(f64::from(limit));
    let graceful = GracefulShutdown::new();
    let endpoint = endpoint.into();
    let shared = Arc::new(Shared {
        hsts: endpoint.tls.as_ref().and_then(super::tls::Tls::hsts),
        endpoint,
        http: http(limits),
        limits,
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, peer, room) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and complete when written: waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let (shared, watcher) = (Arc::clone(&shared), graceful.watcher());
        let counted = Counted::new();
        tokio::spawn(async move {
            connection(stream, peer, shared, watcher).await;
            drop((counted, room));
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

/// A connection that is open, in the metrics.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("http_connections").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("http_connections").decrement(1.0);
    }
}

fn http(limits: ServerLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.client_timeout)
        .keep_alive(true)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES)
        // One buffer for everything that waits to be written: `ConnectionStream` looks at its end.
        .writev(false);
    http
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let room = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, room))
}

/// A client that goes away or sends nonsense is not worth more than a debug line.
async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, watcher: Watcher) {
    let stream = bounded_writes(stream, shared.limits.client_timeout);
    let Some(tls) = &shared.endpoint.tls else {
        return exchange(stream, peer, &shared, watcher).await;
    };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(shared.limits.client_timeout, tls.accept(stream)) => handshake,
        // Nothing was asked yet, so nothing has to be finished.
        () = shared.stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => exchange(stream, peer, &shared, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// A client that does not read its answer would otherwise keep the connection and the answer for ever. Waiting for the
/// client to read on starts anew with every byte it takes, so a slow line is no reason to be cut off.
fn bounded_writes(stream: TcpStream, timeout: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(timeout));
    Box::pin(stream)
}

/// Requests and answers until one side has enough.
async fn exchange<S>(stream: S, peer: SocketAddr, shared: &Shared, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let unreadable =
        shared.endpoint.rejections.clone().map(|rejections| Unreadable::new(rejections, shared.hsts.clone()));
    let stream = ConnectionStream::new(stream, unreadable, shared.stop.clone());
    let router: TowerToHyperService<Router> = TowerToHyperService::new(shared.endpoint.router.clone());
    let service = service_fn(|mut request: Request<Incoming>| {
        // The TCP peer, for what counts or records by address. Behind a proxy it is the proxy.
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.call(request);
        async {
            let mut response = answer.await?;
            // Here and not in a layer of the router, so that no answer misses it.
            if let Some(hsts) = &shared.hsts {
                response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = shared.http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

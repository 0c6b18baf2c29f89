//! A network that fails when a test says so: a TCP proxy on 127.0.0.1 in front of any server.
//!
//! It understands as much HTTP as the DynamoDB API needs, on connections that begin with an HTTP request, so that it can
//! answer in the server's place what the local server never does.

mod connection;
mod http;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use http::{Action, HttpFault, Request};

/// Most connections at once; further ones are closed. Several pools fit in.
const MAX_CONNECTIONS: usize = 256;

/// What happens to connections and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Pass,
    Refuse,
    BlackHole,
}

/// What every connection follows.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    mode: Mode,
    /// Connections that began under another number are over.
    cuts: u64,
    to_server: Duration,
    to_client: Duration,
}

/// What the proxy and its connections share.
#[derive(Debug, Default)]
struct Shared {
    state: watch::Sender<State>,
    faults: Mutex<Vec<HttpFault>>,
    /// The operation of every HTTP request that came in, in order.
    operations: Mutex<Vec<String>>,
}

impl Shared {
    /// Notes a request, and answers what is to become of it where not the usual.
    fn request(&self, request: &Request) -> Option<Action> {
        self.operations.lock().unwrap().push(request.operation.clone());
        let mut faults = self.faults.lock().unwrap();
        let position = faults.iter().position(|fault| fault.concerns(request))?;
        let fault = &mut faults[position];
        fault.left -= 1;
        let action = fault.action.clone();
        if fault.left == 0 {
            faults.remove(position);
        }
        Some(action)
    }
}

/// The proxy. It and its connections end with it.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    _stop: DropGuard,
}

impl Proxy {
    /// A proxy that passes everything on to `server`.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let stop = CancellationToken::new();
        let accepting = accept(listener, server, Arc::clone(&shared), Arc::clone(&connections), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self { address, shared, connections, _stop: stop.drop_guard() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        MAX_CONNECTIONS - self.connections.available_permits()
    }

    /// How many HTTP requests came in for an operation, such as `TransactWriteItems`.
    pub(crate) fn requests(&self, operation: &str) -> usize {
        self.shared.operations.lock().unwrap().iter().filter(|of| *of == operation).count()
    }

    /// Everything is passed on, at once.
    pub(crate) fn pass(&self) {
        self.shared.state.send_modify(|state| *state = State { cuts: state.cuts, ..State::default() });
    }

    /// New connections are closed at once; those there are stay.
    pub(crate) fn refuse(&self) {
        self.shared.state.send_modify(|state| state.mode = Mode::Refuse);
    }

    /// Closes all connections there are.
    pub(crate) fn cut(&self) {
        self.shared.state.send_modify(|state| state.cuts += 1);
    }

    /// Connections, new ones too, stay open, but nothing gets through and nothing is answered. Those that something was
    /// lost on are closed when this ends.
    pub(crate) fn black_hole(&self) {
        self.shared.state.send_modify(|state| state.mode = Mode::BlackHole);
    }

    /// Bytes take this much longer, in each direction.
    pub(crate) fn delay(&self, to_server: Duration, to_client: Duration) {
        self.shared.state.send_modify(|state| (state.to_server, state.to_client) = (to_server, to_client));
    }

    /// The next `times` HTTP requests are answered as throttled, and do not reach the server.
    pub(crate) fn answer_throttling(&self, times: usize) {
        self.answer_error(times, None, "ProvisionedThroughputExceededException");
    }

    /// The next `times` HTTP requests for an operation, or for any, are answered by an error of this type, and do not
    /// reach the server.
    pub(crate) fn answer_error(&self, times: usize, operation: Option<&str>, error: &str) {
        self.arm(times, operation, Action::Answer(http::error(error)));
    }

    /// The next `times` transactions are answered as canceled for these reasons, one for each of its first items (`None`
    /// for the others), and do not reach the server.
    pub(crate) fn cancel_transactions(&self, times: usize, reasons: &[&str]) {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        self.arm(times, Some("TransactWriteItems"), Action::Cancel(reasons));
    }

    /// The next `times` HTTP requests for an operation reach the server, but what it answers is lost with the connection.
    pub(crate) fn drop_answers(&self, times: usize, operation: &str) {
        self.arm(times, Some(operation), Action::DropAnswer);
    }

    /// Every HTTP request for an operation is answered as if it had succeeded, and does not reach the server.
    pub(crate) fn ignore(&self, operation: &str) {
        self.arm(usize::MAX, Some(operation), Action::Answer(http::nothing()));
    }

    fn arm(&self, times: usize, operation: Option<&str>, action: Action) {
        if times > 0 {
            let fault = HttpFault { operation: operation.map(str::to_owned), left: times, action };
            self.shared.faults.lock().unwrap().push(fault);
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    stop: CancellationToken,
) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let state = shared.state.subscribe();
        if state.borrow().mode == Mode::Refuse {
            continue;
        }
        let shared = Arc::clone(&shared);
        let connection = async move {
            connection::run(client, server, &shared, state).await;
            drop(permit);
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(connection));
    }
}

/// The server's side of a connection; `None` where nothing must reach it.
async fn connect(server: SocketAddr, mode: Mode) -> std::io::Result<Option<TcpStream>> {
    match mode {
        Mode::BlackHole => Ok(None),
        Mode::Pass | Mode::Refuse => TcpStream::connect(server).await.map(Some),
    }
}

#[cfg(test)]
mod tests;

//! One connection through the proxy: a task that owns both sides, so that nothing needs a lock.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::http::{self, Action};
use super::{Mode, Shared, State, connect};

/// Most bytes read at once. A direction reads on when they are written.
const CHUNK: usize = 64 << 10;

/// One direction.
#[derive(Default)]
struct Lane {
    /// What is to be written.
    bytes: Vec<u8>,
    /// Not before then.
    due: Option<Instant>,
    /// Nothing more will come.
    ended: bool,
}

impl Lane {
    fn put(&mut self, bytes: &[u8], after: std::time::Duration) {
        self.bytes.extend_from_slice(bytes);
        self.due = Some(Instant::now() + after);
    }

    fn is_idle(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes some of the bytes once they are due. May be dropped at any time.
    async fn write(&mut self, to: &mut OwnedWriteHalf) -> std::io::Result<()> {
        if let Some(due) = self.due {
            sleep_until(due).await;
            self.due = None;
        }
        let written = to.write(&self.bytes).await?;
        self.bytes.drain(..written);
        Ok(())
    }
}

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http,
    Other,
}

struct Connection<'a> {
    shared: &'a Shared,
    protocol: Protocol,
    /// Bytes of a request that is not complete yet.
    request: Vec<u8>,
    up: Lane,
    down: Lane,
    /// The next answer is lost with the connection.
    drop_answer: bool,
    /// Something was lost: of no more use once bytes get through again.
    broken: bool,
}

/// Runs until either side, the network or a fault ends it.
pub(super) async fn run(client: TcpStream, server: SocketAddr, shared: &Shared, state: watch::Receiver<State>) {
    let mode = state.borrow().mode;
    let Ok(upstream) = connect(server, mode).await else { return };
    // Small packets must not wait for each other: tests measure delays.
    let _ = client.set_nodelay(true);
    let mut connection = Connection {
        shared,
        protocol: Protocol::Unknown,
        request: Vec::new(),
        up: Lane::default(),
        down: Lane::default(),
        drop_answer: false,
        broken: false,
    };
    let ended = match upstream {
        Some(upstream) => {
            let _ = upstream.set_nodelay(true);
            connection.pump(client, upstream, state).await
        }
        None => swallow(client, state).await,
    };
    // Whatever ended it, both sides are closed now.
    drop(ended);
}

/// Takes whatever a client says until the black hole is over.
async fn swallow(client: TcpStream, mut state: watch::Receiver<State>) -> std::io::Result<()> {
    let cuts = state.borrow().cuts;
    let (mut input, _output) = client.into_split();
    let mut chunk = vec![0; CHUNK];
    let over = state.wait_for(|state| state.mode != Mode::BlackHole || state.cuts != cuts);
    tokio::select! {
        _ = over => Ok(()),
        ended = async { loop { if input.read(&mut chunk).await? == 0 { return Ok(()) } } } => ended,
    }
}

impl Connection<'_> {
    async fn pump(
        &mut self,
        client: TcpStream,
        server: TcpStream,
        mut state: watch::Receiver<State>,
    ) -> std::io::Result<()> {
        let mut now = *state.borrow_and_update();
        let cuts = now.cuts;
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let (mut up, mut down) = (vec![0; CHUNK], vec![0; CHUNK]);
        loop {
            tokio::select! {
                changed = state.changed() => {
                    now = *state.borrow_and_update();
                    let hole = now.mode == Mode::BlackHole;
                    if changed.is_err() || now.cuts != cuts || (self.broken && !hole) {
                        return Ok(());
                    }
                    // What was on its way is lost too.
                    if hole && !(self.up.is_idle() && self.down.is_idle()) {
                        (self.up.bytes, self.down.bytes, self.broken) = (Vec::new(), Vec::new(), true);
                    }
                }
                read = read(&mut from_client, &mut up), if self.up.is_idle() && !self.up.ended => {
                    let bytes = &up[..read?];
                    if bytes.is_empty() {
                        self.up.ended = true;
                        to_server.shutdown().await?;
                    } else if now.mode == Mode::BlackHole {
                        self.broken = true;
                    } else if !self.hear(bytes, &now) {
                        return Ok(());
                    }
                }
                read = read(&mut from_server, &mut down), if self.down.is_idle() && !self.down.ended => {
                    let bytes = &down[..read?];
                    if self.drop_answer || bytes.is_empty() {
                        // With HTTP and PostgreSQL a server that ends has said everything.
                        return Ok(());
                    } else if now.mode == Mode::BlackHole {
                        self.broken = true;
                    } else {
                        self.down.put(bytes, now.to_client);
                    }
                }
                written = self.up.write(&mut to_server), if !self.up.is_idle() => written?,
                written = self.down.write(&mut to_client), if !self.down.is_idle() => written?,
            }
        }
    }

    /// Takes what the client said; `false` where that ends the connection.
    fn hear(&mut self, bytes: &[u8], now: &State) -> bool {
        self.request.extend_from_slice(bytes);
        if self.protocol == Protocol::Unknown {
            self.protocol = match http::is_http(&self.request) {
                None => return true,
                Some(true) => Protocol::Http,
                Some(false) => Protocol::Other,
            };
        }
        if self.protocol == Protocol::Other {
            self.up.put(&std::mem::take(&mut self.request), now.to_server);
            return true;
        }
        loop {
            match http::parse(&self.request) {
                Err(()) => return false,
                Ok(None) => return true,
                Ok(Some(request)) => {
                    let answer = match self.shared.request(&request) {
                        None => None,
                        Some(Action::DropAnswer) => {
                            self.drop_answer = true;
                            None
                        }
                        Some(Action::Answer(answer)) => Some(answer),
                        Some(Action::Cancel(reasons)) => Some(http::canceled(&request, &self.request, &reasons)),
                    };
                    match answer {
                        Some(answer) => self.down.put(&answer, now.to_client),
                        None => self.up.put(&self.request[..request.length], now.to_server),
                    }
                    self.request.drain(..request.length);
                }
            }
        }
    }
}

async fn read(from: &mut OwnedReadHalf, chunk: &mut [u8]) -> std::io::Result<usize> {
    from.read(chunk).await
}

//! The bytes of one connection: hyper's own answers are replaced, and the end is such that the last answer arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::unreadable::{BareAnswer, Unreadable};

/// Longest wait for the client to close too, once everything is written. To close while bytes arrive makes the kernel
/// reset the connection, and the client would lose the answer that says what was wrong (RFC 9112, 9.6). One second is
/// several round trips of a slow line.
const LINGER: Duration = Duration::from_secs(1);
/// Most bytes read, and thrown away, meanwhile: several times the largest usual body.
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// How much of them at once.
const LINGER_BUFFER: usize = 4 * 1024;

/// A connection as hyper sees it.
pub(super) struct ConnectionStream<S> {
    inner: S,
    unreadable: Option<Unreadable>,
    /// What is to be written in the place of hyper's own answer.
    replacement: Vec<u8>,
    /// Running once everything is written: until then the client's last bytes are read.
    linger: Option<Pin<Box<Sleep>>>,
    discarded: usize,
    stop: CancellationToken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ConnectionStream<S> {
    pub(super) fn new(inner: S, unreadable: Option<Unreadable>, stop: CancellationToken) -> Self {
        Self { inner, unreadable, replacement: Vec::new(), linger: None, discarded: 0, stop }
    }

    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.replacement))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on until the client closes, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; LINGER_BUFFER];
        while self.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    return self.linger.as_mut().map_or(Poll::Ready(()), |time| time.as_mut().poll(cx));
                }
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ConnectionStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ConnectionStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        let mut buf = buf;
        if let Some(unreadable) = &this.unreadable
            && let Some(bare) = BareAnswer::at_end_of(buf)
        {
            if let (Some(before), true) = (buf.get(..bare.at), bare.at > 0) {
                // What comes before it first, as it is; hyper offers the rest again.
                buf = before;
            } else if let Some(answer) = unreadable.instead_of(&bare) {
                this.replacement = answer;
                return Poll::Ready(Ok(buf.len()));
            }
        }
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(this.poll_replacement(cx))?;
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            // Idle connections are closed on a stop: there is no answer that could be lost.
            if this.stop.is_cancelled() {
                return Poll::Ready(Ok(()));
            }
            this.linger = Some(Box::pin(sleep(LINGER)));
        }
        this.poll_linger(cx).map(Ok)
    }
}

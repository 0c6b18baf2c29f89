//! SIGTERM and Ctrl-C.

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What asked for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// SIGTERM: an orchestrator.
    Terminate,
    /// Ctrl-C: a person.
    Interrupt,
}

impl StopSignal {
    /// What a shell says of a process that ended by it.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

/// SIGTERM and Ctrl-C.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Listens from now on. Called inside a runtime.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

/// Ends the process by either signal, as the system does with any process that says nothing of them; except with the
/// first one of a container, which would not end by them at all, so that whoever stops it had to wait and kill it.
/// For a command that can be ended anywhere, as what is committed is complete, and that leaves nothing behind.
pub(super) fn end_by_signals(runtime: &Runtime) -> std::io::Result<()> {
    let _inside = runtime.enter();
    let mut signals = StopSignals::listen()?;
    runtime.spawn(async move {
        let signal = signals.next().await;
        std::process::exit(i32::from(signal.exit_code()));
    });
    Ok(())
}

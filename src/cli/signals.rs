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
    fn exit_code(self) -> i32 {
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
/// Every command can be ended anywhere: what is committed is complete.
pub(super) fn end_by_signals(runtime: &Runtime) -> std::io::Result<()> {
    let _inside = runtime.enter();
    let mut signals = StopSignals::listen()?;
    runtime.spawn(async move {
        let signal = signals.next().await;
        std::process::exit(signal.exit_code());
    });
    Ok(())
}

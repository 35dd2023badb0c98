//! The life of a daemon: it is served until its engine has exited, by request or by signal, and then
//! its last answers are delivered.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;
use trogdor_core::api::ApiError;

use super::out;
use super::signals::{Signals, exit_code};
use crate::http::{Routes, Server};

/// How a life ended; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was stopped first.
    InOrder(u8),
    /// Somebody could not wait.
    AtOnce(u8),
}

/// Serves while `life` goes on, and gives its exit code. The port stays open until the engine has
/// exited, so that a coordinator can watch the last workers end; new work is refused meanwhile.
pub(super) async fn serve(server: Option<Server>, routes: Routes, life: impl Future<Output = End>) -> u8 {
    let (ending, ended) = oneshot::channel::<()>();
    let mut serving = pin!(async {
        if let Some(server) = server {
            // A sender that is gone means the same as a word from it.
            server.serve(routes, async { drop(ended.await) }).await;
        }
    });
    let mut life = pin!(life);
    let end = tokio::select! {
        end = &mut life => end,
        // There is no port: nothing to be served.
        () = &mut serving => return match life.await {
            End::InOrder(code) | End::AtOnce(code) => code,
        },
    };
    match end {
        End::InOrder(code) => {
            drop(ending);
            serving.await;
            code
        }
        End::AtOnce(code) => code,
    }
}

/// Lives until the engine has exited: by a request, or because a signal makes this ask for it.
pub(super) async fn live(
    exited: impl Future<Output = ()>,
    shut_down: impl Future<Output = Result<(), ApiError>>,
    patience: Duration,
    signals: &mut Signals,
    hook_line: &str,
) -> End {
    let mut exited = pin!(exited);
    let signal = tokio::select! {
        () = &mut exited => None,
        signal = signals.next() => Some(signal),
    };
    out::line(hook_line);
    let Some(signal) = signal else { return End::InOrder(0) };
    info!(signal, "exiting");
    let exit = async {
        // An error means that it is exiting already.
        let _ = shut_down.await;
        exited.await;
    };
    tokio::select! {
        over = tokio::time::timeout(patience, exit) => End::InOrder(u8::from(over.is_err())),
        signal = signals.next() => End::AtOnce(exit_code(signal)),
    }
}

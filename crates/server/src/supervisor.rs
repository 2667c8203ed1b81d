//! Spawns the platform's long-lived tasks, each with a declared fate, and stops them in reverse order.
//!
//! Owns every top-level task. A task that ends although nobody asked it to is either logged or stops the platform, as
//! its [`Fate`] says; nothing dies in silence.

use crate::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// How long a task may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// What happens when a task ends without having been asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The platform cannot go on without it: stop everything.
    Essential,
    /// Log it; the rest goes on.
    Optional,
}

struct Task {
    name: &'static str,
    cancel: CancellationToken,
    handle: JoinHandle<()>,
}

/// Owns the tasks. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Supervisor {
    tasks: Arc<Mutex<Vec<Task>>>,
    failed: CancellationToken,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list()
            .entries(tasks.iter().map(|task| task.name))
            .finish()
    }
}

impl Supervisor {
    /// Starts a task. `make` gets the token that asks it to end.
    pub(crate) fn spawn<F, E>(
        &self,
        name: &'static str,
        fate: Fate,
        make: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let cancel = CancellationToken::new();
        let work = make(cancel.clone());
        let (failed, asked) = (self.failed.clone(), cancel.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the supervisor owns the handle and joins it in `stop`"
        )]
        let handle = tokio::spawn(async move {
            let result = work.await;
            match (&result, asked.is_cancelled()) {
                (Ok(()), true) => debug!(task = name, "ended"),
                (Ok(()), false) => error!(task = name, "ended although nobody asked it to"),
                (Err(cause), _) => error!(task = name, error = %herder_base::chain(cause), "failed"),
            }
            if fate == Fate::Essential && !asked.is_cancelled() {
                failed.cancel();
            }
        });
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Task { name, cancel, handle });
    }

    /// Resolves when an essential task has ended by itself.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Asks the tasks to end, last started first, and waits for each; names those that had to be cut off.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let mut cut_off = Vec::new();
        loop {
            let next = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut task) = next else { break };
            task.cancel.cancel();
            if tokio::time::timeout(GRACE, &mut task.handle).await.is_err() {
                task.handle.abort();
                warn!(task = task.name, "did not end in time and was cut off");
                cut_off.push(task.name);
            }
        }
        if cut_off.is_empty() {
            Ok(())
        } else {
            Err(Error::CutOff(cut_off.join(", ")))
        }
    }
}

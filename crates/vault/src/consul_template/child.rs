//! The program that is looked after: started when everything is rendered, told of changes, ended with this process.

use super::command::CommandError;
use super::process::{Handle, Process};
use super::settings::Exec;
use nix::sys::signal::Signal;
use std::process::ExitStatus;

/// The program, running or not.
#[derive(Debug)]
pub(super) struct Child {
    exec: Exec,
    running: Option<Process>,
    handle: Handle,
}

impl Child {
    /// Not started yet.
    pub(super) fn new(exec: Exec) -> Self {
        Self {
            exec,
            running: None,
            handle: Handle::default(),
        }
    }

    /// For signals while the program itself is held elsewhere.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether there is a program at all.
    pub(super) fn wanted(&self) -> bool {
        !self.exec.command.is_empty() && self.exec.enabled.unwrap_or(true)
    }

    /// Everything is rendered: starts the program, or tells it of a change.
    pub(super) async fn rendered(&mut self, changed: bool) -> Result<(), CommandError> {
        if !self.wanted() {
            return Ok(());
        }
        match (&self.running, changed, self.exec.reload_signal) {
            (None, ..) => self.start(),
            (Some(_), false, _) => Ok(()),
            (Some(_), true, Some(reload)) => {
                tracing::info!("telling the program of the change with {reload}");
                self.signal(reload);
                Ok(())
            }
            (Some(_), true, None) => {
                tracing::info!("starting the program anew for the change");
                self.end(true).await;
                self.start()
            }
        }
    }

    fn start(&mut self) -> Result<(), CommandError> {
        self.running = Process::start(&self.exec.command, &self.exec, self.handle())?;
        tracing::info!("started the program");
        Ok(())
    }

    /// Waits until the program ends by itself; for ever if there is none.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        match &mut self.running {
            None => std::future::pending().await,
            Some(process) => {
                let status = process.wait().await?;
                self.running = None;
                Ok(status)
            }
        }
    }

    /// Passes a signal on. Says whether there was a program to get it.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        self.handle.signal(signal)
    }

    /// Ends the program: with its signal first, then for certain.
    pub(super) async fn end(&mut self, splay: bool) {
        // It stays here until it has ended: who stops waiting may come back.
        let Some(process) = &mut self.running else { return };
        if splay && let Some(splay) = self.exec.splay {
            tokio::time::sleep(splay.mul_f64(crate::jitter::unit())).await;
        }
        process
            .end(self.exec.kill_signal(), self.exec.kill_timeout())
            .await;
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn ends_for_certain_what_does_not_listen() {
        let line = "trap '' INT TERM; while true; do sleep 0.05; done".to_owned();
        let mut child = Child::new(Exec {
            command: vec!["/bin/sh".to_owned(), "-c".to_owned(), line],
            kill_timeout: Some(Duration::from_millis(200)),
            ..Exec::default()
        });
        assert!(child.wanted());
        assert!(!child.signal(Signal::SIGUSR1), "there is no program yet");
        child.rendered(true).await.unwrap();
        assert!(child.signal(Signal::SIGCONT));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let start = std::time::Instant::now();
        child.end(false).await;
        assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < Duration::from_secs(5));
        assert!(!child.signal(Signal::SIGCONT), "it is gone");
        let missing = Exec {
            command: vec!["/no/such/program".to_owned(), "x".to_owned()],
            ..Exec::default()
        };
        assert!(Child::new(missing).rendered(true).await.is_err());
    }
}

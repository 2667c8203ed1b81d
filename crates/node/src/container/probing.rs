//! When a container's hook and probes are run, and what their answers mean.

use super::Supervisor;
use crate::probe::{Rhythm, Target};
use k8s_openapi::api::core::v1::Probe;
use std::time::Duration;
use tokio::time::Instant;

impl Supervisor {
    /// Hook, then probes; returns why the instance has to be killed.
    pub(super) async fn probe(&self, target: &Target<'_>) -> String {
        let container = target.container;
        let hook = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.as_ref());
        if let Some(hook) = hook
            && let Err(why) = target.hook(hook, Duration::from_secs(600)).await
        {
            self.event(
                true,
                "FailedPostStartHook",
                format!("PostStartHook failed: {why}"),
            );
            return "failed its postStart hook".to_owned();
        }
        if let Some(probe) = &container.startup_probe {
            let failed = self.until_failed(target, probe, "Startup", true, |good| {
                if good {
                    let ready = container.readiness_probe.is_none();
                    self.record(|record| {
                        record.started = true;
                        record.ready = ready;
                    });
                }
            });
            if failed.await {
                return "failed startup probe, will be restarted".to_owned();
            }
        }
        let liveness = async {
            match &container.liveness_probe {
                Some(probe) => _ = self.until_failed(target, probe, "Liveness", false, |_| {}).await,
                None => std::future::pending().await,
            }
        };
        let readiness = async {
            if let Some(probe) = &container.readiness_probe {
                let show = |good: bool| self.record(|record| record.ready = good);
                self.until_failed(target, probe, "Readiness", false, show).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = liveness => {}
            () = readiness => {}
        }
        "failed liveness probe, will be restarted".to_owned()
    }

    /// Probes until it has failed too often (true; readiness probes go on) or, `once`, has succeeded (false). `show`
    /// hears every change of the verdict.
    pub(super) async fn until_failed(
        &self,
        target: &Target<'_>,
        probe: &Probe,
        what: &str,
        once: bool,
        show: impl Fn(bool),
    ) -> bool {
        let rhythm = Rhythm::of(probe);
        let (mut good, mut bad) = (0_u32, 0_u32);
        let mut verdict = None;
        let eager = what != "Liveness";
        tokio::time::sleep(rhythm.delay).await;
        // A container just started is not expected to answer at once: its first failures are no news.
        let mut counted = Instant::now() + if eager { rhythm.period } else { Duration::ZERO };
        let mut quick = Duration::from_millis(10);
        loop {
            let answer = target.probe(probe).await;
            let due = Instant::now() >= counted;
            match answer {
                Ok(()) => {
                    (good, bad) = (good + 1, 0);
                    if good >= rhythm.successes && verdict != Some(true) {
                        verdict = Some(true);
                        show(true);
                        if once {
                            return false;
                        }
                    }
                }
                Err(why) => {
                    good = 0;
                    // Before the first success there are probes between the declared ones, so that a container is
                    // ready when it is ready. Those are not counted.
                    if due {
                        bad += 1;
                        self.event(true, "Unhealthy", format!("{what} probe failed: {why}"));
                    }
                    if bad >= rhythm.failures && verdict != Some(false) {
                        verdict = Some(false);
                        show(false);
                        if what != "Readiness" {
                            return true;
                        }
                    }
                }
            }
            if due {
                counted = Instant::now() + rhythm.period;
            }
            let early = eager && verdict.is_none();
            let next = if early {
                (Instant::now() + quick).min(counted)
            } else {
                counted
            };
            quick = (quick * 2).min(Duration::from_millis(250));
            tokio::time::sleep_until(next).await;
        }
    }
}

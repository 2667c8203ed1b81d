//! The life of one container: image, configuration, start, probes, end, and again with growing pauses.

mod attend;
mod probing;
mod signal;
mod start;

use super::env::ConfigError;
use super::exec::Inside;
use super::image;
use super::launch::LaunchError;
use super::pod::{Changes, Order, PodContext};
use super::reaper::Exit;
use super::state::{Doing, Role};
use herder_base::chain;
use herder_images::Image;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use attend::hears_term;

/// The first pause before a restart, the longest, and how long an instance must run for pauses to start over.
const PAUSE: (Duration, Duration, Duration) = (
    Duration::from_secs(10),
    Duration::from_secs(300),
    Duration::from_secs(600),
);

/// A container of a pod whose network and volumes are there.
pub(crate) struct Supervisor {
    /// The pod.
    pub(crate) pod: Arc<PodContext>,
    /// Which container.
    pub(crate) index: usize,
    /// What it is for.
    pub(crate) role: Role,
    /// Keep running, or stop.
    pub(crate) order: watch::Receiver<Order>,
}

/// Why an instance could not be started.
enum NotStarted {
    /// The manifest, or something it names.
    Config(ConfigError),
    /// The runtime.
    Runtime(LaunchError),
}

impl From<ConfigError> for NotStarted {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

struct Running {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    inside: Inside,
    container: Container,
    since: Timestamp,
    log: PathBuf,
    copying: JoinSet<()>,
    cgroup: Option<String>,
    /// What ends it kindly.
    stop: Signal,
    /// Held for as long as it runs.
    _image: Option<Arc<Image>>,
}

impl Supervisor {
    /// Runs the container until it has ended for good, or was told to stop.
    pub(crate) async fn run(mut self) {
        let mut crashes: u32 = 0;
        let mut unstartable: u32 = 0;
        let mut first = true;
        while self.wanted() {
            // From before the attempt: what changes while it is made is heard after it.
            let mut changes = self.pod.changes();
            let Some(container) = self.declared() else { return };
            let mut order = self.order.clone();
            let say = |reason: &'static str, text: String| self.event(false, reason, text);
            let provided = tokio::select! {
                provided = image::provide(&self.pod, &container, say) => provided,
                () = until_stopped(&mut order) => return,
            };
            let image = match provided {
                Ok(image) => image,
                Err(refused) => {
                    self.no_image(&container, &refused, unstartable, &mut changes)
                        .await;
                    unstartable += 1;
                    continue;
                }
            };
            let id = image.as_ref().and_then(|image| image_id(&container, image));
            self.record(|record| record.image_id = id);
            if !first {
                self.restarting();
            }
            let begun = self.pod.machine.now();
            let ended = match self.start(&container, image).await {
                Ok(running) => {
                    first = false;
                    unstartable = 0;
                    self.attend(running).await
                }
                Err(NotStarted::Config(error)) => {
                    let text = chain(&error).to_string();
                    self.waiting("CreateContainerConfigError", &text);
                    self.event(true, "Failed", format!("Error: {text}"));
                    let wait = Duration::from_secs(1 << unstartable.min(3));
                    unstartable += 1;
                    self.pause(wait, &mut changes).await;
                    continue;
                }
                Err(NotStarted::Runtime(error)) => {
                    first = false;
                    let text = chain(&error).to_string();
                    self.event(true, "Failed", format!("Error: {text}"));
                    let now = self.pod.machine.now();
                    let exit = Exit {
                        code: 128,
                        signal: None,
                    };
                    let ended = self.ended(exit, "StartError", text, now);
                    self.record(|record| record.doing = Doing::Terminated(ended.clone()));
                    ended
                }
            };
            if !self.wanted() || !self.again(ended.exit.code) {
                return;
            }
            let ran = ended.finished.duration_since(begun);
            crashes = if ran.unsigned_abs() >= PAUSE.2 {
                0
            } else {
                crashes + 1
            };
            // The first restart is immediate.
            if crashes > 1 {
                let wait = pause(crashes - 2);
                let (name, pod, uid) = (&container.name, &self.pod.name, &self.pod.uid);
                let namespace = &self.pod.namespace;
                let text = format!(
                    "back-off {} restarting failed container={name} pod={pod}_{namespace}({uid})",
                    clock_face(wait)
                );
                self.record(|record| {
                    record.last = Some(ended.clone());
                    record.doing = Doing::Waiting {
                        reason: "CrashLoopBackOff".to_owned(),
                        message: text,
                    };
                });
                let text =
                    format!("Back-off restarting failed container {name} in pod {pod}_{namespace}({uid})");
                self.event(true, "BackOff", text);
                self.pause(wait, &mut changes).await;
            }
        }
    }

    /// Says why there is no image, and waits before the next try.
    async fn no_image(
        &mut self,
        container: &Container,
        refused: &image::Refused,
        tries: u32,
        changes: &mut Changes,
    ) {
        let (reason, why) = (refused.reason, &refused.why);
        let name = container.image.as_deref().unwrap_or_default();
        self.waiting(reason, why);
        match reason {
            "ErrImagePull" => self.event(true, "Failed", format!("Failed to pull image {name:?}: {why}")),
            "InvalidImageName" => self.event(true, "InspectFailed", why.clone()),
            _ => self.event(true, reason, why.clone()),
        }
        self.event(true, "Failed", format!("Error: {reason}"));
        if reason == "ErrImagePull" {
            self.pause(Duration::from_millis(500), changes).await;
            let text = format!("Back-off pulling image {name:?}");
            self.waiting("ImagePullBackOff", &format!("{text}: {reason}: {why}"));
            self.event(false, "BackOff", text);
        }
        self.pause(pause(tries), changes).await;
    }

    fn wanted(&self) -> bool {
        matches!(*self.order.borrow(), Order::Run)
    }

    fn declared(&self) -> Option<Container> {
        let pod = self.pod.pod();
        if self.role == Role::Guest {
            return self.guest().map(|(container, _)| container);
        }
        super::state::containers_of(&pod)
            .get(self.index)
            .map(|(_, container)| (*container).clone())
    }

    /// As a guest: what is declared, and whose processes it wants to see.
    fn guest(&self) -> Option<(Container, Option<String>)> {
        let name = self.pod.container_name(self.index);
        let guests = super::state::guests_of(&self.pod.pod());
        guests.into_iter().find(|(guest, _)| guest.name == name)
    }

    /// Whether an instance that ended with `code` is followed by another.
    fn again(&self, code: i32) -> bool {
        let policy = self.pod.policy();
        match (self.role, policy.as_str()) {
            (Role::Sidecar, _) | (Role::Main, "Always") => true,
            (Role::Init | Role::Main, "Never") | (Role::Guest, _) => false,
            _ => code != 0,
        }
    }

    /// Waits, but not longer than until the order, the pod or something it reads changes.
    async fn pause(&mut self, wait: Duration, changes: &mut Changes) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = until_stopped(&mut self.order) => {}
            () = changes.any() => {}
        }
    }

    fn record(&self, change: impl FnOnce(&mut super::state::ContainerRecord)) {
        self.pod.change(|record| {
            if let Some(container) = record.containers.get_mut(self.index) {
                change(container);
            }
        });
    }

    fn waiting(&self, reason: &str, message: &str) {
        self.record(|record| {
            if let Doing::Terminated(ended) = &record.doing {
                record.last = Some(ended.clone());
            }
            record.doing = Doing::Waiting {
                reason: reason.to_owned(),
                message: message.to_owned(),
            };
        });
    }

    fn restarting(&self) {
        self.record(|record| {
            if let Doing::Terminated(ended) = &record.doing {
                record.last = Some(ended.clone());
            }
            record.restarts += 1;
        });
    }

    fn event(&self, warn: bool, reason: &str, message: String) {
        let pod = self.pod.pod();
        let name = self.pod.container_name(self.index);
        self.pod
            .machine
            .events
            .pod(&pod, Some(&name), warn, reason, message);
    }
}

/// The guard that the wait returns must not live on: it is not to be held over an await.
async fn until_stopped(order: &mut watch::Receiver<Order>) {
    // An error means that the pod's task ends, and this one with it.
    _ = order.wait_for(|order| *order != Order::Run).await;
}

/// The image as others know it: by the digest of its manifest.
fn image_id(container: &Container, image: &Image) -> Option<String> {
    let name = container
        .image
        .as_deref()?
        .parse::<herder_images::Reference>()
        .ok()?;
    Some(name.at(&image.manifest).to_string())
}

/// The pause before the `n`th delayed restart.
fn pause(n: u32) -> Duration {
    PAUSE.0.saturating_mul(2_u32.saturating_pow(n)).min(PAUSE.1)
}

/// As Kubernetes prints it: `10s`, `1m20s`, `5m0s`.
fn clock_face(wait: Duration) -> String {
    let seconds = wait.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..7).map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(clock_face(Duration::from_secs(80)), "1m20s");
        assert_eq!(clock_face(Duration::from_secs(10)), "10s");
    }
}

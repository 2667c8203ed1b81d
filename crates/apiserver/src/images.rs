//! Images for the nodes: pulls what their pods name, once however many wait for it, and makes room before the disk is
//! full. Part of the control plane, because agents are in the cluster's network, where no registry is.

use crate::registry::Registry;
use herder_base::{Clock, chain};
use herder_images::{Client, Credentials, Keep, Reference, Registries, Store, StoreError};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long one question waits for its answer; who asked asks again.
const ANSWER: Duration = Duration::from_secs(8);
/// How often the disk is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Used parts of the disk, in hundredths, from which room is made, and down to which: kubelet's defaults.
const HIGH: u64 = 85;
const LOW: u64 = 80;

/// What is asked for. Equal ones share one pull.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Wish {
    /// The image.
    pub name: Reference,
    /// Docker's configuration with the credentials for it; secret.
    pub credentials: String,
}

/// What became of it.
pub type Outcome = Option<Result<(), String>>;

type Ask = (Wish, oneshot::Sender<watch::Receiver<Outcome>>);

/// Where to ask.
#[derive(Debug, Clone)]
pub struct Images(mpsc::Sender<Ask>);

/// What answers.
#[derive(Debug)]
pub struct Puller {
    asks: mpsc::Receiver<Ask>,
    store: Store,
    registries: PathBuf,
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Images {
    /// Asks, and waits for a moment: `None` if it is still under way.
    pub async fn pull(&self, wish: Wish) -> Outcome {
        let gone = || Some(Err("the control plane is ending".to_owned()));
        let (answer, answered) = oneshot::channel();
        if self.0.send((wish, answer)).await.is_err() {
            return gone();
        }
        let Ok(mut outcome) = answered.await else {
            return gone();
        };
        match tokio::time::timeout(ANSWER, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_)) => gone(),
            Err(_) => None,
        }
    }
}

/// Both ends.
pub fn images(
    dir: &std::path::Path,
    registry: Registry,
    clock: Arc<dyn Clock>,
) -> Result<(Images, Puller), StoreError> {
    let (sender, asks) = mpsc::channel(64);
    let puller = Puller {
        asks,
        store: Store::open(dir.join("images"))?,
        registries: dir.join("registries.yaml"),
        registry,
        clock,
    };
    Ok((Images(sender), puller))
}

/// Whether a pod of this node names the image: nobody else's are pulled for it.
pub fn is_named(registry: &Registry, node: &str, image: &str) -> bool {
    let (pods, _) = registry.list("pods", None);
    pods.iter()
        .filter(|pod| pod.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node))
        .any(|pod| images_of(pod).any(|name| name == image))
}

fn images_of(pod: &Value) -> impl Iterator<Item = &str> {
    [
        "/spec/containers",
        "/spec/initContainers",
        "/spec/ephemeralContainers",
    ]
    .iter()
    .filter_map(|list| pod.pointer(list)?.as_array())
    .flatten()
    .filter_map(|container| container.get("image")?.as_str())
}

impl Puller {
    /// Answers until `cancel`; pulls under way then end with it, and continue where they were the next time.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut pulling: JoinSet<Wish> = JoinSet::new();
        let mut known: HashMap<Wish, watch::Receiver<Outcome>> = HashMap::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                Some((wish, answer)) = self.asks.recv() => {
                    let outcome = known.entry(wish).or_insert_with_key(|wish| {
                        let (told, outcome) = watch::channel(None);
                        let (wish, pull) = (wish.clone(), self.pull(wish.clone()));
                        pulling.spawn(async move {
                            let result = pull.await;
                            told.send_replace(Some(result));
                            wish
                        });
                        outcome
                    });
                    // Who does not wait any more does not hear it.
                    _ = answer.send(outcome.clone());
                }
                Some(done) = pulling.join_next(), if !pulling.is_empty() => match done {
                    Ok(wish) => drop(known.remove(&wish)),
                    Err(error) => tracing::error!(%error, "a pull broke off"),
                },
                _ = look.tick() => self.make_room().await,
            }
        }
    }

    fn pull(&self, wish: Wish) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (store, file, now) = (self.store.clone(), self.registries.clone(), self.clock.now());
        async move {
            let said = |error: &(dyn std::error::Error + 'static)| chain(error).to_string();
            // Read each time: what a person changes holds from the next pull on.
            let registries = Registries::read(&file).map_err(|error| said(&error))?;
            let credentials = match wish.credentials.as_str() {
                "" => Credentials::default(),
                text => Credentials::from_docker(text.as_bytes()).map_err(|error| said(&error))?,
            };
            let client = Client::new(registries);
            let pulled = client.pull(&store, &wish.name, &credentials, now).await;
            pulled.map(drop).map_err(|error| said(&error))
        }
    }

    /// Removes images that no pod names, when the disk is nearly full.
    async fn make_room(&self) {
        let Ok(disk) = nix::sys::statvfs::statvfs(self.store.dir()) else {
            return;
        };
        let all = disk.blocks().saturating_mul(disk.fragment_size());
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        let Some(wanted) = to_free(all, free) else { return };
        let (pods, _) = self.registry.list("pods", None);
        let names: HashSet<String> = pods
            .iter()
            .flat_map(|pod| images_of(pod))
            .filter_map(|name| Some(name.parse::<Reference>().ok()?.to_string()))
            .collect();
        let keep = Keep {
            names,
            unused: true,
            enough: Some(wanted),
        };
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.prune(&keep)).await {
            Ok(Ok(pruned)) if pruned.bytes < wanted => tracing::warn!(
                wanted,
                freed = pruned.bytes,
                "the disk is nearly full, and there are no more images that nobody uses"
            ),
            Ok(Ok(pruned)) => {
                tracing::info!(freed = pruned.bytes, images = ?pruned.names, "made room on the disk")
            }
            // Something is being pulled: the next look comes soon.
            Ok(Err(StoreError::Busy)) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "no room could be made on the disk"),
            Err(error) => tracing::error!(%error, "making room broke off"),
        }
    }
}

/// Bytes to free, if the disk is so full that some have to be.
fn to_free(all: u64, free: u64) -> Option<u64> {
    let used = all.saturating_sub(free);
    let mark = |hundredths: u64| all / 100 * hundredths;
    (all > 0 && used >= mark(HIGH)).then(|| used.saturating_sub(mark(LOW)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn room_is_made_by_thresholds() {
        assert_eq!(to_free(1000, 160), None);
        assert_eq!(to_free(1000, 150), Some(50));
        assert_eq!(to_free(1000, 0), Some(200));
        assert_eq!(to_free(0, 0), None);
        let pod = json!({"spec": {"containers": [{"image": "a"}, {"image": "b"}], "initContainers": [{"image": "c"}]}});
        assert_eq!(images_of(&pod).collect::<Vec<_>>(), ["a", "b", "c"]);
        let wish = Wish {
            name: "a".parse().unwrap(),
            credentials: "secret".to_owned(),
        };
        assert!(!format!("{wish:?}").contains("secret"));
    }
}

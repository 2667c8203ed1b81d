//! What a container runs from: the machine itself (`host`), or an image of the store. Finds it, has it pulled when it is
//! not there or must be asked for, and says why not in Kubernetes' words.

use super::machine::Machine;
use super::pod::PodContext;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_base::chain;
use herder_images::{Credentials, Image, NoReference, Reference, Store, StoreError};
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What an image name means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// The machine's own programs: `host`, with any tag or digest.
    Machine,
    /// An image.
    Image(Reference),
}

/// Reads an image's name.
pub(crate) fn named(image: &str) -> Result<Named, NoReference> {
    let name = image.split(['@', ':']).next().unwrap_or_default();
    if name == "host" && !image.ends_with(':') {
        return Ok(Named::Machine);
    }
    image.parse().map(Named::Image)
}

/// Why a container has no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The state's reason, as Kubernetes calls it.
    pub(crate) reason: &'static str,
    /// What a person should know.
    pub(crate) why: String,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    IfMissing,
    Never,
}

fn policy(container: &Container) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        _ => Policy::IfMissing,
    }
}

/// The image of a container, held; `None` for the machine itself. `say` is told what happens, as reason and message of
/// an event.
pub(crate) async fn provide(
    pod: &PodContext,
    container: &Container,
    say: impl Fn(&'static str, String),
) -> Result<Option<Arc<Image>>, Refused> {
    let name = container.image.as_deref().unwrap_or_default();
    let reference = match named(name) {
        Ok(Named::Machine) => return Ok(None),
        Ok(Named::Image(reference)) => reference,
        Err(error) => {
            return Err(Refused {
                reason: "InvalidImageName",
                why: format!("Failed to apply default image tag {name:?}: {error}"),
            });
        }
    };
    let machine = &pod.machine;
    let failed = |why: String| Refused {
        reason: "ErrImagePull",
        why,
    };
    let policy = policy(container);
    if policy != Policy::Always {
        match take_up(machine, &reference).await {
            Ok(image) => {
                let text = format!("Container image {name:?} already present on machine");
                say("Pulled", text);
                return Ok(Some(image));
            }
            Err(StoreError::Unknown(_) | StoreError::Unpacked(_)) => {}
            Err(error) => return Err(failed(chain(&error).to_string())),
        }
    }
    if policy == Policy::Never {
        return Err(Refused {
            reason: "ErrImageNeverPull",
            why: format!("Container image {name:?} is not present with pull policy of Never"),
        });
    }
    say("Pulling", format!("Pulling image {name:?}"));
    let begun = machine.now();
    pull(pod, name).await.map_err(failed)?;
    let image = take_up(machine, &reference)
        .await
        .map_err(|error| failed(chain(&error).to_string()))?;
    let took = machine.now().duration_since(begun).as_secs_f64();
    say(
        "Pulled",
        format!(
            "Successfully pulled image {name:?} in {took:.3}s ({took:.3}s including waiting). Image size: {} bytes.",
            image.size
        ),
    );
    Ok(Some(image))
}

/// Reading documents and taking locks is for another thread: the agent has one.
async fn take_up(machine: &Machine, reference: &Reference) -> Result<Arc<Image>, StoreError> {
    let (store, reference): (Store, _) = (machine.images.clone(), reference.clone());
    let wanted = reference.clone();
    let taken = tokio::task::spawn_blocking(move || store.take_up(&reference)).await;
    // Only a panic there ends like this.
    taken.unwrap_or(Err(StoreError::Unknown(wanted))).map(Arc::new)
}

/// Has the control plane pull: an agent is in the cluster's network, where no registry is.
async fn pull(pod: &PodContext, name: &str) -> Result<(), String> {
    let credentials = credentials(pod).await;
    let body = json!({"image": name, "credentials": credentials.as_ref().map(Credentials::to_docker)});
    loop {
        let answer = pod.machine.api.post("/internal/images", &body).await;
        let answer = answer.map_err(|error| chain(&error).to_string())?;
        if let Some(why) = answer.get("why").and_then(Value::as_str) {
            return Err(why.to_owned());
        }
        if answer.get("done").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        // It is under way: the control plane has waited for a while before it said so.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What the pod's `imagePullSecrets` say. One that cannot be read is left out, and an event says so: the image may be
/// for everybody.
async fn credentials(pod: &PodContext) -> Option<Credentials> {
    let spec = pod.pod();
    let mut all: Option<Credentials> = None;
    let references = spec
        .spec
        .iter()
        .flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    for name in references.map(|secret| secret.name.as_str()) {
        match read(pod, name).await {
            Ok(found) => all.get_or_insert_default().extend(found),
            Err(why) => {
                let text = format!(
                    "Unable to use the image pull secret {name:?}: {why}; attempting to pull without it"
                );
                let events = &pod.machine.events;
                events.pod(&spec, None, true, "FailedToRetrieveImagePullSecret", text);
            }
        }
    }
    all
}

async fn read(pod: &PodContext, name: &str) -> Result<Credentials, String> {
    let path = format!("/api/v1/namespaces/{}/secrets/{name}", pod.namespace);
    let secret = pod.machine.api.get(&path).await;
    let secret = secret.map_err(|error| chain(&error).to_string())?;
    let encoded = [".dockerconfigjson", ".dockercfg"]
        .iter()
        .find_map(|key| secret.get("data")?.get(key)?.as_str())
        .ok_or("it has no .dockerconfigjson")?;
    let text = STANDARD.decode(encoded).map_err(|_| "it is no base64")?;
    Credentials::from_docker(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for image in ["host", "host:1.2", "host@sha256:abc"] {
            assert_eq!(named(image), Ok(Named::Machine), "{image}");
        }
        for image in ["nginx:1.27", "registry.example/host:1", "hostess", "host/x"] {
            assert!(matches!(named(image), Ok(Named::Image(_))), "{image}");
        }
        for image in ["", "host:", "no spaces", "/x"] {
            assert!(named(image).is_err(), "{image}");
        }
    }
}

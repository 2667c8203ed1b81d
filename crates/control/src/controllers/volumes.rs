//! PersistentVolumeClaims: binds them to volumes, and provisions directories for the built-in class `local`.
//! A claim marked `herder.dev/state: "true"` keeps its directory; a new claim of that name finds it again.

use super::context::{Context, Failure, Outcome};
use herder_object::field::{annotation, deleting, items, label, put, remove, text};
use herder_object::quantity::milli;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const CLASSES: &str = "storageclasses.storage.k8s.io";
const PROVISIONER: &str = "herder.dev/local";
const PROTECTION: &str = "kubernetes.io/pvc-protection";
const STATE: &str = "herder.dev/state";

/// Makes sure that the class `local` is there and, on first making, the default.
pub(super) async fn ensure_class(ctx: &Context) -> Result<(), Failure> {
    if ctx.get(CLASSES, "", "local").is_some() {
        return Ok(());
    }
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": true,
    });
    match ctx.create(CLASSES, class).await {
        Err(failure) if !failure.already_exists() => Err(failure),
        _ => Ok(()),
    }
}

/// Binds a claim, or lets one go.
pub(super) async fn reconcile_claim(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(claim) = ctx.get(CLAIMS, namespace, name) else {
        return Ok(None);
    };
    if deleting(&claim) {
        let used = ctx.list("pods", namespace).iter().any(|p| {
            !super::pod::ended(p)
                && items(p, "/spec/volumes")
                    .iter()
                    .any(|v| text(v, "/persistentVolumeClaim/claimName") == name)
        });
        if !used {
            ctx.unfinalize(CLAIMS, &claim, PROTECTION).await?;
        }
        return Ok(None);
    }
    ctx.finalize(CLAIMS, &claim, PROTECTION).await?;
    if text(&claim, "/status/phase") == "Bound" {
        return settle_bound(ctx, &claim).await;
    }
    if let Some(volume) = candidate(ctx, &claim) {
        return bind(ctx, &claim, &volume).await;
    }
    // A claim that names a volume has that one or none.
    let named = text(&claim, "/spec/volumeName");
    if !named.is_empty() {
        set_phase(ctx, &claim, "Pending", None).await?;
        ctx.event(&claim, "Warning", "FailedBinding", &why_not(ctx, named));
        return Ok(None);
    }
    let class_name = match claim.pointer("/spec/storageClassName").and_then(Value::as_str) {
        Some("") => {
            set_phase(ctx, &claim, "Pending", None).await?;
            ctx.event(
                &claim,
                "Normal",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            );
            return Ok(None);
        }
        Some(class) => class.to_owned(),
        None => match default_class(ctx) {
            Some(class) => class,
            None => return Ok(None),
        },
    };
    let Some(class) = ctx.get(CLASSES, "", &class_name) else {
        set_phase(ctx, &claim, "Pending", None).await?;
        let message = format!("storageclass.storage.k8s.io \"{class_name}\" not found");
        ctx.event(&claim, "Warning", "ProvisioningFailed", &message);
        return Ok(None);
    };
    if text(&class, "/provisioner") != PROVISIONER {
        set_phase(ctx, &claim, "Pending", None).await?;
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system \
             administrator. If volume creation is delayed, please verify that the provisioner is running and \
             correctly registered.",
            text(&class, "/provisioner")
        );
        ctx.event(&claim, "Normal", "ExternalProvisioning", &message);
        return Ok(None);
    }
    // The directory of a deleted claim of that name goes first, unless it is state: a new claim starts empty.
    let leftover = ctx.list_all(VOLUMES).into_iter().find(|v| {
        is_ours(v)
            && !is_state(v)
            && text(v, "/spec/claimRef/namespace") == namespace
            && text(v, "/spec/claimRef/name") == name
            && !claimed_by(v, &claim)
    });
    if let Some(volume) = leftover {
        reconcile_volume_of(ctx, &volume).await?;
    }
    let volume = provision(ctx, &claim, &class_name).await?;
    bind(ctx, &claim, &volume).await
}

fn default_class(ctx: &Context) -> Option<String> {
    ctx.list_all(CLASSES)
        .iter()
        .find(|c| annotation(c, "storageclass.kubernetes.io/is-default-class") == "true")
        .map(|c| text(c, "/metadata/name").to_owned())
}

fn is_state(object: &Value) -> bool {
    annotation(object, STATE) == "true" || label(object, STATE) == "true"
}

fn claimed_by(volume: &Value, claim: &Value) -> bool {
    text(volume, "/spec/claimRef/namespace") == text(claim, "/metadata/namespace")
        && text(volume, "/spec/claimRef/name") == text(claim, "/metadata/name")
        && matches!(text(volume, "/spec/claimRef/uid"), uid if uid.is_empty() || uid == text(claim, "/metadata/uid"))
}

fn why_not(ctx: &Context, volume: &str) -> String {
    match ctx.get(VOLUMES, "", volume) {
        None => format!("volume \"{volume}\" not found"),
        Some(found)
            if found
                .pointer("/spec/claimRef")
                .is_some_and(|claim| !claim.is_null()) =>
        {
            format!("volume \"{volume}\" already bound to a different claim.")
        }
        Some(_) => format!(
            "volume \"{volume}\" does not fit the claim: its class, its size or its access modes are other ones"
        ),
    }
}

/// An existing volume for a claim: the one it names, one reserved for it, or the smallest that is enough.
fn candidate(ctx: &Context, claim: &Value) -> Option<Arc<Value>> {
    let named = text(claim, "/spec/volumeName");
    if !named.is_empty() {
        let volume = ctx.get(VOLUMES, "", named)?;
        return fits(&volume, claim).then_some(volume);
    }
    let mut fitting: Vec<Arc<Value>> = ctx.list_all(VOLUMES);
    fitting.retain(|volume| fits(volume, claim));
    let size = |v: &Value| {
        v.pointer("/spec/capacity/storage")
            .and_then(milli)
            .unwrap_or_default()
    };
    fitting.sort_by_key(|v| (!claimed_by(v, claim), size(v)));
    fitting.into_iter().next()
}

/// Whether a claim may have a volume: one that was given to it, or a free one that is what it asks for.
fn fits(v: &Value, claim: &Value) -> bool {
    if deleting(v) {
        return false;
    }
    if v.pointer("/spec/claimRef").is_some_and(|claim| !claim.is_null()) {
        return claimed_by(v, claim);
    }
    let size = |v: &Value, p: &str| v.pointer(p).and_then(milli).unwrap_or_default();
    // Left-over volumes of other claims are never taken.
    matches!(text(v, "/status/phase"), "" | "Available" | "Pending")
        && text(v, "/spec/storageClassName") == text(claim, "/spec/storageClassName")
        && size(v, "/spec/capacity/storage") >= size(claim, "/spec/resources/requests/storage")
        && items(claim, "/spec/accessModes")
            .iter()
            .all(|m| items(v, "/spec/accessModes").contains(m))
        && claim
            .pointer("/spec/selector")
            .is_none_or(|s| super::select::matches(Some(s), herder_object::field::map(v, "/metadata/labels")))
}

async fn provision(ctx: &Context, claim: &Value, class: &str) -> Result<Arc<Value>, Failure> {
    let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
    let path = directory(&ctx.volumes, namespace, name);
    make(&path).await?;
    let volume_name = format!("pvc-{}", text(claim, "/metadata/uid"));
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name,
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER, STATE: is_state(claim).to_string()},
        },
        "spec": {
            "capacity": {"storage": claim.pointer("/spec/resources/requests/storage").cloned().unwrap_or(json!("1Gi"))},
            "accessModes": claim.pointer("/spec/accessModes").cloned().unwrap_or(json!(["ReadWriteOnce"])),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": class,
            "volumeMode": "Filesystem",
            "hostPath": {"path": path.to_string_lossy(), "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace, "name": name, "uid": text(claim, "/metadata/uid"),
            },
        },
    });
    match ctx.create(VOLUMES, volume).await {
        Ok(volume) => {
            let message = format!("Successfully provisioned volume {volume_name}");
            ctx.event(claim, "Normal", "ProvisioningSucceeded", &message);
            Ok(volume)
        }
        Err(failure) if failure.already_exists() => ctx.get(VOLUMES, "", &volume_name).ok_or(failure),
        Err(failure) => Err(failure),
    }
}

/// Names are DNS labels and cannot lead elsewhere; whatever could is replaced all the same.
fn directory(root: &Path, namespace: &str, name: &str) -> PathBuf {
    let safe = |part: &str| part.replace(['/', '\\'], "_").replace("..", "__");
    root.join(safe(namespace)).join(safe(name))
}

async fn make(path: &Path) -> Result<(), Failure> {
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|source| Failure::Volume {
        what: "make",
        path: path.to_owned(),
        source,
    })?;
    // Pods run as any user; the directory above is for Herder's user alone.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    tokio::fs::set_permissions(path, open)
        .await
        .map_err(|source| Failure::Volume {
            what: "open up",
            path: path.to_owned(),
            source,
        })
}

async fn bind(ctx: &Context, claim: &Value, volume: &Value) -> Outcome {
    let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
    let volume_name = text(volume, "/metadata/name");
    let uid = text(claim, "/metadata/uid");
    let mut given = false;
    ctx.modify(VOLUMES, "", volume_name, |v| {
        // As it is now: another claim may have been given it since it was chosen.
        given = fits(v, claim);
        if !given || text(v, "/spec/claimRef/uid") == uid {
            return false;
        }
        put(
            v,
            &["spec", "claimRef"],
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": uid}),
        );
        true
    })
    .await?;
    if !given {
        return Ok(Some(Duration::from_millis(100)));
    }
    let class = text(volume, "/spec/storageClassName");
    ctx.modify(CLAIMS, namespace, name, |c| {
        if text(c, "/metadata/uid") != uid {
            return false;
        }
        let done = text(c, "/spec/volumeName") == volume_name;
        put(c, &["spec", "volumeName"], volume_name);
        put(
            c,
            &["metadata", "annotations", "pv.kubernetes.io/bind-completed"],
            "yes",
        );
        put(
            c,
            &["metadata", "annotations", "pv.kubernetes.io/bound-by-controller"],
            "yes",
        );
        if c.pointer("/spec/storageClassName").is_none() && !class.is_empty() {
            put(c, &["spec", "storageClassName"], class);
        }
        !done
    })
    .await?;
    ctx.modify_status(VOLUMES, "", volume_name, |v| {
        put(v, &["status", "phase"], "Bound");
        true
    })
    .await?;
    set_phase(ctx, claim, "Bound", Some(volume)).await?;
    Ok(None)
}

async fn set_phase(ctx: &Context, claim: &Value, phase: &str, volume: Option<&Value>) -> Result<(), Failure> {
    let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
    ctx.modify_status(CLAIMS, namespace, name, |c| {
        // Not of another claim that has the name by now.
        if text(c, "/metadata/uid") != text(claim, "/metadata/uid") {
            return false;
        }
        put(c, &["status", "phase"], phase);
        if let Some(volume) = volume {
            for (field, from) in [
                ("capacity", "/spec/capacity"),
                ("accessModes", "/spec/accessModes"),
            ] {
                if let Some(value) = volume.pointer(from) {
                    put(c, &["status", field], value.clone());
                }
            }
        }
        true
    })
    .await
}

/// A bound claim whose volume is gone is lost; one whose state mark changed tells its volume.
async fn settle_bound(ctx: &Context, claim: &Value) -> Outcome {
    let name = text(claim, "/spec/volumeName");
    let Some(volume) = ctx.get(VOLUMES, "", name) else {
        set_phase(ctx, claim, "Lost", None).await?;
        let message = "Bound claim has lost its PersistentVolume. Any data on the volume is lost!";
        ctx.event(claim, "Warning", "ClaimLost", message);
        return Ok(None);
    };
    if text(&volume, "/spec/claimRef/uid").is_empty() || !claimed_by(&volume, claim) {
        set_phase(ctx, claim, "Lost", None).await?;
        let message = "Two claims are bound to the same volume, this one is bound incorrectly";
        ctx.event(claim, "Warning", "ClaimMisbound", message);
        return Ok(None);
    }
    let state = is_state(claim).to_string();
    if is_ours(&volume) && annotation(&volume, STATE) != state {
        ctx.modify(VOLUMES, "", name, |v| {
            put(v, &["metadata", "annotations", STATE], state.clone());
            true
        })
        .await?;
    }
    Ok(None)
}

fn is_ours(volume: &Value) -> bool {
    annotation(volume, "pv.kubernetes.io/provisioned-by") == PROVISIONER
}

/// Reclaims a volume whose claim is gone.
pub(super) async fn reconcile_volume(ctx: &Context, name: &str) -> Outcome {
    match ctx.get(VOLUMES, "", name) {
        Some(volume) => reconcile_volume_of(ctx, &volume).await,
        None => Ok(None),
    }
}

async fn reconcile_volume_of(ctx: &Context, volume: &Value) -> Outcome {
    let name = text(volume, "/metadata/name");
    let (namespace, claim_name) = (
        text(volume, "/spec/claimRef/namespace"),
        text(volume, "/spec/claimRef/name"),
    );
    let uid = text(volume, "/spec/claimRef/uid");
    if claim_name.is_empty() || uid.is_empty() {
        let phase = text(volume, "/status/phase");
        if phase.is_empty() || phase == "Pending" {
            ctx.modify_status(VOLUMES, "", name, |v| {
                put(v, &["status", "phase"], "Available");
                true
            })
            .await?;
        }
        return Ok(None);
    }
    if ctx
        .get(CLAIMS, namespace, claim_name)
        .is_some_and(|c| text(&c, "/metadata/uid") == uid)
    {
        return Ok(None);
    }
    if text(volume, "/spec/persistentVolumeReclaimPolicy") != "Delete" || !is_ours(volume) {
        ctx.modify_status(VOLUMES, "", name, |v| {
            put(v, &["status", "phase"], "Released");
            true
        })
        .await?;
        return Ok(None);
    }
    if !is_state(volume) {
        let path = directory(&ctx.volumes, namespace, claim_name);
        match tokio::fs::remove_dir_all(&path).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("could not remove {}: {source}", path.display());
                ctx.event(volume, "Warning", "VolumeFailedDelete", &message);
                return Err(Failure::Volume {
                    what: "remove",
                    path,
                    source,
                });
            }
            _ => {}
        }
    }
    ctx.modify(VOLUMES, "", name, |v| {
        remove(v, &["metadata", "finalizers"]);
        true
    })
    .await?;
    ctx.delete(VOLUMES, volume).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_stay_below_the_root() {
        let root = Path::new("/v");
        assert_eq!(
            directory(root, "shop", "data-db-0"),
            Path::new("/v/shop/data-db-0")
        );
        assert!(
            directory(root, "..", "a/../../b")
                .components()
                .all(|c| c != std::path::Component::ParentDir)
        );
    }
}

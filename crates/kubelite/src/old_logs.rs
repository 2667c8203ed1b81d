//! Logs of pods that were deleted while no agent of theirs was there. An agent knows its own pods only, so that whoever
//! has all of them removes what nobody will ask for again.

use herder_apiserver::registry::Registry;
use std::collections::HashSet;
use std::path::Path;

/// Removes logs that belong to no pod.
pub(crate) async fn forget(dir: &Path, registry: &Registry) {
    let (dir, registry) = (dir.join("kubelite").join("pods"), registry.clone());
    let swept = tokio::task::spawn_blocking(move || sweep(&dir, &registry));
    if let Err(error) = swept.await {
        tracing::warn!(%error, "old logs were not removed");
    }
}

fn sweep(dir: &Path, registry: &Registry) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    // Read before the pods are listed: what appears later belongs to somebody.
    let logs: Vec<_> = entries.flatten().collect();
    let (pods, _) = registry.list("pods", None);
    let known: HashSet<&str> = pods.iter().map(|pod| herder_object::uid(pod)).collect();
    for log in logs {
        let name = log.file_name();
        if name.to_str().is_some_and(|uid| known.contains(uid)) {
            continue;
        }
        match std::fs::remove_dir_all(log.path()) {
            // An agent may be removing it as well.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(dir = %log.path().display(), %error, "the logs of a pod that is gone could not be removed");
            }
            _ => {}
        }
    }
}

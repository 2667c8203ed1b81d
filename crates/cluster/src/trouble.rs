//! What is wrong with one pod: the container, the reason, the remedy. Pure.

use crate::snapshot::{condition, going, int, is, items, last_seen, text};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// What a pod waits for or failed of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// It fails rather than starts.
    pub(crate) failing: bool,
    /// The container, if it is about one.
    pub(crate) container: Option<String>,
    /// It is an init container.
    pub(crate) init: bool,
    /// In a word or two: `CrashLoopBackOff`.
    pub(crate) state: String,
    /// The server's words.
    pub(crate) detail: String,
    /// In plain words.
    pub(crate) cause: String,
    /// What to do.
    pub(crate) remedy: String,
    /// Whose log tells more: the container, and whether it is the instance before.
    pub(crate) log: Option<(String, bool)>,
}

/// How long programs may take to get ready where nothing says so: what Deployments have by default.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_secs(600);

/// What is wrong with a pod, or what it waits for; `None` if it is ready or has ended well. A program that has not been
/// ready yet has `patience` to become so.
pub(crate) fn of_pod(pod: &Value, events: &[&Value], patience: SignedDuration) -> Option<Trouble> {
    if is(pod, "Ready", "True") || text(pod, "/status/phase") == "Succeeded" || going(pod) {
        return None;
    }
    let found = unschedulable(pod)
        .or_else(|| containers(pod, "initContainerStatuses", events))
        .or_else(|| containers(pod, "containerStatuses", events))
        .or_else(|| from_events(events))
        .or_else(|| failed_pod(pod))
        .or_else(|| unready(pod, events, patience));
    Some(found.unwrap_or_else(|| {
        let waiting = items(pod, "/status/containerStatuses")
            .iter()
            .map(|c| text(c, "/state/waiting/reason"));
        let state = waiting
            .filter(|r| !r.is_empty())
            .max()
            .unwrap_or("Starting")
            .to_owned();
        Trouble {
            cause: "the pod is starting".to_owned(),
            state,
            ..Trouble::default()
        }
    }))
}

fn unschedulable(pod: &Value) -> Option<Trouble> {
    // A pod on a node has been scheduled, whatever an old condition still says.
    let waits = text(pod, "/spec/nodeName").is_empty();
    let c = condition(pod, "PodScheduled").filter(|c| waits && text(c, "/status") == "False")?;
    let detail = text(c, "/message").to_owned();
    let remedy = if detail.contains("Insufficient") {
        "Ask for less in resources.requests, remove something else, or add a node."
    } else if detail.contains("PersistentVolumeClaim") || detail.contains("persistentvolumeclaim") {
        "Look at the claim: its storage class must exist and be able to make a volume."
    } else if detail.contains("taint") {
        "Add a toleration to the pod, or remove the node's taint."
    } else if detail.contains("unschedulable") {
        "Make a node schedulable again: kubectl uncordon NODE."
    } else if detail.contains("affinity") || detail.contains("selector") {
        "No node has the labels that nodeSelector or affinity ask for: change either."
    } else {
        "Add a node that the pod fits on, or change what the pod asks for."
    };
    Some(Trouble {
        failing: !detail.contains("unbound immediate"),
        state: "Unschedulable".to_owned(),
        cause: format!("no node takes the pod: {detail}"),
        detail,
        remedy: remedy.to_owned(),
        ..Trouble::default()
    })
}

fn containers(pod: &Value, list: &str, events: &[&Value]) -> Option<Trouble> {
    let init = list.starts_with("init");
    items(pod, &format!("/status/{list}"))
        .iter()
        .find_map(|status| container(pod, status, init, events))
}

fn container(pod: &Value, status: &Value, init: bool, events: &[&Value]) -> Option<Trouble> {
    let name = text(status, "/name");
    let kind = if init { "init container" } else { "container" };
    let image = text(status, "/image");
    let base = |state: &str, detail: &str, cause: String, remedy: &str| Trouble {
        failing: true,
        container: Some(name.to_owned()),
        init,
        state: state.to_owned(),
        detail: detail.to_owned(),
        cause,
        remedy: remedy.to_owned(),
        log: None,
    };
    let waiting = text(status, "/state/waiting/reason");
    let message = text(status, "/state/waiting/message");
    match waiting {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull"
        | "ImageInspectError" => {
            // The back-off's message says less than the event before it.
            let told = events
                .iter()
                .rev()
                .find(|e| text(e, "/reason") == "Failed" && text(e, "/message").contains("pull"));
            let detail = told.map_or(message, |e| text(e, "/message"));
            let image = if image.is_empty() {
                image_of(pod, name)
            } else {
                image
            };
            return Some(base(
                waiting,
                detail,
                format!("{kind} \"{name}\" cannot start: image \"{image}\" cannot be pulled: {detail}"),
                "Check the image's name and tag, and that it was pushed to where the cluster looks; commit the right one.",
            ));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let remedy = if message.contains("secret") || message.contains("configmap") {
                "Add the missing Secret or ConfigMap (or key) to the environment's config repository, or mark the reference optional."
            } else {
                "Correct the container's command, mounts or securityContext."
            };
            return Some(base(
                waiting,
                message,
                format!("{kind} \"{name}\" cannot start: {message}"),
                remedy,
            ));
        }
        _ => {}
    }
    let ended = ["/state/terminated", "/lastState/terminated"]
        .iter()
        .find_map(|p| status.pointer(p))
        .filter(|t| int(t, "/exitCode").unwrap_or_default() != 0 || text(t, "/reason") == "OOMKilled");
    let Some(ended) = ended else {
        return (waiting == "CrashLoopBackOff").then(|| restarts_without_error(status, name, kind, &base));
    };
    let running = status.pointer("/state/running").is_some();
    if init && running && status.get("ready").and_then(Value::as_bool).unwrap_or_default() {
        // A sidecar that came back.
        return None;
    }
    Some(crashed(pod, status, ended, (name, kind, init), events, &base))
}

type Base<'a> = dyn Fn(&str, &str, String, &str) -> Trouble + 'a;

fn restarts_without_error(status: &Value, name: &str, kind: &str, base: &Base<'_>) -> Trouble {
    let times = times(int(status, "/restartCount").unwrap_or_default());
    let mut trouble = base(
        "CrashLoopBackOff",
        "",
        format!("{kind} \"{name}\" keeps ending by itself (exit code 0{times})"),
        "A service must keep running: make its command stay in the foreground, or run it as a Job.",
    );
    trouble.log = Some((name.to_owned(), true));
    trouble
}

fn crashed(
    pod: &Value,
    status: &Value,
    ended: &Value,
    (name, kind, init): (&str, &str, bool),
    events: &[&Value],
    base: &Base<'_>,
) -> Trouble {
    let code = int(ended, "/exitCode").unwrap_or_default();
    let restarts = int(status, "/restartCount").unwrap_or_default();
    let told = text(ended, "/message").trim();
    let times = times(restarts);
    let liveness = events.iter().rev().find(|e| {
        text(e, "/reason") == "Unhealthy"
            && text(e, "/message").starts_with("Liveness")
            && (code == 137 || code == 143)
    });
    let (cause, remedy) = if text(ended, "/reason") == "OOMKilled" {
        let limit = limit_of(pod, name);
        let of = if limit.is_empty() {
            String::new()
        } else {
            format!(" of {limit}")
        };
        (
            format!(
                "{kind} \"{name}\" was killed: it used more memory than its limit{of} (OOMKilled, exit code {code}{times})"
            ),
            "Raise resources.limits.memory, or make the program use less.",
        )
    } else if let Some(event) = liveness {
        (
            format!(
                "{kind} \"{name}\" is restarted because its liveness probe fails: {} (exit code {code}{times})",
                text(event, "/message")
            ),
            "Make the probed address answer in time, or give the probe more time.",
        )
    } else if !told.is_empty() {
        let remedy = if told.contains("denied") && told.to_lowercase().contains("vault") {
            "Let a policy of that role allow the path (policies/ in the fleet repository), or ask for another path."
        } else if init {
            "Correct what the message names; the pod starts again by itself."
        } else {
            "Correct what the message names, or go back to the version before."
        };
        (
            format!("{kind} \"{name}\" failed: {told} (exit code {code}{times})"),
            remedy,
        )
    } else {
        match code {
            127 => (
                format!("{kind} \"{name}\" cannot run its command: not found (exit code 127{times})"),
                "Correct the command, or use an image that has it.",
            ),
            126 => (
                format!("{kind} \"{name}\" cannot run its command: not executable (exit code 126{times})"),
                "Make the file executable, or correct the command.",
            ),
            _ => (
                format!("{kind} \"{name}\" crashes with exit code {code}{times}"),
                "Read its last log lines: they come from before the crash. Correct it, or go back to the version before.",
            ),
        }
    };
    let state = match text(status, "/state/waiting/reason") {
        "" => match text(ended, "/reason") {
            "" => "Error",
            reason => reason,
        },
        reason => reason,
    };
    let mut trouble = base(state, &format!("exit code {code}"), cause, remedy);
    let previous = status.pointer("/state/terminated").is_none();
    trouble.log = Some((name.to_owned(), previous));
    trouble
}

fn times(restarts: i64) -> String {
    match restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        n => format!(", restarted {n} times"),
    }
}

fn container_of<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    ["/spec/containers", "/spec/initContainers"]
        .iter()
        .flat_map(|p| items(pod, p))
        .find(|c| text(c, "/name") == name)
}

fn image_of<'a>(pod: &'a Value, name: &str) -> &'a str {
    container_of(pod, name)
        .map(|c| text(c, "/image"))
        .unwrap_or_default()
}

fn limit_of(pod: &Value, name: &str) -> String {
    container_of(pod, name)
        .map(|c| text(c, "/resources/limits/memory").to_owned())
        .unwrap_or_default()
}

/// Volumes that cannot be mounted and the like: only events tell.
fn from_events(events: &[&Value]) -> Option<Trouble> {
    let event = events.iter().rev().find(|e| {
        matches!(
            text(e, "/reason"),
            "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" | "NodeAffinity"
        )
    })?;
    let detail = text(event, "/message").to_owned();
    let remedy = if detail.contains("service account") {
        "Add the ServiceAccount to the environment's config repository, or correct serviceAccountName."
    } else if detail.contains("not found") {
        "Add the missing Secret or ConfigMap to the environment's config repository, or mark the volume optional."
    } else {
        "Correct the pod's volumes."
    };
    Some(Trouble {
        failing: true,
        state: text(event, "/reason").to_owned(),
        cause: format!("the pod cannot start: {detail}"),
        detail,
        remedy: remedy.to_owned(),
        ..Trouble::default()
    })
}

fn failed_pod(pod: &Value) -> Option<Trouble> {
    if text(pod, "/status/phase") != "Failed" {
        return None;
    }
    let (reason, message) = (text(pod, "/status/reason"), text(pod, "/status/message"));
    let told = [reason, message]
        .iter()
        .filter(|t| !t.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(": ");
    let told = if told.is_empty() {
        "no reason was given".to_owned()
    } else {
        told
    };
    Some(Trouble {
        failing: true,
        state: if reason.is_empty() {
            "Failed".to_owned()
        } else {
            reason.to_owned()
        },
        cause: format!("the pod failed: {told}"),
        detail: message.to_owned(),
        remedy: "Correct what the message names; its controller makes a new pod.".to_owned(),
        ..Trouble::default()
    })
}

/// Times of conditions and of containers are whole seconds, and written one after the other.
const GRACE: SignedDuration = SignedDuration::from_secs(2);

/// Running, but not ready: a probe that has not passed yet is no failure.
fn unready(pod: &Value, events: &[&Value], patience: SignedDuration) -> Option<Trouble> {
    let status = items(pod, "/status/containerStatuses").iter().find(|c| {
        c.pointer("/state/running").is_some() && !c.get("ready").and_then(Value::as_bool).unwrap_or_default()
    })?;
    let name = text(status, "/name");
    let event = events.iter().rev().find(|e| text(e, "/reason") == "Unhealthy");
    let Some(event) = event else {
        return Some(Trouble {
            container: Some(name.to_owned()),
            state: "NotReady".to_owned(),
            cause: format!("container \"{name}\" runs but is not ready yet"),
            ..Trouble::default()
        });
    };
    let detail = text(event, "/message").to_owned();
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let started = time(text(status, "/state/running/startedAt"));
    let lost = condition(pod, "Ready").and_then(|ready| time(text(ready, "/lastTransitionTime")));
    // It became unready after it had started, so it was ready in between.
    let was_ready = started
        .zip(lost)
        .is_some_and(|(started, lost)| lost > started + GRACE);
    let waited = started
        .zip(time(last_seen(event)))
        .is_some_and(|(started, seen)| seen.duration_since(started) >= patience);
    Some(Trouble {
        failing: (was_ready && int(event, "/count").unwrap_or(1) >= 3) || waited,
        container: Some(name.to_owned()),
        state: "NotReady".to_owned(),
        cause: format!("container \"{name}\" runs but its probe fails: {detail}"),
        detail,
        remedy: "Make the probed address answer, or correct the probe's path and port.".to_owned(),
        log: Some((name.to_owned(), false)),
        ..Trouble::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(statuses: Value) -> Value {
        json!({"spec": {"containers": [{"name": "web", "image": "shop:9", "resources": {"limits": {"memory": "64Mi"}}}]},
            "status": {"phase": "Running", "containerStatuses": [statuses], "conditions": [{"type": "Ready", "status": "False"}]}})
    }

    #[test]
    fn names_the_container_and_the_cause() {
        let pull = json!({"reason": "Failed", "message": "Failed to pull image \"shop:9\": no such image"});
        let mount = json!({"reason": "FailedMount", "message": "MountVolume.SetUp failed for volume \"c\" : configmap \"shop\" not found"});
        let probe = json!({"reason": "Unhealthy", "count": 5, "lastTimestamp": "2026-01-01T10:00:40Z", "message": "Readiness probe failed: HTTP probe failed with statuscode: 500"});
        let liveness = json!({"reason": "Unhealthy", "message": "Liveness probe failed: timeout"});
        let waiting = |reason: &str, message: &str| json!({"name": "web", "state": {"waiting": {"reason": reason, "message": message}}});
        let crash = |last: Value| {
            json!({"name": "web", "restartCount": 3, "lastState": {"terminated": last},
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}})
        };
        for (status, events, failing, expected) in [
            (
                waiting("ImagePullBackOff", "Back-off"),
                vec![&pull],
                true,
                "image \"shop:9\" cannot be pulled: Failed to pull image \"shop:9\": no such image",
            ),
            (
                waiting("CreateContainerConfigError", "secret \"db\" not found"),
                vec![],
                true,
                "container \"web\" cannot start: secret \"db\" not found",
            ),
            (
                crash(json!({"exitCode": 3, "reason": "Error"})),
                vec![],
                true,
                "container \"web\" crashes with exit code 3, restarted 3 times",
            ),
            (
                crash(json!({"exitCode": 127})),
                vec![],
                true,
                "not found (exit code 127, restarted 3 times)",
            ),
            (
                crash(json!({"exitCode": 137, "reason": "OOMKilled"})),
                vec![],
                true,
                "more memory than its limit of 64Mi (OOMKilled",
            ),
            (
                crash(json!({"exitCode": 137, "reason": "Error"})),
                vec![&liveness],
                true,
                "liveness probe fails: Liveness probe failed: timeout",
            ),
            (
                crash(json!({"exitCode": 0})),
                vec![],
                true,
                "keeps ending by itself",
            ),
            (
                waiting("ContainerCreating", ""),
                vec![&mount],
                true,
                "configmap \"shop\" not found",
            ),
            (waiting("ContainerCreating", ""), vec![], false, "starting"),
            (
                json!({"name": "web", "state": {"running": {"startedAt": "2026-01-01T10:00:00Z"}}}),
                vec![&probe],
                false,
                "statuscode: 500",
            ),
            (
                json!({"name": "web", "state": {"running": {"startedAt": "2026-01-01T09:50:00Z"}}}),
                vec![&probe],
                true,
                "statuscode: 500",
            ),
            (
                json!({"name": "web", "state": {"running": {}}}),
                vec![],
                false,
                "not ready yet",
            ),
        ] {
            let found = of_pod(&pod(status.clone()), &events, PATIENCE).unwrap();
            assert!(found.cause.contains(expected), "{} lacks {expected}", found.cause);
            assert_eq!(found.failing, failing, "{status}");
            assert!(
                !found.failing || !found.remedy.is_empty(),
                "{status} has no remedy"
            );
        }
    }

    #[test]
    fn what_was_ready_and_is_not_any_more_fails_at_once() {
        let mut pod =
            pod(json!({"name": "web", "state": {"running": {"startedAt": "2026-01-01T10:00:00Z"}}}));
        let probe = json!({"reason": "Unhealthy", "count": 3, "lastTimestamp": "2026-01-01T10:00:40Z", "message": "no"});
        for (lost, failing) in [("2026-01-01T10:00:01Z", false), ("2026-01-01T10:00:35Z", true)] {
            pod["status"]["conditions"][0]["lastTransitionTime"] = json!(lost);
            assert_eq!(
                of_pod(&pod, &[&probe], PATIENCE).unwrap().failing,
                failing,
                "{lost}"
            );
        }
        let short = SignedDuration::from_secs(30);
        pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T10:00:00Z");
        assert!(of_pod(&pod, &[&probe], short).unwrap().failing);
    }

    #[test]
    fn a_denied_secret_names_path_and_policy() {
        let message =
            "Vault path `secret/data/shop/db` is denied to role `shop`: policy `shop` has no rule for it";
        let mut pod = pod(json!({"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}));
        pod["status"]["initContainerStatuses"] = json!([{"name": "herder-secrets", "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "message": message}}}]);
        let found = of_pod(&pod, &[], PATIENCE).unwrap();
        assert!(found.cause.contains(message) && found.init, "{}", found.cause);
        assert!(found.remedy.contains("policy"), "{}", found.remedy);
        assert_eq!(found.log, Some(("herder-secrets".to_owned(), true)));
    }

    #[test]
    fn unschedulable_pods() {
        let pod = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]}});
        let found = of_pod(&pod, &[], PATIENCE).unwrap();
        assert_eq!(found.state, "Unschedulable");
        assert!(found.remedy.contains("requests"));
        let mut bound = pod.clone();
        bound["spec"] = json!({"nodeName": "n1"});
        assert_eq!(of_pod(&bound, &[], PATIENCE).unwrap().state, "Starting");
        assert_eq!(
            of_pod(
                &json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
                &[],
                PATIENCE
            ),
            None
        );
    }
}

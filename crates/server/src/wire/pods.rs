//! Pods as the place where jobs run: one pod per attempt, in the namespace the run deploys to, with the rights of that
//! namespace's deployer and of nothing else.
//!
//! Works on any Kubernetes: the checkout is fetched by an init container with the run's own token, the scripts are in a
//! Secret that goes with the pod. The pod's `herder steps` writes one line per event; this module reads them back.

use crate::rights::Rights;
use crate::run_tokens::Grant;
use crate::state::Inner;
use crate::wire::rollouts;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use herder_base::{Secret, chain};
use herder_cluster::{Cluster, LogOptions};
use herder_jobs::script;
use herder_jobs::{Executor, RunEvent, RunResult, RunSpec, Step};
use herder_object::Key;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// How the keys of secret variables begin in the Secret of a run.
const ENV: &str = "env.";
/// Where runs go that deploy nowhere.
const PLATFORM_NAMESPACE: &str = "herder-system";
/// The address of the platform as pods see it.
const PLATFORM_URL: &str = "https://platform.herder-system";
/// Vault's, and the authority of both: every pod of a service account has it.
const VAULT_URL: &str = "https://vault.herder-system:8200";
const CLUSTER_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// The service account with the rights of a namespace's jobs, as the fleet makes it.
const DEPLOYER: &str = "herder-deployer";
/// How long a run waits for its namespace to be made.
const NAMESPACE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// How long the pod may take to stop after it was told to, seconds.
const GRACE: u32 = 3;

/// Runs steps in pods. Filled in once everything is built.
#[derive(Default)]
pub(crate) struct PodExecutor(OnceLock<Weak<Inner>>);

impl PodExecutor {
    /// Says whose cluster to use.
    pub(crate) fn fill(&self, shared: Weak<Inner>) {
        // Filled twice only if the platform were built twice with the same executor.
        let _first = self.0.set(shared);
    }
}

impl Executor for PodExecutor {
    fn run<'a>(
        &'a self,
        spec: &'a RunSpec,
        events: Sender<RunEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult> {
        Box::pin(async move {
            let Some(shared) = self.0.get().and_then(Weak::upgrade) else {
                return RunResult::Lost {
                    reason: "the platform is stopping".to_owned(),
                };
            };
            // It ends with this attempt, however that ends.
            let token = shared.run_tokens.issue(Grant {
                run: spec.id.clone(),
                checkouts: Arc::new(Mutex::new(spec.checkouts.clone())),
                rights: Rights {
                    may: spec.definition.may.clone(),
                    namespace: spec.namespace.clone(),
                },
                kept: Arc::default(),
            });
            // A reader that went away stops the run by `cancel`, not here.
            let _sent = events.send(RunEvent::Hide(token.expose().clone())).await;
            attempt(&shared, spec, token.expose(), &events, &cancel).await
        })
    }
}

async fn attempt(
    shared: &Inner,
    spec: &RunSpec,
    token: &Secret<String>,
    events: &Sender<RunEvent>,
    cancel: &CancellationToken,
) -> RunResult {
    let namespace = spec
        .namespace
        .clone()
        .unwrap_or_else(|| PLATFORM_NAMESPACE.to_owned());
    let name = pod_name(spec);
    let cluster = &shared.cluster;
    tokio::select! {
        () = namespace_ready(cluster, &namespace, events) => {}
        () = cancel.cancelled() => return RunResult::Aborted,
    }
    let before = rollouts::generations(cluster, &namespace);
    let created = create(cluster, spec, &namespace, &name, token).await;
    let result = match created {
        Err(error) => RunResult::Failed {
            reason: format!("the pod could not be made in {namespace}: {}", chain(&error)),
        },
        Ok(()) => {
            let note = RunEvent::Note(format!("pod {name} in namespace {namespace}"));
            // A reader that went away stops the run by `cancel`, not here.
            let _sent = events.send(note).await;
            tokio::select! {
                result = follow(cluster, &namespace, &name, spec, events) => result,
                () = cancel.cancelled() => RunResult::Aborted,
            }
        }
    };
    remove(cluster, &namespace, &name).await;
    rollouts::record(shared, &spec.id, &namespace, &before).await;
    result
}

/// Waits for the namespace and its deployer: at the first start jobs are there before the first pass has made them.
async fn namespace_ready(cluster: &Cluster, namespace: &str, events: &Sender<RunEvent>) {
    let account = if namespace == PLATFORM_NAMESPACE {
        "default"
    } else {
        DEPLOYER
    };
    let deadline = tokio::time::Instant::now() + NAMESPACE_PATIENCE;
    let mut told = false;
    while tokio::time::Instant::now() < deadline {
        // An error shows again, with its reason, when the pod is made.
        if !matches!(
            cluster.get("v1", "ServiceAccount", namespace, account).await,
            Ok(None)
        ) {
            return;
        }
        if !told {
            told = true;
            let note = format!("waiting for the service account {account} in namespace {namespace}");
            let _sent = events.send(RunEvent::Note(note)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// A name that is a DNS label and unique per attempt.
fn pod_name(spec: &RunSpec) -> String {
    let job: String = spec
        .id
        .job
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let job = job.trim_matches('-');
    let job = job.get(..30).unwrap_or(job).trim_end_matches('-');
    format!("run-{job}-{}-{}", spec.id.number, spec.attempt)
}

async fn create(
    cluster: &Cluster,
    spec: &RunSpec,
    namespace: &str,
    name: &str,
    token: &Secret<String>,
) -> Result<(), herder_cluster::Error> {
    let pod = cluster.create(pod(spec, namespace, name)).await?;
    let mut data = serde_json::Map::from_iter([("token".to_owned(), json!(token.expose()))]);
    for (name, value) in secret_env(spec) {
        data.insert(format!("{ENV}{name}"), json!(value));
    }
    for (index, step) in spec.steps.iter().enumerate() {
        if let Step::Shell { name: _, text, env } = step {
            data.insert(script::file(index), json!(text));
            if !env.is_empty() {
                data.insert(script::env_file(index), json!(json!(env).to_string()));
            }
        }
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": name, "namespace": namespace,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": herder_object::uid(&pod)}],
        },
        "stringData": data,
    });
    cluster.create(secret).await.map(drop)
}

/// The variables whose values are secret: in the Secret of the run, never in the pod, which more people may read.
fn secret_env(spec: &RunSpec) -> impl Iterator<Item = (&String, &String)> {
    spec.env.iter().filter(|(_, value)| spec.holds_secret(value))
}

fn pod(spec: &RunSpec, namespace: &str, name: &str) -> Value {
    // A job that names another Vault has its own way to trust it.
    let vault = [("VAULT_ADDR", VAULT_URL), ("VAULT_CACERT", CLUSTER_CA)];
    let plain = spec.env.iter().filter(|(_, value)| !spec.holds_secret(value));
    let mut env: Vec<Value> = vault
        .into_iter()
        .filter(|_| !spec.env.contains_key("VAULT_ADDR"))
        .chain(plain.map(|(name, value)| (&**name, &**value)))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut secret_names = vec!["HERDER_TOKEN".to_owned()];
    for (variable, _) in secret_env(spec) {
        secret_names.push(variable.clone());
        let key = format!("{ENV}{variable}");
        env.push(json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}));
    }
    if !spec.definition.artefacts.is_none() {
        let kept = json!(spec.definition.artefacts).to_string();
        env.push(json!({"name": script::ARTEFACTS, "value": kept}));
    }
    env.push(json!({"name": script::SECRETS, "value": secret_names.join(",")}));
    let token =
        json!({"name": "HERDER_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}});
    let fixed = [
        ("WORKSPACE", "/workspace"),
        ("WORKSPACE_TMP", "/tmp"),
        ("HOME", "/workspace"),
        ("HERDER_URL", PLATFORM_URL),
        ("HERDER_CACERT", CLUSTER_CA),
    ];
    env.extend(fixed.map(|(name, value)| json!({"name": name, "value": value})));
    env.push(token.clone());
    let checkout: Vec<String> = spec
        .checkouts
        .iter()
        .map(|checkout| format!("/workspace/{}", checkout.directory))
        .collect();
    let workspace = json!({"name": "workspace", "mountPath": "/workspace"});
    let run = json!({"name": "run", "mountPath": "/herder/run", "readOnly": true});
    let mut init = vec![];
    if !checkout.is_empty() {
        let mut command = vec!["herder".to_owned(), "checkout".to_owned()];
        command.extend(checkout);
        init.push(json!({
            "name": "checkout", "image": "host", "command": command, "volumeMounts": [workspace],
            "env": [{"name": "HERDER_URL", "value": PLATFORM_URL}, {"name": "HERDER_CACERT", "value": CLUSTER_CA}, token], "terminationMessagePolicy": "FallbackToLogsOnError",
        }));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {"herder.dev/run": format!("{name}"), "app.kubernetes.io/managed-by": "herder"},
            "annotations": {"herder.dev/job": spec.id.job, "herder.dev/number": spec.id.number.to_string()},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": if spec.namespace.is_some() { DEPLOYER } else { "default" },
            "terminationGracePeriodSeconds": GRACE,
            "initContainers": init,
            "containers": [{
                "name": "steps", "image": "host", "command": ["herder", "steps", "/herder/run"], "workingDir": "/workspace",
                "env": env, "volumeMounts": [workspace, run], "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": [
                {"name": "workspace", "emptyDir": {}},
                {"name": "run", "secret": {"secretName": name, "items": scripts(spec)}},
            ],
        },
    })
}

/// The scripts alone are files: the token and passwords are in the environment of those who need them.
fn scripts(spec: &RunSpec) -> Vec<Value> {
    let files = spec
        .steps
        .iter()
        .enumerate()
        .flat_map(|(index, step)| match step {
            Step::Shell { env, .. } if env.is_empty() => vec![script::file(index)],
            Step::Shell { .. } => vec![script::file(index), script::env_file(index)],
            Step::Action(_) => Vec::new(),
        });
    files.map(|file| json!({"key": file, "path": file})).collect()
}

/// Follows the pod to its end: waits until its steps start, copies their events, reads the exit code.
async fn follow(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    spec: &RunSpec,
    events: &Sender<RunEvent>,
) -> RunResult {
    let mut pods = pin!(cluster.watch_pod(namespace, name));
    loop {
        let pod = match pods.next().await {
            Some(Ok(pod)) => pod,
            Some(Err(error)) => {
                return RunResult::Lost {
                    reason: format!("the pod cannot be watched: {}", chain(&error)),
                };
            }
            None => {
                return RunResult::Lost {
                    reason: format!("the pod {name} was removed before it ended"),
                };
            }
        };
        if let Some(reason) = never_starts(&pod) {
            return RunResult::Failed { reason };
        }
        let state = container(&pod, "steps")
            .and_then(|status| status.get("state"))
            .cloned()
            .unwrap_or_default();
        if state.get("running").is_some() || state.get("terminated").is_some() {
            break;
        }
    }
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    match cluster.logs(namespace, name, "steps", options).await {
        Ok(logs) => copy(pin!(logs), events).await,
        Err(error) => {
            // The result still counts without its log.
            let _sent = events
                .send(RunEvent::Note(format!(
                    "the log cannot be read: {}",
                    chain(&error)
                )))
                .await;
        }
    }
    while let Some(next) = pods.next().await {
        let Ok(pod) = next else { continue };
        let ended = container(&pod, "steps")
            .and_then(|status| status.pointer("/state/terminated"))
            .cloned();
        if let Some(ended) = ended {
            return verdict(&ended, spec);
        }
        if pod
            .pointer("/status/phase")
            .is_some_and(|phase| phase == "Failed")
        {
            let reason = pod
                .pointer("/status/message")
                .and_then(Value::as_str)
                .unwrap_or("its node was lost");
            return RunResult::Lost {
                reason: format!("the pod failed: {reason}"),
            };
        }
    }
    RunResult::Lost {
        reason: format!("the pod {name} went away while it ran (was its node lost?)"),
    }
}

fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    statuses(pod, "containerStatuses").find(|status| status["name"] == name)
}

fn statuses<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod.pointer(&format!("/status/{list}"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Why the steps will never start, if so.
fn never_starts(pod: &Value) -> Option<String> {
    for status in statuses(pod, "initContainerStatuses") {
        let ended = status
            .pointer("/state/terminated")
            .filter(|ended| ended["exitCode"] != 0);
        if let Some(ended) = ended {
            let message = ended["message"].as_str().unwrap_or_default().trim();
            return Some(format!("the checkout failed ({}): {message}", ended["exitCode"]));
        }
    }
    for status in statuses(pod, "containerStatuses").chain(statuses(pod, "initContainerStatuses")) {
        let waiting = status.pointer("/state/waiting");
        let reason = waiting
            .and_then(|waiting| waiting["reason"].as_str())
            .unwrap_or_default();
        if matches!(
            reason,
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "RunContainerError"
        ) {
            let message = waiting
                .and_then(|waiting| waiting["message"].as_str())
                .unwrap_or_default();
            return Some(format!("{reason}: {message}"));
        }
    }
    None
}

/// A line of `herder steps` is never longer; what is comes from something else and is left out.
const LONGEST: usize = 1 << 20;

/// Turns the lines of `herder steps` back into events: `+N title`, `|N output`, `~N output` whose line goes on,
/// `*N output` of many lines, `-N code`.
async fn copy<E>(
    mut logs: std::pin::Pin<&mut impl Stream<Item = Result<bytes::Bytes, E>>>,
    events: &Sender<RunEvent>,
) {
    let mut rest: Vec<u8> = Vec::new();
    while let Some(Ok(bytes)) = logs.next().await {
        let mut told = Vec::new();
        let mut portion: &[u8] = &bytes;
        if !rest.is_empty() {
            let Some(end) = portion.iter().position(|byte| *byte == b'\n') else {
                if rest.len() < LONGEST {
                    rest.extend_from_slice(portion);
                }
                continue;
            };
            let (line, after) = portion.split_at(end + 1);
            rest.extend_from_slice(line);
            add(&mut told, &rest);
            rest.clear();
            portion = after;
        }
        while let Some(end) = portion.iter().position(|byte| *byte == b'\n') {
            let (line, after) = portion.split_at(end + 1);
            add(&mut told, line);
            portion = after;
        }
        rest.extend_from_slice(portion);
        for event in told {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Adds a line's event; lines of one step that come together are told together.
fn add(told: &mut Vec<RunEvent>, line: &[u8]) {
    match (event(line), told.last_mut()) {
        (
            Some(RunEvent::Output { step, bytes }),
            Some(RunEvent::Output {
                step: last,
                bytes: before,
            }),
        ) if step == *last && before.len() < LONGEST => before.extend_from_slice(&bytes),
        (Some(event), _) => told.push(event),
        (None, _) => {}
    }
}

fn event(line: &[u8]) -> Option<RunEvent> {
    let (mark, rest) = line.split_first()?;
    let space = rest.iter().take(12).position(|byte| *byte == b' ')?;
    let (number, text) = rest.split_at(space);
    let step: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let text = text.get(1..)?;
    let plain = || String::from_utf8_lossy(text).trim_end().to_owned();
    match mark {
        b'+' => Some(RunEvent::StepStarted { step, title: plain() }),
        b'|' => Some(RunEvent::Output {
            step,
            bytes: text.to_vec(),
        }),
        b'*' => Some(RunEvent::Output {
            step,
            bytes: text
                .iter()
                .map(|byte| if *byte == script::SEPARATOR { b'\n' } else { *byte })
                .collect(),
        }),
        b'~' => Some(RunEvent::Output {
            step,
            bytes: text.strip_suffix(b"\n").unwrap_or(text).to_vec(),
        }),
        b'-' => Some(RunEvent::StepFinished {
            step,
            code: plain().parse().unwrap_or(1),
        }),
        _ => None,
    }
}

fn verdict(ended: &Value, spec: &RunSpec) -> RunResult {
    let code = ended["exitCode"].as_i64().unwrap_or(1);
    let oom = ended["reason"] == "OOMKilled";
    match code {
        0 => RunResult::Succeeded,
        _ if oom => RunResult::Failed {
            reason: "it ran out of memory (OOMKilled)".to_owned(),
        },
        code => RunResult::Failed {
            reason: format!("a step of {} ended with {code}", spec.id.job),
        },
    }
}

/// Removes the pod; its Secret goes with it.
async fn remove(cluster: &Cluster, namespace: &str, name: &str) {
    for kind in ["Pod", "Secret"] {
        let key = Key {
            gvk: herder_object::Gvk::new("v1", kind),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        if let Err(error) = cluster.delete(&key).await {
            tracing::debug!(%key, error = %chain(&error), "already gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events() {
        assert_eq!(
            event(b"+0 make all\n"),
            Some(RunEvent::StepStarted {
                step: 0,
                title: "make all".to_owned()
            })
        );
        assert_eq!(
            event(b"|12 +1 not a start\n"),
            Some(RunEvent::Output {
                step: 12,
                bytes: b"+1 not a start\n".to_vec()
            })
        );
        assert_eq!(
            event(b"-1 3\n"),
            Some(RunEvent::StepFinished { step: 1, code: 3 })
        );
        assert_eq!(event(b"garbage\n"), None);
        let mut told = Vec::new();
        for line in [&b"|0 a\n"[..], b"~0 b\n", b"|0 c\n", b"|1 d\n"] {
            add(&mut told, line);
        }
        let output = |step, bytes: &[u8]| RunEvent::Output {
            step,
            bytes: bytes.to_vec(),
        };
        assert_eq!(told, [output(0, b"a\nbc\n"), output(1, b"d\n")]);
    }
}

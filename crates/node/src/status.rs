//! A pod's status as the API shows it, from what the agent knows. Pure.

use super::state::{ContainerRecord, Doing, Ended, PodRecord, Role};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

/// The phase that the containers amount to.
pub(crate) fn phase(policy: &str, record: &PodRecord) -> &'static str {
    // A pod is over when nothing of it runs any more, sidecars included.
    let runs = record
        .containers
        .iter()
        .any(|container| container.role != Role::Guest && matches!(container.doing, Doing::Running { .. }));
    if let Some((phase, _, _)) = &record.verdict {
        return if runs { "Running" } else { phase };
    }
    for container in record
        .containers
        .iter()
        .filter(|container| matches!(container.role, Role::Init | Role::Sidecar))
    {
        let done = match &container.doing {
            Doing::Terminated(ended) if container.role == Role::Init => {
                if ended.exit.code != 0 && policy == "Never" {
                    return "Failed";
                }
                ended.exit.code == 0
            }
            _ => container.role == Role::Sidecar && container.started,
        };
        let over = record
            .containers
            .iter()
            .any(|c| c.role == Role::Main && !matches!(c.doing, Doing::Waiting { .. }));
        if !done && !over {
            return "Pending";
        }
    }
    let mut all_succeeded = true;
    let mut stopped = 0;
    let mains: Vec<_> = record
        .containers
        .iter()
        .filter(|container| container.role == Role::Main)
        .collect();
    for container in &mains {
        match (&container.doing, &container.last) {
            (Doing::Running { .. }, _) => return "Running",
            (Doing::Waiting { .. }, None) if container.restarts == 0 => return "Pending",
            (Doing::Waiting { .. }, _) => return "Running",
            (Doing::Terminated(ended), _) => {
                stopped += 1;
                all_succeeded &= ended.exit.code == 0;
            }
        }
    }
    if stopped < mains.len() || policy == "Always" || runs {
        return "Running";
    }
    match (all_succeeded, policy) {
        (true, _) => "Succeeded",
        (false, "Never") => "Failed",
        // A restart is under way.
        (false, _) => "Running",
    }
}

/// Brings the conditions up to date and renders the status. `pod` gives the policy and conditions of others.
pub(crate) fn render(pod: &Pod, record: &mut PodRecord, host_ip: &str, now: Timestamp) -> Value {
    let spec = pod.spec.clone().unwrap_or_default();
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let phase = phase(policy, record);
    let over = matches!(phase, "Succeeded" | "Failed");
    let initialized = record.containers.iter().all(|container| match container.role {
        Role::Init => matches!(&container.doing, Doing::Terminated(ended) if ended.exit.code == 0),
        Role::Sidecar => container.started || over,
        Role::Main | Role::Guest => true,
    });
    let unready: Vec<&str> = record
        .containers
        .iter()
        .filter(|container| matches!(container.role, Role::Main | Role::Sidecar) && !container.ready)
        .map(|container| container.name.as_str())
        .collect();
    let containers_ready = unready.is_empty() && !over;
    let gates = spec.readiness_gates.iter().flatten().all(|gate| {
        let conditions = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        conditions
            .into_iter()
            .any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
    });
    let why_not = if over {
        Some(("PodCompleted", String::new()))
    } else if !unready.is_empty() {
        Some((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ))
    } else {
        None
    };
    let gated = Some((
        "ReadinessGatesNotReady",
        "a condition of readinessGates is not True".to_owned(),
    ));
    let wanted = [
        ("PodReadyToStartContainers", record.ip.is_some() && !over, None),
        (
            "Initialized",
            initialized,
            Some(("ContainersNotInitialized", String::new())),
        ),
        ("ContainersReady", containers_ready, why_not.clone()),
        ("Ready", containers_ready && gates, why_not.or(gated)),
    ];
    let mut conditions: Vec<Value> = Vec::new();
    for (kind, value, why) in wanted {
        let entry = record.conditions.entry(kind).or_insert((value, now));
        if entry.0 != value {
            *entry = (value, now);
        }
        let mut condition = json!({
            "type": kind,
            "status": if value { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": seconds(entry.1),
        });
        if let (false, Some((reason, message)), Value::Object(map)) = (value, why, &mut condition) {
            map.insert("reason".to_owned(), json!(reason));
            if !message.is_empty() {
                map.insert("message".to_owned(), json!(message));
            }
        }
        conditions.push(condition);
    }
    let others = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    for other in others.filter(|other| !wanted_type(&other.type_)) {
        conditions.push(serde_json::to_value(other).unwrap_or_default());
    }
    let statuses = |roles: &[Role]| -> Vec<Value> {
        let these = record
            .containers
            .iter()
            .filter(|container| roles.contains(&container.role));
        these.map(container_status).collect()
    };
    let (reason, message) = match &record.verdict {
        Some((_, reason, message)) => (json!(reason), json!(message)),
        None => (Value::Null, Value::Null),
    };
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": seconds(record.started),
        "containerStatuses": statuses(&[Role::Main]),
        "qosClass": qos(pod),
        "reason": reason,
        "message": message,
    });
    if let Value::Object(map) = &mut status {
        if let Some(ip) = record.ip {
            map.insert("podIP".to_owned(), json!(ip.to_string()));
            map.insert("podIPs".to_owned(), json!([{"ip": ip.to_string()}]));
        }
        for (list, roles) in [
            ("initContainerStatuses", &[Role::Init, Role::Sidecar][..]),
            ("ephemeralContainerStatuses", &[Role::Guest]),
        ] {
            let these = statuses(roles);
            if !these.is_empty() {
                map.insert(list.to_owned(), Value::Array(these));
            }
        }
    }
    status
}

fn wanted_type(kind: &str) -> bool {
    matches!(
        kind,
        "PodReadyToStartContainers" | "Initialized" | "ContainersReady" | "Ready"
    )
}

/// Kubernetes' times have whole seconds.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn container_status(container: &ContainerRecord) -> Value {
    let state = |doing: &Doing| match doing {
        Doing::Waiting { reason, message } => {
            let mut waiting = Map::new();
            waiting.insert("reason".to_owned(), json!(reason));
            if !message.is_empty() {
                waiting.insert("message".to_owned(), json!(message));
            }
            json!({"waiting": waiting})
        }
        Doing::Running { since } => json!({"running": {"startedAt": seconds(*since)}}),
        Doing::Terminated(ended) => json!({"terminated": terminated(ended)}),
    };
    let last = container
        .last
        .as_ref()
        .map_or_else(|| json!({}), |ended| json!({"terminated": terminated(ended)}));
    let mut status = json!({
        "name": container.name,
        "image": container.image,
        "imageID": match (&container.image_id, container.id.is_empty()) {
            (Some(id), _) => id.clone(),
            (None, true) => String::new(),
            (None, false) => format!("host://{}", container.image),
        },
        "ready": match container.role {
            Role::Init => matches!(&container.doing, Doing::Terminated(ended) if ended.exit.code == 0),
            _ => container.ready,
        },
        "started": container.started,
        "restartCount": container.restarts,
        "state": state(&container.doing),
        "lastState": last,
    });
    if let (false, Value::Object(map)) = (container.id.is_empty(), &mut status) {
        map.insert(
            "containerID".to_owned(),
            json!(format!("herder://{}", container.id)),
        );
    }
    status
}

fn terminated(ended: &Ended) -> Value {
    let mut out = json!({
        "exitCode": ended.exit.code,
        "reason": ended.reason,
        "startedAt": seconds(ended.started),
        "finishedAt": seconds(ended.finished),
        "containerID": format!("herder://{}", ended.id),
    });
    if let Value::Object(map) = &mut out {
        if let Some(signal) = ended.exit.signal {
            map.insert("signal".to_owned(), json!(signal));
        }
        if !ended.message.is_empty() {
            map.insert("message".to_owned(), json!(ended.message));
        }
    }
    out
}

fn qos(pod: &Pod) -> &'static str {
    let spec = pod.spec.clone().unwrap_or_default();
    let containers: Vec<_> = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .collect();
    let resources = |container: &k8s_openapi::api::core::v1::Container| {
        let resources = container.resources.clone().unwrap_or_default();
        (
            resources.requests.unwrap_or_default(),
            resources.limits.unwrap_or_default(),
        )
    };
    if containers.iter().all(|container| {
        let (requests, limits) = resources(container);
        requests.is_empty() && limits.is_empty()
    }) {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        let (requests, limits) = resources(container);
        ["cpu", "memory"].iter().all(|name| {
            limits
                .get(*name)
                .is_some_and(|limit| requests.get(*name).is_none_or(|request| request == limit))
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::super::reaper::Exit;
    use super::*;

    fn ended(code: i32) -> Doing {
        Doing::Terminated(Ended {
            exit: Exit { code, signal: None },
            reason: "Error".into(),
            message: String::new(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
            id: "x".into(),
        })
    }

    fn waiting() -> Doing {
        Doing::Waiting {
            reason: "r".into(),
            message: String::new(),
        }
    }

    #[test]
    fn phases() {
        let running = Doing::Running {
            since: Timestamp::UNIX_EPOCH,
        };
        let pod: Pod = serde_json::from_value(json!({"spec": {"initContainers": [{"name": "i"}],
            "containers": [{"name": "a"}, {"name": "b"}]}}))
        .unwrap();
        for (policy, init, a, b, want) in [
            ("Always", waiting(), waiting(), waiting(), "Pending"),
            ("Never", ended(1), waiting(), waiting(), "Failed"),
            ("Always", ended(1), waiting(), waiting(), "Pending"),
            ("Always", ended(0), waiting(), waiting(), "Pending"),
            ("Always", ended(0), running.clone(), waiting(), "Running"),
            ("Never", ended(0), ended(0), ended(0), "Succeeded"),
            ("Never", ended(0), ended(0), ended(3), "Failed"),
            ("OnFailure", ended(0), ended(0), ended(3), "Running"),
            ("Always", ended(0), ended(0), ended(0), "Running"),
        ] {
            let mut record = PodRecord::new(&pod, Timestamp::UNIX_EPOCH);
            for (container, doing) in record.containers.iter_mut().zip([init, a, b]) {
                container.doing = doing;
            }
            assert_eq!(phase(policy, &record), want, "{policy} {:?}", record.containers);
        }
    }

    #[test]
    fn conditions_keep_their_time_until_they_change() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}]},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}))
        .unwrap();
        let mut record = PodRecord::new(&pod, Timestamp::UNIX_EPOCH);
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = render(&pod, &mut record, "10.42.1.1", at(10));
        assert_eq!(
            first.pointer("/conditions/3/reason"),
            Some(&json!("ContainersNotReady"))
        );
        assert_eq!(first.pointer("/conditions/4/type"), Some(&json!("PodScheduled")));
        record.containers[0].ready = true;
        record.containers[0].doing = Doing::Running { since: at(11) };
        let second = render(&pod, &mut record, "10.42.1.1", at(20));
        assert_eq!(second.pointer("/conditions/3/status"), Some(&json!("True")));
        assert_eq!(
            second.pointer("/conditions/3/lastTransitionTime"),
            Some(&json!("1970-01-01T00:00:20Z"))
        );
        assert_eq!(
            second.pointer("/conditions/1/lastTransitionTime"),
            Some(&json!("1970-01-01T00:00:10Z"))
        );
        assert_eq!(second.get("phase"), Some(&json!("Running")));
    }
}

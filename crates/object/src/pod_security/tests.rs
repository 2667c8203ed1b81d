//! Every control of the standards, and the labels that choose among them.

use super::*;
use serde_json::{Value, json};

const BASELINE: Mode = Mode {
    level: Level::Baseline,
    version: Version::Latest,
};
const RESTRICTED: Mode = Mode {
    level: Level::Restricted,
    version: Version::Latest,
};

fn pod(spec: Value) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    merge(&mut pod["spec"], &spec);
    pod
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn with(security: Value) -> Value {
    pod(json!({"containers": [{"name": "c", "image": "i", "securityContext": security}]}))
}

fn hardened() -> Value {
    json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": "i", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s"}}, {"name": "c"}],
    }})
}

#[test]
fn baseline_refuses_what_reaches_beyond_the_pod() {
    let cases = [
        (
            pod(json!({"hostNetwork": true, "hostPID": true})),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (pod(json!({"hostIPC": true})), "host namespaces (hostIPC=true)"),
        (
            pod(json!({"hostUsers": true})),
            "host namespaces (hostUsers=true)",
        ),
        (
            pod(json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]})),
            "hostPath volumes (volume \"x\")",
        ),
        (
            pod(json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]})),
            "hostPort (container \"c\" uses hostPort 80)",
        ),
        (
            with(json!({"privileged": true})),
            "privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (
            with(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "CAP_NET_RAW"]}})),
            "non-default capabilities (container \"c\" must not include \"CAP_NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            with(json!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            pod(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            with(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            with(json!({"seLinuxOptions": {"type": "spc_t", "user": "system_u"}})),
            "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        ),
        (
            pod(
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}, {"name": "net.ipv4.tcp_rmem", "value": "1"}]}}),
            ),
            "forbidden sysctl (kernel.msgmax)",
        ),
        (
            with(json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess (container \"c\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            pod(
                json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 1, "host": "10.0.0.1"}}}]}),
            ),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"10.0.0.1\")",
        ),
        (
            pod(
                json!({"initContainers": [{"name": "i", "securityContext": {"privileged": true}}],
                       "ephemeralContainers": [{"name": "e", "securityContext": {"privileged": true}}]}),
            ),
            "privileged (containers \"i\", \"e\" must not set securityContext.privileged=true)",
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(describe(&evaluate(BASELINE, &pod)), expected, "{pod}");
    }
    let annotated = json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
                           "spec": {"containers": [{"name": "c"}]}});
    assert_eq!(evaluate(BASELINE, &annotated).len(), 1);
    assert_eq!(
        evaluate(BASELINE, &pod(json!({"hostUsers": false, "hostNetwork": false}))),
        []
    );
    let privileged = Mode {
        level: Level::Privileged,
        version: Version::Latest,
    };
    assert_eq!(evaluate(privileged, &with(json!({"privileged": true}))), []);
}

#[test]
fn odd_values_do_not_pass_for_harmless_ones() {
    for spec in [json!({"hostPID": "true"}), json!({"hostPID": 1})] {
        assert_eq!(evaluate(BASELINE, &pod(spec)).len(), 1);
    }
    for security in [
        json!({"privileged": "yes"}),
        json!({"procMount": 1}),
        json!({"seccompProfile": {"type": ""}}),
        json!({"capabilities": {"add": ["all"]}}),
    ] {
        assert_eq!(evaluate(BASELINE, &with(security.clone())).len(), 1, "{security}");
    }
}

#[test]
fn restricted_wants_a_hardened_pod() {
    assert_eq!(evaluate(RESTRICTED, &hardened()), []);
    assert_eq!(
        describe(&evaluate(RESTRICTED, &pod(json!({})))),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let mut root = hardened();
    root["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    root["spec"]["volumes"] = json!([{"name": "x", "hostPath": {"path": "/"}}, {"name": "y", "nfs": {}}]);
    // A pod for Windows is a pod all the same.
    root["spec"]["os"] = json!({"name": "windows"});
    assert_eq!(
        describe(&evaluate(RESTRICTED, &root)),
        "restricted volume types (volumes \"x\", \"y\" use restricted volume types \"hostPath\", \"nfs\"), \
         runAsUser=0 (container \"c\" must not set runAsUser=0)"
    );
}

#[test]
fn editions_differ() {
    let at = |minor| Mode {
        level: Level::Baseline,
        version: Version::Minor(minor),
    };
    let sysctl = pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}));
    assert_eq!(evaluate(at(31), &sysctl).len(), 1);
    assert_eq!(evaluate(at(32), &sysctl), []);
    let host = pod(json!({"containers": [{"name": "c", "livenessProbe": {"tcpSocket": {"host": "h"}}}]}));
    assert_eq!(evaluate(at(33), &host), []);
    assert_eq!(evaluate(at(34), &host).len(), 1);
}

#[test]
fn labels_choose() {
    let of = |labels: Value| Policy::of(&json!({"metadata": {"name": "n", "labels": labels}}));
    let default = of(json!({}));
    assert_eq!((default.enforce, default.warn), (BASELINE, RESTRICTED));
    let open = of(json!({"pod-security.kubernetes.io/enforce": "privileged"}));
    assert_eq!(open.enforce.level, Level::Privileged);
    let broken = of(json!({"pod-security.kubernetes.io/enforce": "none"}));
    assert_eq!(broken.enforce.level, Level::Restricted);
    let old = of(json!({"pod-security.kubernetes.io/enforce-version": "v1.20"}));
    assert_eq!(old.enforce.to_string(), "baseline:v1.20");
    assert!(default.is_stricter_than(&open) && default.is_stricter_than(&old));
    assert!(!open.is_stricter_than(&default) && !default.is_stricter_than(&default));
    let wrong = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": "none", "pod-security.kubernetes.io/warn-version": "1.2",
        "pod-security.kubernetes.io/audit": "baseline", "pod-security.kubernetes.io/audit-version": "v1.30"}}});
    let fields: Vec<String> = check_labels(&wrong)
        .into_iter()
        .map(|cause| cause.field)
        .collect();
    assert_eq!(
        fields,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]",
            "metadata.labels[pod-security.kubernetes.io/warn-version]",
        ]
    );
}

#[test]
fn refuses_in_kubernetes_words() {
    let namespace = json!({"metadata": {"name": "n"}});
    let bad = pod(json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}));
    assert_eq!(
        refusal(&namespace, &bad, None).unwrap(),
        "violates PodSecurity \"baseline:latest\": hostPath volumes (volume \"x\")"
    );
    assert_eq!(refusal(&namespace, &bad, Some(&bad)), None);
    assert!(refusal(&namespace, &bad, Some(&pod(json!({})))).is_some());
    assert!(
        warning(&namespace, &pod(json!({})))
            .unwrap()
            .starts_with("would violate PodSecurity \"restricted:latest\": ")
    );
    let before =
        json!({"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    let named = json!({"metadata": {"name": "p"}, "spec": bad["spec"]});
    assert_eq!(
        of_namespace(&namespace, Some(&before), [&named, &named].into_iter()),
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "p (and 1 other pod): hostPath volumes",
        ]
    );
}

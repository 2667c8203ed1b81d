//! Random kustomizations: every field with some chance, aimed at what the bases hold, sometimes beside it.

use super::Numbers;
use super::resources::{KINDS, NAMES, VALUES, pod_spec, resource};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Files by path, being made.
pub(crate) type Layout = BTreeMap<String, String>;

fn push(kustomization: &mut Value, field: &str, entry: Value) {
    if kustomization[field].is_null() {
        kustomization[field] = json!([]);
    }
    kustomization[field].as_array_mut().unwrap().push(entry);
}

/// A text of a value: as JSON, which is YAML too.
fn text(value: &Value) -> String {
    format!("{value}\n")
}

/// Adds a base: resources in files, each a document or several, and perhaps a little more.
pub(crate) fn base(rng: &mut Numbers, dir: &str, layout: &mut Layout) {
    let mut kustomization = json!({"resources": []});
    let count = 1 + rng.next(5);
    let mut documents = Vec::new();
    for at in 0..count {
        let kind = rng.one(&KINDS);
        documents.push(text(&resource(rng, kind)));
        if rng.once_in(2) || at + 1 == count {
            let file = format!("r{at}.yaml");
            layout.insert(
                format!("{dir}/{file}"),
                std::mem::take(&mut documents).join("---\n"),
            );
            push(&mut kustomization, "resources", json!(file));
        }
    }
    if rng.once_in(3) {
        more(rng, dir, &mut kustomization, layout, false);
    }
    layout.insert(format!("{dir}/kustomization.yaml"), text(&kustomization));
}

/// Adds an overlay of bases, or a component.
pub(crate) fn overlay(rng: &mut Numbers, dir: &str, bases: &[&str], layout: &mut Layout) {
    let mut kustomization = json!({});
    for base in bases {
        push(&mut kustomization, "resources", json!(base));
    }
    for _ in 0..1 + rng.next(4) {
        more(rng, dir, &mut kustomization, layout, true);
    }
    layout.insert(format!("{dir}/kustomization.yaml"), text(&kustomization));
}

/// Adds a component that an overlay may use.
pub(crate) fn component(rng: &mut Numbers, dir: &str, layout: &mut Layout) {
    let mut kustomization = json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"});
    more(rng, dir, &mut kustomization, layout, true);
    layout.insert(format!("{dir}/kustomization.yaml"), text(&kustomization));
}

fn more(rng: &mut Numbers, dir: &str, kustomization: &mut Value, layout: &mut Layout, patches: bool) {
    let patches_too = if patches { 22 } else { 12 };
    match rng.next(patches_too) {
        0 => kustomization["namespace"] = json!(rng.one(&["staging", "default", "team-a"])),
        1 => kustomization["namePrefix"] = json!(rng.one(&["pre-", "a-"])),
        2 => kustomization["nameSuffix"] = json!(rng.one(&["-v2", "-z"])),
        3 => {
            kustomization[rng.one(&["commonLabels", "commonAnnotations"])] =
                json!({rng.one(&["team", "app"]): rng.one(&VALUES)});
        }
        4 => {
            let mut entry = json!({"pairs": {"tier": rng.one(&VALUES)}});
            if rng.once_in(2) {
                entry[rng.one(&["includeSelectors", "includeTemplates"])] = json!(true);
            }
            if rng.once_in(4) {
                entry["fields"] =
                    json!([{"path": "spec/extra/labels", "kind": rng.one(&KINDS), "create": rng.once_in(2)}]);
            }
            push(kustomization, "labels", entry);
        }
        5 => push(kustomization, "images", image(rng)),
        6 => push(
            kustomization,
            "replicas",
            json!({"name": rng.one(&NAMES), "count": rng.next(7)}),
        ),
        7 | 8 => generator(rng, dir, kustomization, layout),
        9 => {
            kustomization["generatorOptions"] = json!({
                "disableNameSuffixHash": rng.once_in(2),
                "labels": {"made": "yes"},
                "annotations": {"by": rng.one(&VALUES)},
            });
        }
        10 => {
            kustomization["sortOptions"] = match rng.next(3) {
                0 => json!({"order": "fifo"}),
                1 => json!({"order": "legacy"}),
                _ => {
                    json!({"order": "legacy", "legacySortOptions": {"orderFirst": ["Service"], "orderLast": ["ConfigMap"]}})
                }
            }
        }
        11 => {
            kustomization["buildMetadata"] =
                json!([rng.one(&["originAnnotations", "transformerAnnotations", "managedByLabel"])]);
        }
        12..=14 => push(kustomization, "patches", patch(rng)),
        15 => {
            let path = format!("patch-{}.yaml", rng.next(1000));
            let entry = strategic(rng);
            layout.insert(format!("{dir}/{path}"), text(&entry));
            push(kustomization, "patchesStrategicMerge", json!(path));
        }
        16 => push(
            kustomization,
            "patchesJson6902",
            json!({
                "target": {"version": "v1", "group": rng.one(&["apps", ""]), "kind": rng.one(&KINDS), "name": rng.one(&NAMES)},
                "patch": operations(rng).to_string(),
            }),
        ),
        17 | 18 => push(kustomization, "replacements", replacement(rng)),
        19 => push(
            kustomization,
            "vars",
            json!({
                "name": "VAR",
                "objref": {"apiVersion": "v1", "kind": rng.one(&["Service", "ConfigMap", "ServiceAccount"]), "name": rng.one(&NAMES)},
            }),
        ),
        20 => {
            let path = format!("config-{}.yaml", rng.next(1000));
            layout.insert(format!("{dir}/{path}"), text(&configuration(rng)));
            push(kustomization, "configurations", json!(path));
        }
        _ => {
            let path = format!("transformer-{}.yaml", rng.next(1000));
            layout.insert(format!("{dir}/{path}"), text(&transformer(rng)));
            push(kustomization, "transformers", json!(path));
        }
    }
}

fn image(rng: &mut Numbers) -> Value {
    let mut image =
        json!({"name": rng.one(&["shop", "nginx", "registry.example/shop", "r.example:5000/nginx"])});
    match rng.next(4) {
        0 => image["newTag"] = json!(rng.one(&["2", "1.10", "latest"])),
        1 => image["digest"] = json!("sha256:bbbb"),
        2 => image["newName"] = json!("other.example/thing"),
        _ => {
            image["newName"] = json!("mine");
            image["newTag"] = json!("v9");
        }
    }
    image
}

fn generator(rng: &mut Numbers, dir: &str, kustomization: &mut Value, layout: &mut Layout) {
    let secret = rng.once_in(3);
    let mut entry = json!({"name": rng.one(&NAMES)});
    if rng.once_in(2) {
        entry["literals"] = json!([
            format!("k={}", rng.one(&VALUES)),
            format!("q='{}'", rng.one(&VALUES)),
            "u=é\u{2028}<&>",
        ]);
    }
    if rng.once_in(2) {
        let path = format!("file-{}.txt", rng.next(1000));
        layout.insert(
            format!("{dir}/{path}"),
            rng.one(&["text\n", "", "a\tb \n\n", "no end", "x: 1\n# c\n"])
                .to_owned(),
        );
        entry["files"] = json!([path, format!("renamed={path}")]);
    }
    if rng.once_in(3) {
        let path = format!("env-{}.env", rng.next(1000));
        layout.insert(
            format!("{dir}/{path}"),
            "# comment\nE1=one\n E2=two words \nE3=\n\nE4='quoted'\n".to_owned(),
        );
        entry["envs"] = json!([path]);
    }
    if rng.once_in(3) {
        entry["behavior"] = json!(rng.one(&["create", "merge", "replace"]));
    }
    if rng.once_in(4) {
        entry["namespace"] = json!(rng.one(&["default", "team-a"]));
    }
    if rng.once_in(4) {
        entry["options"] = json!({"disableNameSuffixHash": rng.once_in(2), "immutable": rng.once_in(2), "labels": {"o": "1"}});
    }
    if secret && rng.once_in(3) {
        entry["type"] = json!("kubernetes.io/tls");
    }
    let field = if secret {
        "secretGenerator"
    } else {
        "configMapGenerator"
    };
    push(kustomization, field, entry);
}

fn target(rng: &mut Numbers) -> Value {
    let mut target = json!({});
    if rng.once_in(2) {
        target["kind"] = json!(rng.one(&[
            "Deployment",
            "Deployment|StatefulSet",
            ".*Set",
            "ConfigMap",
            "Service"
        ]));
    }
    if rng.once_in(3) {
        target["name"] = json!(rng.one(&["shop", "s.*", "api|db", ".*"]));
    }
    if rng.once_in(5) {
        target["labelSelector"] = json!(rng.one(&["app=shop", "app in (shop,api)", "app!=x", "tier"]));
    }
    if rng.once_in(8) {
        target["annotationSelector"] = json!("note");
    }
    if rng.once_in(8) {
        target["namespace"] = json!(rng.one(&["default", "team-.*"]));
    }
    if rng.once_in(8) {
        target["group"] = json!("apps");
        target["version"] = json!("v1");
    }
    target
}

fn patch(rng: &mut Numbers) -> Value {
    let (body, needs_target) = if rng.once_in(2) {
        (operations(rng), true)
    } else {
        (strategic(rng), rng.once_in(2))
    };
    let mut patch = json!({"patch": body.to_string()});
    if needs_target {
        patch["target"] = target(rng);
    }
    if rng.once_in(8) {
        patch["options"] = json!({rng.one(&["allowNameChange", "allowKindChange"]): true});
    }
    patch
}

fn operations(rng: &mut Numbers) -> Value {
    let path = rng.one(&[
        "/metadata/labels/new",
        "/metadata/annotations",
        "/spec/replicas",
        "/spec/template/spec/containers/0/image",
        "/spec/template/spec/containers/-",
        "/metadata/labels/app.kubernetes.io~1name",
        "/data/k",
        "/spec/ports/0",
        "/metadata/name",
        "/spec/none/deep",
    ]);
    let value = match rng.next(4) {
        0 => json!(rng.one(&VALUES)),
        1 => json!(rng.next(100)),
        2 => json!({"name": "added", "image": "a:1"}),
        _ => json!({"a": "1", "b": null}),
    };
    json!([match rng.next(6) {
        0 => json!({"op": "remove", "path": path}),
        1 => json!({"op": "replace", "path": path, "value": value}),
        2 => json!({"op": "test", "path": path, "value": value}),
        3 => json!({"op": "copy", "from": "/metadata/name", "path": path}),
        _ => json!({"op": "add", "path": path, "value": value}),
    }])
}

/// A strategic merge patch for something that a base may hold.
fn strategic(rng: &mut Numbers) -> Value {
    let kind = rng.one(&KINDS);
    let mut patch = resource(rng, kind);
    let keep = json!({"name": rng.one(&NAMES)});
    let directive = json!({"$patch": rng.one(&["delete", "replace", "merge"])});
    if rng.once_in(2) {
        patch["metadata"] = keep;
    }
    match rng.next(8) {
        0 => {
            let metadata = patch["metadata"].clone();
            patch = json!({"apiVersion": patch["apiVersion"], "kind": kind, "metadata": metadata, "$patch": directive["$patch"]});
        }
        1 if patch["spec"].is_object() => patch["spec"]["$patch"] = directive["$patch"].clone(),
        2 if patch["spec"].is_object() => patch["spec"]["replicas"] = Value::Null,
        3 if patch["spec"]["template"].is_object() => {
            patch["spec"] = json!({"template": {"spec": {"containers": [{"name": "app", "$patch": directive["$patch"], "image": "p:1"}]}}});
        }
        4 if patch["spec"]["template"].is_object() => {
            patch["spec"] = json!({"template": {"spec": pod_spec(rng)}})
        }
        5 => patch["metadata"]["annotations"] = Value::Null,
        _ => {}
    }
    patch
}

fn replacement(rng: &mut Numbers) -> Value {
    let field = rng.one(&[
        "metadata.name",
        "metadata.labels.app",
        "data.k",
        "spec.replicas",
        "spec.template.spec.containers.[name=app].image",
        "spec.none",
    ]);
    let path = rng.one(&[
        "metadata.annotations.copied",
        "metadata.labels.[app.kubernetes.io/name]",
        "spec.template.spec.containers.[name=app].image",
        "spec.template.spec.containers.*.env.[name=A].value",
        "spec.template.spec.containers.0.name",
        "data.k",
        "spec.replicas",
    ]);
    let mut source = json!({"kind": rng.one(&KINDS), "name": rng.one(&NAMES), "fieldPath": field});
    let mut target = json!({"select": {"kind": rng.one(&KINDS)}, "fieldPaths": [path]});
    if rng.once_in(3) {
        let index = rng.next(3);
        source["options"] = json!({"delimiter": rng.one(&[":", ".", "-"]), "index": index});
    }
    if rng.once_in(2) {
        target["options"] = json!({"create": true});
    } else if rng.once_in(3) {
        target["options"] = json!({"delimiter": ":", "index": rng.next(2)});
    }
    if rng.once_in(4) {
        target["reject"] = json!([{"name": rng.one(&NAMES)}]);
    }
    json!({"source": source, "targets": [target]})
}

fn configuration(rng: &mut Numbers) -> Value {
    match rng.next(4) {
        0 => {
            json!({"nameReference": [{"kind": "ConfigMap", "version": "v1", "fieldSpecs": [{"path": "spec/ref/name", "kind": "Widget"}]}]})
        }
        1 => json!({"images": [{"path": "spec/template/spec/containers/image", "kind": "Widget"}]}),
        2 => json!({"commonLabels": [{"path": "spec/labels", "create": true, "kind": "Widget"}],
            "namePrefix": [{"path": "spec/ref/name", "kind": "Widget"}]}),
        _ => {
            json!({"varReference": [{"path": "data", "kind": "ConfigMap"}], "replicas": [{"path": "spec/replicas", "kind": "Widget"}],
            "namespace": [{"path": "spec/space", "create": true, "kind": "Widget"}]})
        }
    }
}

fn transformer(rng: &mut Numbers) -> Value {
    let specs = json!([{"path": "metadata/annotations", "create": true}, {"path": "spec/template/metadata/labels", "create": rng.once_in(2)}]);
    let (kind, mut rest) = match rng.next(6) {
        0 => (
            "LabelTransformer",
            json!({"labels": {"t": rng.one(&VALUES)}, "fieldSpecs": specs}),
        ),
        1 => (
            "AnnotationsTransformer",
            json!({"annotations": {"t": rng.one(&VALUES)}, "fieldSpecs": specs}),
        ),
        2 => (
            "PrefixTransformer",
            json!({"prefix": "t-", "fieldSpecs": [{"path": "metadata/name"}]}),
        ),
        3 => (
            "NamespaceTransformer",
            json!({"fieldSpecs": [{"path": "metadata/namespace", "create": true}], "unsetOnly": rng.once_in(2),
                "setRoleBindingSubjects": rng.one(&["none", "defaultOnly", "allServiceAccounts"])}),
        ),
        4 => ("ImageTagTransformer", json!({"imageTag": image(rng)})),
        _ => (
            "PatchTransformer",
            json!({"patch": strategic(rng).to_string(), "target": target(rng)}),
        ),
    };
    rest["apiVersion"] = json!("builtin");
    rest["kind"] = json!(kind);
    rest["metadata"] = json!({"name": "t", "namespace": "moved"});
    rest
}

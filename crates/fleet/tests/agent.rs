//! From annotations to containers.
#![allow(clippy::unwrap_used, reason = "tests may")]

use herder_fleet::{Settings, inject};
use serde_json::{Value, json};

fn deployment(annotations: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
        "spec": {"template": {
            "metadata": {"annotations": annotations},
            "spec": {
                "initContainers": [{"name": "migrate", "image": "shop"}],
                "containers": [{"name": "web", "image": "host", "command": ["shop"]}],
            },
        }},
    })
}

#[test]
fn adds_volume_init_container_and_sidecar() {
    let mut object = deployment(json!({
        "herder.dev/vault-role": "shop",
        "herder.dev/file.db": "secret/data/shop/db#password",
        "herder.dev/mode.db": "0600",
        "herder.dev/template.app.conf": "{{ with secret \"secret/data/shop/db\" }}{{ .Data.data.password }}{{ end }}",
        "herder.dev/file.tls": "pki/issue/shop common_name=shop.staging.svc alt_names=shop,shop.example ttl=1h",
        "herder.dev/env.DB_PASSWORD": "secret/data/shop/db#password",
        "herder.dev/source": "not about secrets",
    }));
    inject(&mut object, &Settings::default()).unwrap();
    insta::assert_json_snapshot!(object["spec"]["template"]["spec"]);
    let once = object.clone();
    inject(&mut object, &Settings::default()).unwrap();
    assert_eq!(object, once, "twice is once");
}

#[test]
fn leaves_alone_what_asks_for_nothing() {
    for mut object in [
        deployment(json!({})),
        deployment(json!({"herder.dev/vault-role": "shop"})),
        json!({"kind": "ConfigMap", "metadata": {"annotations": {"herder.dev/file.x": "secret/x"}}}),
        json!({"kind": "Deployment"}),
        json!({"kind": "Pod", "metadata": {"name": "x"}}),
    ] {
        let before = object.clone();
        inject(&mut object, &Settings::default()).unwrap();
        assert_eq!(object, before);
    }
}

#[test]
fn says_what_is_wrong() {
    let role = "herder.dev/vault-role";
    let mut said = String::new();
    for annotations in [
        json!({"herder.dev/file.db": "secret/data/shop/db#password"}),
        json!({role: "shop", "herder.dev/fil.db": "secret/data/shop/db#password"}),
        json!({role: "shop", "herder.dev/file.db": "password"}),
        json!({role: "shop", "herder.dev/file.../x": "secret/data/shop/db#password"}),
        json!({role: "shop", "herder.dev/env.A-B": "secret/data/shop/db#password"}),
        json!({role: "shop", "herder.dev/env.AB": "secret/data/shop/db"}),
        json!({role: "shop", "herder.dev/file.tls": "pki/issue/shop"}),
        json!({role: "shop", "herder.dev/file.tls": "pki/issue/shop name=x"}),
    ] {
        let error = inject(&mut deployment(annotations), &Settings::default()).unwrap_err();
        said += &format!("{error}\n");
    }
    insta::assert_snapshot!(said);
}

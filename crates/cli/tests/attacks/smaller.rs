//! Smaller ways in: redirects, files' modes, verbs, certificates' ends.

mod applying {
    //! Applying what is not there creates it, which takes the right to create.

    use crate::attacked::{Cluster, Dir, as_both};
    use serde_json::json;

    #[test]
    fn applying_needs_the_right_to_create() {
        as_both(|who| {
            let dir = Dir::new("applying");
            let cluster = Cluster::start(who, &dir, 0);
            let of = |kind: &str, more: serde_json::Value| {
                let mut object =
                    json!({"kind": kind, "metadata": {"name": "patcher", "namespace": "default"}});
                crate::attacked::merge(&mut object, &more);
                object
            };
            let rbac = "rbac.authorization.k8s.io";
            let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
                of("ServiceAccount", json!({"apiVersion": "v1"})),
                of("ConfigMap", json!({"apiVersion": "v1", "metadata": {"name": "there"}})),
                of("Role", json!({"apiVersion": format!("{rbac}/v1"),
                    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch", "update"]}]})),
                of("RoleBinding", json!({"apiVersion": format!("{rbac}/v1"),
                    "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "patcher"},
                    "subjects": [{"kind": "ServiceAccount", "name": "patcher", "namespace": "default"}]})),
            ]});
            let made = cluster.kubectl(&["apply", "-f", "-"], &objects.to_string());
            assert!(made.ok, "{made:?}");
            let token = cluster.kubectl(&["create", "token", "patcher"], "");
            let apply = |name: &str| {
                let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                    "metadata": {"name": name, "namespace": "default"}});
                let args = ["apply", "--server-side", "-f", "-"];
                cluster.kubectl_with(token.out.trim(), &args, &map.to_string())
            };
            let said = apply("there");
            assert!(said.ok, "{said:?}");
            let said = apply("fresh");
            assert!(
                !said.ok && said.err.contains("cannot create resource \"configmaps\""),
                "{said:?}"
            );
        });
    }
}

//! A small estate in the shape that large ones have: a folder per namespace, nothing Herder-specific in it, and kinds
//! among the files that no plain cluster knows.

use anyhow::{Context, Result};
use std::path::Path;

/// How many namespaces the built-in estate has.
const NAMESPACES: usize = 24;

/// Files of the estate, relative to the fleet repository.
pub(crate) fn built_in() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for number in 0..NAMESPACES {
        let suffix = ["dev", "staging", "prod"]
            .get(number % 3)
            .copied()
            .unwrap_or("dev");
        let name = format!("service-{:02}-{suffix}", number / 3);
        let mut add = |file: &str, text: String| files.push((format!("namespaces/{name}/{file}"), text));
        add(
            "00-namespace.yaml",
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    environment: {suffix}\n"
            ),
        );
        add(
            "01-rbac.yaml",
            format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: {name}-admin\n  namespace: {name}\nsubjects:\n  - kind: Group\n    name: team-{number}\n    apiGroup: rbac.authorization.k8s.io\nroleRef:\n  kind: ClusterRole\n  name: admin\n  apiGroup: rbac.authorization.k8s.io\n"
            ),
        );
        add(
            "02-limitrange.yaml",
            format!(
                "apiVersion: v1\nkind: LimitRange\nmetadata:\n  name: limitrange\n  namespace: {name}\nspec:\n  limits:\n    - default:\n        cpu: 1000m\n        memory: 1000Mi\n      defaultRequest:\n        cpu: 10m\n        memory: 100Mi\n      type: Container\n"
            ),
        );
        add(
            "03-resourcequota.yaml",
            format!(
                "apiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: namespace-quota\n  namespace: {name}\nspec:\n  hard:\n    pods: \"50\"\n"
            ),
        );
        add(
            "04-networkpolicy.yaml",
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: default\n  namespace: {name}\nspec:\n  podSelector: {{}}\n  policyTypes: [Ingress]\n  ingress:\n    - from:\n        - podSelector: {{}}\n"
            ),
        );
        add(
            "05-certificate.yaml",
            format!(
                "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata:\n  name: {name}-cert\n  namespace: {name}\nspec:\n  secretName: {name}-tls\n  issuerRef:\n    name: letsencrypt\n    kind: ClusterIssuer\n  dnsNames: [{name}.example.org]\n"
            ),
        );
        if number % 4 == 0 {
            add(
                "06-alerts.yaml",
                format!(
                    "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: alerts\n  namespace: {name}\nspec:\n  groups: []\n"
                ),
            );
        }
    }
    files
}

/// Files of an estate on disk: every `*.yaml` directly in a folder of `dir` (or of `dir/namespaces`).
pub(crate) fn from_disk(dir: &Path) -> Result<Vec<(String, String)>> {
    let below = dir.join("namespaces");
    let root = if below.is_dir() { below } else { dir.to_owned() };
    let mut files = Vec::new();
    let folders =
        std::fs::read_dir(&root).with_context(|| format!("cannot read the estate {}", root.display()))?;
    for folder in folders {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let yaml = Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml");
            if yaml && file.file_type()?.is_file() {
                let text = std::fs::read_to_string(file.path())
                    .with_context(|| format!("cannot read {}", file.path().display()))?;
                files.push((
                    format!("namespaces/{}/{name}", folder.file_name().to_string_lossy()),
                    text,
                ));
            }
        }
    }
    Ok(files)
}

//! Helm charts, rendered through the command's own runner, against `kubectl kustomize --enable-helm`.

use super::helm::Program;
use super::kubectl;
use herder_kustomize::{Helm, NoRemotes, Options, Remotes, Tree, build};
use std::fs;
use std::process::Command;

struct WithHelm(Program);

impl Remotes for WithHelm {
    fn resolve(&self, _url: &str) -> Option<Result<(Tree, String), String>> {
        None
    }

    fn helm(&self) -> Option<&dyn Helm> {
        Some(&self.0)
    }
}

const CHART: [(&str, &str); 5] = [
    (
        "charts/c/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: '3'\n",
    ),
    (
        "charts/c/values.yaml",
        "a: 1\nlist: [1, 2]\nnested: {x: true, y: text}\ngone: here\n",
    ),
    (
        "charts/c/templates/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-c\n  namespace: {{ .Release.Namespace }}\ndata:\n  \
         values: {{ toJson .Values | quote }}\n  kube: {{ .Capabilities.KubeVersion.Version | quote }}\n  thing: {{ \
         .Capabilities.APIVersions.Has \"thing/v1\" | quote }}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: \
         {app: {{ .Chart.Name }}}}\n",
    ),
    (
        "charts/c/crds/thing.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\n",
    ),
    (
        "charts/c/templates/tests/t.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: probe, annotations: {helm.sh/hook: test}}\nspec: {containers: [{name: a, image: a}]}\n",
    ),
];

/// What each kustomization adds to `helmCharts: [{name: c, releaseName: r, …}]`, and whether it holds more fields.
const CASES: [&str; 14] = [
    "helmCharts: [{name: c, releaseName: r}]",
    "namespace: ns\nhelmCharts: [{name: c, releaseName: r}]",
    "helmCharts: [{name: c, releaseName: r, namespace: own, includeCRDs: true, skipTests: true}]",
    "helmCharts: [{name: c, releaseName: r, skipHooks: true, kubeVersion: 1.29.0, apiVersions: [thing/v1]}]",
    "helmCharts: [{name: c, releaseName: r, valuesInline: {a: 2, list: [3], nested: {x: null, z: 1}, gone: null}}]",
    "helmCharts: [{name: c, releaseName: r, valuesMerge: merge, valuesInline: {a: 2, list: [3], nested: {z: 1.50}, new: no}}]",
    "helmCharts: [{name: c, releaseName: r, valuesMerge: replace, valuesInline: {nested: {y: 007}}}]",
    "helmCharts: [{name: c, releaseName: r, valuesFile: v.yaml, additionalValuesFiles: [w.yaml]}]",
    "helmCharts: [{name: c, releaseName: r, valuesFile: v.yaml, valuesInline: {a: 'x'}}]",
    "helmGlobals: {chartHome: elsewhere}\nhelmCharts: [{name: d, releaseName: r}]",
    "namePrefix: pre-\nbuildMetadata: [originAnnotations]\nhelmCharts: [{name: c, releaseName: r}, {name: c, releaseName: s, nameTemplate: x}]",
    "generators: [{apiVersion: builtin, kind: HelmChartInflationGenerator, metadata: {name: g}, name: c, releaseName: r}]",
    "helmCharts: [{name: none, releaseName: r}]",
    "helmCharts: [{name: c, releaseName: r, valuesMerge: mix}]",
];

#[test]
fn charts_render_the_same() {
    let has_helm = Command::new("helm")
        .args(["version", "--short"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_helm {
        assert!(std::env::var_os("CI").is_none(), "CI must have helm");
        println!("skipped: there is no helm");
    }
    if !has_helm || !kubectl() {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let remotes = WithHelm(Program {
        command: "helm".to_owned(),
        cache: cache.path().to_owned(),
        kube_version: None,
        api_versions: Vec::new(),
    });
    for case in CASES {
        let mut files: Vec<(String, String)> = CHART
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        for (path, text) in [
            ("kustomization.yaml", case),
            ("v.yaml", "a: 5\nmore: {b: on}\n"),
            ("w.yaml", "a: 6\n"),
            (
                "elsewhere/d/Chart.yaml",
                "apiVersion: v2\nname: d\nversion: 0.1.0\n",
            ),
            ("elsewhere/d/values.yaml", ""),
            (
                "elsewhere/d/templates/s.yaml",
                "apiVersion: v1\nkind: Secret\nmetadata: {name: d}\n",
            ),
        ] {
            files.push((path.to_owned(), text.to_owned()));
        }
        let root = tempfile::tempdir().unwrap();
        for (path, text) in &files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let output = Command::new("kubectl")
            .args(["kustomize", "--enable-helm"])
            .arg(root.path())
            .output()
            .unwrap();
        let theirs = output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap());
        let tree = Tree::from_texts(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).unwrap();
        let ours = build(&tree, "", &Options::default(), &remotes);
        assert_eq!(
            ours.as_ref().map(|build| build.to_yaml()).ok(),
            theirs,
            "{case}\nours: {ours:?}\ntheirs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let refused = build(&tree, "", &Options::default(), &NoRemotes).unwrap_err();
        assert_eq!(refused.file(), "kustomization.yaml", "{refused}");
    }
    println!("{} kustomizations with charts: no difference", CASES.len());
}

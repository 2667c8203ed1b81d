//! Whole builds, small enough to read: what each feature does, and what errors say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

use herder_kustomize::{Error, FunctionCall, Functions, NoRemotes, Options, Remotes, Tree, build};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: app
        image: shop:1
        envFrom:
        - configMapRef: {name: settings}
";

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::from_texts(files.iter().copied()).unwrap()
}

fn run(files: &[(&str, &str)]) -> Result<String, Error> {
    build(&tree(files), "o", &Options::default(), &NoRemotes).map(|build| build.to_yaml())
}

#[test]
fn an_overlay_changes_only_what_it_says() {
    let overlay = "resources: [../b]
namespace: staging
nameSuffix: -v2
labels:
- {pairs: {tier: web}, includeTemplates: true}
images:
- {name: shop, newTag: '2.0'}
replicas:
- {name: shop, count: 3}
configMapGenerator:
- {name: settings, literals: [greeting=hello]}
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: shop}
    spec: {template: {spec: {containers: [{name: side, image: side:1}]}}}
- target: {kind: Deployment}
  patch: '[{\"op\": \"add\", \"path\": \"/spec/paused\", \"value\": true}]'
";
    let built = run(&[
        ("o/kustomization.yaml", overlay),
        ("b/kustomization.yaml", "resources: [d.yaml]\n"),
        ("b/d.yaml", DEPLOYMENT),
    ]);
    let expected = "apiVersion: v1
data:
  greeting: hello
kind: ConfigMap
metadata:
  labels:
    tier: web
  name: settings-v2-k6cm94h6ch
  namespace: staging
---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    tier: web
  name: shop-v2
  namespace: staging
spec:
  paused: true
  replicas: 3
  template:
    metadata:
      labels:
        tier: web
    spec:
      containers:
      - image: side:1
        name: side
      - envFrom:
        - configMapRef:
            name: settings-v2-k6cm94h6ch
        image: shop:2.0
        name: app
";
    assert_eq!(built.unwrap(), expected);
}

#[test]
fn errors_say_where_and_what_to_do() {
    let base = ("o/d.yaml", DEPLOYMENT);
    for (kustomization, place, words) in [
        (
            "resources: [d.yaml]\nnamspace: x\n",
            "o/kustomization.yaml:2",
            "did you mean `namespace`?",
        ),
        (
            "resources:\n- dd.yaml\n",
            "o/kustomization.yaml:2",
            "did you mean `d.yaml`?",
        ),
        (
            "resources: [d.yaml]\nimages:\n- name: a\n  newTag: 1.0\n",
            "o/kustomization.yaml:4",
            "put it in quotes",
        ),
        (
            "resources: [d.yaml]\npatches:\n- patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: shpo}}'\n",
            "o/kustomization.yaml:3",
            "there is Deployment shop",
        ),
        ("resources: [d.yaml, d.yaml]\n", "o/d.yaml:1", "is there already"),
        (
            "resources: [d.yaml]\nreplicas: [{name: shp, count: 1}]\n",
            "o/kustomization.yaml:2",
            "did you mean `shop`?",
        ),
        ("resources: [../o]\n", "o/kustomization.yaml:1", "leads back"),
        (
            "resources: ['https://h/o/r//x?ref=1']\n",
            "o/kustomization.yaml:1",
            "remote",
        ),
        (
            "helmCharts: [{name: x}]\n",
            "o/kustomization.yaml:1",
            "helm template",
        ),
        (
            "resources: [d.yaml]\ntransformers: ['{apiVersion: x/v1, kind: T, metadata: {name: t}}']\n",
            "o/kustomization.yaml:2",
            "refused",
        ),
        ("resources: [d.yaml\n", "o/kustomization.yaml:2", "']'"),
        (
            "configMapGenerator: [{name: a, files: [../x]}]\n",
            "o/kustomization.yaml:1",
            "LoadRestrictionsNone",
        ),
        ("", "o/kustomization.yaml:1", "empty"),
    ] {
        let error = run(&[("o/kustomization.yaml", kustomization), base, ("x", "")]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(place) && text.contains(words),
            "{kustomization}\n{text}"
        );
    }
}

#[test]
fn a_replaced_list_of_a_custom_resource_is_warned_about() {
    let build = build(
        &tree(&[
            (
                "o/kustomization.yaml",
                "resources: [r.yaml]\npatches: [{path: p.yaml}]\n",
            ),
            (
                "o/r.yaml",
                "apiVersion: x/v1\nkind: X\nmetadata: {name: x}\nspec: {list: [{name: a}, {name: b}]}\n",
            ),
            (
                "o/p.yaml",
                "apiVersion: x/v1\nkind: X\nmetadata: {name: x}\nspec: {list: [{name: b, v: 1}]}\n",
            ),
        ]),
        "o",
        &Options::default(),
        &NoRemotes,
    )
    .unwrap();
    assert_eq!(build.warnings.len(), 1);
    assert_eq!(build.warnings[0].code, "list-replaced");
    assert!(build.read.contains("o/p.yaml") && build.read.contains("o/Kustomization"));
}

#[test]
fn remote_bases_come_from_the_caller() {
    struct One(Tree);
    impl Remotes for One {
        fn resolve(&self, url: &str) -> Option<Result<(Tree, String), String>> {
            url.contains("o/r")
                .then(|| Ok((self.0.clone(), "deep".to_owned())))
        }
    }
    let remote = tree(&[
        (
            "deep/kustomization.yaml",
            "resources: [../s.d/s.yaml, ../other]\nnamePrefix: p-\n",
        ),
        ("other/kustomization.yaml", "resources: [s.yaml]\n"),
        (
            "other/s.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
        ),
        ("s.d/s.yaml", ""),
    ]);
    let here = tree(&[(
        "o/kustomization.yaml",
        "resources: ['https://h/o/r//deep?ref=1']\n",
    )]);
    // What was fetched may not read files beside its own directory, whatever the caller allows.
    let error = build(&here, "o", &Options::default(), &One(remote)).unwrap_err();
    assert!(error.to_string().contains("outside"), "{error}");
}

#[test]
fn builds_are_linear() {
    let many = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|at| DEPLOYMENT.replace("name: shop", &format!("name: shop-{at}")))
            .collect();
        let files = [
            (
                "o/kustomization.yaml".to_owned(),
                "resources: [d.yaml]\nnamespace: prod\nnamePrefix: p-\n".to_owned(),
            ),
            ("o/d.yaml".to_owned(), all.join("---\n")),
        ];
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        run(&files).unwrap().len()
    };
    // Quadratic work would not end here in any patience.
    assert!(many(10_000) > 9 * many(1_000));
}

/// A function that adds a label to what it is given, and makes a config map where it is given nothing.
struct Function;

impl Remotes for Function {
    fn resolve(&self, _url: &str) -> Option<Result<(Tree, String), String>> {
        None
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(self)
    }
}

impl Functions for Function {
    fn run(&self, call: &FunctionCall) -> Option<Result<String, String>> {
        if call.program != "./allowed" {
            return None;
        }
        assert!(call.input.contains("functionConfig:"), "{}", call.input);
        Some(Ok(if call.input.contains("items: []") {
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\n  annotations:\n    kustomize.config.k8s.io/needs-hash: 'true'\n\
             data: {a: b}\n"
                .to_owned()
        } else {
            let input = call.input.replace("image: shop:1", "image: shop:2");
            input.replace("name: settings\n", "name: settings\n    # seen\n")
        }))
    }
}

#[test]
fn functions_run_if_they_are_allowed() {
    let plugin = |program: &str| {
        format!(
            "apiVersion: example.org/v1\nkind: Function\nmetadata:\n  name: f\n  annotations:\n    \
             config.kubernetes.io/function: 'exec: {{path: {program}}}'\n"
        )
    };
    let run = |program: &str, remotes: &dyn Remotes| {
        let files = [
            (
                "o/kustomization.yaml",
                "resources: [d.yaml]\ngenerators: [f.yaml]\ntransformers: [f.yaml]\n",
            ),
            ("o/d.yaml", DEPLOYMENT),
            ("o/f.yaml", &plugin(program)),
        ];
        build(&tree(&files), "o", &Options::default(), remotes)
    };
    let built = run("./allowed", &Function).unwrap().to_yaml();
    assert!(built.contains("image: shop:2"), "{built}");
    assert!(built.contains("name: made-"), "{built}");
    for (program, remotes) in [("./other", &Function as &dyn Remotes), ("./allowed", &NoRemotes)] {
        let error = run(program, remotes).unwrap_err();
        assert!(error.message().contains("is not allowed"), "{error}");
        assert!(error.hint_text().unwrap().contains("--allow-function"), "{error}");
    }
}

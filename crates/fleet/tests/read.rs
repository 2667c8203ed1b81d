//! Fleets as texts, what is read from them, and what is said about them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may"
)]

use herder_base::{Commit, Diagnostic, File, Tree, TreeBuilder};
use herder_fleet::{Fleet, Inputs, Renders, SourceRef, promote, read, release, sources};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A tree from one text: `-- path --` begins a file.
fn tree(text: &str, commit: char) -> Tree {
    let mut builder = TreeBuilder::default();
    let mut files: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")) {
            files.push((path, String::new()));
        } else if let Some((_, file)) = files.last_mut() {
            file.push_str(line);
            file.push('\n');
        }
    }
    for (path, file) in files {
        builder.insert(path, file.into_bytes()).unwrap();
    }
    builder.build(Commit::new(commit.to_string().repeat(40)))
}

fn inputs(root: &str, others: &[(&str, &str, Result<&str, &str>)]) -> Inputs {
    let mut trees = BTreeMap::new();
    for (url, reference, text) in others {
        let found = text.map(|text| tree(text, 'c')).map_err(str::to_owned);
        trees.insert(SourceRef::new(*url, *reference), found);
    }
    Inputs {
        fleet_url: "/git/fleet.git".into(),
        root: tree(root, 'f'),
        trees,
        ..Inputs::default()
    }
}

fn said(found: &[Diagnostic]) -> String {
    found
        .iter()
        .fold(String::new(), |text, d| text + &d.to_string() + "\n")
}

/// A fleet for people: units with their objects and what is held.
fn outline(fleet: &Fleet) -> String {
    let mut text = String::new();
    for unit in &fleet.units {
        let held = unit
            .held
            .as_ref()
            .map(|why| format!(" HELD {why}"))
            .unwrap_or_default();
        writeln!(text, "unit {} ({:?}){held}", unit.id, unit.origin).unwrap();
        for (application, why) in &unit.held_applications {
            writeln!(text, "  {application} HELD {why}").unwrap();
        }
        for object in &unit.objects {
            let application = object.application.as_deref().unwrap_or("-");
            let version = object
                .version
                .as_deref()
                .map(|v| format!(" @{v}"))
                .unwrap_or_default();
            writeln!(
                text,
                "  {} {application}{version} from {}",
                object.key, object.source
            )
            .unwrap();
        }
    }
    for e in &fleet.environments {
        writeln!(text, "environment {} stage {:?} {:?}", e.name, e.stage, e.kind).unwrap();
    }
    for a in &fleet.applications {
        writeln!(text, "application {} in {}", a.name, a.stages.join(", ")).unwrap();
    }
    let held = &fleet.held;
    for (what, why) in [
        ("units", &held.units),
        ("jobs", &held.jobs),
        ("policies", &held.policies),
        ("roles", &held.roles),
    ] {
        if let Some(why) = why {
            writeln!(text, "{what} HELD {why}").unwrap();
        }
    }
    text
}

#[test]
fn a_folder_per_namespace() {
    let inputs = inputs(
        "
-- fleet.yaml --
discover: namespaces/*
-- namespaces/a/ns.yaml --
apiVersion: v1
kind: Namespace
metadata: {name: a-real-name}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {a: b}
-- namespaces/a/resources/main.tf --
x
-- namespaces/a/resources/not-read.yaml --
kind: [
-- namespaces/b/all.yml --
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: theirs, namespace: a-real-name}}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: all-mighty}}
-- namespaces/broken/ns.yaml --
apiVersion: v1
kind: Namespace
metadata: {name: broken-name}
-- namespaces/broken/x.yaml --
a: b: c
-- namespaces/nameless/x.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {}
-- namespaces/again/ns.yaml --
apiVersion: v1
kind: Namespace
metadata: {name: b}
-- manifests/roles.yaml --
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mine, namespace: a-real-name}
",
        &[],
    );
    let (fleet, found) = read(&inputs);
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
    let object = &fleet.unit("a-real-name").unwrap().objects[1];
    insta::assert_json_snapshot!(*object.value);
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_the_rest_goes_on() {
    let inputs = inputs(
        "
-- fleet.yaml --
name: shop
discover:
- namespace/*
- ../elsewhere/*
-- teams/a.yaml --
members:
- {group: devs, may: [deply]}
-- environments/testing.yaml --
nmespace: testing
-- environments/staging.yaml --
apiVersion: herder.dev/v1
kind: Environment
metadata: {name: staging}
spec:
  after: tsting
  team: b
-- environments/many.yaml --
name: one
kind: developer
lease: {default: 1h, max: 2 fortnights}
---
name: two
after: three
---
name: three
after: two
---
name: three
---
after: two
-- applications/shop.yaml --
stages: [stagin]
source: {repository: ../shop.git, brnch: main}
-- policies/shop.hcl --
path \"secret/data/shop/*\" { capabilities = [\"read\"] }
-- policies/roles.yaml --
roles:
  shop: {serviceAccounts: shop, namespaces: [staging], policies: [shp]}
-- jobs/a.yaml --
steps: [make]
environment: nowhere
-- jobs/b.yaml --
steps: {}
-- jobs/folder/c.yaml --
parameters: [{name: NAMESPACE, default: staging}]
namespace: $NAMESPACE
source: ../shop.git
triggers: {poll: H/15 * * * *, webhook: true}
steps:
- mvn test
- name: Deploy
  shell: kustomize build . | kubectl apply -f -
timeout: 5m
",
        &[],
    );
    let (fleet, found) = read(&inputs);
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
    insta::assert_debug_snapshot!(fleet.jobs);
}

#[test]
fn sources_are_the_configs_resolved() {
    let inputs = inputs(
        "
-- fleet.yaml --
-- environments/testing.yaml --
config: ../config-testing.git
-- environments/staging.yaml --
config: {repository: https://host/config-staging, branch: live, path: k8s}
-- environments/here.yaml --
config: {path: config/here}
",
        &[("/git/config-testing.git", "", Err("it is down"))],
    );
    let wanted: Vec<String> = sources(&inputs)
        .iter()
        .map(|s| format!("{} {}", s.url, s.reference))
        .collect();
    assert_eq!(
        wanted,
        ["/git/config-testing.git ", "https://host/config-staging live"]
    );
    let (fleet, found) = read(&inputs);
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
}

#[test]
fn a_broken_fleet_file_changes_nothing() {
    let (fleet, found) = read(&inputs(
        "-- fleet.yaml --\nname: shop\npruneLimit: 300\n-- environments/testing.yaml --\nkind: permanent\n",
        &[],
    ));
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
    assert_eq!(fleet.name, "shop");
}

#[test]
fn nothing_to_read_holds_everything() {
    for root in [
        "-- README.md --\n",
        "-- fleet.yaml --\ndiscover: [\n",
        "-- fleet.yaml --\ndiscover: none/*\n",
    ] {
        let (fleet, found) = read(&inputs(root, &[]));
        assert!(fleet.held.units.is_some(), "{root}");
        assert_eq!(found.len(), 1, "{}", said(&found));
    }
    let (fleet, found) = read(&inputs("-- fleet.yaml --\n", &[]));
    assert_eq!(
        (fleet.held.units, fleet.name.as_str(), found.len()),
        (None, "fleet", 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_complained_about(
        path in prop::sample::select(vec![
            "fleet.yaml", "teams/a.yaml", "environments/a.yaml", "applications/a.yaml", "jobs/a.yaml", "jobs/a.groovy",
            "policies/roles.yaml", "stacks/a/stack.yaml", "manifests/a.yaml", "n/a/a.yaml", "c/app/kustomization.yaml",
        ]),
        text in "(name|kind|apiVersion|metadata|roles|steps|discover|config|resources|images|after|[a-z]{1,3}|[-:{}\\[\\]|&*!#'\"\n ,0-9]){0,30}",
    ) {
        let mut builder = TreeBuilder::default();
        builder.insert("fleet.yaml", *b"discover: n/*").unwrap();
        builder.insert("environments/e.yaml", *b"config: {path: c}").unwrap();
        builder.insert("n/b/b.yaml", *b"{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}").unwrap();
        builder.insert(path, text.clone().into_bytes()).unwrap();
        let inputs = Inputs { fleet_url: "/f".into(), root: builder.build(Commit::default()), ..Inputs::default() };
        let (fleet, _) = read(&inputs);
        prop_assert!(sources(&inputs).len() < 30);
        prop_assert!(path == "fleet.yaml" || fleet.unit("b").is_some(), "{text}");
    }
}

const APP: &str = "
-- deploy/kustomization.yaml --
resources: [deployment.yaml, service.yaml]
-- deploy/deployment.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations:
        herder.dev/vault-role: shop
        herder.dev/file.db: secret/data/shop/db#password
    spec:
      containers:
      - {name: web, image: shop, command: [serve]}
-- deploy/service.yaml --
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}], selector: {app: shop}}
";

const TESTING: &str = "
-- shop/kustomization.yaml --
resources:
- /git/shop.git//deploy?ref=0123456789012345678901234567890123456789
configMapGenerator:
- name: settings
  literals: [stage=testing]
-- database/kustomization.yaml --
resources: [statefulset.yaml]
images:
- {name: db, newTag: '16.2'}
-- database/statefulset.yaml --
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  serviceName: db
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
-- .github/workflows/x.yaml --
on: push
-- base/kustomization.yaml --
resources: []
-- shared/kustomization.yaml --
kind: Component
";

const STAGING: &str = "
-- shop/kustomization.yaml --
resources:
- /git/shop.git//deploy?ref=ffffffffffffffffffffffffffffffffffffffff # the stage before
-- broken/kustomization.yaml --
resources: [missing.yaml]
-- same/kustomization.yaml --
resources: [x.yaml]
-- same/x.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: same}
-- twin/kustomization.yaml --
resources: [x.yaml]
-- twin/x.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: same}
";

const STAGES: &str = "
-- fleet.yaml --
name: shop
-- environments/testing.yaml --
config: ../testing.git
state: [PersistentVolumeClaim/data-*]
quota: {pods: 20}
labels: {team: shop}
-- environments/staging.yaml --
after: testing
config: ../staging.git
deployer: {clusterRole: edit}
-- policies/shop.hcl --
path \"secret/data/shop/*\" { capabilities = [\"read\"] }
-- policies/roles.yaml --
roles:
  shop: {serviceAccounts: default, namespaces: [testing, dev-*], policies: shop}
-- environments/dev-payments.yaml --
kind: developer
config: ../testing.git
include: [shop, cache]
lease: {default: 30m}
";

fn stages(shop: Option<Result<&str, &str>>) -> Inputs {
    let mut others = vec![
        ("/git/testing.git", "", Ok(TESTING)),
        ("/git/staging.git", "", Ok(STAGING)),
    ];
    if let Some(shop) = shop {
        others.push(("/git/shop.git", "0123456789012345678901234567890123456789", shop));
        others.push(("/git/shop.git", "ffffffffffffffffffffffffffffffffffffffff", shop));
    }
    inputs(STAGES, &others)
}

#[test]
fn environments_are_rendered_from_their_configs() {
    let wanted: Vec<String> = sources(&stages(None))
        .iter()
        .map(|s| format!("{} {:.4}", s.url, s.reference))
        .collect();
    assert_eq!(
        wanted,
        [
            "/git/shop.git 0123",
            "/git/shop.git ffff",
            "/git/staging.git ",
            "/git/testing.git "
        ]
    );
    let inputs = stages(Some(Ok(APP)));
    let (fleet, found) = read(&inputs);
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
    let testing = fleet.unit("testing").unwrap();
    let value = |kind: &str| {
        let found = testing.objects.iter().find(|object| object.key.gvk.kind == kind);
        (*found.unwrap().value).clone()
    };
    insta::assert_json_snapshot!(value("Namespace"));
    insta::assert_json_snapshot!(value("Deployment"));
    insta::assert_json_snapshot!(value("StatefulSet"));
    let (fleet, found) = read(&stages(Some(Err("the server hung up"))));
    insta::assert_snapshot!(outline(&fleet) + "\n" + &said(&found));
}

#[test]
fn a_promotion_moves_exactly_the_pins() {
    let inputs = stages(Some(Ok(APP)));
    let (fleet, _) = read(&inputs);
    let promotion = promote(&fleet, &inputs, "shop", None, "staging").unwrap();
    let before = inputs.trees[&SourceRef::new("/git/staging.git", "")]
        .as_ref()
        .unwrap()
        .text("shop/kustomization.yaml");
    let after = before
        .unwrap()
        .replace(&"f".repeat(40), "0123456789012345678901234567890123456789");
    assert_eq!(promotion.files, [("shop/kustomization.yaml".to_owned(), after)]);
    assert_eq!(promotion.parent.as_str(), "c".repeat(40));
    assert_eq!(
        (promotion.repository.expose(), promotion.branch.as_str()),
        ("/git/staging.git", "")
    );
    insta::assert_snapshot!(promotion.message());
    let released = release(&fleet, &inputs, "shop", "testing", "1.2", &"a".repeat(40)).unwrap();
    assert!(released.files[0].1.contains(&"a".repeat(40)) && !released.files[0].1.contains("1.2"));
    let database = release(&fleet, &inputs, "database", "testing", "17", "").unwrap();
    assert_eq!(
        database.files[0].1,
        "resources: [statefulset.yaml]\nimages:\n- {name: db, newTag: '17'}\n"
    );
    assert_eq!(
        database.message(),
        "Release database 17 to testing\n\ndb 16.2 → 17\n"
    );
    let mut said = String::new();
    for (application, from, to) in [
        ("shp", None, "staging"),
        ("shop", None, "testing"),
        ("shop", Some("staging"), "stagin"),
        ("shop", Some("staging"), "staging"),
        ("same", Some("staging"), "testing"),
        ("same", Some("staging"), "dev-payments"),
    ] {
        let error = promote(&fleet, &inputs, application, from, to).unwrap_err();
        said += &format!("{error}\n");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn job_dsl_scripts_are_jobs() {
    let script = "job('abc-application') {
    parameters { string(name: 'NAMESPACE', defaultValue: 'staging', description: 'Kubernetes namespace to deploy to') }
    scm { git('../abc.git') }
    triggers { scm('H/15 * * * *') }
    steps {
        maven('-e clean test')
        kustomize build ~/someApp | kubectl apply --namespace $NAMESPACE -f -
    }
}
";
    let root = Tree::from_texts([
        ("fleet.yaml", "name: demo\n"),
        ("jobs/abc.groovy", script),
        ("jobs/broken.groovy", "job('x') {\n  steps {\n"),
    ])
    .unwrap();
    let inputs = Inputs {
        fleet_url: "/srv/git/fleet.git".into(),
        root,
        trees: BTreeMap::new(),
        ..Inputs::default()
    };
    let (fleet, found) = read(&inputs);
    let job = &fleet.jobs[0];
    assert_eq!(job.name, "abc-application");
    assert_eq!(job.sources[0].url.expose(), "/srv/git/abc.git");
    assert_eq!(job.target, herder_job::Target::Parameter("NAMESPACE".to_owned()));
    assert_eq!(job.steps[0], herder_job::Step::shell("mvn -B -e clean test"));
    assert_eq!(
        job.steps[1],
        herder_job::Step::shell("kustomize build ~/someApp | kubectl apply --namespace $NAMESPACE -f -")
    );
    // The other script's fault is its own, and nothing is removed because of it.
    let error = found.iter().find(|d| d.code == "syntax").unwrap();
    assert_eq!(error.at.as_ref().unwrap().path, "jobs/broken.groovy");
    assert!(fleet.held.jobs.is_some());
}

#[test]
fn only_what_changed_is_rendered_again() {
    let first = stages(Some(Ok(APP)));
    let (fleet, _) = read(&first);
    let all = first.renders.rendered();
    assert!(all > 1, "{all}");
    let again = |change: &dyn Fn(&mut Inputs)| {
        let mut inputs = stages(Some(Ok(APP)));
        inputs.renders = first.renders.clone();
        change(&mut inputs);
        let before = inputs.renders.rendered();
        let (fleet, _) = read(&inputs);
        (fleet, inputs.renders.rendered() - before)
    };
    // The same files: nothing is rendered, not even what did not build, and the result is the same.
    let (same, rendered) = again(&|_| {});
    assert_eq!((rendered, outline(&same)), (0, outline(&fleet)));
    // One file of one environment: only the application that reads it is rendered, and what does not build in the same
    // repository, which does not say what it looked for.
    let (moved, rendered) = again(&|inputs| {
        let changed = STAGING.replace(" # the stage before", "\nnameSuffix: -v2");
        assert_ne!(changed, STAGING);
        let staging = SourceRef::new("/git/staging.git", "");
        inputs.trees.insert(staging, Ok(tree(&changed, 'd')));
    });
    assert_eq!(rendered, 2);
    assert_ne!(moved.unit("staging"), fleet.unit("staging"));
    assert_eq!(moved.unit("testing"), fleet.unit("testing"));
    // A remote base at another commit, although nothing here says so.
    let (_, rendered) = again(&|inputs| {
        let pinned = SourceRef::new("/git/shop.git", "0123456789012345678901234567890123456789");
        inputs.trees.insert(pinned, Ok(tree(APP, 'e')));
    });
    assert!(rendered >= 1);
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let at = |target: &str, renders: &Renders| {
        let mut builder = TreeBuilder::default();
        let object = |value: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {{v: {value}}}\n")
        };
        for (path, text) in [
            ("fleet.yaml", "discover: namespaces/*\n".to_owned()),
            (
                "namespaces/a/kustomization.yaml",
                "resources: [current/x.yaml]\n".to_owned(),
            ),
            ("namespaces/a/one/x.yaml", object("one")),
            ("namespaces/a/two/x.yaml", object("two")),
        ] {
            builder.insert(path, text.into_bytes()).unwrap();
        }
        let link = File {
            bytes: target.as_bytes().into(),
            executable: false,
            symlink: true,
        };
        builder.insert_file("namespaces/a/current", link).unwrap();
        let inputs = Inputs {
            fleet_url: "/git/fleet.git".into(),
            root: builder.build(Commit::default()),
            renders: renders.clone(),
            ..Inputs::default()
        };
        let (fleet, _) = read(&inputs);
        let objects = &fleet.units.first().unwrap().objects;
        let object = objects.iter().find(|object| object.key.name == "x").unwrap();
        object.value["data"]["v"].as_str().unwrap().to_owned()
    };
    let renders = Renders::default();
    assert_eq!(at("one", &renders), "one");
    assert_eq!(at("two", &renders), "two");
    assert_eq!(renders.rendered(), 2);
}

/// The level that a namespace enforces, and what is said.
fn level(
    files: &str,
    others: &[(&str, &str, Result<&str, &str>)],
    namespace: &str,
) -> (serde_json::Value, String) {
    let (fleet, found) = read(&inputs(files, others));
    let unit = fleet.unit(namespace).unwrap();
    let object = unit
        .objects
        .iter()
        .find(|object| object.key.gvk.kind == "Namespace");
    let label =
        object.map(|object| object.value["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone());
    (label.unwrap_or_default(), said(&found))
}

#[test]
fn only_the_fleet_repository_opens_a_namespace() {
    let open = "
-- web/ns.yaml --
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {pod-security.kubernetes.io/enforce: privileged}
";
    let config = |more: &str| {
        format!("\n-- fleet.yaml --\n-- environments/shop.yaml --\nconfig: ../config.git\n{more}\n")
    };
    let others = [("/git/config.git", "", Ok(open))];
    let (found, words) = level(&config(""), &others, "shop");
    assert_eq!(found, "baseline");
    assert!(
        words.contains("web/ns.yaml:5") && words.contains("set `podSecurity` in environments/shop.yaml"),
        "{words}"
    );
    let (found, words) = level(&config("podSecurity: privileged"), &others, "shop");
    assert_eq!((found.as_str(), words.as_str()), (Some("privileged"), ""));
    let stricter = open.replace("privileged", "restricted");
    let (found, words) = level(&config(""), &[("/git/config.git", "", Ok(&stricter))], "shop");
    assert_eq!((found.as_str(), words.as_str()), (Some("baseline"), ""));
    let old = open.replace("enforce: privileged", "enforce-version: v1.0");
    let (_, words) = level(&config(""), &[("/git/config.git", "", Ok(&old))], "shop");
    assert!(words.contains("enforce-version: v1.0"), "{words}");

    // A folder of the fleet repository says it itself; a base from elsewhere does not.
    let own = open.replace("web/", "namespaces/shop/");
    let (found, words) = level(
        &format!("\n-- fleet.yaml --\ndiscover: namespaces/*{own}"),
        &[],
        "shop",
    );
    assert_eq!((found.as_str(), words.as_str()), (Some("privileged"), ""));
    let base = "
-- kustomization.yaml --
resources: [ns.yaml]
-- ns.yaml --
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {pod-security.kubernetes.io/enforce: privileged}
";
    let files = "
-- fleet.yaml --
discover: namespaces/*
-- namespaces/shop/kustomization.yaml --
resources: ['https://host/base.git?ref=v1']
";
    let (found, words) = level(files, &[("https://host/base.git", "v1", Ok(base))], "shop");
    assert_eq!(found, serde_json::Value::Null);
    assert!(
        words.contains("a base outside of the fleet repository"),
        "{words}"
    );
}

#[test]
fn a_config_repository_gives_no_rights_over_what_the_fleet_sets() {
    let files = "\n-- fleet.yaml --\n-- environments/shop.yaml --\nconfig: ../config.git\n";
    let said_of = |object: &str| {
        let config = format!("\n-- web/all.yaml --\n{object}\n");
        let (fleet, found) = read(&inputs(files, &[("/git/config.git", "", Ok(&config))]));
        let held = fleet.unit("shop").unwrap().held_applications.contains_key("web");
        (held, said(&found))
    };
    let role = |rule: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r}}\nrules:\n- {rule}"
        )
    };
    let binding = |name: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: r}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: '{name}'}}"
        )
    };
    for bad in [
        role("{apiGroups: ['*'], resources: ['*'], verbs: ['*']}"),
        role("{apiGroups: [''], resources: [resourcequotas], verbs: [delete]}"),
        role("{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}"),
        role("{apiGroups: [''], resources: [pods, pods/status], verbs: [patch]}"),
        role("{apiGroups: [''], resources: ['pods/*'], verbs: [get, update]}"),
        role("{apiGroups: [''], resources: [pods/binding], verbs: [create]}"),
        role("{apiGroups: [''], resources: [bindings], verbs: ['*']}"),
        binding("cluster-admin"),
        binding("system:node"),
    ] {
        let (held, words) = said_of(&bad);
        assert!(
            held && words.contains("web/all.yaml:1: error[wide-rights]"),
            "{bad}\n{words}"
        );
    }
    for good in [
        role("{apiGroups: [''], resources: [pods, resourcequotas], verbs: [get, list]}"),
        role("{apiGroups: [apps], resources: ['*'], verbs: ['*']}"),
        binding("view"),
    ] {
        assert_eq!(said_of(&good), (false, String::new()), "{good}");
    }
}

//! What may not reach a cluster as it stands: each object is left out by itself, with its place, and everything else goes on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may"
)]

use herder_base::{Commit, Diagnostic, File, Tree, TreeBuilder};
use herder_fleet::{Fleet, Inputs, Stage, read};

fn fleet(files: &[(&str, &str)]) -> (Fleet, Vec<Diagnostic>) {
    let inputs = Inputs {
        fleet_url: "/git/fleet.git".into(),
        root: Tree::from_texts(files.iter().copied()).unwrap(),
        ..Inputs::default()
    };
    read(&inputs)
}

fn said(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

fn names(fleet: &Fleet, unit: &str) -> Vec<String> {
    let unit = fleet.unit(unit).unwrap();
    unit.objects
        .iter()
        .map(|object| format!("{} {}", object.key.gvk.kind, object.key.name))
        .collect()
}

const DISCOVER: (&str, &str) = ("fleet.yaml", "discover: n/*\n");

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replica: 2
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: web
        image: x
        resource: {}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: fine}
";

#[test]
fn unknown_fields_have_their_line_and_the_nearest_name() {
    let (found_fleet, found) = fleet(&[DISCOVER, ("n/shop/web.yaml", DEPLOYMENT)]);
    assert_eq!(
        said(&found),
        [
            "n/shop/web.yaml:6:3: error[unknown-field]: spec of Deployment shop/web has no field `replica` (hint: did you mean `replicas`? Until then it stays as it was)",
            "n/shop/web.yaml:14:9: error[unknown-field]: spec.template.spec.containers[0] of Deployment shop/web has no field `resource` (hint: did you mean `resources`? Until then it stays as it was)",
        ]
    );
    assert_eq!(names(&found_fleet, "shop"), ["Namespace shop", "ConfigMap fine"]);
    let unit = found_fleet.unit("shop").unwrap();
    assert_eq!(unit.left_out.len(), 1);
    // What runs of it is named, so that nothing takes it for removed.
    assert!(unit.named.iter().any(|(key, _)| key.name == "web"));

    let annotated = DEPLOYMENT.replacen(
        "name: web",
        "name: web\n  annotations: {herder.dev/strict: 'false'}",
        1,
    );
    let (lenient, found) = fleet(&[DISCOVER, ("n/shop/web.yaml", &annotated)]);
    assert!(found.is_empty(), "{:?}", said(&found));
    assert_eq!(names(&lenient, "shop").len(), 3);
    let (lenient, found) = fleet(&[
        ("fleet.yaml", "discover: n/*\nlenient: n/shop/*\n"),
        ("n/shop/web.yaml", DEPLOYMENT),
    ]);
    assert!(found.is_empty(), "{:?}", said(&found));
    assert_eq!(names(&lenient, "shop").len(), 3);
}

#[test]
fn what_a_kustomization_built_is_found_in_the_file_that_brought_it() {
    let (_, found) = fleet(&[
        ("fleet.yaml", ""),
        ("environments/testing.yaml", "config: {path: config}\n"),
        (
            "config/shop/kustomization.yaml",
            "namePrefix: x-\nresources: [base]\npatches: [{path: patch.yaml}]\n",
        ),
        ("config/shop/base/kustomization.yaml", "resources: [web.yaml]\n"),
        (
            "config/shop/base/web.yaml",
            &DEPLOYMENT
                .replace("replica:", "replicas:")
                .replace("resource:", "resources:"),
        ),
        (
            "config/shop/patch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      - name: web\n        imagePullPolice: Always\n",
        ),
    ]);
    let said = said(&found);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("config/shop/patch.yaml:9:9: ")
            && said[0].contains("did you mean `imagePullPolicy`?"),
        "{said:?}"
    );
}

#[test]
fn custom_resources_are_held_to_the_definitions_of_the_fleet() {
    let definition = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {colour: {type: string}}}}}}
";
    let thing = "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\nspec: {color: red}\n";
    let (found_fleet, found) = fleet(&[
        DISCOVER,
        ("manifests/crd.yaml", definition),
        ("n/shop/t.yaml", thing),
    ]);
    assert_eq!(
        said(&found),
        [
            "n/shop/t.yaml:4:8: error[unknown-field]: spec of Thing shop/t has no field `color` (hint: did you mean `colour`? Until then it stays as it was)"
        ]
    );
    assert_eq!(names(&found_fleet, "shop"), ["Namespace shop"]);
}

#[test]
fn a_wrong_type_and_a_key_twice_leave_out_themselves_only() {
    let (found_fleet, found) = fleet(&[
        DISCOVER,
        (
            "n/shop/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: 1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n  x: '1'\n  x: '2'\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
        ),
        ("n/shop/broken.yaml", "a: b: c\n"),
    ]);
    let said = said(&found);
    assert!(
        said[0].starts_with("n/shop/a.yaml:5:3: error[wrong-type]: data.x of ConfigMap shop/a is a number, and should be text (hint: quote it"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("n/shop/a.yaml:12:3: error[yaml]: the key `x` appears twice, first on line 11"),
        "{said:?}"
    );
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(names(&found_fleet, "shop"), ["ConfigMap c", "Namespace shop"]);
    let unit = found_fleet.unit("shop").unwrap();
    assert!(unit.held.is_none() && unit.incomplete.is_some());
}

#[test]
fn ciphertext_never_reaches_a_cluster() {
    let sops = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:x]\n  version: 3.8.1\n";
    let mut builder = TreeBuilder::default();
    builder.insert("fleet.yaml", *b"discover: n/*\n").unwrap();
    builder.insert("n/shop/db.yaml", sops.as_bytes()).unwrap();
    builder
        .insert(
            "n/shop/ns.yaml",
            *b"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
        )
        .unwrap();
    builder
        .insert("n/shop/crypt.yaml", *b"\0GITCRYPT\0\xff\xfe")
        .unwrap();
    let inputs = Inputs {
        root: builder.build(Commit::default()),
        ..Inputs::default()
    };
    let (found_fleet, found) = read(&inputs);
    let said = said(&found);
    assert!(
        said[0].contains("encrypted by git-crypt") && said[0].starts_with("n/shop/crypt.yaml: "),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("n/shop/db.yaml:6:1: error[encrypted]: Secret shop/db is encrypted (SOPS); what runs of it stays as it is"),
        "{said:?}"
    );
    assert_eq!(names(&found_fleet, "shop"), ["Namespace shop"]);
    assert!(found_fleet.unit("shop").unwrap().incomplete.is_some());
}

#[test]
fn what_was_built_with_ciphertext_stays_as_it_was() {
    let (found_fleet, found) = fleet(&[
        ("fleet.yaml", ""),
        ("environments/testing.yaml", "config: {path: config}\n"),
        (
            "config/shop/kustomization.yaml",
            "resources: [pod.yaml]\nsecretGenerator:\n- name: db\n  files: [password.txt]\n",
        ),
        (
            "config/shop/password.txt",
            "password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n",
        ),
        (
            "config/shop/pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x, envFrom: [{secretRef: {name: db}}]}]}\n",
        ),
    ]);
    assert!(
        said(&found)[0].contains("is encrypted (SOPS)"),
        "{:?}",
        said(&found)
    );
    let unit = found_fleet.unit("testing").unwrap();
    assert!(unit.held_applications.contains_key("shop"));
    assert!(unit.objects.iter().all(|object| object.application.is_none()));
}

#[test]
fn variables_expand_where_the_environment_says_so() {
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: [{host: 'shop.${DOMAIN}'}]}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: ${N:=3}\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x, args: ['$${HOME}']}]}}\n";
    let files = |environment| {
        [
            ("fleet.yaml", ""),
            ("environments/testing.yaml", environment),
            ("config/shop/i.yaml", ingress),
            ("config/shop/d.yaml", deployment),
        ]
    };
    let (found_fleet, found) = fleet(&files("config: {path: config}\n"));
    let texts = said(&found);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].contains("2 objects of testing are left out: nothing expands ${DOMAIN}, ${N} (hint: give the values under `substitute:`"),
        "{texts:?}"
    );
    assert_eq!(found_fleet.unit("testing").unwrap().left_out.len(), 2);

    let (found_fleet, found) = fleet(&files(
        "config: {path: config}\nsubstitute: {DOMAIN: example.org}\n",
    ));
    assert!(found.is_empty(), "{:?}", said(&found));
    let unit = found_fleet.unit("testing").unwrap();
    let value = |kind: &str| {
        let object = unit
            .objects
            .iter()
            .find(|object| object.key.gvk.kind == kind)
            .unwrap();
        (*object.value).clone()
    };
    assert_eq!(value("Ingress")["spec"]["rules"][0]["host"], "shop.example.org");
    assert_eq!(value("Deployment")["spec"]["replicas"], 3);
    assert_eq!(
        value("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"][0],
        "${HOME}"
    );

    let (found_fleet, found) = fleet(&files("config: {path: config}\nsubstitute: {N: 1}\n"));
    assert!(
        said(&found)[0].contains("the variable `DOMAIN` has no value"),
        "{:?}",
        said(&found)
    );
    assert!(
        found_fleet
            .unit("testing")
            .unwrap()
            .held_applications
            .contains_key("shop")
    );
}

#[test]
fn hooks_have_their_turn_and_run_again_with_their_application() {
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {argocd.argoproj.io/hook: PreSync, argocd.argoproj.io/hook-delete-policy: HookSucceeded}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: cleanup\n  annotations: {helm.sh/hook: pre-delete}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}\n";
    let read = |value: &str| {
        let config =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: {value}}}\n");
        fleet(&[DISCOVER, ("n/shop/hook.yaml", hook), ("n/shop/c.yaml", &config)])
    };
    let (one, found) = read("x");
    assert_eq!(said(&found).len(), 1, "{:?}", said(&found));
    assert!(
        said(&found)[0]
            .contains("note[hook]: Job shop/cleanup is left out: helm.sh/hook: pre-delete is not supported")
    );
    let job = |fleet: &Fleet| {
        let unit = fleet.unit("shop").unwrap();
        unit.objects
            .iter()
            .find(|object| object.key.name == "migrate")
            .unwrap()
            .clone()
    };
    assert_eq!(job(&one).turn.stage, Stage::Before);
    assert!(job(&one).hook.unwrap().gone_after_success);
    assert_eq!(job(&one).hash, job(&read("x").0).hash);
    assert_ne!(job(&one).hash, job(&read("y").0).hash);
}

#[test]
fn kustomizations_read_outside_of_their_folder_where_the_fleet_says_so() {
    let files = |more| {
        [
            ("fleet.yaml", more),
            (
                "n/shop/kustomization.yaml",
                "configMapGenerator:\n- name: c\n  files: [../shared.txt]\n",
            ),
            ("n/shared.txt", "x\n"),
        ]
    };
    let (held, found) = fleet(&files("discover: n/*\n"));
    assert!(held.unit("shop").unwrap().held.is_some() && !found.is_empty());
    let (read, found) = fleet(&files("discover: n/*\nloadRestriction: none\n"));
    assert!(found.is_empty(), "{:?}", said(&found));
    assert_eq!(names(&read, "shop").len(), 2);
}

#[test]
fn layouts_that_people_have() {
    let mut builder = TreeBuilder::default();
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n";
    for (path, text) in [
        ("fleet.yaml", "discover: n/*\nclusterScoped: allow\n".to_owned()),
        (
            "n/a/kustomization.yaml",
            "namespace: really\nresources: [x.yaml]\n".to_owned(),
        ),
        ("n/a/x.yaml", config("one")),
        ("n/chart/Chart.yaml", "name: x\nversion: 1\n".to_owned()),
        ("n/chart/values.yaml", "a: b\n".to_owned()),
        ("n/roles/x.yaml", format!("{}---\n{role}", config("two"))),
        ("shared/x.yaml", config("three")),
    ] {
        builder.insert(path, text.into_bytes()).unwrap();
    }
    let link = |target: &str| File {
        bytes: target.as_bytes().into(),
        executable: false,
        symlink: true,
    };
    builder.insert_file("n/linked", link("../shared")).unwrap();
    builder.insert_file("n/roles/again.yaml", link("x.yaml")).unwrap();
    builder.insert_file("n/circle", link("../n/circle")).unwrap();
    let inputs = Inputs {
        root: builder.build(Commit::default()),
        ..Inputs::default()
    };
    let (found_fleet, found) = read(&inputs);
    assert_eq!(
        names(&found_fleet, "really"),
        ["Namespace really", "ConfigMap one"]
    );
    assert_eq!(
        names(&found_fleet, "roles"),
        ["Namespace roles", "ConfigMap two", "ClusterRole r"]
    );
    assert_eq!(
        names(&found_fleet, "linked"),
        ["Namespace linked", "ConfigMap three"]
    );
    let said = said(&found);
    assert!(
        said.len() == 1
            && said[0].starts_with("n/chart/Chart.yaml: error[helm-chart]: this folder is a Helm chart"),
        "{said:?}"
    );
    assert!(found_fleet.unit("chart").unwrap().held.is_some());
}

#[test]
fn a_kind_that_its_definition_puts_outside_of_namespaces() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\nspec: {group: example.org, scope: Cluster, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n";
    let thing = "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\n";
    let files = |fleet| {
        [
            ("fleet.yaml", fleet),
            ("manifests/crd.yaml", definition),
            ("n/shop/t.yaml", thing),
        ]
    };
    let (allowed, found) = fleet(&files("discover: n/*\nclusterScoped: allow\n"));
    assert!(found.is_empty(), "{:?}", said(&found));
    let object = &allowed.unit("shop").unwrap().objects[1];
    assert_eq!(object.key.namespace, "");
    assert!(object.value["metadata"].get("namespace").is_none());
    let (refused, found) = fleet(&files("discover: n/*\n"));
    assert!(
        said(&found)[0].starts_with("n/shop/t.yaml:1: error[not-theirs]: Thing t is outside every namespace"),
        "{:?}",
        said(&found)
    );
    assert_eq!(names(&refused, "shop"), ["Namespace shop"]);
}

#[test]
fn a_namespace_that_many_claim_is_said_once() {
    let role = |number: usize| {
        (
            format!("n/x{number}/kustomization.yaml"),
            "namespace: app\nresources: [c.yaml]\n".to_owned(),
        )
    };
    let config = |number: usize| {
        (
            format!("n/x{number}/c.yaml"),
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number}}}\n"),
        )
    };
    let files: Vec<(String, String)> = (0..5).flat_map(|number| [role(number), config(number)]).collect();
    let mut files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    files.push(DISCOVER);
    let (found_fleet, found) = fleet(&files);
    let said = said(&found);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains(
            "is claimed by n/x0/kustomization.yaml:1:1 and by n/x1/kustomization.yaml:1:1, and by 3 more"
        ),
        "{said:?}"
    );
    assert_eq!(found_fleet.unit("app").unwrap().named.len(), 5);
}

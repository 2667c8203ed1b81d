//! A second pass writes nothing: fleets read, planned, applied to a real API server, and planned again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop where it stands"
)]

use herder_base::{Commit, SystemClock, Tree, TreeBuilder};
use herder_cluster::{Cluster, Scope};
use herder_fleet::{Fleet, Inputs, read};
use herder_kubelite::{Config, Kubelite};
use herder_plan::{Checked, Known, State, check, plan};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Objects that servers complete and normalise in every way they have.
const SMALL: &[(&str, &str)] = &[
    ("fleet.yaml", "discover: n/*\n"),
    (
        "environments/testing.yaml",
        "quota: {pods: 20, requests.cpu: 1000m}\nlabels: {a: b}\n",
    ),
    (
        "n/shop/config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {}, annotations: null}\ndata: {a: b, n: '1'}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n",
    ),
    (
        "n/shop/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, name: a, targetPort: http}, {port: 81, name: b}], selector: {a: b}}\n",
    ),
    (
        "n/shop/deployment.yaml",
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, creationTimestamp: null}
spec:
  replicas: 0
  selector: {matchLabels: {a: b}}
  strategy: {}
  template:
    metadata: {labels: {a: b}, creationTimestamp: null}
    spec:
      hostNetwork: false
      volumes: [{name: v, emptyDir: {}}, {name: c, configMap: {name: c, defaultMode: 420}}]
      containers:
      - name: web
        image: host
        command: [sleep, '1']
        env: [{name: E, value: ''}, {name: F, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{containerPort: 80, name: http}]
        resources: {limits: {cpu: 0.5, memory: 1024Mi}, requests: {cpu: 100m}}
        readinessProbe: {httpGet: {path: /, port: 80}}
        volumeMounts: [{name: v, mountPath: /v}]
",
    ),
    (
        "n/shop/batch.yaml",
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: host, command: ['true']}]}}}}}\n",
    ),
    (
        "n/shop/net.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}\n",
    ),
    (
        "n/shop/claim.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: p}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
    ),
    (
        "n/shop/limits.yaml",
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: [{type: Container, default: {cpu: 1000m, memory: 1000Mi}, defaultRequest: {cpu: 10m}}]}\n",
    ),
    (
        "manifests/things.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\nspec:\n  group: example.org\n  scope: Namespaced\n  names: {kind: Thing, plural: things}\n  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]\n---\napiVersion: example.org/v1\nkind: Thing\nmetadata: {name: a, namespace: default}\nspec: {x: 1}\n",
    ),
];

/// What made passes that never ended: dropped fields, refused objects, a claim that names no volume, Jobs that go.
const ENDLESS: &[(&str, &str)] = &[
    ("fleet.yaml", "name: endless\ndiscover: e/*\n"),
    (
        "e/endless/dropped.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dropped, annotations: {herder.dev/strict: 'false'}}\ndata: {a: b}\ndataa: {x: y}\n",
    ),
    (
        "e/endless/deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, annotations: {herder.dev/strict: 'false'}}\nspec: {replcias: 3, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: host, imag: x}]}}}\n",
    ),
    (
        "e/endless/claim.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: p}\nspec: {volumeName: '', accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
    ),
    (
        "e/endless/refused.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: refused}\nspec: {type: Nonsense, ports: [{port: 80}]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}\n",
    ),
];

fn inputs(root: Tree) -> Inputs {
    Inputs {
        fleet_url: "/fleet.git".into(),
        root,
        ..Inputs::default()
    }
}

/// The estate of `../shared/corpora/moj`, if it is there.
fn estate() -> Option<Tree> {
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    let found = start
        .ancestors()
        .map(|dir| dir.join("shared/corpora/moj"))
        .find(|dir| dir.is_dir());
    let Some(root) = found else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the corpus moj is missing"
        );
        eprintln!("skipped: the corpus ../shared/corpora/moj is not here");
        return None;
    };
    let mut builder = TreeBuilder::default();
    let mut pending: Vec<PathBuf> = vec![root.join("namespaces")];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                builder.insert(&name, std::fs::read(&path).unwrap()).unwrap();
            }
        }
    }
    builder
        .insert("fleet.yaml", *b"discover: namespaces/*\n")
        .unwrap();
    Some(builder.build(Commit::new("a".repeat(40))))
}

fn state() -> State {
    State::new(Known::Known(std::collections::BTreeMap::new()))
}

async fn pass(cluster: &Cluster, fleet: &Fleet, state: &State) -> Checked {
    let start = Instant::now();
    let scope = Scope {
        fleet: fleet.name.clone(),
        kinds: fleet.kinds(),
    };
    let observed = cluster.observe(&scope).await.unwrap();
    let plan = plan(fleet, &observed, state, Timestamp::UNIX_EPOCH);
    let plan = check(plan).unwrap();
    let outcomes = cluster.apply(&plan).await;
    for outcome in &outcomes {
        assert!(outcome.result.is_ok(), "{}: {:?}", outcome.key, outcome.result);
    }
    eprintln!(
        "{} writes, {} unchanged in {:?}",
        outcomes.len(),
        plan.unchanged,
        start.elapsed()
    );
    plan
}

async fn twice(cluster: &Cluster, root: Tree) -> Fleet {
    let (fleet, found) = read(&inputs(root));
    assert!(found.is_empty(), "{found:?}");
    assert!(!pass(cluster, &fleet, &state()).await.is_empty());
    let second = pass(cluster, &fleet, &state()).await;
    let said: Vec<String> = second
        .actions
        .iter()
        .map(|a| format!("{:?} {}: {}", a.what, a.key, a.reason))
        .collect();
    assert!(said.is_empty(), "{said:#?}");
    fleet
}

/// What is refused stays refused, what is dropped stays dropped: neither is written by every pass.
async fn endless(cluster: &Cluster) {
    let (fleet, _) = read(&inputs(Tree::from_texts(ENDLESS.iter().copied()).unwrap()));
    let scope = Scope {
        fleet: fleet.name.clone(),
        kinds: fleet.kinds(),
    };
    let mut refused = Vec::new();
    for number in 0..3 {
        let observed = cluster.observe(&scope).await.unwrap();
        let plan = check(plan(&fleet, &observed, &state(), Timestamp::UNIX_EPOCH)).unwrap();
        let outcomes = cluster.apply(&plan).await;
        let writes: Vec<String> = plan
            .writes()
            .map(|action| format!("{}: {}", action.key, action.reason))
            .collect();
        match number {
            0 => {
                refused = outcomes
                    .iter()
                    .filter(|outcome| outcome.result.is_err())
                    .map(|outcome| outcome.key.name.clone())
                    .collect()
            }
            _ => assert!(writes.is_empty(), "pass {number}: {writes:#?}"),
        }
    }
    refused.sort();
    assert_eq!(refused, ["UPPER", "refused"]);
    assert_eq!(cluster.lessons().refusals().count(), 2);
    // Its time has come: tried once more, and known to be said again.
    let observed = cluster.observe(&scope).await.unwrap();
    let later = Timestamp::from_second(6).unwrap();
    let plan = check(plan(&fleet, &observed, &state(), later)).unwrap();
    let outcomes = cluster.apply(&plan).await;
    assert!(
        outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome.again),
        "{outcomes:?}"
    );
}

/// Any folder as a fleet, named by HERDER_FLEETS (parted by `:`): its findings are printed, and a second pass writes
/// nothing. For trying what strangers' repositories hold.
async fn strangers(cluster: &Cluster) {
    for dir in std::env::var("HERDER_FLEETS")
        .unwrap_or_default()
        .split(':')
        .filter(|dir| !dir.is_empty())
    {
        let mut builder = TreeBuilder::default();
        add(&mut builder, Path::new(dir), Path::new(dir));
        let (fleet, found) = read(&inputs(builder.build(Commit::new("a".repeat(40)))));
        eprintln!(
            "== {dir}: {} objects, {} findings",
            fleet.objects().count(),
            found.len()
        );
        found.iter().for_each(|found| eprintln!("  {found}"));
        let scope = Scope {
            fleet: fleet.name.clone(),
            kinds: fleet.kinds(),
        };
        for number in 0..3 {
            let observed = cluster.observe(&scope).await.unwrap();
            let plan = check(plan(&fleet, &observed, &state(), Timestamp::UNIX_EPOCH)).unwrap();
            let writes: Vec<String> = plan
                .writes()
                .map(|action| format!("{:?} {}: {}", action.what, action.key, action.reason))
                .collect();
            eprintln!(
                "  pass {number}: {} writes, {} unchanged, {} absent",
                writes.len(),
                plan.unchanged,
                plan.absent.len()
            );
            if number > 0 {
                writes.iter().for_each(|write| eprintln!("  WROTE AGAIN {write}"));
            }
            for outcome in cluster.apply(&plan).await {
                if let Err(why) = &outcome.result {
                    eprintln!("  refused {}: {why}", outcome.key);
                }
            }
            if number == 0 {
                plan.notes.iter().for_each(|note| eprintln!("  {note}"));
            }
        }
        for (key, refusal) in cluster.lessons().refusals() {
            eprintln!("  stands {key} {:?} {}", refusal.fields(), refusal.is_immutable());
        }
        pass(
            cluster,
            &fleet,
            &State {
                everything_down: true,
                allow_mass_delete: true,
                ..state()
            },
        )
        .await;
    }
}

fn add(builder: &mut TreeBuilder, root: &Path, dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            let file = herder_base::File {
                bytes: target.to_str().unwrap().as_bytes().into(),
                executable: false,
                symlink: true,
            };
            builder.insert_file(&name, file).unwrap();
        } else if path.is_dir() {
            if !name.ends_with(".git") {
                add(builder, root, &path);
            }
        } else {
            builder.insert(&name, std::fs::read(&path).unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_pass_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        dir: dir.path().to_owned(),
        nodes: 0,
        listen: "127.0.0.1:0".parse().unwrap(),
        exe: "/nonexistent".into(),
        ingress: Vec::new(),
    };
    let kubelite = Kubelite::start(config, Arc::new(SystemClock)).await.unwrap();
    let kubeconfig = kubelite.kubeconfig();
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(kubelite.run(cancel.clone()));
    let cluster = Cluster::connect(&kubeconfig, None).await.unwrap();
    tasks.spawn(cluster.clone().run(cancel.clone()));

    let fleet = twice(&cluster, Tree::from_texts(SMALL.iter().copied()).unwrap()).await;
    // A kind that can only be created stops nobody: it is left out, and what stands beside it is applied.
    let odd = "apiVersion: v1\nkind: Binding\nmetadata: {name: odd}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: even}\n";
    let files = [
        ("fleet.yaml", "name: odd\ndiscover: n/*\n"),
        ("n/odd/x.yaml", odd),
    ];
    let (strange, _) = read(&inputs(Tree::from_texts(files).unwrap()));
    let plan = pass(&cluster, &strange, &state()).await;
    assert!(
        plan.skipped.iter().any(|skipped| skipped.kind == "v1 Binding"),
        "{:?}",
        plan.skipped
    );
    assert!(plan.writes().any(|action| action.key.name == "even"));
    let down = State {
        everything_down: true,
        ..state()
    };
    pass(&cluster, &fleet, &down).await;
    endless(&cluster).await;
    strangers(&cluster).await;
    if let Some(root) = estate() {
        twice(&cluster, root).await;
    }
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
}

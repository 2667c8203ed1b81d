//! `herder kubectl`: the few kubectl verbs that job steps need, for machines without kubectl. Flags and output are
//! kubectl's; what is not here is refused by name.

use crate::args::Global;
use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use futures::StreamExt;
use herder_cluster::{Cluster, LogOptions};
use herder_object::{Gvk, Key};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `herder kubectl`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Namespace for objects that name none
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Kubeconfig file
    #[arg(long, global = true, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Context in it
    #[arg(long, global = true)]
    context: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make objects as the files say
    Apply {
        /// File, directory or `-`
        #[arg(short, long = "filename", required = true)]
        filename: Vec<String>,
        /// Always done here; accepted for scripts
        #[arg(long)]
        server_side: bool,
        /// Who owns the fields
        #[arg(long, default_value = "kubectl")]
        field_manager: String,
    },
    /// Remove the objects that the files name, or one object
    Delete {
        /// File, directory or `-`
        #[arg(short, long = "filename")]
        filename: Vec<String>,
        /// KIND NAME or KIND/NAME
        what: Vec<String>,
        /// Missing objects are no failure
        #[arg(long)]
        ignore_not_found: bool,
    },
    /// Print objects
    Get {
        /// KIND, KIND NAME or KIND/NAME
        #[arg(required = true)]
        what: Vec<String>,
        /// How to print
        #[arg(short, long, value_enum)]
        output: Option<Output>,
        /// Only objects with these labels
        #[arg(short = 'l', long)]
        selector: Option<String>,
    },
    /// Wait for a rollout
    Rollout {
        #[command(subcommand)]
        verb: Rollout,
    },
    /// Print a pod's log
    Logs {
        /// The pod
        pod: String,
        /// The container
        #[arg(short, long)]
        container: Option<String>,
        /// Keep printing
        #[arg(short, long)]
        follow: bool,
        /// Only so many last lines
        #[arg(long)]
        tail: Option<i64>,
    },
    /// Build a kustomization
    Kustomize(super::kustomize::BuildArgs),
}

#[derive(Debug, Subcommand)]
enum Rollout {
    /// Wait until a rollout is over
    Status {
        /// KIND/NAME
        what: String,
        /// Give up after this time
        #[arg(long, default_value = "5m", value_parser = |text: &str| herder_base::duration_with_unit(text))]
        timeout: Duration,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Yaml,
    Json,
    Name,
}

pub(crate) async fn run(_global: &Global, args: Args) -> Result<()> {
    if let Verb::Kustomize(build) = args.verb {
        return super::kustomize::run_build(&build);
    }
    let cluster = Cluster::connect_default(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| cluster.default_namespace().to_owned());
    match args.verb {
        Verb::Apply {
            filename,
            field_manager,
            ..
        } => {
            let mut failed = 0;
            for object in objects(&filename, &namespace, args.namespace.as_deref(), &cluster).await? {
                let shown = shown(&object);
                match apply(&cluster, &object, &field_manager).await {
                    Ok(effect) => println!("{shown} {effect}"),
                    Err(error) => {
                        failed += 1;
                        eprintln!("error: {shown}: {}", herder_base::chain(&error));
                    }
                }
            }
            if failed > 0 {
                Err(crate::output::Exit(1).into())
            } else {
                Ok(())
            }
        }
        Verb::Delete {
            filename,
            what,
            ignore_not_found,
        } => {
            let mut keys: Vec<Key> = objects(&filename, &namespace, None, &cluster)
                .await?
                .iter()
                .filter_map(Key::of)
                .collect();
            keys.reverse();
            if !what.is_empty() {
                let (kind, name) = kind_and_name(&what)?;
                keys.push(key(&cluster, &kind, &namespace, &name.context("a name is missing")?).await?);
            }
            for key in keys {
                if cluster.delete(&key).await? {
                    println!("{} \"{}\" deleted", key.gvk.kind.to_lowercase(), key.name);
                } else if !ignore_not_found {
                    bail!("{key} not found");
                }
            }
            Ok(())
        }
        Verb::Get {
            what,
            output,
            selector,
        } => get(&cluster, &namespace, &what, output, selector.as_deref()).await,
        Verb::Rollout {
            verb: Rollout::Status { what, timeout },
        } => status(&cluster, &namespace, &what, timeout).await,
        Verb::Logs {
            pod,
            container,
            follow,
            tail,
        } => {
            let name = pod.trim_start_matches("pod/").trim_start_matches("pods/");
            let object = cluster
                .get("v1", "Pod", &namespace, name)
                .await?
                .with_context(|| format!("pods \"{name}\" not found"))?;
            let first = object
                .pointer("/spec/containers/0/name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let options = LogOptions {
                follow,
                tail,
                ..LogOptions::default()
            };
            let mut log = std::pin::pin!(
                cluster
                    .logs(&namespace, name, &container.unwrap_or(first), options)
                    .await?
            );
            while let Some(bytes) = log.next().await {
                std::io::stdout().write_all(&bytes?)?;
            }
            Ok(())
        }
        Verb::Kustomize(_) => Ok(()),
    }
}

/// Applies one object and says what that did, in kubectl's words.
async fn apply(
    cluster: &Cluster,
    object: &Value,
    manager: &str,
) -> Result<&'static str, herder_cluster::Error> {
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let (api_version, kind) = (herder_object::api_version(object), herder_object::kind(object));
    let before = cluster
        .get(
            api_version,
            kind,
            herder_object::namespace(object),
            herder_object::name(object),
        )
        .await?;
    let after = cluster.server_apply(object, manager).await?;
    Ok(match before {
        None => "created",
        Some(before) if version(&before) == version(&after) => "unchanged",
        Some(_) => "configured",
    })
}

/// Reads the objects of files, directories and standard input, with the namespace filled in where one belongs.
async fn objects(
    names: &[String],
    default: &str,
    asked: Option<&str>,
    cluster: &Cluster,
) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for name in names {
        for (file, text) in texts(name)? {
            let (found, errors) = herder_object::yaml::parse_objects(&text);
            if let Some(error) = errors.first() {
                bail!("{file}:{}:{}: {}", error.line, error.column, error.message);
            }
            objects.extend(found.into_iter().map(|(object, _)| object));
        }
    }
    for object in &mut objects {
        let gvk = Gvk::of(object).context("an object has no apiVersion or kind")?;
        let namespaced = cluster.is_namespaced(&gvk).await?;
        let present = herder_object::namespace(object).to_owned();
        if let Some(asked) = asked.filter(|asked| namespaced && !present.is_empty() && present != *asked) {
            bail!(
                "the namespace from the provided object \"{present}\" does not match the namespace \"{asked}\""
            );
        }
        if namespaced
            && present.is_empty()
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("namespace".to_owned(), Value::from(default));
        }
    }
    Ok(objects)
}

fn texts(name: &str) -> Result<Vec<(String, String)>> {
    if name == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let path = Path::new(name);
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {name}"))?;
        files = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
        });
        files.sort();
    }
    let read = |file: &PathBuf| {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok((file.display().to_string(), text))
    };
    files.iter().map(read).collect()
}

/// `deployment.apps/shop`, as kubectl names objects.
fn shown(object: &Value) -> String {
    let gvk = Gvk::of(object);
    let kind = herder_object::kind(object).to_lowercase();
    match gvk.filter(|gvk| !gvk.group.is_empty()) {
        Some(gvk) => format!("{kind}.{}/{}", gvk.group, herder_object::name(object)),
        None => format!("{kind}/{}", herder_object::name(object)),
    }
}

fn kind_and_name(words: &[String]) -> Result<(String, Option<String>)> {
    match words {
        [one] => Ok(one.split_once('/').map_or((one.clone(), None), |(kind, name)| {
            (kind.to_owned(), Some(name.to_owned()))
        })),
        [kind, name] => Ok((kind.clone(), Some(name.clone()))),
        _ => bail!("name one kind and at most one object"),
    }
}

async fn key(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<Key> {
    let (gvk, namespaced) = cluster
        .resolve(kind)
        .await?
        .with_context(|| format!("the server doesn't have a resource type \"{kind}\""))?;
    Ok(Key {
        gvk,
        namespace: if namespaced {
            namespace.to_owned()
        } else {
            String::new()
        },
        name: name.to_owned(),
    })
}

async fn get(
    cluster: &Cluster,
    namespace: &str,
    what: &[String],
    output: Option<Output>,
    selector: Option<&str>,
) -> Result<()> {
    let (kind, name) = kind_and_name(what)?;
    let (gvk, namespaced) = cluster
        .resolve(&kind)
        .await?
        .with_context(|| format!("the server doesn't have a resource type \"{kind}\""))?;
    let namespace = if namespaced { namespace } else { "" };
    let found = match &name {
        Some(name) => {
            let object = cluster
                .get(&gvk.api_version(), &gvk.kind, namespace, name)
                .await?;
            vec![object.with_context(|| format!("{} \"{name}\" not found", kind.to_lowercase()))?]
        }
        None => {
            cluster
                .list(
                    &gvk.api_version(),
                    &gvk.kind,
                    Some(namespace).filter(|name| !name.is_empty()),
                    selector,
                )
                .await?
        }
    };
    let whole = || match (&name, found.as_slice()) {
        (Some(_), [one]) => one.clone(),
        _ => serde_json::json!({"apiVersion": "v1", "kind": "List", "items": found}),
    };
    match output {
        Some(Output::Json) => println!("{}", serde_json::to_string_pretty(&whole())?),
        Some(Output::Yaml) => print!("{}", herder_object::yaml::print(&whole())),
        Some(Output::Name) => found.iter().for_each(|object| println!("{}", shown(object))),
        None => {
            let mut rows = vec![["NAME", "CREATED"].map(str::to_owned)];
            let created = |object: &Value| {
                object
                    .pointer("/metadata/creationTimestamp")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            rows.extend(
                found
                    .iter()
                    .map(|object| [herder_object::name(object).to_owned(), created(object)]),
            );
            crate::output::table(&rows);
        }
    }
    Ok(())
}

/// Waits as `kubectl rollout status` does.
async fn status(cluster: &Cluster, namespace: &str, what: &str, timeout: Duration) -> Result<()> {
    let (kind, name) = what.split_once('/').context("name it as KIND/NAME")?;
    let key = key(cluster, kind, namespace, name).await?;
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let object = cluster
            .get(&key.gvk.api_version(), &key.gvk.kind, namespace, name)
            .await?;
        let object = object.with_context(|| format!("{key} not found"))?;
        let number = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        let wanted = object
            .pointer("/spec/replicas")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        let seen = number("/status/observedGeneration") >= number("/metadata/generation");
        let (updated, available, total) = (
            number("/status/updatedReplicas"),
            number("/status/availableReplicas"),
            number("/status/replicas"),
        );
        if seen && updated >= wanted && total <= updated && available >= updated {
            println!(
                "{} \"{name}\" successfully rolled out",
                kind.trim_end_matches('s')
            );
            return Ok(());
        }
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        if conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["reason"] == "ProgressDeadlineExceeded")
        {
            bail!("{what} exceeded its progress deadline: `herder why {name} -n {namespace}` tells why");
        }
        let line = format!(
            "Waiting for {what} rollout to finish: {updated} of {wanted} updated, {available} available..."
        );
        if line != last {
            println!("{line}");
            last = line;
        }
        if started.elapsed() > timeout {
            bail!("timed out waiting for {what}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

//! `metrics.k8s.io`: what pods and nodes take at the moment, as the nodes' agents say. Nothing of it is stored; a node
//! that does not answer has no metrics, which is not the same as none used.

use super::answer::{self, Answer};
use super::read::Filter;
use super::request::Request;
use super::server::Context;
use crate::registry::Status;
use herder_node::doors::{self, Ask, Said, Usage, knock};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn quantities(nanocores: u64, memory: u64) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", memory >> 10)})
}

/// What the containers of one node take.
async fn ask(context: &Context, node: &str) -> Option<Vec<Usage>> {
    let agent = knock(&doors::dir(&context.dir, node)).ok()?;
    let exchange = async {
        agent.send(&Ask::Usage, None).await.ok()?;
        match agent.receive_all::<Said>().await.ok()?? {
            (Said::Usage(usage), _) => Some(usage),
            _ => None,
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}

/// Answers a question for metrics, whose right was looked at.
pub(crate) async fn answer(context: &Context, request: &Request) -> Result<Answer, Status> {
    let of_nodes = request.resource.plural == "nodes";
    let (objects, _) = context.registry.list("nodes", None);
    let names: Vec<&str> = objects.iter().map(|node| herder_object::name(node)).collect();
    let asked = names
        .iter()
        .map(|name| async move { (*name, ask(context, name).await) });
    let answers: BTreeMap<&str, Vec<Usage>> = futures::future::join_all(asked)
        .await
        .into_iter()
        .filter_map(|(name, usage)| Some((name, usage?)))
        .collect();
    let now = context.registry.clock().now();
    let stamp = format!("{now:.0}");
    let filter = Filter::of(context, request)?;
    let mut items = Vec::new();
    let candidates = if of_nodes {
        objects.clone()
    } else {
        let namespace = Some(request.path.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        context.registry.list("pods", namespace).0
    };
    let by_pod: BTreeMap<&str, Vec<&Usage>> =
        answers
            .values()
            .flatten()
            .fold(BTreeMap::new(), |mut all, usage| {
                all.entry(usage.pod.as_str()).or_insert_with(Vec::new).push(usage);
                all
            });
    for object in candidates.iter().filter(|object| filter.matches(object)) {
        let name = herder_object::name(object);
        if !request.path.name.is_empty() && request.path.name != name {
            continue;
        }
        let found: Vec<&Usage> = if of_nodes {
            match answers.get(name) {
                Some(all) => all.iter().collect(),
                None => continue,
            }
        } else {
            match by_pod.get(herder_object::uid(object)) {
                Some(own) => own.clone(),
                None => continue,
            }
        };
        let window = found.iter().map(|usage| usage.window).max().unwrap_or(1000);
        let mut item = Map::new();
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("creationTimestamp".to_owned(), json!(stamp));
        if let Some(labels) = object.pointer("/metadata/labels") {
            metadata.insert("labels".to_owned(), labels.clone());
        }
        if !of_nodes {
            metadata.insert("namespace".to_owned(), json!(herder_object::namespace(object)));
        }
        item.insert("kind".to_owned(), json!(request.resource.kind));
        item.insert("apiVersion".to_owned(), json!(request.resource.api_version()));
        item.insert("metadata".to_owned(), Value::Object(metadata));
        item.insert("timestamp".to_owned(), json!(stamp));
        item.insert(
            "window".to_owned(),
            json!(format!("{}.{:03}s", window / 1000, window % 1000)),
        );
        if of_nodes {
            let sum = |of: fn(&Usage) -> u64| found.iter().map(|usage| of(usage)).sum::<u64>();
            let usage = quantities(sum(|usage| usage.nanocores), sum(|usage| usage.memory));
            item.insert("usage".to_owned(), usage);
        } else {
            let containers = found
                .iter()
                .map(|own| json!({"name": own.container, "usage": quantities(own.nanocores, own.memory)}));
            item.insert("containers".to_owned(), containers.collect());
        }
        items.push(Value::Object(item));
    }
    if !request.path.name.is_empty() {
        let item = items.pop();
        let item = item.ok_or_else(|| Status::not_found(&request.resource, &request.path.name))?;
        return Ok(answer::json(200, &item));
    }
    let list = json!({"kind": request.resource.list_kind, "apiVersion": request.resource.api_version(),
        "metadata": {}, "items": items});
    Ok(answer::json(200, &list))
}

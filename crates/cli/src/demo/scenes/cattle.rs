//! Scene 5: SIGKILL on a node agent under continuous load moves its pods and loses no request.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::http::Worker;
use crate::demo::organisation::Organisation;
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const WORKERS: usize = 4;

#[derive(Default)]
struct Count {
    good: AtomicU64,
    bad: AtomicU64,
    stop: AtomicBool,
}

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let pods = context
        .cluster
        .list("v1", "Pod", Some("production"), Some("app=shop"))
        .await?;
    let node = pods
        .iter()
        .find_map(|pod| pod.pointer("/spec/nodeName")?.as_str())
        .context("no pod of the shop runs")?
        .to_owned();
    let on_node = |pods: &[Value]| {
        pods.iter()
            .filter(|pod| pod.pointer("/spec/nodeName").is_some_and(|name| *name == node))
            .count()
    };
    let before: Vec<Value> = pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
    let object = context
        .cluster
        .get("v1", "Node", "", &node)
        .await?
        .context("the node is not there")?;
    let agent = object
        .pointer("/metadata/annotations/herder.dev~1agent-pid")
        .and_then(Value::as_str);
    let agent: i32 = agent.context("the node names no agent process")?.parse()?;

    let count = Arc::new(Count::default());
    let mut load = JoinSet::new();
    for _ in 0..WORKERS {
        let (count, mut worker) = (
            Arc::clone(&count),
            Worker::new(context.edge()?, &Organisation::host("production")),
        );
        load.spawn(async move {
            while !count.stop.load(Ordering::Relaxed) {
                let good = worker.get("/").await.is_ok_and(|status| status.is_success());
                if good { &count.good } else { &count.bad }.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let warm = count.good.load(Ordering::Relaxed);
    kill(Pid::from_raw(agent), Signal::SIGKILL)
        .with_context(|| format!("cannot kill the agent {agent} of {node}"))?;
    let moved = context
        .until("the node's pods to run elsewhere", || async {
            let pods = context
                .cluster
                .list("v1", "Pod", Some("production"), Some("app=shop"))
                .await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let gone = pods
                .iter()
                .all(|pod| !is_ready(pod) || !lost(pod, &before, &node));
            Ok((ready >= 2 && gone && pods.len() == 2).then_some(pods))
        })
        .await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    count.stop.store(true, Ordering::Relaxed);
    while load.join_next().await.is_some() {}
    let (good, bad) = (
        count.good.load(Ordering::Relaxed),
        count.bad.load(Ordering::Relaxed),
    );
    ensure!(
        warm > 0 && good > warm,
        "the load did not run: {good} good requests"
    );
    ensure!(bad == 0, "{bad} of {} requests were lost", good + bad);
    Ok(
        json!({"node": node, "agent": agent, "moved": before.len() - (before.len() - on_node(&pods)), "pods_now": moved.len(), "requests": good, "lost": bad}),
    )
}

fn lost(pod: &Value, before: &[Value], node: &str) -> bool {
    before.contains(&pod["metadata"]["uid"]) && pod.pointer("/spec/nodeName").is_some_and(|name| name == node)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod.pointer("/metadata/deletionTimestamp").is_none()
}

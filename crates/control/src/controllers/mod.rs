//! The controllers: they bring what is running in line with what is asked for.
//!
//! Driven by the registry's events through one work queue; nothing polls. Each controller is a `reconcile` function of
//! one object that reads the present state, decides, and writes; it may be called at any time, any number of times.
//! Controllers never talk to each other, only to the registry.

mod budget;
mod condition;
mod context;
pub(crate) mod cron;
mod cronjob;
mod daemonset;
mod deployment;
mod endpoints;
mod garbage;
mod ingress;
mod job;
mod namespace;
mod nodes;
pub(crate) mod pod;
mod policies;
mod queue;
mod quota;
mod recorder;
mod replicaset;
mod revision;
mod route;
pub(crate) mod select;
mod services;
mod statefulset;
mod template;
mod volumes;

pub(crate) use condition::{
    Condition, get as condition_of, is_true as condition_is_true, set as set_condition,
};
pub(crate) use recorder::Recorder;

use context::{Context, Outcome};
use herder_apiserver::registry::{EventKind, Registry, Subscription};
use herder_base::Clock;
use herder_node::fabric::Fabric;
use queue::Queue;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So many objects are worked on at a time: enough for writes to share a sync to disk.
const WORKERS: usize = 32;

/// What the controllers need.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The objects.
    pub registry: Registry,
    /// The cluster network; `None` for an API server alone: then no services are published.
    pub fabric: Option<Fabric>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the volumes of class `local` are made: `DIR/volumes`.
    pub volumes: PathBuf,
    /// The cluster's root certificate in PEM, for `kube-root-ca.crt`.
    pub root_ca: String,
    /// The addresses at which the edge serves Services of type LoadBalancer; none leaves their status alone.
    pub ingress: Vec<IpAddr>,
}

/// A piece of work: a controller and the object it should look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Deployment(String, String),
    ReplicaSet(String, String),
    StatefulSet(String, String),
    DaemonSet(String, String),
    Job(String, String),
    CronJob(String, String),
    Endpoints(String, String),
    LoadBalancer(String, String),
    Claim(String, String),
    Volume(String),
    Namespace(String),
    Node(String),
    Quota(String),
    Budget(String),
    Garbage(String),
    Publish,
    Policies,
    ExpireEvents,
}

/// Runs all controllers and the scheduler until cancelled, and returns when all have stopped.
pub async fn run(deps: Deps, cancel: CancellationToken) {
    let (recorder, notes) = Recorder::new("kubelite");
    let ctx = Arc::new(Context {
        registry: deps.registry.clone(),
        clock: Arc::clone(&deps.clock),
        recorder: recorder.clone(),
        queue: Arc::new(Queue::default()),
        graph: std::sync::Mutex::default(),
        fabric: deps.fabric,
        volumes: deps.volumes,
        root_ca: deps.root_ca,
        ingress: deps.ingress,
        published: std::sync::Mutex::default(),
        policies: std::sync::Mutex::default(),
        dead: std::sync::Mutex::default(),
    });
    if let Err(failure) = volumes::ensure_class(&ctx).await {
        tracing::warn!(%failure, "could not make the storage class `local`");
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(recorder::write(
        deps.registry.clone(),
        Arc::clone(&deps.clock),
        notes,
        cancel.clone(),
    ));
    tasks.spawn(dispatch(Arc::clone(&ctx), cancel.clone()));
    tasks.spawn(crate::scheduler::run(
        deps.registry,
        deps.clock,
        recorder.named("default-scheduler"),
        cancel.clone(),
    ));
    tasks.spawn(follow_nodes(Arc::clone(&ctx), cancel.clone()));
    for _ in 0..WORKERS {
        tasks.spawn(work(Arc::clone(&ctx), cancel.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a controller failed; it is a defect in Herder");
        }
    }
}

/// Takes the ends of node agents from the fabric.
async fn follow_nodes(ctx: Arc<Context>, cancel: CancellationToken) {
    let Some(fabric) = &ctx.fabric else {
        return;
    };
    let mut exits = fabric.subscribe_node_exits();
    loop {
        let exit = tokio::select! {
            () = cancel.cancelled() => return,
            exit = exits.recv() => exit,
        };
        match exit {
            Ok(exit) => {
                nodes::agent_ended(&ctx, &exit.name);
                ctx.queue.add(Task::Node(exit.name));
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Turns events into work. A reader that fell behind starts over with everything.
async fn dispatch(ctx: Arc<Context>, cancel: CancellationToken) {
    loop {
        let mut events = ctx.registry.subscribe();
        start_over(&ctx);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = follow(&ctx, &mut events) => tracing::debug!("fell behind the events; starting over"),
        }
    }
}

async fn follow(ctx: &Context, events: &mut Subscription) {
    while let Ok(event) = events.next().await {
        let owners = {
            let mut graph = ctx.graph.lock().unwrap_or_else(PoisonError::into_inner);
            graph.take(&event.resource, event.kind, &event.object)
        };
        for uid in owners {
            ctx.queue.add(Task::Garbage(uid));
        }
        for task in route::route(
            ctx,
            &event.resource,
            event.kind,
            &event.object,
            event.previous.as_deref(),
        ) {
            ctx.queue.add(task);
        }
    }
}

/// Looks at every object there is, as if it had just been added.
fn start_over(ctx: &Context) {
    let catalog = ctx.registry.catalog();
    let mut graph = garbage::Graph::default();
    let mut look = Vec::new();
    let mut all = Vec::new();
    for resource in catalog.resources().iter().filter(|r| !r.answered && !r.alias) {
        let name: Arc<str> = Arc::from(resource.storage_name.as_str());
        for object in ctx.list_all(&name) {
            all.push((Arc::clone(&name), object));
        }
    }
    for (resource, object) in &all {
        // Owners may be listed after what they own: only the second look tells who is really gone.
        graph.take(resource, EventKind::Added, object);
    }
    for (resource, object) in &all {
        look.extend(graph.take(resource, EventKind::Added, object));
    }
    *ctx.graph.lock().unwrap_or_else(PoisonError::into_inner) = graph;
    for uid in look {
        ctx.queue.add(Task::Garbage(uid));
    }
    for (resource, object) in &all {
        for task in route::route(ctx, resource, EventKind::Added, object, None) {
            ctx.queue.add(task);
        }
    }
    ctx.queue.add(Task::Publish);
    ctx.queue.add(Task::Policies);
    ctx.queue.add_after(Task::ExpireEvents, Duration::from_secs(60));
}

async fn work(ctx: Arc<Context>, cancel: CancellationToken) {
    loop {
        let task = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            task = ctx.queue.next() => task,
        };
        // Every write is atomic by itself and reconciling may stop between any two, so cancelling here loses nothing.
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            outcome = reconcile(&ctx, &task) => outcome,
        };
        let result = match outcome {
            Ok(wait) => Ok(wait),
            Err(failure) => {
                if failure.is_race() {
                    tracing::debug!(?task, failure = %herder_base::chain(&failure), "will try again");
                } else {
                    tracing::warn!(?task, failure = %herder_base::chain(&failure), "could not reconcile; will try again");
                }
                Err(())
            }
        };
        ctx.queue.done(task, result);
    }
}

async fn reconcile(ctx: &Context, task: &Task) -> Outcome {
    match task {
        Task::Deployment(ns, name) => deployment::reconcile(ctx, ns, name).await,
        Task::ReplicaSet(ns, name) => replicaset::reconcile(ctx, ns, name).await,
        Task::StatefulSet(ns, name) => statefulset::reconcile(ctx, ns, name).await,
        Task::DaemonSet(ns, name) => daemonset::reconcile(ctx, ns, name).await,
        Task::Job(ns, name) => job::reconcile(ctx, ns, name).await,
        Task::CronJob(ns, name) => cronjob::reconcile(ctx, ns, name).await,
        Task::Endpoints(ns, name) => endpoints::reconcile(ctx, ns, name).await,
        Task::LoadBalancer(ns, name) => ingress::reconcile_service(ctx, ns, name).await,
        Task::Claim(ns, name) => volumes::reconcile_claim(ctx, ns, name).await,
        Task::Volume(name) => volumes::reconcile_volume(ctx, name).await,
        Task::Namespace(name) => namespace::reconcile(ctx, name).await,
        Task::Node(name) => nodes::reconcile(ctx, name).await,
        Task::Quota(ns) => quota::reconcile(ctx, ns).await,
        Task::Budget(ns) => budget::reconcile(ctx, ns).await,
        Task::Garbage(uid) => garbage::reconcile(ctx, uid).await,
        Task::Publish => services::publish(ctx).await,
        Task::Policies => policies::publish(ctx).await,
        Task::ExpireEvents => recorder::expire(ctx).await,
    }
}

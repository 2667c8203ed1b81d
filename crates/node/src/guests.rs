//! Ephemeral containers: those that `kubectl debug` adds to a pod that runs already. They are started once, in the order
//! they come, and end with the pod.

use super::container::Supervisor;
use super::pod::{Order, PodContext};
use super::reaper::Exit;
use super::state::{ContainerRecord, Doing, Ended, Role, guests_of};
use super::{names, sysctls};
use herder_object::pod_security;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Starts what comes until told to stop, and waits until all have ended.
pub(crate) async fn run(context: Arc<PodContext>, mut order: watch::Receiver<Order>) {
    let mut running = JoinSet::new();
    loop {
        let mut changes = context.changes();
        for index in welcome(&context) {
            if let Some(why) = refused(&context).await {
                turn_away(&context, index, why);
                continue;
            }
            let supervisor = Supervisor {
                pod: Arc::clone(&context),
                index,
                role: Role::Guest,
                order: order.clone(),
            };
            running.spawn(supervisor.run());
        }
        tokio::select! {
            () = changes.any() => {}
            // An error means that the pod's task ends.
            _ = order.wait_for(|order| *order != Order::Run) => break,
        }
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a container's supervisor broke off");
        }
    }
}

/// Notes those who are new; their places.
fn welcome(context: &PodContext) -> Vec<usize> {
    let guests = guests_of(&context.pod());
    let mut places = Vec::new();
    for (guest, _) in guests {
        let known = context.look(|record| record.containers.iter().any(|own| own.name == guest.name));
        if !known {
            context.change(|record| {
                places.push(record.containers.len());
                record.containers.push(ContainerRecord::guest(&guest));
            });
        }
    }
    places
}

/// Why a pod with its new guest would not be run. Asked again for each: what was checked at the pod's start had none.
async fn refused(context: &PodContext) -> Option<String> {
    let pod = context.pod();
    if let Err(wrong) = names::check(&pod) {
        return Some(wrong.to_string());
    }
    if let Some((_, why)) = sysctls::refusal(&pod) {
        return Some(why);
    }
    let path = format!("/api/v1/namespaces/{}", context.namespace);
    // What could not be read is no permission.
    let namespace = context.machine.api.get(&path).await.unwrap_or_default();
    let pod = serde_json::to_value(&*pod).unwrap_or_default();
    pod_security::refusal(&namespace, &pod, None)
}

fn turn_away(context: &PodContext, index: usize, why: String) {
    let now = context.machine.now();
    let exit = Exit {
        code: 128,
        signal: None,
    };
    let ended = Ended {
        exit,
        reason: "StartError".to_owned(),
        message: why,
        started: now,
        finished: now,
        id: String::new(),
    };
    context.change(|record| {
        if let Some(container) = record.containers.get_mut(index) {
            container.doing = Doing::Terminated(ended);
        }
    });
}

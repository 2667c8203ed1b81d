//! What is looked at in an object that somebody is about to write, beyond the rules that hold for all writers: what an
//! agent may write, who says where a pod is, and that nobody grants what they do not have.
//!
//! Made before the write, judging within it: the registry decides under its lock, where it cannot be asked again.

use super::request::Request;
use super::server::Context;
use crate::auth::{Escalation, PodStatus, restrict};
use crate::registry::{Resource, Status};
use serde_json::Value;
use std::sync::Arc;

/// Judges one write.
#[derive(Debug)]
pub(crate) struct Guard {
    resource: Arc<Resource>,
    node: Option<String>,
    pod_status: Option<PodStatus>,
    escalation: Option<Escalation>,
}

impl Guard {
    pub(crate) fn of(context: &Context, request: &Request) -> Self {
        let (user, resource) = (&request.user, &request.resource);
        Self {
            resource: Arc::clone(resource),
            node: user.node().map(str::to_owned),
            pod_status: PodStatus::of(&context.registry, user, resource, &request.path.subresource),
            escalation: Escalation::of(
                &context.rbac,
                &context.registry,
                user,
                resource,
                &request.path.namespace,
            ),
        }
    }

    /// Refuses an object; `current` is it before, `None` when it is created.
    pub(crate) fn admit(&self, current: Option<&Value>, object: &Value) -> Result<(), Status> {
        if let Some(node) = &self.node {
            restrict(node, &self.resource, current, object)?;
        }
        if let Some(pod_status) = &self.pod_status {
            pod_status.check(&self.resource, current, object)?;
        }
        match &self.escalation {
            Some(escalation) => escalation.check(&self.resource, current, object),
            None => Ok(()),
        }
    }
}

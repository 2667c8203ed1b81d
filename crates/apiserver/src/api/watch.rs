//! watch: a stream of events for as long as the client listens.

use super::answer::{self, Answer};
use super::convert::to_served;
use super::read::{Filter, Form, include, metadata_only};
use super::request::Request;
use super::server::Context;
use super::table;
use crate::registry::{Event, EventKind, Registry, Resource, Status, Subscription};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Interval};
use tokio_util::sync::CancellationToken;

const BOOKMARKS: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

struct Watch {
    registry: Registry,
    resource: Arc<Resource>,
    filter: Filter,
    form: Form,
    include: table::Include,
    first: VecDeque<Bytes>,
    subscription: Subscription,
    bookmarks: Option<Interval>,
    until: Instant,
    stop: CancellationToken,
    ended: bool,
}

pub(crate) fn answer(context: &Context, request: &Request) -> Result<Answer, Status> {
    let registry = context.registry.clone();
    let version = request.query.get("resourceVersion").unwrap_or_default();
    let initial = request.query.is_true("sendInitialEvents");
    let since: u64 = version.parse().or_else(|_| {
        if version.is_empty() {
            Ok(0)
        } else {
            Err(Status::bad_request(format!(
                "invalid resourceVersion {version:?}"
            )))
        }
    })?;
    let timeout = match request.query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => DEFAULT_TIMEOUT,
    };
    let wants_state = since == 0 || initial;
    let subscription = if wants_state {
        registry.subscribe()
    } else {
        registry
            .subscribe_from(since)
            .map_err(|gone| Status::expired(format!("too old resource version: {since} ({})", gone.oldest)))?
    };
    let mut watch = Watch {
        filter: Filter::of(context, request)?,
        form: request.form(),
        include: include(request),
        resource: Arc::clone(&request.resource),
        first: VecDeque::new(),
        subscription,
        bookmarks: request
            .query
            .is_true("allowWatchBookmarks")
            .then(|| tokio::time::interval_at(Instant::now() + BOOKMARKS, BOOKMARKS)),
        until: Instant::now() + timeout,
        stop: context.stop.clone(),
        ended: false,
        registry,
    };
    if wants_state {
        watch.state(initial)?;
    }
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    });
    Ok(answer::stream("application/json;stream=watch", stream))
}

impl Watch {
    /// The present state as events, ended by a bookmark if that was asked for.
    fn state(&mut self, initial: bool) -> Result<(), Status> {
        let namespace = (!self.filter.namespace.is_empty()).then_some(self.filter.namespace.as_str());
        let (objects, revision) = self.registry.list(&self.resource.storage_name, namespace);
        // What happened before this list is in it.
        self.subscription = self
            .registry
            .subscribe_from(revision)
            .map_err(|gone| Status::expired(gone.to_string()))?;
        let lines: Vec<Bytes> = objects
            .iter()
            .filter(|object| self.filter.matches(object))
            .filter_map(|object| self.line("ADDED", object))
            .collect();
        self.first.extend(lines);
        if initial {
            let end = self.bookmark(revision, json!({"k8s.io/initial-events-end": "true"}));
            self.first.extend(end);
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.first.pop_front() {
            return Some(line);
        }
        loop {
            if self.ended {
                return None;
            }
            let tick = async {
                match &mut self.bookmarks {
                    Some(bookmarks) => {
                        bookmarks.tick().await;
                    }
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                () = tick => {
                    let at = self.subscription.position();
                    return self.bookmark(at, Value::Null);
                }
                event = self.subscription.next() => event,
            };
            match event {
                Ok(event) => {
                    if let Some(line) = self.event(&event) {
                        return Some(line);
                    }
                }
                Err(gone) => {
                    self.ended = true;
                    let status = Status::expired(format!("this watch fell behind: {gone}"));
                    return to_line(&json!({"type": "ERROR", "object": status.to_value()}));
                }
            }
        }
    }

    /// An event as this watch sees it: coming into and leaving its selection are creation and deletion.
    fn event(&self, event: &Event) -> Option<Bytes> {
        if *event.resource != *self.resource.storage_name {
            return None;
        }
        let before = event
            .previous
            .as_ref()
            .is_some_and(|previous| self.filter.matches(previous));
        let after = event.kind != EventKind::Deleted && self.filter.matches(&event.object);
        let kind = match (before, after) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        self.line(kind, &event.object)
    }

    fn line(&self, kind: &str, object: &Value) -> Option<Bytes> {
        let object = to_served(&self.resource, object);
        let shown = match self.form {
            Form::Plain => return to_line(&json!({"type": kind, "object": &*object})),
            Form::Metadata => metadata_only(&object),
            Form::Table => {
                let meta = json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
                table::table(
                    &self.resource,
                    &[&object],
                    self.registry.clock().now(),
                    self.include,
                    &meta,
                )
            }
        };
        to_line(&json!({"type": kind, "object": shown}))
    }

    fn bookmark(&self, revision: u64, annotations: Value) -> Option<Bytes> {
        let (api_version, kind) = match self.form {
            Form::Plain => (self.resource.api_version(), self.resource.kind.clone()),
            Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
            Form::Table => ("meta.k8s.io/v1".to_owned(), "Table".to_owned()),
        };
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if let Some(map) = metadata.as_object_mut() {
            if self.form != Form::Table {
                map.insert("creationTimestamp".to_owned(), Value::Null);
            }
            if !annotations.is_null() {
                map.insert("annotations".to_owned(), annotations);
            }
        }
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.form == Form::Table
            && let Some(map) = object.as_object_mut()
        {
            map.insert("columnDefinitions".to_owned(), Value::Null);
            map.insert("rows".to_owned(), json!([]));
        }
        to_line(&json!({"type": "BOOKMARK", "object": object}))
    }
}

fn to_line(value: &Value) -> Option<Bytes> {
    let mut bytes = serde_json::to_vec(value).ok()?;
    bytes.push(b'\n');
    Some(Bytes::from(bytes))
}

//! The logs of an application's pods, of the containers that start them as well.

use super::names;
use crate::api::Failure;
use crate::state::Shared;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use herder_cluster::{LogOptions, PodState};
use serde_json::{Value, json};
use std::pin::Pin;

/// Which lines, and how they are to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogsRequest {
    pub(crate) application: String,
    pub(crate) namespace: String,
    /// Only this container; all without one.
    pub(crate) container: Option<String>,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) tail: Option<i64>,
    /// JSON lines instead of text.
    pub(crate) json: bool,
}

type Lines = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

impl Shared {
    /// Line by line, each with its pod and container. Those that start a pod come first.
    pub(crate) async fn logs(&self, request: &LogsRequest) -> Result<Lines, Failure> {
        let namespace = self.namespace(&request.namespace);
        let states = self.cluster.applications();
        let state = states
            .into_iter()
            .find(|state| state.application == request.application && state.namespace == namespace);
        let state = state.ok_or_else(|| {
            names::no_application(&self.view(), &request.application, &request.namespace, &namespace)
        })?;
        let options = LogOptions {
            follow: request.follow,
            tail: request.tail,
            previous: request.previous,
            timestamps: request.json,
        };
        let (mut streams, mut known, mut silent) = (Vec::new(), Vec::new(), None);
        for pod in &state.pods {
            for container in self.containers(&namespace, pod).await? {
                let wanted = request.container.as_ref().is_none_or(|only| *only == container);
                if wanted {
                    match self
                        .cluster
                        .logs(&namespace, &pod.name, &container, options)
                        .await
                    {
                        Ok(log) => {
                            streams.push(lines(log, pod.name.clone(), container.clone(), request.json))
                        }
                        // A container that has not started has no log yet; the others' are shown all the same.
                        Err(error) => {
                            silent.get_or_insert_with(|| herder_base::chain(&error).to_string());
                        }
                    }
                }
                known.push(container);
            }
        }
        if let Some(only) = &request.container
            && !known.is_empty()
            && !known.contains(only)
        {
            known.sort();
            known.dedup();
            let failure = Failure::not_found(format!("`{}` has no container `{only}`", request.application));
            return Err(failure.hint(format!("it has {}", known.join(", "))));
        }
        if streams.is_empty() {
            let why = silent.unwrap_or_else(|| "it has no pods".to_owned());
            let about = format!(
                "`{}` has no log in `{}`: {why}",
                request.application, request.namespace
            );
            return Err(Failure::conflict(about).hint(format!(
                "`herder why {} -n {}` tells what it waits for",
                request.application, request.namespace
            )));
        }
        Ok(if request.follow {
            Box::pin(futures::stream::select_all(streams))
        } else {
            // One after the other, so that the same logs read the same.
            Box::pin(futures::stream::iter(streams).flatten())
        })
    }

    /// A pod's containers: those that start it, its own, those that were put in later.
    async fn containers(&self, namespace: &str, pod: &PodState) -> Result<Vec<String>, Failure> {
        let object = self
            .cluster
            .get("v1", "Pod", namespace, &pod.name)
            .await
            .map_err(|error| Failure::upstream(&error))?;
        let object = object.unwrap_or_default();
        let all = ["initContainers", "containers", "ephemeralContainers"]
            .iter()
            .filter_map(|kind| object.pointer(&format!("/spec/{kind}"))?.as_array())
            .flatten();
        let names = all.filter_map(|container| container.get("name")?.as_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// Whole lines, each with where it comes from; a log that cannot be read says so in a line.
fn lines<E: std::error::Error + 'static>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    pod: String,
    container: String,
    as_json: bool,
) -> Lines {
    let write = move |line: &str| {
        if as_json {
            let (at, line) = line.split_once(' ').unwrap_or(("", line));
            let at = at.parse::<jiff::Timestamp>().ok().map(|at| at.to_string());
            let line: Value = json!({"pod": pod, "container": container, "at": at, "line": line});
            format!("{line}\n")
        } else {
            format!("{pod}/{container}: {line}\n")
        }
    };
    let ends = futures::stream::once(async { None });
    let mut rest = Vec::new();
    Box::pin(stream.map(Some).chain(ends).map(move |chunk| {
        match chunk {
            Some(Ok(bytes)) => rest.extend_from_slice(&bytes),
            Some(Err(error)) => {
                let at = if as_json { "- " } else { "" };
                let said = format!("{at}the log cannot be read: {}\n", herder_base::chain(&error));
                rest.extend_from_slice(said.as_bytes());
            }
            // What a container wrote last need not end in a line's end.
            None if !rest.is_empty() => rest.push(b'\n'),
            None => {}
        }
        let whole = rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let text: Vec<u8> = rest.drain(..whole).collect();
        let text = String::from_utf8_lossy(&text);
        Bytes::from(text.lines().map(&write).collect::<String>())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(chunks: &[&'static str], as_json: bool) -> String {
        let chunks: Vec<Result<Bytes, std::io::Error>> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .collect();
        let all = lines(
            futures::stream::iter(chunks),
            "p".to_owned(),
            "c".to_owned(),
            as_json,
        );
        let all: Vec<Bytes> = all.collect().await;
        String::from_utf8(all.concat()).unwrap()
    }

    #[tokio::test]
    async fn every_line_says_where_it_comes_from() {
        assert_eq!(
            written(&["a\nb", "c\n", "d"], false).await,
            "p/c: a\np/c: bc\np/c: d\n"
        );
        let text = written(
            &["2026-11-28T10:00:00.5Z a \"b\"\n2026-11-28T10:00:01Z last"],
            true,
        )
        .await;
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let line = |at: &str, line: &str| json!({"pod": "p", "container": "c", "at": at, "line": line});
        assert_eq!(
            lines,
            [
                line("2026-11-28T10:00:00.5Z", "a \"b\""),
                line("2026-11-28T10:00:01Z", "last")
            ]
        );
    }
}

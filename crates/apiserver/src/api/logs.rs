//! pods/log: the CRI log files that the node agents write, as a text stream.

use super::answer::{self, Answer};
use super::read::find;
use super::request::Request;
use super::server::Context;
use crate::registry::{Registry, Status};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncSeekExt as _, BufReader};
use tokio_util::sync::CancellationToken;

/// How many rotated files there may be besides the current one; the node agent keeps fewer.
const ROTATED: u32 = 8;
/// How soon a follower sees new lines.
const POLL: Duration = Duration::from_millis(80);

struct Wanted {
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<u64>,
    follow: bool,
}

/// Where a container's logs come from and whether they are still growing.
struct Source {
    registry: Registry,
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    directory: PathBuf,
    restart: u64,
    stop: CancellationToken,
}

pub(crate) async fn answer(context: &Context, request: &Request) -> Result<Answer, Status> {
    let pod = find(context, request)?;
    let container = container(&pod, request.query.get("container"), &request.path.name)?;
    let uid = herder_object::uid(&pod).to_owned();
    let wanted = Wanted {
        timestamps: request.query.is_true("timestamps"),
        since: since(context, request)?,
        tail: request
            .query
            .number("tailLines")?
            .map(|lines| {
                usize::try_from(lines).map_err(|_| Status::bad_request("tailLines must not be negative"))
            })
            .transpose()?,
        limit: request.query.number("limitBytes")?.map(i64::unsigned_abs),
        follow: request.query.is_true("follow"),
    };
    let previous = request.query.is_true("previous");
    let directory = context
        .dir
        .join("kubelite")
        .join("pods")
        .join(&uid)
        .join(&container);
    let restarts = restarts(&directory).await;
    let waiting = status_of(&pod, &container).and_then(|status| {
        status
            .pointer("/state/waiting/reason")
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    let restart = match (previous, restarts.as_slice()) {
        (false, [.., last]) => Some(*last),
        (true, [.., before, _]) => Some(*before),
        (true, _) => {
            return Err(Status::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{}\" not found",
                request.path.name
            )));
        }
        (false, []) => None,
    };
    let Some(restart) = restart else {
        let ended = matches!(
            pod.pointer("/status/phase").and_then(Value::as_str),
            Some("Succeeded" | "Failed")
        );
        if wanted.follow || ended {
            if ended {
                return Ok(answer::text(200, ""));
            }
        } else {
            return Err(not_started(&container, &request.path.name, waiting.as_deref()));
        }
        if !scheduled(&pod) {
            return Err(not_started(&container, &request.path.name, waiting.as_deref()));
        }
        return Err(not_started(
            &container,
            &request.path.name,
            Some(waiting.as_deref().unwrap_or("ContainerCreating")),
        ));
    };
    let source = Source {
        registry: context.registry.clone(),
        namespace: request.path.namespace.clone(),
        pod: request.path.name.clone(),
        uid,
        container,
        directory,
        restart,
        stop: context.stop.clone(),
    };
    let reader = Reader::open(source, wanted).await?;
    let stream = futures::stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((chunk, reader))
    });
    Ok(answer::stream("text/plain", stream))
}

fn not_started(container: &str, pod: &str, reason: Option<&str>) -> Status {
    let reason = reason.unwrap_or("ContainerCreating");
    Status::bad_request(format!(
        "container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}"
    ))
}

fn scheduled(pod: &Value) -> bool {
    pod.pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .is_some_and(|node| !node.is_empty())
}

pub(crate) fn container(pod: &Value, asked: Option<&str>, name: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        let items = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item.get("name").and_then(Value::as_str).map(str::to_owned))
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    match asked {
        Some(asked)
            if main
                .iter()
                .chain(&init)
                .chain(&names("ephemeralContainers"))
                .any(|own| own == asked) =>
        {
            Ok(asked.to_owned())
        }
        Some(asked) => Err(Status::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        ))),
        None => match main.as_slice() {
            [only] => Ok(only.clone()),
            many => {
                let marked = pod
                    .pointer("/metadata/annotations/kubectl.kubernetes.io~1default-container")
                    .and_then(Value::as_str);
                if let Some(marked) = marked.filter(|marked| many.iter().any(|own| own == marked)) {
                    return Ok(marked.to_owned());
                }
                Err(Status::bad_request(format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    many.iter().chain(&init).cloned().collect::<Vec<_>>().join(" ")
                )))
            }
        },
    }
}

fn since(context: &Context, request: &Request) -> Result<Option<Timestamp>, Status> {
    if let Some(seconds) = request.query.number("sinceSeconds")? {
        let now = context.registry.clock().now();
        return Ok(Some(
            now.saturating_sub(jiff::SignedDuration::from_secs(seconds))
                .unwrap_or(now),
        ));
    }
    request
        .query
        .get("sinceTime")
        .map(|text| {
            text.parse()
                .map_err(|_| Status::bad_request(format!("sinceTime {text:?} is not RFC 3339")))
        })
        .transpose()
}

fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ]
    .iter()
    .find_map(|list| {
        let items = pod
            .pointer(&format!("/status/{list}"))
            .and_then(Value::as_array)?;
        items
            .iter()
            .find(|status| status.get("name").and_then(Value::as_str) == Some(container))
    })
}

/// The restarts of which there are logs, in order.
async fn restarts(directory: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    if let Ok(mut entries) = tokio::fs::read_dir(directory).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name();
            if let Some(number) = name
                .to_str()
                .and_then(|name| name.strip_suffix(".log"))
                .and_then(|name| name.parse().ok())
            {
                found.push(number);
            }
        }
    }
    found.sort_unstable();
    found
}

impl Source {
    fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.restart))
    }

    /// The files of the log with their inodes, the current one first.
    async fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        for number in 0..=ROTATED {
            let mut name = self.path().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            let path = PathBuf::from(name);
            if let Ok(meta) = tokio::fs::metadata(&path).await {
                found.push((path, meta.ino()));
            }
        }
        found
    }

    /// Whether the container instance may still write.
    fn is_live(&self) -> bool {
        let Some(pod) = self.registry.get("pods", &self.namespace, &self.pod) else {
            return false;
        };
        if herder_object::uid(&pod) != self.uid {
            return false;
        }
        if matches!(
            pod.pointer("/status/phase").and_then(Value::as_str),
            Some("Succeeded" | "Failed")
        ) {
            return false;
        }
        let Some(status) = status_of(&pod, &self.container) else {
            return true;
        };
        let restarts = status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
        restarts <= self.restart && status.pointer("/state/terminated").is_none()
    }
}

struct Reader {
    source: Source,
    wanted: Wanted,
    file: BufReader<File>,
    /// Lines chosen by `tailLines`, before what follows.
    first: VecDeque<Bytes>,
    raw: Vec<u8>,
    sent: u64,
    /// The last look was after the end of the container.
    last_look: bool,
    /// The previous piece did not end its line.
    partial: bool,
}

impl Reader {
    async fn open(source: Source, wanted: Wanted) -> Result<Self, Status> {
        // Who follows from the beginning wants what was rotated away before they came, too.
        let whole = wanted.follow && wanted.tail.is_none();
        let oldest = if whole { source.files().await.pop() } else { None };
        let first = oldest.map_or_else(|| source.path(), |(path, _)| path);
        let file = File::open(first)
            .await
            .map_err(|error| Status::internal(format!("the log cannot be read: {error}")))?;
        let mut reader = Self {
            source,
            wanted,
            file: BufReader::new(file),
            first: VecDeque::new(),
            raw: Vec::new(),
            sent: 0,
            last_look: false,
            partial: false,
        };
        if let Some(tail) = reader.wanted.tail {
            while let Some(line) = reader.line().await {
                reader.first.push_back(line);
                while reader.first.len() > tail {
                    reader.first.pop_front();
                }
            }
        }
        Ok(reader)
    }

    /// The next whole line that is there now and wanted.
    async fn line(&mut self) -> Option<Bytes> {
        loop {
            match self.file.read_until(b'\n', &mut self.raw).await {
                Ok(0) | Err(_) => return None,
                // The writer is in the middle of a line; the rest comes later.
                Ok(_) if !self.raw.ends_with(b"\n") => return None,
                Ok(_) => {}
            }
            let raw = std::mem::take(&mut self.raw);
            if let Some(line) = self.render(&raw) {
                return Some(line);
            }
        }
    }

    /// A CRI line (`TIME STREAM F|P TEXT`) as the client wants it.
    fn render(&mut self, raw: &[u8]) -> Option<Bytes> {
        let mut parts = raw.splitn(4, |byte| *byte == b' ');
        let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let time = std::str::from_utf8(time).ok()?;
        if let Some(since) = self.wanted.since
            && time.parse::<Timestamp>().is_ok_and(|at| at < since)
        {
            return None;
        }
        let mut line = Vec::with_capacity(text.len() + 40);
        if self.wanted.timestamps && !self.partial {
            line.extend_from_slice(time.as_bytes());
            line.push(b' ');
        }
        self.partial = tag == b"P";
        let text = if self.partial {
            text.strip_suffix(b"\n").unwrap_or(text)
        } else {
            text
        };
        line.extend_from_slice(text);
        Some(Bytes::from(line))
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.wanted.limit.is_some_and(|limit| self.sent >= limit) {
            return None;
        }
        let mut chunk = match self.first.pop_front() {
            Some(line) => line,
            None => self.wait().await?,
        };
        if let Some(limit) = self.wanted.limit {
            let left = usize::try_from(limit - self.sent).unwrap_or(usize::MAX);
            chunk.truncate(left);
        }
        self.sent += chunk.len() as u64;
        Some(chunk)
    }

    /// Goes on with the next file if the one being read was rotated and is read to its end.
    async fn advance(&mut self) -> bool {
        let Ok(here) = self.file.get_ref().metadata().await.map(|meta| meta.ino()) else {
            return false;
        };
        let files = self.source.files().await;
        let next = match files.iter().position(|(_, inode)| *inode == here) {
            Some(0) => return false,
            Some(place) => files.get(place - 1),
            // More was rotated away than is kept while nobody read.
            None => files.last(),
        };
        // Nobody writes to a rotated file any more: what came between is there now.
        let position = self.file.stream_position().await.unwrap_or_default();
        let length = self.file.get_ref().metadata().await.map_or(0, |meta| meta.len());
        if position < length {
            return true;
        }
        let Some((path, inode)) = next else { return false };
        match File::open(path).await {
            // Rotated once more meanwhile, it has another name.
            Ok(file) if file.metadata().await.is_ok_and(|meta| meta.ino() == *inode) => {
                self.file = BufReader::new(file);
                true
            }
            _ => true,
        }
    }

    async fn wait(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.line().await {
                return Some(line);
            }
            if !self.wanted.follow {
                return None;
            }
            if self.advance().await {
                continue;
            }
            if self.last_look {
                return None;
            }
            // One more look after the end, for what was written last.
            self.last_look = !self.source.is_live();
            if self.last_look {
                tokio::time::sleep(POLL / 4).await;
                continue;
            }
            tokio::select! {
                () = self.source.stop.cancelled() => return None,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

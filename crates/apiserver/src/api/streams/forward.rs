//! Ports of a pod on a line to a client: connections that the node's agent makes inside the pod.

use super::spdy::{self, Event};
use super::websocket;
use bytes::Bytes;
use herder_node::doors::{Ask, Said, knock};
use herder_node::stream::Stream;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// As much as is moved at once.
const PIECE: usize = 32 << 10;
/// Pieces of one connection that wait for the pod.
const WAITING: usize = 64;
/// How long one connection whose pod does not read may stop the others.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at the same time.
const MOST: usize = 256;

/// The pod.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    /// Where its node's agent is asked.
    pub(crate) node: PathBuf,
    /// Its uid.
    pub(crate) uid: String,
}

impl Pod {
    async fn connect(&self, port: u16) -> Result<Stream, String> {
        let talk = |error: io::Error| format!("the node agent could not be asked: {error}");
        let agent = knock(&self.node).map_err(talk)?;
        let uid = self.uid.clone();
        agent
            .send(&Ask::Connect { uid, port }, None)
            .await
            .map_err(talk)?;
        match agent.receive_all::<Said>().await.map_err(talk)? {
            Some((Said::Open(_), fds)) => {
                let fd = fds.into_iter().next().ok_or("no connection came")?;
                Stream::new(fd).map_err(talk)
            }
            Some((Said::Refused(why), _)) => Err(why),
            _ => Err("the node agent went away".to_owned()),
        }
    }

    /// Connects and moves bytes until both sides have said all, `say` being told what comes: pieces, then `None` for the
    /// end. A port that cannot be reached is an error in words.
    async fn carry<F: Future<Output = bool>>(
        &self,
        port: u16,
        mut heard: mpsc::Receiver<Bytes>,
        say: impl Fn(Option<Bytes>) -> F,
    ) -> Result<(), String> {
        let (mut from, mut to) = tokio::io::split(self.connect(port).await?);
        let there = async {
            while let Some(bytes) = heard.recv().await {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The pod may have ended the connection itself.
            _ = to.shutdown().await;
        };
        let back = async {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let bytes = match from.read_buf(&mut piece).await {
                    Ok(length) if length > 0 => Some(Bytes::from(piece)),
                    _ => None,
                };
                let last = bytes.is_none();
                if !say(bytes).await || last {
                    return;
                }
            }
        };
        // When the pod has said all, nobody hears what the client would still say.
        tokio::select! {
            () = back => {}
            () = async { there.await; std::future::pending().await } => {}
        }
        Ok(())
    }
}

/// Two streams of a client that belong to one connection.
#[derive(Debug, Default)]
struct Pair {
    errors: Option<u32>,
    data: Option<u32>,
    port: Option<u16>,
}

/// Ports by SPDY: two streams per connection, `error` and `data`. Ends when the client does.
pub(crate) async fn by_spdy(pod: Pod, mut events: mpsc::Receiver<Event>, out: mpsc::Sender<Vec<u8>>) {
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    let mut lines: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    let mut work: JoinSet<u32> = JoinSet::new();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            Some(done) = work.join_next(), if !work.is_empty() => {
                if let Ok(id) = done {
                    lines.remove(&id);
                }
                continue;
            }
        };
        match event {
            None => return,
            Some(Event::Open { id, headers }) => {
                let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
                let port: Option<u16> = text("port").parse().ok().filter(|port| *port > 0);
                let request = match text("requestid") {
                    // Clients from before there were any: one port, one connection at a time.
                    id if id.is_empty() => text("port"),
                    id => id,
                };
                let full = pairs.len() >= MOST || work.len() >= MOST;
                let Some(port) = port.filter(|_| !full) else {
                    if out.send(spdy::reset(id)).await.is_err() {
                        return;
                    }
                    continue;
                };
                let pair = pairs.entry(request.clone()).or_default();
                match text("streamtype").as_str() {
                    "error" => pair.errors = Some(id),
                    "data" => pair.data = Some(id),
                    _ => {}
                }
                if *pair.port.get_or_insert(port) == port
                    && let (Some(errors), Some(data)) = (pair.errors, pair.data)
                {
                    pairs.remove(&request);
                    let (line, heard) = mpsc::channel(WAITING);
                    lines.insert(data, line);
                    work.spawn(one(pod.clone(), port, (errors, data), heard, out.clone()));
                }
            }
            Some(Event::Data { id, bytes, last }) => {
                if let Some(line) = lines.get(&id)
                    && !bytes.is_empty()
                    // One whose pod has gone is about to be forgotten.
                    && line.send_timeout(bytes, PATIENCE).await.is_err()
                {
                    lines.remove(&id);
                }
                if last {
                    lines.remove(&id);
                }
            }
            Some(Event::Reset { id }) => _ = lines.remove(&id),
        }
    }
}

async fn one(
    pod: Pod,
    port: u16,
    (errors, data): (u32, u32),
    heard: mpsc::Receiver<Bytes>,
    out: mpsc::Sender<Vec<u8>>,
) -> u32 {
    let say = |bytes: Option<Bytes>| {
        let frame = match &bytes {
            Some(bytes) => spdy::data(data, bytes, false),
            None => spdy::data(data, &[], true),
        };
        let out = out.clone();
        async move { out.send(frame).await.is_ok() }
    };
    // If the client has gone, the next event says so.
    match pod.carry(port, heard, say).await {
        Ok(()) => _ = out.send(spdy::data(errors, &[], true)).await,
        Err(why) => {
            _ = out.send(spdy::data(errors, why.as_bytes(), true)).await;
            _ = out.send(spdy::data(data, &[], true)).await;
        }
    }
    data
}

/// Ports by channels of a WebSocket: of the `n`th port `2n` is data and `2n + 1` errors. A port is one connection.
pub(crate) async fn by_channels(
    pod: Pod,
    ports: Vec<u16>,
    mut heard: mpsc::Receiver<Bytes>,
    out: mpsc::Sender<Vec<u8>>,
) {
    let mut lines = HashMap::new();
    let mut work = JoinSet::new();
    for (data, port) in (0_u8..).step_by(2).zip(ports) {
        // Both channels begin with the port.
        for channel in [data, data | 1] {
            let hello = websocket::binary(&[channel], &port.to_le_bytes());
            if out.send(hello).await.is_err() {
                return;
            }
        }
        let (line, words) = mpsc::channel::<Bytes>(WAITING);
        lines.insert(data, line);
        let (pod, out) = (pod.clone(), out.clone());
        work.spawn(async move {
            let say = |bytes: Option<Bytes>| {
                let frame = websocket::binary(&[data], bytes.as_deref().unwrap_or_default());
                let (out, last) = (out.clone(), bytes.is_none());
                async move { !last && out.send(frame).await.is_ok() }
            };
            if let Err(why) = pod.carry(port, words, say).await {
                // If the client has gone, the next word says so.
                _ = out.send(websocket::binary(&[data | 1], why.as_bytes())).await;
            }
        });
    }
    loop {
        tokio::select! {
            message = heard.recv() => {
                let Some(message) = message else { return };
                if let Some((channel, bytes)) = message.split_first()
                    && let Some(line) = lines.get(channel)
                    && line.send_timeout(message.slice_ref(bytes), PATIENCE).await.is_err()
                {
                    lines.remove(channel);
                }
            }
            done = work.join_next() => if done.is_none() {
                return;
            },
        }
    }
}

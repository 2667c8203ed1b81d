//! One connection that was upgraded, from its first byte to its last: who reads it, who writes it, and who does the work in
//! between. Everything of a session is one future: dropping it ends all of it, in the pod too.

use super::forward::{self, Pod};
use super::remote::{self, Heard, Line, Voice};
use super::spdy::{self, Event};
use super::websocket::{self, Message};
use crate::api::answer::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use bytes::Bytes;
use herder_node::doors::{Ask, knock};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

/// Frames that wait for the client, and pieces that wait for the pod.
const WAITING: usize = 16;
/// How long a session may take to end after its client has said the last.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to open the streams it announced, and to take a frame.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(120);
/// How often a silent client is asked whether it is there.
const ASKED: Duration = Duration::from_secs(60);

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Messages of a WebSocket whose first byte is a channel.
    Channels {
        /// Of the protocol: 1, 4 or 5.
        version: u8,
    },
    /// SPDY.
    Spdy,
    /// SPDY in messages of a WebSocket.
    Tunnel,
    /// Messages of a WebSocket, without channels.
    Plain {
        /// As text, in base64.
        base64: bool,
    },
}

/// What it wants.
pub(super) enum Work {
    /// A command or a container.
    Remote(PathBuf, Ask),
    /// Ports.
    Forward(Pod, Vec<u16>),
    /// What an answer says as it comes.
    Answer(Body),
}

/// Runs until the work is done, the client has gone, or the server stops.
pub(super) async fn run<S>(io: S, dialect: Dialect, work: Work, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut read, write) = tokio::io::split(io);
    let (frames, out) = mpsc::channel(WAITING);
    let (done, wrote) = (CancellationToken::new(), CancellationToken::new());
    let is_socket = dialect != Dialect::Spdy;
    let writing = write_frames(write, out, done.clone(), is_socket);
    let session = async {
        match (dialect, work) {
            (Dialect::Channels { version }, Work::Remote(node, ask)) => {
                let (heard, hears) = mpsc::channel(WAITING);
                let reading = read_socket(&mut read, frames.clone(), Unpacker::Remote(heard, version));
                let work = remote_by_channels((node, ask), hears, frames, version);
                until_done(work, reading).await;
            }
            (Dialect::Channels { .. }, Work::Forward(pod, ports)) => {
                let (heard, hears) = mpsc::channel(WAITING);
                let reading = read_socket(&mut read, frames.clone(), Unpacker::Plain(heard));
                until_done(forward::by_channels(pod, ports, hears, frames), reading).await;
            }
            (Dialect::Spdy, Work::Remote(node, ask)) => {
                let (events, heard) = mpsc::channel(WAITING);
                let reading = read_spdy(&mut read, frames.clone(), events);
                until_done(remote_by_spdy((node, ask), heard, frames), reading).await;
            }
            (Dialect::Spdy, Work::Forward(pod, _)) => {
                let (events, heard) = mpsc::channel(WAITING);
                let reading = read_spdy(&mut read, frames.clone(), events);
                until_done(forward::by_spdy(pod, heard, frames), reading).await;
            }
            (Dialect::Tunnel, Work::Forward(pod, _)) => {
                let (events, heard) = mpsc::channel(WAITING);
                let (inner, mut packed) = mpsc::channel::<Vec<u8>>(WAITING);
                let (bytes, pieces) = mpsc::channel::<Bytes>(WAITING);
                let unpack = read_socket(&mut read, frames.clone(), Unpacker::Plain(bytes));
                let pieces = futures::stream::unfold(pieces, |mut pieces| async move {
                    let piece = pieces.recv().await?;
                    Some((Ok::<_, io::Error>(piece), pieces))
                });
                let reading = read_spdy(StreamReader::new(Box::pin(pieces)), inner.clone(), events);
                let pack = async {
                    while let Some(frame) = packed.recv().await {
                        if frames.send(websocket::binary(&[], &frame)).await.is_err() {
                            return;
                        }
                    }
                };
                let reading = async { tokio::join!(unpack, reading) };
                let work = async {
                    tokio::select! {
                        () = forward::by_spdy(pod, heard, inner) => {}
                        () = pack => {}
                    }
                };
                until_done(work, async { _ = reading.await }).await;
            }
            (Dialect::Plain { base64 }, Work::Answer(body)) => {
                let (heard, _hears) = mpsc::channel(WAITING);
                let reading = read_socket(&mut read, frames.clone(), Unpacker::Plain(heard));
                until_done(show(body, frames, base64), reading).await;
            }
            // The handshake agrees on nothing else.
            _ => {}
        }
        done.cancel();
        // What nobody wants any more is still taken: the kernel answers what is left unread with a reset, and that takes
        // from the client what it has not read yet.
        tokio::select! {
            () = drain(&mut read) => {}
            () = async { wrote.cancelled().await; tokio::time::sleep(LINGER).await } => {}
        }
    };
    let writing = async {
        writing.await;
        wrote.cancel();
    };
    tokio::select! {
        _ = async { tokio::join!(session, writing) } => {}
        () = stop.cancelled() => {}
    }
}

/// Reads to the end, for nobody.
async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let mut nobody = vec![0; 16 << 10];
    while from.read(&mut nobody).await.is_ok_and(|count| count > 0) {}
}

/// Work ends by itself; when the client has said the last it has a moment to.
async fn until_done(work: impl Future<Output = ()>, reading: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = async { reading.await; tokio::time::sleep(LINGER).await } => {}
    }
}

async fn write_frames(
    mut to: impl AsyncWrite + Unpin,
    mut out: mpsc::Receiver<Vec<u8>>,
    done: CancellationToken,
    is_socket: bool,
) {
    let mut last = false;
    loop {
        let frame = tokio::select! {
            biased;
            frame = out.recv() => frame.or_else(|| {
                // Nobody will say anything more.
                last = true;
                is_socket.then(websocket::close)
            }),
            () = done.cancelled() => {
                last = true;
                is_socket.then(websocket::close)
            }
            () = tokio::time::sleep(ASKED), if is_socket => Some(websocket::ping()),
        };
        if let Some(frame) = frame {
            let written = async {
                to.write_all(&frame).await?;
                to.flush().await
            };
            // A client that has gone is noticed by who reads; one that takes nothing for so long has gone.
            if !matches!(tokio::time::timeout(SLOW, written).await, Ok(Ok(()))) {
                return;
            }
        }
        if last {
            _ = tokio::time::timeout(LINGER, to.shutdown()).await;
            return;
        }
    }
}

/// What becomes of a WebSocket's messages.
enum Unpacker {
    /// They are a client's words to a command.
    Remote(mpsc::Sender<Heard>, u8),
    /// They are passed on.
    Plain(mpsc::Sender<Bytes>),
}

impl Unpacker {
    /// Whether anybody still listens.
    async fn take(&self, bytes: Bytes) -> bool {
        match self {
            Self::Plain(to) => to.send(bytes).await.is_ok(),
            Self::Remote(to, version) => {
                let Some((channel, _)) = bytes.split_first() else {
                    return true;
                };
                let heard = match channel {
                    0 => Heard::Input(bytes.slice(1..)),
                    4 => Heard::Window(bytes.slice(1..)),
                    255 if *version >= 5 && bytes.get(1) == Some(&0) => Heard::End,
                    // Nothing else is the client's to say.
                    _ => return true,
                };
                to.send(heard).await.is_ok()
            }
        }
    }
}

async fn read_socket(from: impl AsyncRead + Unpin, frames: mpsc::Sender<Vec<u8>>, to: Unpacker) {
    let mut messages = websocket::Reader::new(from);
    loop {
        let go_on = match messages.next().await {
            Ok(Message::Data(bytes)) => to.take(bytes).await,
            Ok(Message::Ping(bytes)) => frames.send(websocket::pong(&bytes)).await.is_ok(),
            Ok(Message::Close) => false,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket ended");
                false
            }
        };
        if !go_on {
            return;
        }
    }
}

async fn read_spdy(from: impl AsyncRead + Unpin, frames: mpsc::Sender<Vec<u8>>, events: mpsc::Sender<Event>) {
    if let Err(error) = spdy::read(from, frames, events).await {
        tracing::debug!(%error, "a SPDY connection ended");
    }
}

/// Has the work done and says why it could not be begun.
async fn remote((node, ask): (PathBuf, Ask), line: Line) {
    match knock(&node) {
        Ok(agent) => remote::run(agent, ask, line).await,
        Err(error) => {
            let why = format!("error dialing backend: the node's agent cannot be reached: {error}");
            let status = crate::registry::Status::internal(why).to_value();
            // It may have gone at this very moment.
            _ = line.voice.send(Voice::Ended(status)).await;
        }
    }
}

async fn remote_by_channels(
    (node, ask): (PathBuf, Ask),
    heard: mpsc::Receiver<Heard>,
    frames: mpsc::Sender<Vec<u8>>,
    version: u8,
) {
    let (voice, mut voices) = mpsc::channel(WAITING);
    // An empty word tells the client that it is connected.
    if frames.send(websocket::binary(&[1], &[])).await.is_err() {
        return;
    }
    let speak = async {
        while let Some(voice) = voices.recv().await {
            let frame = match voice {
                Voice::Output(bytes) => websocket::binary(&[1], &bytes),
                Voice::Errors(bytes) => websocket::binary(&[2], &bytes),
                Voice::Ended(status) if version >= 4 => {
                    websocket::binary(&[3], status.to_string().as_bytes())
                }
                Voice::Ended(status) => match message(&status) {
                    "" => continue,
                    why => websocket::binary(&[3], why.as_bytes()),
                },
            };
            if frames.send(frame).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(remote((node, ask), Line { heard, voice }), speak);
}

/// An answer's pieces, each a message.
async fn show(mut body: Body, frames: mpsc::Sender<Vec<u8>>, base64: bool) {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(piece) = frame.into_data() else { continue };
        let frame = if base64 {
            websocket::text(&B64.encode(piece))
        } else {
            websocket::binary(&[], &piece)
        };
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}

fn message(status: &Value) -> &str {
    status.get("message").and_then(Value::as_str).unwrap_or_default()
}

/// The streams of a command that a client has opened, by what they are for.
async fn gather(events: &mut mpsc::Receiver<Event>, ask: &Ask) -> Option<HashMap<String, u32>> {
    let (input, output, errors, terminal) = match ask {
        Ask::Exec { input, terminal, .. } => (*input, true, !terminal, *terminal),
        Ask::Attach {
            input,
            output,
            errors,
            ..
        } => (*input, *output, *errors, false),
        Ask::Connect { .. } | Ask::Usage => return None,
    };
    let wanted = [
        ("error", true),
        ("stdin", input),
        ("stdout", output),
        ("stderr", errors),
        ("resize", terminal),
    ];
    let mut streams = HashMap::new();
    let missing = |streams: &HashMap<String, u32>| {
        wanted
            .iter()
            .any(|(name, wanted)| *wanted && !streams.contains_key(*name))
    };
    while missing(&streams) {
        if let Event::Open { id, headers } = events.recv().await? {
            let kind = headers.get("streamtype").cloned().unwrap_or_default();
            streams.insert(kind, id);
        }
    }
    Some(streams)
}

async fn remote_by_spdy(
    (node, ask): (PathBuf, Ask),
    mut events: mpsc::Receiver<Event>,
    frames: mpsc::Sender<Vec<u8>>,
) {
    let Ok(Some(streams)) = tokio::time::timeout(PATIENCE, gather(&mut events, &ask)).await else {
        return;
    };
    let id = |name: &str| streams.get(name).copied();
    let (voice, mut voices) = mpsc::channel(WAITING);
    let (heard, hears) = mpsc::channel(WAITING);
    let speak = async {
        while let Some(voice) = voices.recv().await {
            let to = match &voice {
                Voice::Output(_) => id("stdout"),
                Voice::Errors(_) => id("stderr"),
                Voice::Ended(_) => id("error"),
            };
            let Some(to) = to else { continue };
            let mut parts = match voice {
                Voice::Output(bytes) | Voice::Errors(bytes) => vec![spdy::data(to, &bytes, false)],
                Voice::Ended(status) => {
                    let ends = ["stdout", "stderr"].into_iter().filter_map(id);
                    let mut parts: Vec<_> = ends.map(|end| spdy::data(end, &[], true)).collect();
                    parts.push(spdy::data(to, status.to_string().as_bytes(), true));
                    parts
                }
            };
            for part in parts.drain(..) {
                if frames.send(part).await.is_err() {
                    return;
                }
            }
        }
    };
    let listen = async {
        let mut windows = Vec::new();
        while let Some(event) = events.recv().await {
            let (from, bytes, last) = match event {
                Event::Data { id, bytes, last } => (id, bytes, last),
                Event::Reset { id } => (id, Bytes::new(), true),
                Event::Open { id, headers } => {
                    // A container on a terminal: whether it is one, only the client knew.
                    if headers.get("streamtype").is_some_and(|kind| kind == "resize") {
                        windows.push(id);
                    }
                    continue;
                }
            };
            let mut words = Vec::new();
            if Some(from) == id("stdin") {
                if !bytes.is_empty() {
                    words.push(Heard::Input(bytes));
                }
                if last {
                    words.push(Heard::End);
                }
            } else if Some(from) == id("resize") || windows.contains(&from) {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                words.extend(lines.map(|line| Heard::Window(bytes.slice_ref(line))));
            }
            for word in words {
                if heard.send(word).await.is_err() {
                    return;
                }
            }
        }
        drop(heard);
    };
    let work = async { tokio::join!(remote((node, ask), Line { heard: hears, voice }), speak) };
    tokio::select! {
        _ = work => {}
        () = async { listen.await; std::future::pending().await } => {}
    }
}

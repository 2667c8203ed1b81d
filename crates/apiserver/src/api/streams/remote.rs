//! A command in a container, or a container itself, on a line to a client: moves bytes between the agent's descriptors and
//! whatever the client speaks, and says how it ended.

use crate::registry::Status;
use bytes::Bytes;
use herder_node::doors::{Ask, Kind, Said};
use herder_node::fabric::Channel;
use herder_node::stream::Stream;
use herder_node::terminal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// How long what a command left behind may go on talking after its end.
const AFTER: Duration = Duration::from_secs(1);
/// As much as is moved at once.
const PIECE: usize = 32 << 10;

/// What a client says.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Input.
    Input(Bytes),
    /// No more of it.
    End,
    /// Its window's size, as JSON.
    Window(Bytes),
}

/// What a client hears.
#[derive(Debug)]
pub(crate) enum Voice {
    /// Output.
    Output(Bytes),
    /// Errors.
    Errors(Bytes),
    /// How it ended; nothing comes after it.
    Ended(Value),
}

/// A client. It has gone when nothing more can be heard of it.
#[derive(Debug)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) heard: mpsc::Receiver<Heard>,
    /// What it hears.
    pub(crate) voice: mpsc::Sender<Voice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Window {
    width: u16,
    height: u16,
}

/// Where a client's words go.
#[derive(Default)]
struct Input {
    to: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// A terminal has no end of input but its key.
    is_terminal: bool,
    window: Option<OwnedFd>,
}

impl Input {
    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Input(bytes) => {
                if let Some(to) = &mut self.to
                    && to.write_all(&bytes).await.is_err()
                {
                    // Nobody reads any more; the command may have something to say all the same.
                    self.to = None;
                }
            }
            Heard::End if self.is_terminal => {}
            Heard::End => self.to = None,
            Heard::Window(text) => {
                if let (Some(master), Ok(window)) = (&self.window, serde_json::from_slice::<Window>(&text)) {
                    // A terminal that is gone has no size.
                    _ = terminal::resize(master, window.width, window.height);
                }
            }
        }
    }
}

fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

fn exited(code: i32) -> Value {
    if code == 0 {
        return success();
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failed(why: &str) -> Value {
    Status::internal(why).to_value()
}

/// Whether anything moves.
#[derive(Default)]
struct Pulse {
    pieces: AtomicU64,
    /// Pieces that the client has not taken yet.
    waiting: AtomicU64,
}

impl Pulse {
    /// Waits until nothing has come for a while; a client that is slow is waited for.
    async fn stops(&self) {
        loop {
            let before = self.pieces.load(Ordering::Relaxed);
            tokio::time::sleep(AFTER).await;
            if self.pieces.load(Ordering::Relaxed) == before && self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    (voice, pulse): (&mpsc::Sender<Voice>, &Pulse),
    name: impl Fn(Bytes) -> Voice,
) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        match from.read_buf(&mut piece).await {
            Ok(length) if length > 0 => {}
            // Whatever the reason, nothing more comes.
            _ => return,
        }
        pulse.pieces.fetch_add(1, Ordering::Relaxed);
        pulse.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = voice.send(name(piece.into())).await;
        pulse.waiting.fetch_sub(1, Ordering::Relaxed);
        if sent.is_err() {
            return;
        }
    }
}

/// Has the agent do what is asked, and stays until it is done or the client has gone.
pub(crate) async fn run(agent: Channel, ask: Ask, mut line: Line) {
    let voice = line.voice.clone();
    let lasts = matches!(ask, Ask::Attach { .. });
    let ended = match begin(&agent, &ask).await {
        Ok((kinds, fds)) => talk(&agent, lasts, (kinds, fds), &mut line).await,
        Err(why) => Some(failed(&why)),
    };
    if let Some(ended) = ended {
        // It may have gone at this very moment.
        _ = voice.send(Voice::Ended(ended)).await;
    }
}

async fn begin(agent: &Channel, ask: &Ask) -> Result<(Vec<Kind>, Vec<OwnedFd>), String> {
    let talk = |error: io::Error| format!("the node agent could not be asked: {error}");
    agent.send(ask, None).await.map_err(talk)?;
    match agent.receive_all::<Said>().await.map_err(talk)? {
        Some((Said::Open(kinds), fds)) if kinds.len() == fds.len() => Ok((kinds, fds)),
        Some((Said::Refused(why), _)) => Err(why),
        _ => Err("the node agent went away".to_owned()),
    }
}

/// How it ended; `None` if the client has gone.
async fn talk(
    agent: &Channel,
    lasts: bool,
    (kinds, fds): (Vec<Kind>, Vec<OwnedFd>),
    line: &mut Line,
) -> Option<Value> {
    let mut input = Input::default();
    let (mut output, mut errors): (Option<Box<dyn AsyncRead + Send + Unpin>>, Option<Stream>) = (None, None);
    for (kind, fd) in kinds.into_iter().zip(fds) {
        let copy = fd.try_clone();
        let Ok(stream) = Stream::new(fd) else {
            return Some(failed("a stream of the container cannot be used"));
        };
        match kind {
            Kind::Input => input.to = Some(Box::new(stream)),
            Kind::Output => output = Some(Box::new(stream)),
            Kind::Errors => errors = Some(stream),
            Kind::Terminal | Kind::Keyboard => {
                input.window = copy.ok();
                input.is_terminal = true;
                let (read, write) = tokio::io::split(stream);
                input.to = Some(Box::new(write));
                if kind == Kind::Terminal {
                    output = Some(Box::new(read));
                }
            }
            Kind::Connection => {}
        }
    }
    let silent = output.is_none() && errors.is_none();
    let voice = line.voice.clone();
    let pulse = Pulse::default();
    let hear = async {
        let output = async {
            if let Some(output) = output {
                pass(output, (&voice, &pulse), Voice::Output).await;
            }
        };
        let errors = async {
            if let Some(errors) = errors {
                pass(errors, (&voice, &pulse), Voice::Errors).await;
            }
        };
        tokio::join!(output, errors);
        if silent {
            std::future::pending::<()>().await;
        }
    };
    let done = async {
        tokio::pin!(hear);
        let mut quiet = false;
        loop {
            tokio::select! {
                () = &mut hear, if !quiet => {
                    // Who is attached has heard everything; a command may close its streams and go on.
                    if lasts {
                        return success();
                    }
                    quiet = true;
                }
                said = agent.receive_all::<Said>() => {
                    if !quiet {
                        // What it said last is still on its way; what it left behind may never end.
                        tokio::select! {
                            () = &mut hear => {}
                            () = pulse.stops() => {}
                        }
                    }
                    return match said {
                        Ok(Some((Said::Ended(code), _))) => exited(code),
                        _ if lasts => success(),
                        _ => failed("the node's agent ended, and with it everything that ran there"),
                    };
                }
            }
        }
    };
    let gone = async {
        while let Some(heard) = line.heard.recv().await {
            input.hear(heard).await;
        }
    };
    tokio::select! {
        ended = done => Some(ended),
        () = gone => None,
    }
}

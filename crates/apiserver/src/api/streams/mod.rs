//! Work in pods: exec, attach, portforward, and logs by WebSocket. Decides who may and what is meant, makes the connection what the client asked
//! for (a WebSocket, SPDY, or SPDY inside a WebSocket), and leaves the work to `remote` and `forward`. Runs nothing itself.

mod forward;
mod remote;
mod session;
mod spdy;
mod websocket;
mod words;

use super::alive::Ends;
use super::answer::Answer;
use super::dispatch::authorize;
use super::fairness::Turn;
use super::logs::container;
use super::read::find;
use super::request::{Request, values};
use super::server::Context;
use crate::registry::Status;
use forward::Pod;
use herder_node::doors::{self, Ask};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use session::{Dialect, Work};
use std::path::PathBuf;

/// By which of its protocols a client means streams, over SPDY.
const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What SPDY is called in a handshake.
const SPDY: &str = "SPDY/3.1";
/// SPDY inside a WebSocket, for ports.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// As many ports as one request may name.
const PORTS: usize = 64;

/// The subresources that this answers.
pub(crate) fn is_one(request: &Request) -> bool {
    request.resource.storage_name == "pods"
        && matches!(
            request.path.subresource.as_str(),
            "exec" | "attach" | "portforward"
        )
}

/// Answers a request for work in a pod, whose right to its own verb was looked at.
pub(crate) fn answer(
    context: &Context,
    request: &Request,
    (upgrade, query): (Option<OnUpgrade>, &str),
    turn: &mut Turn,
) -> Result<Answer, Status> {
    // A GET that becomes a connection does what a POST does: whoever may only look may not.
    let mut wanted = request.attributes();
    "create".clone_into(&mut wanted.verb);
    authorize(context, &request.user, &wanted)?;
    if !matches!(request.method.as_str(), "GET" | "POST") {
        return Err(Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ));
    }
    let pod = find(context, request)?;
    let node = node(context, &pod)?;
    let uid = herder_object::uid(&pod).to_owned();
    let forwards = request.path.subresource == "portforward";
    let work = if forwards {
        let ports = values(query, "ports");
        Work::Forward(Pod { node, uid }, self::ports(&ports)?)
    } else {
        let ask = ask(request, &pod, uid, values(query, "command"))?;
        Work::Remote(node, ask)
    };
    let (dialect, answer) = handshake(&request.headers, forwards)?;
    begin(context, (upgrade, turn), (dialect, work), answer)
}

/// Whether a log is wanted by WebSocket.
pub(crate) fn is_log(request: &Request) -> bool {
    request.resource.storage_name == "pods"
        && request.path.subresource == "log"
        && request.method == http::Method::GET
        && websocket::wanted(&request.headers)
}

/// Answers with a log by WebSocket.
pub(crate) async fn log(
    context: &Context,
    request: &Request,
    upgrade: Option<OnUpgrade>,
    turn: &mut Turn,
) -> Result<Answer, Status> {
    let (dialect, answer) = socket(
        &request.headers,
        &[
            ("binary.k8s.io", Dialect::Plain { base64: false }),
            ("base64.binary.k8s.io", Dialect::Plain { base64: true }),
        ],
        Dialect::Plain { base64: false },
    )?;
    let body = super::logs::answer(context, request).await?.into_body();
    begin(context, (upgrade, turn), (dialect, Work::Answer(body)), answer)
}

/// Has the connection become what was agreed on, and the work done on it.
fn begin(
    context: &Context,
    (upgrade, turn): (Option<OnUpgrade>, &mut Turn),
    (dialect, work): (Dialect, Work),
    mut answer: Answer,
) -> Result<Answer, Status> {
    let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let (turn, stop) = (std::mem::take(turn), context.stop.child_token());
    answer.extensions_mut().insert(Ends(stop.clone()));
    context.sessions.spawn(async move {
        // Counted as long as it lasts; nobody looks after it when it has ended.
        let (_turn, _ended) = (turn, stop.clone().drop_guard());
        match upgrade.await {
            Ok(io) => session::run(TokioIo::new(io), dialect, work, stop).await,
            Err(error) => tracing::debug!(%error, "a connection did not become what was asked for"),
        }
    });
    Ok(answer)
}

/// Where the pod's agent is asked.
fn node(context: &Context, pod: &Value) -> Result<PathBuf, Status> {
    let name = herder_object::name(pod);
    let node = pod
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .filter(|node| !node.is_empty())
        .ok_or_else(|| Status::bad_request(format!("pod {name} does not have a host assigned")))?;
    // It becomes a part of a path.
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !node.chars().all(label) {
        return Err(Status::bad_request(format!(
            "node {node:?} is not one of this cluster's own"
        )));
    }
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(Status::bad_request(format!(
            "cannot work in a container in a completed pod; current phase is {phase}"
        )));
    }
    Ok(doors::dir(&context.dir, node))
}

fn ask(request: &Request, pod: &Value, uid: String, args: Vec<String>) -> Result<Ask, Status> {
    let container = container(pod, request.query.get("container"), &request.path.name)?;
    let is = |name: &str| request.query.is_true(name);
    let (input, output, errors, terminal) = (is("stdin"), is("stdout"), is("stderr"), is("tty"));
    if !(input || output || errors) {
        return Err(Status::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    if request.path.subresource == "attach" {
        return Ok(Ask::Attach {
            uid,
            container,
            input,
            output,
            errors,
        });
    }
    if args.first().is_none_or(String::is_empty) {
        return Err(Status::bad_request(
            "you must specify at least one command for the container",
        ));
    }
    Ok(Ask::Exec {
        uid,
        container,
        args,
        input,
        terminal,
    })
}

fn ports(texts: &[String]) -> Result<Vec<u16>, Status> {
    let parts = texts.iter().flat_map(|text| text.split(','));
    let ports: Option<Vec<u16>> = parts
        .map(|text| text.trim().parse().ok().filter(|port| *port > 0))
        .collect();
    ports
        .filter(|ports| ports.len() <= PORTS)
        .ok_or_else(|| Status::bad_request(format!("ports must be 1 to 65535, and at most {PORTS} of them")))
}

fn switching() -> Answer {
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer
}

fn header(text: &str) -> Result<HeaderValue, Status> {
    HeaderValue::from_str(text).map_err(Status::internal)
}

/// Agrees on one of the protocols that are `known`, or on `none` with a client that offers none; and the answer that says so.
fn socket(
    headers: &HeaderMap,
    known: &[(&'static str, Dialect)],
    none: Dialect,
) -> Result<(Dialect, Answer), Status> {
    let accept = websocket::accept(headers)
        .ok_or_else(|| Status::bad_request("the WebSocket handshake is not one of RFC 6455, version 13"))?;
    let offered = websocket::offered(headers);
    let found = offered
        .iter()
        .find_map(|offer| known.iter().find(|(name, _)| *name == offer.as_str()));
    let mut answer = switching();
    let own = answer.headers_mut();
    let dialect = match found {
        Some((name, dialect)) => {
            own.insert(SEC_WEBSOCKET_PROTOCOL, header(name)?);
            *dialect
        }
        None if offered.is_empty() => none,
        None => {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(Status::bad_request(format!(
                "unable to negotiate a protocol: the client offers [{}], this server knows [{}]",
                offered.join(" "),
                known.join(" ")
            )));
        }
    };
    own.insert(UPGRADE, HeaderValue::from_static("websocket"));
    own.insert(SEC_WEBSOCKET_ACCEPT, header(&accept)?);
    Ok((dialect, answer))
}

/// What the connection becomes, and the answer that says so. Who names no protocol means the oldest.
fn handshake(headers: &HeaderMap, forwards: bool) -> Result<(Dialect, Answer), Status> {
    let channels = |version| Dialect::Channels { version };
    if websocket::wanted(headers) && forwards {
        let known = [(TUNNEL, Dialect::Tunnel), ("v4.channel.k8s.io", channels(4))];
        return socket(headers, &known, channels(4));
    }
    if websocket::wanted(headers) {
        let known = [
            ("v5.channel.k8s.io", channels(5)),
            ("v4.channel.k8s.io", channels(4)),
            ("channel.k8s.io", channels(1)),
        ];
        return socket(headers, &known, channels(1));
    }
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    if !upgrade.is_some_and(|value| value.eq_ignore_ascii_case(SPDY)) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let version = if forwards {
        "portforward.k8s.io"
    } else {
        "v4.channel.k8s.io"
    };
    let offered = headers.get_all(VERSION);
    let texts = offered.iter().filter_map(|value| value.to_str().ok());
    if !texts
        .flat_map(|text| text.split(','))
        .any(|text| text.trim() == version)
    {
        return Err(Status::new(
            403,
            "Forbidden",
            format!("unable to upgrade: this server speaks {version} over {SPDY}"),
        ));
    }
    let mut answer = switching();
    let own = answer.headers_mut();
    own.insert(UPGRADE, HeaderValue::from_static(SPDY));
    own.insert(VERSION, header(version)?);
    Ok((Dialect::Spdy, answer))
}

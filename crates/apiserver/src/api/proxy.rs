//! `pods/proxy` and `services/proxy`: an HTTP request passed on to a pod. Connects to pods only, whatever an object says
//! its address is, and hands on nothing by which the client proved who it is.

use super::answer::Answer;
use super::read::find;
use super::request::Request;
use super::server::Context;
use crate::registry::Status;
use herder_listen::Arriving;
use herder_node::probe_tls;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// How long a pod may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where slices say whose they are.
const SERVICE: &str = "kubernetes.io/service-name";
/// What is between two hops and nobody else.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// The name in a path: `[https:]NAME[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    tls: bool,
    name: &'a str,
    port: &'a str,
}

fn named(text: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let (tls, name, port) = match parts.as_slice() {
        [name] => (false, *name, ""),
        [name, port] => (false, *name, *port),
        [scheme @ ("" | "http" | "https"), name, port] => (*scheme == "https", *name, *port),
        _ => return None,
    };
    Some(Named { tls, name, port })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn number(value: &Value, key: &str) -> Option<u16> {
    let number = value.get(key)?.as_u64()?;
    u16::try_from(number).ok().filter(|number| *number > 0)
}

fn unavailable(why: String) -> Status {
    Status::new(503, "ServiceUnavailable", why)
}

/// Where a request for a pod goes.
fn of_pod(pod: &Value, port: &str) -> Result<SocketAddr, Status> {
    let name = herder_object::name(pod);
    let ports = || items(pod, "/spec/containers").flat_map(|container| items(container, "/ports"));
    let port = match port {
        "" => ports().next().and_then(|port| number(port, "containerPort")),
        port => port.parse().ok().filter(|port| *port > 0).or_else(|| {
            let named = ports().find(|own| text(own, "/name") == port)?;
            number(named, "containerPort")
        }),
    };
    let port = port.ok_or_else(|| Status::bad_request(format!("pod {name:?} has no such port")))?;
    let address: IpAddr = text(pod, "/status/podIP")
        .parse()
        .map_err(|_| unavailable(format!("pod {name:?} has no address yet")))?;
    Ok(SocketAddr::new(address, port))
}

/// Where a request for a service goes: any of its ready endpoints.
fn of_service(context: &Context, service: &Value, port: &str) -> Result<SocketAddr, Status> {
    let (namespace, name) = (herder_object::namespace(service), herder_object::name(service));
    let wanted = |own: &&Value| {
        port.is_empty()
            || text(own, "/name") == port
            || own.get("port").and_then(Value::as_u64) == port.parse().ok()
    };
    let ports: Vec<&Value> = items(service, "/spec/ports").filter(wanted).collect();
    let (Some(found), true) = (ports.first(), ports.len() == 1 || !port.is_empty()) else {
        return Err(unavailable(format!(
            "no endpoints available for service {name:?}: it has no one port {port:?}"
        )));
    };
    let (slices, _) = context
        .registry
        .list("endpointslices.discovery.k8s.io", Some(namespace));
    let mut found = slices
        .iter()
        .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == name)
        .filter_map(|slice| {
            let own = items(slice, "/ports").find(|own| text(own, "/name") == text(found, "/name"))?;
            Some((slice, number(own, "port")?))
        })
        .flat_map(|(slice, port)| {
            let ready = items(slice, "/endpoints").filter(|endpoint| {
                endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false)
            });
            let addresses = ready.flat_map(|endpoint| items(endpoint, "/addresses"));
            addresses.filter_map(move |address| Some(SocketAddr::new(address.as_str()?.parse().ok()?, port)))
        });
    found
        .next()
        .ok_or_else(|| unavailable(format!("no endpoints available for service {name:?} ({SERVICE})")))
}

/// What is handed on of a client's headers.
fn handed_on(headers: &HeaderMap, host: &str) -> HeaderMap {
    let mut own = headers.clone();
    for name in HOP {
        own.remove(name);
    }
    // Who the client is to this server is nobody else's business.
    own.remove(AUTHORIZATION);
    let secret: Vec<HeaderName> = own
        .keys()
        .filter(|name| name.as_str().starts_with("impersonate-"))
        .cloned()
        .collect();
    for name in secret {
        own.remove(name);
    }
    own.remove(HOST);
    if let Ok(host) = HeaderValue::from_str(host) {
        own.insert(HOST, host);
    }
    own
}

/// Whether this is for `answer`.
pub(crate) fn is_one(request: &Request) -> bool {
    request.path.subresource == "proxy"
        && matches!(request.resource.storage_name.as_str(), "pods" | "services")
}

/// What comes after `/proxy` in a path, as it was sent; `None` if not even a slash does.
fn rest(uri: &Uri) -> Option<&str> {
    let path = uri.path();
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    // /api/v1/namespaces/NAMESPACE/pods/NAME/proxy/…
    let at = slashes.nth(7)?;
    path.get(at..)
}

/// Passes a request on, whose right to its verb was looked at.
pub(crate) async fn answer(
    context: &Context,
    mut request: Request,
    (uri, body): (Uri, Arriving),
) -> Result<Answer, Status> {
    let full = request.path.name.clone();
    let named = named(&full).ok_or_else(|| Status::bad_request(format!("invalid request {full:?}")))?;
    named.name.clone_into(&mut request.path.name);
    let object = find(context, &request)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let Some(rest) = rest(&uri) else {
        // Links in what a pod answers are relative to a folder.
        let mut answer = Response::new(Empty::new().boxed_unsync());
        *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(to) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
            answer.headers_mut().insert(LOCATION, to);
        }
        return Ok(answer);
    };
    let to = if request.resource.storage_name == "pods" {
        of_pod(&object, named.port)?
    } else {
        of_service(context, &object, named.port)?
    };
    let fabric = context
        .fabric
        .as_ref()
        .ok_or_else(|| unavailable("this server runs without a network of pods".to_owned()))?;
    let broken =
        |error: &dyn std::fmt::Display| unavailable(format!("error trying to reach service: {error}"));
    let exchange = async {
        let stream = fabric.dial_backend(to).await.map_err(|error| broken(&error))?;
        let mut own = http::Request::new(body);
        *own.method_mut() = request.method.clone();
        *own.uri_mut() = format!("{rest}{query}").parse().map_err(|error| broken(&error))?;
        *own.headers_mut() = handed_on(&request.headers, &to.to_string());
        if named.tls {
            let stream = probe_tls::connect(stream, &to.ip().to_string())
                .await
                .map_err(|error| broken(&error))?;
            send(stream, own).await.map_err(|error| broken(&error))
        } else {
            send(stream, own).await.map_err(|error| broken(&error))
        }
    };
    let (response, driver) = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| {
        Status::new(
            504,
            "Timeout",
            format!("{to} did not answer within {} s", PATIENCE.as_secs()),
        )
    })??;
    let (mut parts, body) = response.into_parts();
    let length = parts.headers.get(CONTENT_LENGTH).cloned();
    for name in HOP {
        parts.headers.remove(name);
    }
    if let Some(length) = length {
        parts.headers.insert(CONTENT_LENGTH, length);
    }
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(broken(&"it changed the protocol, which was not asked for"));
    }
    // The connection is driven for as long as its answer is read.
    let frames = futures::stream::unfold((body, driver), |(mut body, driver)| async move {
        let frame = body.frame().await?.ok()?;
        let bytes = frame.into_data().unwrap_or_default();
        Some((Ok::<_, Infallible>(Frame::data(bytes)), (body, driver)))
    });
    Ok(Response::from_parts(
        parts,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

async fn send<S>(
    stream: S,
    request: http::Request<Arriving>,
) -> Result<(Response<hyper::body::Incoming>, JoinSet<()>), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its failure shows in the exchange as well.
        _ = connection.await;
    });
    let response = sender.send_request(request).await?;
    Ok((response, driver))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_ports_and_paths() {
        let of = |text| named(text).map(|named| (named.tls, named.name, named.port));
        assert_eq!(of("web"), Some((false, "web", "")));
        assert_eq!(of("web:80"), Some((false, "web", "80")));
        assert_eq!(of("https:web:"), Some((true, "web", "")));
        assert_eq!(of(":web:http"), Some((false, "web", "http")));
        assert_eq!(of("ftp:web:1"), None);
        assert_eq!(of("a:b:c:d"), None);
        let after = |text: &'static str| rest(&Uri::from_static(text)).map(str::to_owned);
        assert_eq!(after("/api/v1/namespaces/a/pods/p/proxy"), None);
        assert_eq!(after("/api/v1/namespaces/a/pods/p/proxy/").as_deref(), Some("/"));
        assert_eq!(
            after("/api/v1/namespaces/a/pods/p:80/proxy/a%2Fb/../c?d=e").as_deref(),
            Some("/a%2Fb/../c")
        );
    }

    #[test]
    fn a_pod_has_ports_by_number_and_by_name() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"podIP": "10.42.1.9"}, "spec": {"containers": [
            {"ports": [{"name": "web", "containerPort": 8080}]}]}});
        for (port, wanted) in [
            ("", Some(8080)),
            ("web", Some(8080)),
            ("99", Some(99)),
            ("none", None),
            ("0", None),
        ] {
            assert_eq!(of_pod(&pod, port).ok().map(|to| to.port()), wanted, "{port}");
        }
    }

    #[test]
    fn credentials_stay_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("impersonate-user", "admin"),
            ("impersonate-extra-x", "y"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("host", "api"),
            ("accept", "text/html"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let own = handed_on(&headers, "10.42.1.9:80");
        let left: Vec<&str> = own.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept", "host"]);
        assert_eq!(own["host"], "10.42.1.9:80");
    }
}

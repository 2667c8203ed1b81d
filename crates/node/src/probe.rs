//! Probes and the actions hooks share with them: HTTP, TCP, commands.

use super::exec::{Inside, Ran, run};
use super::machine::Machine;
use herder_base::chain;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Body kept for a failure's message.
const SHOWN: usize = 512;

/// What a probe or a hook acts on.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// The container as declared: ports have names.
    pub(crate) container: &'a Container,
    /// The container as started.
    pub(crate) inside: &'a Inside,
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        value
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default),
    )
}

/// A probe's rhythm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// Before the first.
    pub(crate) delay: Duration,
    /// Between two.
    pub(crate) period: Duration,
    /// For each.
    pub(crate) timeout: Duration,
    /// Failures in a row that count.
    pub(crate) failures: u32,
    /// Successes in a row that count.
    pub(crate) successes: u32,
}

impl Rhythm {
    /// As declared, with Kubernetes' defaults.
    pub(crate) fn of(probe: &Probe) -> Self {
        let count = |value: Option<i32>, default: u32| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(default)
                .max(1)
        };
        let at_least = Duration::from_secs(1);
        Self {
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(at_least),
            timeout: seconds(probe.timeout_seconds, 1).max(at_least),
            failures: count(probe.failure_threshold, 3),
            successes: count(probe.success_threshold, 1),
        }
    }
}

impl Target<'_> {
    /// Asks once; `Err` says what was wrong.
    pub(crate) async fn probe(&self, probe: &Probe) -> Result<(), String> {
        let timeout = Rhythm::of(probe).timeout;
        if let Some(exec) = &probe.exec {
            return self.command(exec, timeout).await;
        }
        let asked = async {
            if let Some(get) = &probe.http_get {
                self.get(get).await
            } else if let Some(tcp) = &probe.tcp_socket {
                self.connect(tcp).await
            } else if let Some(grpc) = &probe.grpc {
                let port = u16::try_from(grpc.port).map_err(|_| format!("{} is no port", grpc.port))?;
                super::probe_grpc::check(self.address, port, grpc.service.as_deref().unwrap_or_default())
                    .await
            } else {
                Err("the probe says neither exec, httpGet, tcpSocket nor grpc".to_owned())
            }
        };
        tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or_else(|_| Err(timed_out(timeout)))
    }

    /// Runs a lifecycle hook.
    pub(crate) async fn hook(&self, hook: &LifecycleHandler, patience: Duration) -> Result<(), String> {
        if let Some(exec) = &hook.exec {
            return self.command(exec, patience).await;
        }
        let acted = async {
            if let Some(get) = &hook.http_get {
                self.get(get).await
            } else if let Some(tcp) = &hook.tcp_socket {
                self.connect(tcp).await
            } else if let Some(sleep) = &hook.sleep {
                tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
                Ok(())
            } else {
                Ok(())
            }
        };
        tokio::time::timeout(patience, acted)
            .await
            .unwrap_or_else(|_| Err(timed_out(patience)))
    }

    async fn command(&self, exec: &ExecAction, timeout: Duration) -> Result<(), String> {
        let args = exec.command.clone().unwrap_or_default();
        if args.is_empty() {
            return Err("the command is empty".to_owned());
        }
        match run(self.machine, self.inside, &args, timeout).await {
            Ok(Ran::Ended(exit, _)) if exit.code == 0 => Ok(()),
            Ok(Ran::Ended(exit, said)) if said.is_empty() => {
                Err(format!("command {args:?} exited with {}", exit.code))
            }
            Ok(Ran::Ended(_, said)) => Err(said),
            Ok(Ran::TimedOut) => Err(format!("command {args:?} {}", timed_out(timeout))),
            Err(error) => Err(chain(&error).to_string()),
        }
    }

    async fn connect(&self, tcp: &TCPSocketAction) -> Result<(), String> {
        let port = self.port(&tcp.port)?;
        let host = tcp
            .host
            .clone()
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| self.address.to_string());
        let at = format!("{host}:{port}");
        TcpStream::connect(&at)
            .await
            .map(drop)
            .map_err(|error| format!("dial tcp {at}: connect: {error}"))
    }

    async fn get(&self, get: &HTTPGetAction) -> Result<(), String> {
        let port = self.port(&get.port)?;
        let host = get
            .host
            .clone()
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| self.address.to_string());
        let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let tls = get.scheme.as_deref() == Some("HTTPS");
        let url = format!("{}://{host}:{port}{path}", if tls { "https" } else { "http" });
        let wrong = |error: &dyn std::fmt::Display| format!("Get \"{url}\": {error}");
        let stream = TcpStream::connect(format!("{host}:{port}"))
            .await
            .map_err(|error| wrong(&format!("dial tcp {host}:{port}: connect: {error}")))?;
        let mut request = http::Request::get(&path);
        let mut named = false;
        for header in get.http_headers.iter().flatten() {
            named |= header.name.eq_ignore_ascii_case("host");
            request = request.header(&header.name, &header.value);
        }
        if !named {
            request = request.header("host", format!("{host}:{port}"));
        }
        let request = request
            .header("user-agent", "kube-probe/1.33")
            .header("accept", "*/*")
            .header("connection", "close")
            .body(Empty::<bytes::Bytes>::new())
            .map_err(|error| wrong(&error))?;
        let mut driver = JoinSet::new();
        let response = if tls {
            let stream = super::probe_tls::connect(stream, &host)
                .await
                .map_err(|error| wrong(&error))?;
            exchange(TokioIo::new(stream), request, &mut driver).await
        } else {
            exchange(TokioIo::new(stream), request, &mut driver).await
        }
        .map_err(|error| wrong(&error))?;
        let status = response.status();
        if status.as_u16() >= 200 && status.as_u16() < 400 {
            return Ok(());
        }
        let body = response
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let shown =
            String::from_utf8_lossy(body.get(..body.len().min(SHOWN)).unwrap_or_default()).into_owned();
        let shown = shown.trim();
        let said = if shown.is_empty() {
            String::new()
        } else {
            format!(": {shown}")
        };
        Err(format!(
            "HTTP probe failed with statuscode: {}{said}",
            status.as_u16()
        ))
    }

    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let named = |name: &str| {
            self.container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_deref() == Some(name))
                .map(|port| port.container_port)
        };
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => named(name).or_else(|| name.parse().ok()),
        };
        number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("there is no port {port:?}"))
    }
}

fn timed_out(after: Duration) -> String {
    format!("timed out after {}s", after.as_secs())
}

async fn exchange<S>(
    stream: TokioIo<S>,
    request: http::Request<Empty<bytes::Bytes>>,
    driver: &mut JoinSet<()>,
) -> Result<http::Response<hyper::body::Incoming>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    driver.spawn(async move {
        // Its failure shows in the exchange as well.
        _ = connection.await;
    });
    sender.send_request(request).await
}

//! The edge against real servers in processes of their own, which are killed under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where it fails"
)]

use bytes::Bytes;
use herder_edge::{
    Backend, DirectDial, Edge, Limits, Routes, certified_key, routes::PathType, routes::Route, self_signed,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Not a test of its own: the server that the other tests start as a process. Says its address on its first line.
#[test]
#[ignore = "started by the other tests"]
fn backend_process() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nlisten={}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tasks.spawn(async move {
                let service = service_fn(|request| async { Ok::<_, Infallible>(echo(request).await) });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
}

/// Answers with the request line, the headers and the body; `/slow` takes a moment; upgrades echo bytes.
async fn echo(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 4];
            while io.read_exact(&mut buffer).await.is_ok() {
                io.write_all(&buffer).await.unwrap();
            }
        });
        tasks.detach_all();
        return Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(Full::default())
            .unwrap();
    }
    if request.uri().path() == "/slow" {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut text = format!(
        "pid {}\n{} {}\n",
        std::process::id(),
        request.method(),
        request.uri()
    );
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or("?")));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    text.push_str(&format!("\n{}", body.len()));
    Response::builder()
        .header("connection", "x-internal")
        .header("x-internal", "1")
        .body(Full::from(text))
        .unwrap()
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        use std::io::BufRead;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "backend_process", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let address = out
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listen=")?.parse().ok())
            .unwrap();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn routes(addresses: &[SocketAddr]) -> Routes {
    let mut routes = Routes::default();
    routes.insert(
        "shop.test",
        Route {
            name: "shop/web shop.test/".into(),
            path: "/".into(),
            path_type: PathType::Prefix,
            backend: Arc::new(Backend {
                name: "shop/web:80".into(),
                endpoints: addresses.to_vec(),
                problem: addresses
                    .is_empty()
                    .then(|| "service shop/web has no ready pod".to_owned()),
            }),
        },
    );
    routes
}

struct Door {
    edge: Edge,
    address: SocketAddr,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Door {
    async fn open() -> Self {
        let limits = Limits {
            drain: Duration::from_secs(3),
            leave: Duration::from_millis(200),
            ..Limits::default()
        };
        let edge = Edge::with_limits(Box::new(DirectDial), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (door, stop) = (edge.clone(), cancel.clone());
        tasks.spawn(async move { door.serve_http(listener, stop).await });
        Self {
            edge,
            address,
            cancel,
            tasks,
        }
    }

    async fn close(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("host", "shop.test")
            .header("x-forwarded-for", "6.6.6.6")
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .body(Full::from(body.into()))
            .unwrap()
    }
}

type Web = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn client() -> Web {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn text(client: &Web, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let response = client.request(request).await.unwrap();
    let status = response.status();
    (
        status,
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_no_request() {
    let door = Door::open().await;
    let mut servers: Vec<Server> = (0..3).map(|_| Server::start()).collect();
    let live = |servers: &[Server]| servers.iter().map(|s| s.address).collect::<Vec<_>>();
    door.edge.set_routes(routes(&live(&servers)));
    let done = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let mut load = JoinSet::new();
    for worker in 0..12 {
        let (done, stop) = (Arc::clone(&done), stop.clone());
        let client = client();
        let path = if worker % 4 == 0 { "/slow" } else { "/" };
        let requests: Vec<_> = [Method::GET, Method::PUT]
            .iter()
            .map(|method| {
                door.request(
                    method.clone(),
                    path,
                    if *method == Method::PUT { "body" } else { "" },
                )
            })
            .collect();
        load.spawn(async move {
            let mut lost = Vec::new();
            while !stop.is_cancelled() {
                for request in &requests {
                    match client.request(request.clone()).await {
                        Ok(response) => {
                            let status = response.status();
                            match response.into_body().collect().await {
                                Ok(_) if status == 200 => {}
                                other => {
                                    lost.push(format!("{status} {:?}", other.map(|body| body.to_bytes())))
                                }
                            }
                        }
                        Err(error) => lost.push(format!("{error:?}")),
                    }
                    done.fetch_add(1, Relaxed);
                }
            }
            lost
        });
    }
    let progress = async |more: usize| {
        let target = done.load(Relaxed) + more;
        while done.load(Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for _ in 0..4 {
        progress(300).await;
        // SIGKILL; the cluster notices only later, and a replacement comes later still.
        drop(servers.remove(0));
        progress(300).await;
        door.edge.set_routes(routes(&live(&servers)));
        progress(100).await;
        servers.push(Server::start());
        door.edge.set_routes(routes(&live(&servers)));
    }
    progress(200).await;
    stop.cancel();
    let mut lost = Vec::new();
    while let Some(worker) = load.join_next().await {
        lost.extend(worker.unwrap());
    }
    let metrics = door.edge.metrics();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        done.load(Relaxed)
    );
    assert!(metrics[0].retries > 0 && metrics[0].errors == 0, "{metrics:?}");
    assert_eq!(metrics[0].active, 0);
    door.close().await;
}

#[tokio::test]
async fn passes_on_what_it_should() {
    let door = Door::open().await;
    let server = Server::start();
    door.edge.set_routes(routes(&[server.address]));
    let client = client();
    let response = client
        .request(door.request(Method::POST, "/a?b=c", "12345"))
        .await
        .unwrap();
    assert!(response.headers().get("x-internal").is_none() && response.headers().get("connection").is_none());
    let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    for line in [
        "POST /a?b=c",
        "host: shop.test",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.test",
        "content-length: 5",
        "\n5",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("x-mine") && !text.contains("6.6.6.6"), "{text}");
    // A body larger than what is kept passes through as well.
    let (status, text) = self::text(&client, door.request(Method::POST, "/", vec![7u8; 3 << 20])).await;
    assert_eq!(
        (status, text.ends_with(&(3 << 20).to_string())),
        (StatusCode::OK, true)
    );
    door.close().await;
}

#[tokio::test]
async fn explains_what_it_cannot_do() {
    let door = Door::open().await;
    let client = client();
    let (status, page) = text(&client, door.request(Method::GET, "/x", "")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("shop.test/x"), "{page}");
    door.edge.set_routes(routes(&[]));
    let (status, page) = text(&client, door.request(Method::GET, "/y", "")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.contains("no ready pod"), "{page}");
    // A route whose endpoint comes while the request waits.
    let (request, server) = (door.request(Method::POST, "/", "once"), Server::start());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { text(&client, request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    door.edge.set_routes(routes(&[server.address]));
    assert_eq!(waiting.join_next().await.unwrap().unwrap().0, StatusCode::OK);
    door.close().await;
}

#[tokio::test]
async fn a_frozen_endpoint_that_leaves_is_not_waited_for() {
    let door = Door::open().await;
    let (frozen, live) = (Server::start(), Server::start());
    door.edge.set_routes(routes(&[frozen.address]));
    let stop = Command::new("kill")
        .args(["-STOP", &frozen.child.id().to_string()])
        .status()
        .unwrap();
    assert!(stop.success());
    let client = client();
    let request = door.request(Method::GET, "/", "");
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { text(&client, request).await });
    while door.edge.metrics().first().is_none_or(|m| m.active == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    door.edge.set_routes(routes(&[live.address]));
    let (status, page) = waiting.join_next().await.unwrap().unwrap();
    assert!(
        status == StatusCode::OK && page.contains(&format!("pid {}", live.child.id())),
        "{page}"
    );
    door.close().await;
}

#[tokio::test]
async fn upgrades_pass_through() {
    let door = Door::open().await;
    let server = Server::start();
    door.edge.set_routes(routes(&[server.address]));
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"),
        "{head}"
    );
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    drop(stream);
    door.close().await;
}

/// What may not be had: another protocol would carry anything past the routes, and a path with dots another one's.
#[tokio::test]
async fn nothing_leads_past_the_routes() {
    let door = Door::open().await;
    let server = Server::start();
    door.edge.set_routes(routes(&[server.address]));
    for (path, headers, wanted) in [
        (
            "/ws",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
            "http/1.1 200",
        ),
        (
            "/ws",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "http/1.1 200",
        ),
        (
            "/ws",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nSec-WebSocket-Key: x\r\n",
            "http/1.1 200",
        ),
        ("/public/../admin", "", "http/1.1 400"),
        ("/public/%2e%2E/admin", "", "http/1.1 400"),
    ] {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with(wanted), "{path} {headers}: {head}");
    }
    door.close().await;
}

#[tokio::test]
async fn requests_in_flight_finish_when_it_stops() {
    let door = Door::open().await;
    let server = Server::start();
    door.edge.set_routes(routes(&[server.address]));
    let client = client();
    let mut slow = JoinSet::new();
    let request = door.request(Method::GET, "/slow", "");
    slow.spawn(async move { text(&client, request).await });
    while door.edge.metrics().first().is_none_or(|m| m.active == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Its endpoint leaves, and the edge is told to stop: the answer still comes.
    door.edge.set_routes(routes(&[]));
    door.close().await;
    assert_eq!(slow.join_next().await.unwrap().unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn tls_by_name_with_http2() {
    let door = Door::open().await;
    let server = Server::start();
    let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned()]).unwrap();
    let own = made.cert.der().clone();
    let key = certified_key(
        made.cert.pem().as_bytes(),
        made.signing_key.serialize_pem().as_bytes(),
    )
    .unwrap();
    let mut with_certificate = routes(&[server.address]);
    with_certificate.insert_certificate("shop.test", Arc::new(key));
    door.edge.set_routes(with_certificate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (edge, cancel, mut tasks) = (door.edge.clone(), CancellationToken::new(), JoinSet::new());
    let stop = cancel.clone();
    let fallback = self_signed(vec!["localhost".to_owned()]).unwrap();
    tasks.spawn(async move { edge.serve_https(listener, fallback, stop).await.unwrap() });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own).unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = async |name: &'static str| {
        connector
            .connect(
                name.try_into().unwrap(),
                TcpStream::connect(address).await.unwrap(),
            )
            .await
    };
    // Another name gets the fallback, which this client does not trust.
    assert!(connect("other.test").await.is_err());
    let stream = connect("shop.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tasks.spawn(async move {
        let _ = connection.await;
    });
    let request = Request::get("https://shop.test/h2")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(
        text.contains("GET /h2")
            && text.contains("host: shop.test")
            && text.contains("x-forwarded-proto: https"),
        "{text}"
    );
    drop(sender);
    cancel.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    door.close().await;
}

/// Bytes as they are, and everything that comes back.
async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_millis(500), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn one_request_is_one_request() {
    let door = Door::open().await;
    let server = Server::start();
    door.edge.set_routes(routes(&[server.address]));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for (name, head, body) in [
        (
            "CL.TE",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        ),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 44\r\n", ""),
        ("a list of lengths", "Content-Length: 0, 44\r\n", ""),
        ("a signed length", "Content-Length: +0\r\n", ""),
        ("unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        (
            "chunked not last",
            "Transfer-Encoding: chunked, identity\r\n",
            "0\r\n\r\n",
        ),
        (
            "space before the colon",
            "Transfer-Encoding : chunked\r\n",
            "0\r\n\r\n",
        ),
        ("folded", "X: a\r\n Transfer-Encoding: chunked\r\n", ""),
        ("bad chunk", "Transfer-Encoding: chunked\r\n", "g\r\n\r\n"),
        (
            "huge chunk",
            "Transfer-Encoding: chunked\r\n",
            "ffffffffffffffff1\r\nx\r\n0\r\n\r\n",
        ),
    ] {
        let request = format!("POST /first HTTP/1.1\r\nHost: shop.test\r\n{head}\r\n{body}{smuggled}");
        let answer = raw(door.address, &request).await;
        // With both, the coding counts and nothing after it does.
        let fine = matches!(name, "CL.TE" | "TE.CL") && answer.starts_with("HTTP/1.1 200");
        let refused =
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 502");
        assert!(refused || fine, "{name}: {answer}");
        assert!(!answer.contains("/smuggled"), "{name}: {answer}");
        assert!(!answer.contains("content-length: 5\n"), "{name}: {answer}");
    }
    // HTTP/1.0 knows no chunks.
    let old = format!(
        "POST /first HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    assert!(!raw(door.address, &old).await.contains("/smuggled"));
    // What a client says about itself does not arrive, however it is spelt; nor does a session of the dashboard.
    let answer = raw(
        door.address,
        "GET http://shop.test/x HTTP/1.1\r\nHost: shop.test\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\n\
         Forwarded: for=6.6.6.6\r\nX-Original-URL: /6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX-Forwarded-Prefix: /6.6.6.6\r\n\
         Proxy: 6.6.6.6\r\nCookie: a=1; herder_session=6.6.6.6; b=2\r\nConnection: close, x-forwarded-for, cookie2\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("GET /x\n") && answer.contains("x-forwarded-for: 127.0.0.1"),
        "{answer}"
    );
    assert!(
        answer.contains("cookie: a=1; b=2\n") && !answer.contains("6.6.6.6"),
        "{answer}"
    );
    let two = raw(
        door.address,
        "GET http://shop.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n",
    )
    .await;
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    door.close().await;
}

//! Listeners against clients that do not do their part, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may")]

use bytes::Bytes;
use herder_listen::{Arriving, Handler, Limits, Peer, Plain, Refusal, Settings, serve};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Body = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    type Body = Body;

    async fn answer(self, request: Request<Arriving>) -> Response<Body> {
        match request.uri().path() {
            "/watch" => return Response::new(lines()),
            "/large" => return Response::new(Full::from(vec![b'x'; 64 << 20]).boxed_unsync()),
            _ => {}
        }
        let (status, text) = match request.into_body().collect().await {
            Ok(body) => (StatusCode::OK, format!("{} bytes", body.to_bytes().len())),
            Err(error) => (StatusCode::REQUEST_TIMEOUT, error.to_string()),
        };
        let mut response = Response::new(Full::from(text).boxed_unsync());
        *response.status_mut() = status;
        response
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let mut response = Response::new(Full::from(refusal.to_string()).boxed_unsync());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    }
}

/// One line now, one much later, and nothing for as long again.
fn lines() -> Body {
    let stream = futures::stream::unfold(0, |turn| async move {
        if turn > 0 {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        (turn < 2).then(|| (Ok(Frame::data(Bytes::from_static(b"line\n"))), turn + 1))
    });
    StreamBody::new(Box::pin(stream)).boxed_unsync()
}

struct Server {
    address: SocketAddr,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    async fn start(connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let second = Duration::from_secs(1);
        let settings = Settings {
            name: "test",
            limits: Limits {
                connections,
                header: second,
                idle: second,
                body: second,
                write: second,
                ..Limits::default()
            },
            tls: None,
            plain: Plain::Either,
            half_close: false,
            drain: second,
        };
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, settings, |_: Peer| Echo, cancel.clone()));
        Self {
            address,
            cancel,
            tasks,
        }
    }

    async fn ask(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Reads until the server hangs up.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut all = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(12), stream.read_to_end(&mut all));
    // A reset ends it as well.
    drop(reading.await.expect("the server does not hang up"));
    (String::from_utf8_lossy(&all).into_owned(), begun.elapsed())
}

#[tokio::test]
async fn who_is_waited_for_has_only_so_long() {
    let server = Server::start(100).await;
    let mut silent = server.ask("").await;
    let mut half = server.ask("GET / HTTP/1.1\r\nHost: a\r\nX-").await;
    let mut idle = server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut next = server
        .ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n")
        .await;
    let mut dribbling = server
        .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
        .await;
    let mut watch = server.ask("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (silent, half, idle, next, dribbling, watch) = tokio::join!(
        rest(&mut silent),
        rest(&mut half),
        rest(&mut idle),
        rest(&mut next),
        rest(&mut dribbling),
        rest(&mut watch)
    );
    let soon = Duration::from_secs(4);
    assert!(silent.0.is_empty() && silent.1 < soon, "{silent:?}");
    assert!(half.0.is_empty() && half.1 < soon, "{half:?}");
    assert!(idle.0.contains("0 bytes") && idle.1 < soon, "{idle:?}");
    assert!(next.0.contains("0 bytes") && next.1 < soon, "{next:?}");
    assert!(dribbling.0.contains("408"), "{dribbling:?}");
    assert!(dribbling.0.contains("did not arrive in time"), "{dribbling:?}");
    assert_eq!(watch.0.matches("line").count(), 2, "a watch was cut: {watch:?}");
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_take_an_answer_is_let_go() {
    let server = Server::start(100).await;
    let mut greedy = server.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (text, _) = rest(&mut greedy).await;
    assert!(text.len() < 60 << 20, "{} bytes were kept", text.len());
    server.stop().await;
}

#[tokio::test]
async fn idle_ones_give_way_and_busy_ones_do_not() {
    let server = Server::start(4).await;
    // The machine may have three of four.
    let mut idle = server.ask("").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut watch = server.ask("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut first = [0; 12];
        watch.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(watch);
    }
    assert!(rest(&mut idle).await.1 < Duration::from_secs(1), "it gives way");
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (refused, _) = rest(&mut server.ask(ask).await).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(
        refused.contains("retry-after: 1") && refused.contains("try again"),
        "{refused}"
    );
    drop(held);
    let (answered, _) = rest(&mut server.ask(ask).await).await;
    assert!(answered.contains("0 bytes"), "{answered}");
    server.stop().await;
}

/// With and without carriage returns, in pieces, long.
#[tokio::test]
async fn a_head_is_a_head_however_it_comes() {
    let server = Server::start(100).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "x".repeat(6000));
    for pieces in [
        &["GET / HTTP/1.1\nHost: a\nConnection: close\n\n"][..],
        &["GET / HTTP/1.1\nHost: a\nConnection: close\n\r\n"],
        &["GET / HT", "TP/1.1\r\nHost: a\r\nConnection: close\r\n\r", "\n"],
        &[&long, "Connection: close\r\n\r\n"],
    ] {
        let mut stream = server.ask("").await;
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = rest(&mut stream).await;
        assert!(
            answer.0.starts_with("HTTP/1.1 200 ") && answer.0.contains("0 bytes"),
            "{answer:?}"
        );
    }
    // Half of one, and then nothing more can come.
    let mut half = server.ask("GET / HTTP/1.1\r\nHo").await;
    half.shutdown().await.unwrap();
    let answer = rest(&mut half).await;
    assert!(!answer.0.contains("200"), "{answer:?}");
    server.stop().await;
}

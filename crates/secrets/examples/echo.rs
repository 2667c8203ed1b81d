//! The least an HTTP server can do with hyper: reads a request and answers with a fixed body as long as a secret's.
//! The yardstick of `cargo xtask bench secrets`; owns no product behaviour.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a development tool that ends with its process"
)]

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;

/// What a KV version 2 answer weighs.
const BODY: &[u8] = &[b' '; 480];

async fn echo(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    // Read to the end, as any server must before it answers.
    let _read = request.into_body().collect().await;
    let mut response = http::Response::new(Full::new(Bytes::from_static(BODY)));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = hyper::service::service_fn(echo);
            // The client's hanging up is no error of ours.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

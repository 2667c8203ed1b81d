//! The gRPC health check, by hand: one request message with one string, one answer with one number.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::Ipv4Addr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u8 = 1;

/// Asks `grpc.health.v1.Health/Check` for `service`.
pub(super) async fn check(address: Ipv4Addr, port: u16, service: &str) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("grpc health check at {address}:{port}: {error}");
    let stream = TcpStream::connect((address, port))
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its failure shows in the exchange as well.
        _ = connection.await;
    });
    let length = u8::try_from(service.len()).map_err(|_| failed(&"the service's name is too long"))?;
    let mut message = Vec::new();
    if length > 0 && length < 128 {
        message.extend([0x0a, length]);
        message.extend(service.as_bytes());
    }
    let size = u32::try_from(message.len()).unwrap_or(0);
    let mut frame = vec![0_u8];
    frame.extend(size.to_be_bytes());
    frame.extend(message);
    let request = http::Request::post(format!("http://{address}:{port}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(frame)))
        .map_err(|error| failed(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| failed(&error))?;
    let status = response.headers().get("grpc-status").cloned();
    let collected = response
        .into_body()
        .collect()
        .await
        .map_err(|error| failed(&error))?;
    let trailer = collected
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status").cloned());
    let code = trailer.or(status);
    if let Some(code) = code.filter(|code| code.as_bytes() != b"0") {
        return Err(failed(&format!(
            "status {}",
            String::from_utf8_lossy(code.as_bytes())
        )));
    }
    match *collected.to_bytes() {
        [_, _, _, _, _, 0x08, SERVING, ..] => Ok(()),
        _ => Err(failed(&"the service is not serving")),
    }
}

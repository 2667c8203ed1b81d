//! Answers: JSON, text and streams.

use crate::registry::Status;
use bytes::Bytes;
use futures::Stream;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use std::convert::Infallible;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

fn build(code: u16, media: &str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(media) = http::HeaderValue::from_str(media) {
        answer.headers_mut().insert(http::header::CONTENT_TYPE, media);
    }
    answer.headers_mut().insert(
        http::header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-cache, private"),
    );
    answer
}

/// JSON.
pub(crate) fn json(code: u16, value: &Value) -> Answer {
    json_as(code, "application/json", value)
}

/// JSON under another media type.
pub(crate) fn json_as(code: u16, media: &str, value: &Value) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            build(code, media, Full::new(Bytes::from(bytes)).boxed_unsync())
        }
        Err(error) => text(500, &error.to_string()),
    }
}

/// Plain text.
pub(crate) fn text(code: u16, text: &str) -> Answer {
    build(
        code,
        "text/plain; charset=utf-8",
        Full::new(Bytes::from(text.to_owned())).boxed_unsync(),
    )
}

/// Bytes of some media type.
pub(crate) fn bytes(code: u16, media: &str, bytes: &'static [u8]) -> Answer {
    build(code, media, Full::new(Bytes::from_static(bytes)).boxed_unsync())
}

/// A refusal.
pub(crate) fn status(status: &Status) -> Answer {
    let mut answer = json(status.code, &status.to_value());
    if let Some(seconds) = status.retry_after {
        answer
            .headers_mut()
            .insert(http::header::RETRY_AFTER, http::HeaderValue::from(seconds));
    }
    answer
}

/// Bytes as they come.
pub(crate) fn stream(media: &str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    use futures::StreamExt as _;
    let frames = chunks.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    build(200, media, StreamBody::new(frames).boxed_unsync())
}

//! Answers to what takes long. Whoever accepts `application/x-ndjson` hears what the request waits for, and until when at
//! most, again and again until the last line, which is the answer; so that nobody has to guess whether it is still worked
//! on. Everybody else gets the answer alone.

use super::Failure;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;

/// The kind of an answer in lines.
const LINES: &str = "application/x-ndjson";
/// How often a line is sent at least.
const BEAT: Duration = Duration::from_secs(2);

tokio::task_local! {
    static TOLD: watch::Sender<Waiting>;
}

/// What a request waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// In plain words.
    what: String,
    /// How long the server waits for it at most, in seconds.
    at_most: u64,
}

/// Says what the present request waits for, and how long it does at most.
pub(crate) fn waits_for(what: impl Into<String>, at_most: Duration) {
    let waiting = Waiting {
        what: what.into(),
        at_most: at_most.as_secs(),
    };
    // Nobody listens to a request that is answered in one piece.
    let _told = TOLD.try_with(|told| {
        told.send_if_modified(|last| {
            let new = *last != waiting;
            *last = waiting;
            new
        })
    });
}

/// Does the work and answers with its result.
pub(crate) async fn answer<F>(headers: &HeaderMap, work: F) -> Response
where
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains(LINES)) {
        return work.await.map(Json).into_response();
    }
    in_lines(BEAT, work).await
}

type Work = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

async fn in_lines<F>(beat: Duration, work: F) -> Response
where
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    let (tell, told) = watch::channel(Waiting::default());
    let mut work: Work = Box::pin(TOLD.scope(tell, work));
    // What is done at once is answered plainly, with a status of its own.
    tokio::select! {
        biased;
        result = &mut work => return result.map(Json).into_response(),
        () = tokio::time::sleep(beat / 4) => {}
    }
    (
        [(CONTENT_TYPE, LINES)],
        Body::from_stream(lines(beat, work, told)),
    )
        .into_response()
}

fn lines(
    beat: Duration,
    work: Work,
    told: watch::Receiver<Waiting>,
) -> impl Stream<Item = Result<String, Infallible>> {
    futures::stream::unfold(Some((work, told)), move |state| async move {
        let (mut work, mut told) = state?;
        let finished = tokio::select! {
            biased;
            result = &mut work => Some(result),
            // The sender lives in the work, so it closes only when that ends.
            _ = told.changed() => None,
            () = tokio::time::sleep(beat) => None,
        };
        let line = match finished {
            None => {
                let waiting = told.borrow_and_update().clone();
                return Some((
                    Ok(format!("{}\n", json!({ "waiting": waiting }))),
                    Some((work, told)),
                ));
            }
            Some(Ok(answer)) => json!({ "answer": answer }),
            Some(Err(failure)) => failure.in_a_line(),
        };
        Some((Ok(format!("{line}\n")), None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(response: Response) -> Vec<Value> {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn who_waits_hears_what_for_until_the_answer() {
        let beat = Duration::from_millis(20);
        let (done, is_done) = tokio::sync::oneshot::channel();
        let response = in_lines(beat, async move {
            waits_for("shop in production", Duration::from_secs(600));
            is_done.await.map_err(|_| Failure::invalid("gone"))?;
            Ok(json!({"message": "it is"}))
        })
        .await;
        // Longer than any beat; the work itself says nothing meanwhile.
        let (lines, ()) = tokio::join!(told(response), async {
            tokio::time::sleep(beat * 10).await;
            done.send(()).unwrap();
        });
        assert!(lines.len() > 3, "{lines:?}");
        assert_eq!(
            lines[0]["waiting"],
            json!({"what": "shop in production", "at_most": 600})
        );
        assert_eq!(lines[lines.len() - 1], json!({"answer": {"message": "it is"}}));
        // A refusal after a while keeps its status and words; one at once is an answer of its own.
        let late = in_lines(beat, async move {
            tokio::time::sleep(beat).await;
            Err(Failure::conflict("no").hint("do"))
        });
        let lines = told(late.await).await;
        let last = &lines[lines.len() - 1];
        assert_eq!(
            (&last["status"], &last["error"]["message"]),
            (&json!(409), &json!("no"))
        );
        assert_eq!(last["error"]["hint"], "do");
        let now = in_lines(beat, async { Err(Failure::not_found("none")) }).await;
        assert_eq!(now.status(), http::StatusCode::NOT_FOUND);
    }
}

//! Streams end when whoever asked for them may not ask any more: the token expired, its account or pod is gone, the
//! right was taken away.

use super::answer::Answer;
use super::dispatch::authorize;
use super::server::{self, Context};
use crate::auth::{Attributes, User};
use futures::StreamExt as _;
use http::HeaderValue;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::Body as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(3);

/// What a request was found to be, kept with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) user: User,
    pub(crate) want: Attributes,
}

/// Ends what a connection became when it was upgraded.
#[derive(Debug, Clone)]
pub(crate) struct Ends(pub(crate) CancellationToken);

/// Ends when the request would be refused by now. `bearer` is the header with the token, if one said who asks.
pub(crate) async fn refused(context: Arc<Context>, bearer: Option<HeaderValue>, asked: Asked) {
    loop {
        tokio::time::sleep(EVERY).await;
        let known = match &bearer {
            Some(header) => server::bearer(&context, header).is_ok(),
            None => true,
        };
        if !known || authorize(&context, &asked.user, &asked.want).is_err() {
            return;
        }
    }
}

/// An answer that is still being written ends as [`refused`] says; one that is there as a whole stays as it is.
pub(crate) fn keep(context: &Arc<Context>, bearer: Option<HeaderValue>, mut answer: Answer) -> Answer {
    let Some(asked) = answer.extensions_mut().remove::<Asked>() else {
        return answer;
    };
    if let Some(Ends(session)) = answer.extensions_mut().remove::<Ends>() {
        let until = refused(Arc::clone(context), bearer, asked);
        context.sessions.spawn(async move {
            if session.run_until_cancelled(until).await.is_some() {
                session.cancel();
            }
        });
        return answer;
    }
    if answer.body().size_hint().exact().is_some() {
        return answer;
    }
    let until = refused(Arc::clone(context), bearer, asked);
    answer.map(|body| StreamBody::new(BodyStream::new(body).take_until(Box::pin(until))).boxed_unsync())
}

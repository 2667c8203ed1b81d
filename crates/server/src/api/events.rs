//! `GET /api/v1/events`: server-sent events, one `change` whenever the view or a run changed.

use crate::state::Shared;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use std::convert::Infallible;
use std::time::Duration;

/// Changes in quick succession are told once.
const SETTLE: Duration = Duration::from_millis(150);

pub(crate) async fn events(
    State(shared): State<Shared>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = futures::stream::unfold(shared.live.listen(), |mut bell| async {
        bell.changed().await.ok()?;
        tokio::time::sleep(SETTLE).await;
        let count = *bell.borrow_and_update();
        Some((Ok(Event::default().event("change").data(count.to_string())), bell))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

//! `--watch`: shows something again whenever the platform says that it changed, until Ctrl-C. Owns no command's output.

use crate::failing::Failing;
use crate::platform::Platform;
use anyhow::Result;
use http_body_util::BodyExt;

/// Shows once, and with `watch` again at every change.
pub(crate) async fn show(
    platform: &Platform,
    watch: bool,
    json: bool,
    mut print: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    if !watch {
        return print().await;
    }
    // Listening first: what changes while the first look goes on is heard.
    let mut events = platform.stream("/api/v1/events").await?;
    loop {
        if !json {
            print!("{}", crate::paint::clear());
        }
        print().await?;
        loop {
            let frame = tokio::select! {
                frame = events.frame() => frame,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let Some(frame) = frame else {
                return Err(Failing::unreachable("herder has ended").into());
            };
            let frame = frame.map_err(|error| {
                Failing::unreachable(format!("herder is not reachable any more: {error}"))
            })?;
            // Comments keep the connection alive and tell nothing.
            if frame.into_data().is_ok_and(|data| !data.starts_with(b":")) {
                break;
            }
        }
    }
}

/// One document: over several lines for people, on one line where more will follow.
pub(crate) fn document(value: &serde_json::Value, watch: bool) -> Result<()> {
    if watch {
        println!("{value}");
    } else {
        println!("{}", serde_json::to_string_pretty(value)?);
    }
    Ok(())
}

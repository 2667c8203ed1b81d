//! `agent init`: everything once, before the pod's own containers start.

use super::config::Config;
use super::outputs::{Agent, AgentError};
use crate::jitter::backoff;
use herder_base::{Clock, chain, parse_duration};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Logs in and writes every file. Waits for a Vault that is away or sealed, but not for one that says no.
///
/// # Errors
/// With the reason for people; no file was written if fetching failed.
pub async fn init(config: Config, clock: Arc<dyn Clock>) -> Result<usize, AgentError> {
    let patience = parse_duration(&config.wait).unwrap_or(Duration::from_secs(60));
    let deadline = Instant::now() + patience;
    let mut agent = Agent::new(config, clock)?;
    let mut attempt = 0;
    loop {
        let result = match agent.login().await {
            Ok(()) => agent.render(|_| true).await,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                tracing::warn!("waiting: {}", chain(&error));
                tokio::time::sleep(backoff(
                    Duration::from_millis(500),
                    Duration::from_secs(10),
                    attempt,
                ))
                .await;
                attempt += 1;
            }
            // A token only for this; the sidecar gets its own. It is given back unless something was leased with it.
            Ok(changed) => {
                if agent.fetcher.next_due().is_none() && agent.config.tls.is_empty() {
                    let _ = agent.client.revoke_self().await;
                }
                return Ok(changed);
            }
            Err(error) => return Err(error),
        }
    }
}

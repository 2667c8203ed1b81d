//! `agent run`: keeps the token alive, and the files true, until cancelled.

use super::config::Config;
use super::outputs::{Agent, AgentError};
use crate::jitter::{backoff, unit};
use herder_base::{Clock, chain, parse_duration};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs until cancelled. Faults of Vault are waited out with the old files in place; they are never half new.
///
/// # Errors
/// Only if the configuration can never work.
pub async fn run(config: Config, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Result<(), AgentError> {
    let refresh = parse_duration(&config.refresh)
        .unwrap_or(Duration::from_secs(60))
        .max(Duration::from_secs(1));
    let mut agent = Agent::new(config, clock)?;
    let work = async {
        let mut failures = 0;
        loop {
            match keep(&mut agent, refresh, &mut failures).await {
                // The token ends: a new login, then everything leased by the old one anew.
                Ok(()) => agent.fetcher.forget_all(),
                Err(error) => {
                    tracing::warn!("{}", chain(&error));
                    agent.fetcher.forget_all();
                    tokio::time::sleep(backoff(Duration::from_secs(1), Duration::from_secs(60), failures))
                        .await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = cancel.cancelled() => {}
    }
    // What was leased with the token ends with it; a Vault that is away must not hold up the pod's end.
    let _ = tokio::time::timeout(Duration::from_secs(2), agent.client.revoke_self()).await;
    Ok(())
}

/// One token's life: from login until it must be replaced.
async fn keep(agent: &mut Agent, refresh: Duration, failures: &mut u32) -> Result<(), AgentError> {
    agent.login().await?;
    let identity = agent.client.identity();
    let first_lifetime = identity.lifetime;
    let mut renew_at = renewal(first_lifetime);
    let spreads: Vec<f64> = agent.config.tls.iter().map(|_| unit()).collect();
    loop {
        let due: Vec<bool> = agent
            .config
            .tls
            .iter()
            .zip(&spreads)
            .map(|(tls, spread)| agent.certificate_due_in(tls, *spread).is_zero())
            .collect();
        let paths: Vec<_> = agent
            .config
            .tls
            .iter()
            .zip(&due)
            .filter(|(_, due)| **due)
            .map(|(tls, _)| tls.cert.clone())
            .collect();
        agent.fetcher.renew_due().await?;
        match agent.render(|tls| paths.contains(&tls.cert)).await {
            Ok(0) => *failures = 0,
            Ok(changed) => {
                *failures = 0;
                tracing::info!(changed, "files brought up to date");
            }
            Err(error) if error.needs_login() => return Err(error),
            Err(error) => {
                tracing::warn!("keeping the files as they are: {}", chain(&error));
                *failures = failures.saturating_add(1);
            }
        }
        let now = Instant::now();
        let pause = if *failures == 0 {
            refresh.mul_f64(0.9 + 0.2 * unit())
        } else {
            backoff(
                Duration::from_secs(1),
                refresh.max(Duration::from_secs(1)),
                *failures,
            )
        };
        let certificate = agent
            .config
            .tls
            .iter()
            .zip(&spreads)
            .map(|(tls, spread)| now + agent.certificate_due_in(tls, *spread).max(Duration::from_secs(1)))
            .min();
        let wake = [Some(now + pause), renew_at, agent.fetcher.next_due(), certificate]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + refresh);
        tokio::time::sleep_until(wake).await;
        if renew_at.is_some_and(|at| at <= Instant::now()) {
            if !agent.client.identity().renewable {
                return Ok(());
            }
            match agent.client.renew_self(first_lifetime).await {
                // Shorter than it was: its maximum is near, and leases must not outlive their token.
                Ok(lifetime) if lifetime < first_lifetime.mul_f64(0.5) => return Ok(()),
                Ok(lifetime) => renew_at = renewal(lifetime),
                Err(error) => return Err(error.into()),
            }
        }
        agent.fetcher.forget_unleased();
    }
}

/// When to renew a token: at two thirds of its life, spread so that a thousand pods do not meet.
fn renewal(lifetime: Duration) -> Option<Instant> {
    (!lifetime.is_zero()).then(|| Instant::now() + lifetime.mul_f64(0.6 + 0.13 * unit()))
}

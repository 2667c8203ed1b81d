//! Keeps the token of a program that runs for long: renewed before its end, and read again when its file changes. Owns the
//! times; writes nothing.

use crate::client::Client;
use herder_base::Secret;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long after a failure Vault is asked again.
const AGAIN: Duration = Duration::from_secs(20);
/// How often a token without an end is looked up.
const SELDOM: Duration = Duration::from_secs(3600);

/// Reads a token from its file.
///
/// # Errors
/// If the file cannot be read or is empty.
pub fn read_token(file: &Path) -> std::io::Result<Secret<String>> {
    let text = Secret::new(std::fs::read_to_string(file)?);
    let token = text.expose().trim();
    if token.is_empty() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "the file is empty",
        ));
    }
    Ok(Secret::new(token.to_owned()))
}

/// Keeps the client's token, which came from `file`, until cancelled. A token that cannot be renewed is said to end soon;
/// whoever writes the file replaces it.
pub async fn keep_token(client: Client, file: &Path, cancel: CancellationToken) {
    let mut known = read_token(file).ok();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Half written or gone for a moment: the token in use stays.
        if let Ok(token) = read_token(file)
            && known
                .as_ref()
                .is_none_or(|known| known.expose() != token.expose())
        {
            client.set_token(token.clone());
            known = Some(token);
            due = Instant::now();
        }
        if Instant::now() >= due {
            due = Instant::now() + renewed(&client, file).await;
        }
    }
}

/// Renews the token if that is possible, and says after what time to come again.
async fn renewed(client: &Client, file: &Path) -> Duration {
    let outcome = async {
        let identity = client.lookup_self().await?;
        if identity.lifetime.is_zero() {
            return Ok(SELDOM);
        }
        if identity.renewable {
            // Zero asks for as long as it was given first.
            let left = client.renew_self(Duration::ZERO).await?;
            return Ok(left / 3 * 2);
        }
        tracing::warn!(
            left = ?identity.lifetime, file = %file.display(),
            "the token for Vault cannot be renewed: put a new one into its file before it ends"
        );
        Ok::<_, crate::error::Error>(identity.lifetime / 2)
    };
    match outcome.await {
        Ok(wait) => wait.max(LOOK),
        Err(error) => {
            tracing::error!(
                error = %herder_base::chain(&error), file = %file.display(),
                "the token for Vault could not be renewed; trying again soon"
            );
            AGAIN
        }
    }
}

//! The embedded Vault's audit device: on from the first start, into the data directory, and cut into pieces that end.
//!
//! Every request to Vault is there with its path and who sent it, values as keyed digests. Owns the device's file.

use crate::error::{Error, boxed};
use herder_secrets::Server;
use herder_vault::{Client, Method};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Below the data directory.
const FILE: &str = "state/vault-audit.log";
/// A file that is longer becomes an old one, and so many of those are kept.
const LONGEST: u64 = 64 << 20;
const KEPT: u32 = 8;
/// How often its length is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Turns it on, unless Vault has an audit device already: whoever set one up knows better.
pub(crate) async fn enable(client: &Client, dir: &Path) -> Result<(), Error> {
    let failed = |error| Error::start("Vault's audit device")(boxed(error));
    let devices = client
        .call(Method::Get, "sys/audit", None)
        .await
        .map_err(failed)?;
    let has_some = devices
        .get("data")
        .and_then(Value::as_object)
        .is_some_and(|devices| !devices.is_empty());
    if has_some {
        return Ok(());
    }
    let body = json!({
        "type": "file", "description": "made by herder",
        "options": {"file_path": dir.join(FILE), "mode": "0600"},
    });
    client
        .call(Method::Post, "sys/audit/herder", Some(&body))
        .await
        .map_err(failed)?;
    Ok(())
}

/// Keeps the file from growing for ever.
pub(crate) async fn rotate(
    server: Server,
    dir: PathBuf,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let file = dir.join(FILE);
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        match shift(&file, LONGEST) {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = server.reopen_audit_files() {
                    tracing::error!(error = %herder_base::chain(&error), "Vault answers nothing until its audit file can be opened");
                }
            }
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "Vault's audit file could not be put away")
            }
        }
    }
}

/// Puts a file away that is longer than it should be; says whether it did.
fn shift(file: &Path, longest: u64) -> std::io::Result<bool> {
    let length = match std::fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if length <= longest {
        return Ok(false);
    }
    let old = |number: u32| file.with_extension(format!("log.{number}"));
    for number in (1..KEPT).rev() {
        if old(number).exists() {
            std::fs::rename(old(number), old(number + 1))?;
        }
    }
    std::fs::rename(file, old(1))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pieces_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vault-audit.log");
        assert!(!shift(&file, 3).unwrap());
        for piece in 0..20 {
            std::fs::write(&file, format!("{piece:04}")).unwrap();
            assert!(shift(&file, 3).unwrap());
            assert!(!file.exists());
        }
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, usize::try_from(KEPT).unwrap());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("vault-audit.log.1")).unwrap(),
            "0019"
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("vault-audit.log.8")).unwrap(),
            "0012"
        );
    }
}

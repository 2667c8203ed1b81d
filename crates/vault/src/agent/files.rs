//! Files that are either the old or the new ones, never half; and the file of variables.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Writes a file beside the target, then renames it. Says whether anything changed.
///
/// # Errors
/// If the directory cannot be made or written; the old file stays then.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, WriteError> {
    let fail = |source| WriteError {
        path: path.to_owned(),
        source,
    };
    if let Ok(present) = std::fs::read(path)
        && present == bytes
        && std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o7777 == mode)
    {
        return Ok(false);
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fail)?;
    let name = path
        .file_name()
        .ok_or_else(|| fail(std::io::ErrorKind::InvalidInput.into()))?;
    let temporary = directory.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| true).map_err(fail)
}

/// One line per variable, quoted for a shell.
pub(super) fn env_file(variables: &[(String, String)]) -> String {
    variables
        .iter()
        .map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', r"'\''")))
        .collect()
}

/// Reads what the agent wrote for `herder agent exec`.
#[must_use]
pub fn parse_env_file(text: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("='") {
        let Some(end) = closing(after) else { break };
        let (value, next) = after.split_at(end);
        variables.push((name.trim().to_owned(), value.replace(r"'\''", "'")));
        rest = next.trim_start_matches('\'').trim_start_matches('\n');
    }
    variables
}

/// Where the quote closes, jumping over `'\''`.
fn closing(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find('\'')?;
        if !text.get(at..)?.starts_with(r"'\''") {
            return Some(at);
        }
        from = at + 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_back() {
        let variables: Vec<(String, String)> = [
            ("A", "plain"),
            ("B", "it's 'quoted'"),
            ("C", "two\nlines"),
            ("D", ""),
        ]
        .map(|(n, v)| (n.into(), v.into()))
        .into();
        assert_eq!(parse_env_file(&env_file(&variables)), variables);
    }

    #[test]
    fn replaces_whole_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(write_atomically(&path, b"one", 0o640).unwrap());
        assert!(!write_atomically(&path, b"one", 0o640).unwrap());
        assert!(write_atomically(&path, b"one", 0o600).unwrap());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert!(write_atomically(&path.join("below-a-file"), b"x", 0o600).is_err());
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }
}

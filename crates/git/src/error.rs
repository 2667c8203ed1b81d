//! What can go wrong with a remote, each naming the remote, the reference and git's own last line.

use herder_base::{Commit, Url};
use std::time::Duration;
use thiserror::Error;

/// A remote could not be read or written.
#[derive(Debug, Error)]
pub enum Error {
    /// The machine has no git, or it cannot be started.
    #[error("cannot run `git`: is it installed and on PATH?")]
    Program(#[source] std::io::Error),
    /// The cache directory cannot be written.
    #[error("cannot use the cache directory {path}")]
    Cache {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address is not one that may be used.
    #[error("`{url}` is no address of a git remote: {why}")]
    Address {
        /// As it was given.
        url: Url,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The name of the branch, tag or commit is malformed.
    #[error("`{reference}` is no name of a branch, tag or commit")]
    Name {
        /// As it was given.
        reference: String,
    },
    /// The remote has no such branch, tag or commit.
    #[error("{url} has no branch, tag or commit `{reference}`{}", hint(.near))]
    NoReference {
        /// The remote.
        url: Url,
        /// What was asked for.
        reference: String,
        /// A similar name that it has.
        near: Option<String>,
    },
    /// The remote has no commits at all.
    #[error("{url} is empty: push a first commit to it")]
    Empty {
        /// The remote.
        url: Url,
    },
    /// The remote cannot be reached or refuses.
    #[error("cannot {action} {url}: {said} ({hint})")]
    Remote {
        /// What was tried: `read`, `fetch` or `push to`.
        action: &'static str,
        /// The remote.
        url: Url,
        /// Git's last line.
        said: String,
        /// What to do.
        hint: &'static str,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s while trying to {action} it", .after.as_secs())]
    Deadline {
        /// What was tried.
        action: &'static str,
        /// The remote.
        url: Url,
        /// How long it was waited.
        after: Duration,
    },
    /// Somebody else pushed in between. Read again, decide again.
    #[error(
        "branch `{branch}` of {url} has moved on from {expected} while this commit was made; nothing was pushed"
    )]
    Conflict {
        /// The remote.
        url: Url,
        /// The branch.
        branch: String,
        /// The parent it should have had.
        expected: Commit,
    },
    /// The commit is larger than what is read into memory.
    #[error("{url} at {commit} has {found} {unit}, more than the limit of {limit}")]
    TooLarge {
        /// The remote.
        url: Url,
        /// The commit.
        commit: Commit,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
        /// `files` or `bytes`.
        unit: &'static str,
    },
    /// One file is larger than what is read into memory.
    #[error("{url} at {commit}: {path} has {found} bytes, more than the limit of {limit} for one file")]
    FileTooLarge {
        /// The remote.
        url: Url,
        /// The commit.
        commit: Commit,
        /// The file.
        path: String,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The remote sends more than is taken in.
    #[error("{url} has more than {limit} bytes to say: that many {what} are not read")]
    Flood {
        /// The remote.
        url: Url,
        /// Of what.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// A changed path cannot be in a repository.
    #[error("cannot commit a change to this path")]
    Path(#[source] herder_base::PathError),
    /// A changed path is one that git keeps for itself.
    #[error("`{path}` cannot be committed: git keeps such paths for itself")]
    Reserved {
        /// The path.
        path: String,
    },
    /// Git said something unexpected.
    #[error("git {command} failed for {url}: {said}")]
    Git {
        /// The subcommand.
        command: &'static str,
        /// The remote whose cache it worked on.
        url: Url,
        /// Git's last line.
        said: String,
    },
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

/// What to do about git's last line.
pub(crate) fn remedy(said: &str) -> &'static str {
    let table: [(&str, &str); 17] = [
        (
            "index-pack",
            "it is larger than what is fetched of one repository, or damaged",
        ),
        (
            "Out of memory",
            "unpacking it needs more memory than one repository gets",
        ),
        (
            "redirect",
            "redirects are not followed: write the address that it redirects to",
        ),
        (
            "returned error: 30",
            "redirects are not followed: write the address that it redirects to (for many forges, with `.git` at its end)",
        ),
        (
            "dubious ownership",
            "the repository belongs to another user: git config --global --add safe.directory PATH",
        ),
        (
            "does not appear to be a git repository",
            "check the path; a local remote is a repository's directory",
        ),
        ("does not exist", "check the path and that it is readable"),
        (
            "not found",
            "check the address, and that the credentials may read it",
        ),
        (
            "could not read Username",
            "it needs credentials: configure a git credential helper for this host",
        ),
        (
            "terminal prompts disabled",
            "it needs credentials: configure a git credential helper for this host",
        ),
        (
            "Authentication failed",
            "the credentials are wrong: check the git credential helper for this host",
        ),
        (
            "Permission denied",
            "check file permissions, or the ssh key for this host",
        ),
        (
            "Host key verification failed",
            "add the host's key to known_hosts: ssh-keyscan HOST",
        ),
        ("Could not resolve host", "check the host name and the network"),
        (
            "refusing to update checked out branch",
            "the remote has a working tree: make it bare, or set receive.denyCurrentBranch=updateInstead there",
        ),
        (
            "not allowed",
            "this transport is switched off; use a path, file, ssh or https",
        ),
        ("onnection", "check that the host is up and reachable"),
    ];
    table
        .iter()
        .find(|(part, _)| said.contains(part))
        .map_or("check the address and that you may use it", |(_, hint)| hint)
}

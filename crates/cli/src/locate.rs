//! Finds the Herder that a command is for: the one named on the command line, the one the environment names, the current
//! context, or the only one that runs. Owns that order, which `docs/finding.md` tells; talks to none of them but to see
//! whether somebody answers.

use crate::args::Global;
use crate::contexts::{Contexts, Place};
use crate::failing::{Failing, Kind};
use crate::platform::{Platform, default_dir, endpoints};
use anyhow::{Context, Result};
use serde_json::Value;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a Herder may take to answer when it is looked for.
const KNOCK: Duration = Duration::from_millis(500);

/// What a command is for.
#[derive(Debug)]
pub(crate) enum Found {
    /// A data directory on this machine.
    Dir(PathBuf),
    /// An address with a token.
    Remote {
        url: String,
        token: String,
        ca: Option<PathBuf>,
    },
}

/// The Herder that is meant.
pub(crate) fn find(global: &Global) -> Result<Found> {
    if let Some(dir) = &global.dir {
        return Ok(Found::Dir(dir.clone()));
    }
    let contexts = Contexts::read()?;
    if let Some(name) = &global.context {
        return open(&contexts.find(name)?.place);
    }
    if let Some(found) = environment()? {
        return Ok(found);
    }
    if let Some(known) = contexts.current()
        && (matches!(known.place, Place::Remote { .. }) || runs(&known.place))
    {
        return open(&known.place);
    }
    let mut places: Vec<PathBuf> = Vec::new();
    let known = contexts.contexts.iter().filter_map(|known| match &known.place {
        Place::Dir { dir } => Some(dir.clone()),
        Place::Remote { .. } => None,
    });
    let usual = [
        PathBuf::from("herder-demo"),
        default_dir(),
        PathBuf::from("/var/lib/herder"),
    ];
    for dir in known.chain(usual) {
        let dir = dir.canonicalize().unwrap_or(dir);
        if !places.contains(&dir) {
            places.push(dir);
        }
    }
    let running: Vec<&PathBuf> = places
        .iter()
        .filter(|dir| runs(&Place::Dir { dir: (*dir).clone() }))
        .collect();
    match running.as_slice() {
        [one] => Ok(Found::Dir((*one).clone())),
        [] => Err(none(&places).into()),
        several => {
            let named: Vec<String> = several.iter().map(|dir| dir.display().to_string()).collect();
            let failing = Failing::new(
                Kind::Usage,
                "ambiguous",
                format!(
                    "{} Herders run here, and none of them is current: {}",
                    named.len(),
                    named.join(", ")
                ),
            );
            Err(failing
                .hint("choose one with `herder context use NAME`, or name it with `--context` or `--dir`")
                .into())
        }
    }
}

/// The data directory of the Herder that is meant, if it is on this machine and there is one.
pub(crate) fn dir(global: &Global) -> Option<PathBuf> {
    match find(global) {
        Ok(Found::Dir(dir)) => Some(dir),
        Ok(Found::Remote { .. }) | Err(_) => None,
    }
}

impl Platform {
    /// The Herder that a command is for.
    pub(crate) fn find(global: &Global) -> Result<Self> {
        match find(global)? {
            Found::Dir(dir) => Self::of(&dir),
            Found::Remote { url, token, ca } => Self::at(&url, &token, ca.as_deref()),
        }
    }

    /// The herder whose data directory is `dir`.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let endpoints = endpoints(dir)?;
        let text = |pointer: &str| endpoints.pointer(pointer).and_then(Value::as_str);
        let base = text("/dashboard/url").context("endpoints.json names no dashboard")?;
        let file = text("/dashboard/token_file").context("endpoints.json names no dashboard token file")?;
        let token = std::fs::read_to_string(file)
            .map_err(|error| foreign(dir, Path::new(file), &error).unwrap_or_else(|| error.into()))
            .with_context(|| format!("cannot read the token {file}"))?;
        Self::at(base, token.trim(), None)
    }
}

/// The Herder that `HERDER_URL` and `HERDER_TOKEN` name, as those of a job's pod do.
pub(crate) fn environment() -> Result<Option<Found>> {
    let Some(url) = std::env::var("HERDER_URL").ok().filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let token = std::env::var("HERDER_TOKEN").map_err(|_| {
        Failing::usage("HERDER_URL is set, but HERDER_TOKEN is not")
            .hint("the token is in state/dashboard.token of that Herder's data directory")
    })?;
    Ok(Some(Found::Remote {
        url,
        token: token.trim().to_owned(),
        ca: std::env::var_os("HERDER_CACERT").map(PathBuf::from),
    }))
}

fn open(place: &Place) -> Result<Found> {
    Ok(match place {
        Place::Dir { dir } => Found::Dir(dir.clone()),
        Place::Remote {
            url,
            token_file,
            ca_file,
        } => Found::Remote {
            url: url.clone(),
            token: std::fs::read_to_string(token_file)
                .with_context(|| format!("cannot read the token for {url} in {}", token_file.display()))?
                .trim()
                .to_owned(),
            ca: ca_file.clone(),
        },
    })
}

/// Whether somebody answers there.
pub(crate) fn runs(place: &Place) -> bool {
    let url = match place {
        Place::Dir { dir } => {
            let Ok(text) = std::fs::read_to_string(dir.join("endpoints.json")) else {
                return false;
            };
            let endpoints: Value = serde_json::from_str(&text).unwrap_or_default();
            let url = endpoints.pointer("/dashboard/url").and_then(Value::as_str);
            url.unwrap_or_default().to_owned()
        }
        Place::Remote { url, .. } => url.clone(),
    };
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    });
    let addresses = (uri.host().unwrap_or_default(), port).to_socket_addrs();
    let mut addresses = addresses.into_iter().flatten();
    addresses.any(|address| TcpStream::connect_timeout(&address, KNOCK).is_ok())
}

fn none(places: &[PathBuf]) -> Failing {
    let theirs = places.iter().find_map(|dir| {
        let error = std::fs::metadata(dir.join("endpoints.json")).err()?;
        foreign(dir, dir, &error)
    });
    if let Some(theirs) = theirs {
        return crate::failing::of(&theirs);
    }
    Failing::unreachable("no Herder runs that this user knows of").hint(
        "start one with `herder up FLEET` or `herder demo`, name its directory with `--dir`, or set HERDER_URL and \
         HERDER_TOKEN for one on another machine",
    )
}

/// What to say of a file that another user keeps to himself.
pub(crate) fn foreign(dir: &Path, file: &Path, error: &std::io::Error) -> Option<anyhow::Error> {
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return None;
    }
    let owner = std::fs::metadata(dir)
        .or_else(|_| std::fs::metadata(file))
        .ok()?
        .uid();
    let name = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(owner))
        .ok()
        .flatten()
        .map_or_else(|| owner.to_string(), |user| format!("{} ({owner})", user.name));
    let failing = Failing::new(
        Kind::Unreachable,
        "other-user",
        format!(
            "{} belongs to user {name}, who alone may use its Herder by it",
            dir.display()
        ),
    );
    Some(
        failing
            .hint(
                "run the command as that user, or have the token of its state/dashboard.token given to you and set \
                 HERDER_URL and HERDER_TOKEN",
            )
            .into(),
    )
}

//! Answers templates from Vault, files and the environment, and remembers how long the answers hold.

use crate::agent::certificate;
use crate::client::{Client, Method};
use crate::error::Error;
use crate::files;
use herder_base::{Clock, chain};
use herder_template::{Error as TemplateError, Evaluation, Known, Rendered, Request, Template};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many rounds of asking a template gets.
const ROUNDS: usize = 64;

/// Fetches what templates ask for and keeps it until it is told to forget.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    clock: Arc<dyn Clock>,
    known: Arc<Known>,
    leases: BTreeMap<Request, Lease>,
    /// At which part of its life something is replaced; none spreads it between six and eight tenths.
    threshold: Option<f64>,
    /// Where the template being rendered goes: certificates there are used on.
    destination: Option<PathBuf>,
    /// The directory that files must be in.
    sandbox: Option<PathBuf>,
    /// What the last rendering asked for.
    used: BTreeSet<Request>,
}

/// Something that ends.
#[derive(Debug, Clone)]
struct Lease {
    id: String,
    duration: Duration,
    renewable: bool,
    due: Instant,
}

/// Why a template has no text.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Vault has no answer.
    #[error("{what}")]
    Vault {
        /// The template and what it needs.
        what: String,
        /// Vault's reason.
        #[source]
        source: Error,
    },
}

impl Fetcher {
    /// Answers with this client's token.
    #[must_use]
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            clock,
            known: Arc::default(),
            leases: BTreeMap::new(),
            threshold: None,
            destination: None,
            sandbox: None,
            used: BTreeSet::new(),
        }
    }

    /// Replaces things at this part of their life, spread a little so that not all come due together.
    pub fn set_threshold(&mut self, part: f64) {
        self.threshold = Some(part.clamp(0.05, 0.95));
    }

    /// Where the next template's output goes, whose certificates are used on, and the directory its files must be in.
    pub fn set_place(&mut self, destination: Option<PathBuf>, sandbox: Option<PathBuf>) {
        self.destination = destination;
        self.sandbox = sandbox;
    }

    /// Forgets one answer, so that the next rendering asks again.
    pub fn forget(&mut self, request: &Request) {
        self.leases.remove(request);
        if let Some(known) = Arc::get_mut(&mut self.known) {
            known.remove(request);
        }
    }

    /// What the last rendering asked for, also if it failed.
    pub(crate) fn used(&self) -> BTreeSet<Request> {
        self.used.clone()
    }

    /// A part of a lifetime, a few hundredths more or less.
    fn part(&self) -> f64 {
        match self.threshold {
            Some(part) => (part + 0.06 * (crate::jitter::unit() - 0.5)).clamp(0.02, 0.97),
            None => 0.6 + 0.2 * crate::jitter::unit(),
        }
    }

    /// Renders, fetching what is not known yet.
    ///
    /// # Errors
    /// If the template is wrong or something it needs cannot be had.
    pub async fn render(&mut self, template: &Template) -> Result<Rendered, RenderError> {
        for _ in 0..ROUNDS {
            let Evaluation {
                text,
                missing,
                used,
                files,
            } = template.evaluate(Arc::clone(&self.known));
            self.used.clone_from(&used);
            if missing.is_empty() {
                return Ok(Rendered {
                    text: text?,
                    used,
                    files,
                });
            }
            for request in missing {
                let answer = self.fetch(&request).await.map_err(|failure| {
                    // A template may have made the path from a secret.
                    let hide = |text: &str| self.known.redact(text);
                    match failure {
                        Fetch::Vault(source) => RenderError::Vault {
                            what: hide(&format!("template {} needs {request}", template.name())),
                            source: source.with_paths(&hide),
                        },
                        Fetch::Local(reason) => {
                            let mut error = template.source_error(&request, reason);
                            if let herder_template::ErrorKind::Source { what, reason } = &mut error.kind {
                                (*what, *reason) = (hide(what), hide(reason));
                            }
                            RenderError::Template(error)
                        }
                    }
                })?;
                self.learn(request, answer);
            }
        }
        Err(RenderError::Template(TemplateError {
            name: template.name().to_owned(),
            line: 0,
            column: 0,
            kind: herder_template::ErrorKind::Endless(ROUNDS),
        }))
    }

    /// A secret's fields, or the value of `path#key`, kept as long as its lease holds.
    ///
    /// # Errors
    /// If it is denied, not there, or Vault cannot be reached.
    pub async fn value(&mut self, reference: &str) -> Result<Json, Error> {
        let (path, key) = reference
            .split_once('#')
            .map_or((reference, None), |(path, key)| (path, Some(key)));
        let request = Request::Secret {
            path: path.to_owned(),
        };
        if self.known.get(&request).is_none() {
            let answer = self.client.read(path).await?;
            self.learn(request.clone(), answer);
        }
        let answer = self.known.get(&request).unwrap_or(&Json::Null);
        let fields = crate::kv::fields_of(answer).ok_or(Error::Malformed {
            path: path.to_owned(),
            what: "it has no data",
        })?;
        match key {
            None => Ok(Json::Object(fields.clone())),
            Some(key) => fields.get(key).cloned().ok_or_else(|| Error::NoKey {
                path: path.to_owned(),
                key: key.to_owned(),
                keys: fields.keys().cloned().collect(),
            }),
        }
    }

    fn learn(&mut self, request: Request, answer: Json) {
        let duration = seconds(answer.get("lease_duration").and_then(Json::as_u64).unwrap_or(0));
        let id = answer
            .get("lease_id")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        let end = match &request {
            Request::PkiCert { .. } => answer
                .get("Expiration")
                .and_then(Json::as_i64)
                .map(|at| self.left(at)),
            _ if !id.is_empty() && !duration.is_zero() => Some(duration),
            // Rotated by Vault itself: just after, it is another.
            _ if answer.pointer("/data/rotation_period").is_some() => {
                let ttl = answer.pointer("/data/ttl").and_then(Json::as_u64).unwrap_or(0);
                Some(seconds(ttl.saturating_add(1)))
            }
            _ => None,
        };
        let rotated = id.is_empty() && !matches!(request, Request::PkiCert { .. });
        if let Some(duration) = end {
            let renewable = answer.get("renewable").and_then(Json::as_bool).unwrap_or(false);
            let renewable = renewable && !rotated;
            // What can be renewed is, early; what cannot is had anew near its end.
            let due = Instant::now()
                + if rotated {
                    duration
                } else if renewable {
                    duration.mul_f64(1.0 / 3.0 + 0.33 * crate::jitter::unit())
                } else {
                    self.reused(&answer)
                        .unwrap_or_else(|| duration.mul_f64(self.part()))
                };
            self.leases.insert(
                request.clone(),
                Lease {
                    id,
                    duration,
                    renewable,
                    due,
                },
            );
        }
        if let Some(known) = Arc::get_mut(&mut self.known) {
            known.insert(request, answer);
        }
    }

    async fn fetch(&self, request: &Request) -> Result<Json, Fetch> {
        let vault = Fetch::Vault;
        Ok(match request {
            Request::Secret { path } => self.client.read(path).await.map_err(vault)?,
            Request::Write { path, data } => self.client.write(path, &json!(data)).await.map_err(vault)?,
            Request::List { path } => json!(self.client.list(path).await.map_err(vault)?),
            Request::PkiCert { path, data } => {
                if let Some(present) = self.present_certificate() {
                    return Ok(present);
                }
                let issued = self
                    .client
                    .call(Method::Post, path, Some(&json!(data)))
                    .await
                    .map_err(vault)?;
                let field = |name: &str| {
                    issued
                        .pointer(&format!("/data/{name}"))
                        .cloned()
                        .unwrap_or(Json::Null)
                };
                json!({
                    "Cert": field("certificate"), "Key": field("private_key"), "CA": field("issuing_ca"),
                    "CAChain": field("ca_chain"), "Expiration": field("expiration"),
                })
            }
            Request::File { path }
                if self
                    .sandbox
                    .as_ref()
                    .is_some_and(|box_| !within(box_, Path::new(path))) =>
            {
                return Err(Fetch::Local("it is outside of sandbox_path".to_owned()));
            }
            Request::File { path } => file(path.into()).await.map_err(Fetch::Local)?,
            Request::Env { name } => std::env::var(name).map_or(Json::Null, Json::String),
            Request::Now => json!(self.clock.now().as_second()),
            Request::Seed => json!(seed().ok_or_else(|| Fetch::Local("the system gives none".to_owned()))?),
        })
    }

    /// Forgets what has no lease, so that the next rendering reads it again. The seed stays: what a template drew from
    /// it changes with the process only.
    pub fn forget_unleased(&mut self) {
        let leased: Vec<Request> = self.leases.keys().cloned().collect();
        let mut kept = Known::default();
        if let Some(known) = Arc::get_mut(&mut self.known) {
            for request in leased.into_iter().chain([Request::Seed]) {
                if let Some(answer) = known.remove(&request) {
                    kept.insert(request, answer);
                }
            }
        }
        self.known = Arc::new(kept);
    }

    /// Forgets everything but certificates: leases die with the token that they were made with.
    pub fn forget_all(&mut self) {
        self.leases
            .retain(|request, _| matches!(request, Request::PkiCert { .. }));
        self.forget_unleased();
    }

    /// When the first lease or certificate wants attention.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.due).min()
    }

    /// Renews what is due; what cannot be renewed any more is forgotten and so read anew by the next rendering.
    ///
    /// # Errors
    /// If Vault cannot be reached; nothing is forgotten then.
    pub async fn renew_due(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let due: Vec<(Request, Lease)> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.due <= now)
            .map(|(r, l)| (r.clone(), l.clone()))
            .collect();
        for (request, lease) in due {
            let renewed = if lease.renewable && !lease.id.is_empty() {
                let body = json!({"lease_id": lease.id, "increment": lease.duration.as_secs()});
                match self
                    .client
                    .call(Method::Put, "sys/leases/renew", Some(&body))
                    .await
                {
                    Ok(answer) => answer.get("lease_duration").and_then(Json::as_u64).map(seconds),
                    Err(error) if error.is_transient() => return Err(error),
                    Err(_) => None,
                }
            } else {
                None
            };
            match renewed {
                // A lease near its maximum comes back shorter: get a new one while the old still works.
                Some(duration) if duration >= lease.duration / 2 => {
                    let due = now + duration.mul_f64(1.0 / 3.0 + 0.33 * crate::jitter::unit());
                    self.leases.insert(request, Lease { due, ..lease });
                }
                _ => {
                    self.leases.remove(&request);
                    if let Some(known) = Arc::get_mut(&mut self.known) {
                        known.remove(&request);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Fetcher {
    /// The certificate and key that the destination holds already, if they are good for a while.
    fn present_certificate(&self) -> Option<Json> {
        let text = String::from_utf8(files::read(self.destination.as_ref()?).ok()?).ok()?;
        let mut present = certificate::in_file(&text)?;
        let now = self.clock.now().as_second();
        let (from, until) = (present.from, present.until);
        let lifetime = until.checked_sub(from).filter(|n| *n > 0)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "seconds of a certificate's life"
        )]
        let replace_at = from + (lifetime as f64 * self.part()) as i64;
        if now < from || now >= replace_at {
            return None;
        }
        if let Some(fields) = present.json.as_object_mut() {
            fields.insert("Expiration".to_owned(), json!(until));
            fields.insert("ReplaceAt".to_owned(), json!(replace_at));
        }
        Some(present.json)
    }

    /// How long a certificate that was there already is used on.
    fn reused(&self, answer: &Json) -> Option<Duration> {
        let at = answer.get("ReplaceAt").and_then(Json::as_i64)?;
        Some(self.left(at))
    }

    /// How long it is until then.
    fn left(&self, at: i64) -> Duration {
        seconds(u64::try_from(at.saturating_sub(self.clock.now().as_second())).unwrap_or(0))
    }
}

/// A time that somebody else gave, short enough to reckon with.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count).min(crate::LONGEST)
}

/// A file's text. What is no text is a list of its bytes, which takes much more room than they.
async fn file(path: PathBuf) -> Result<Json, String> {
    const LONGEST: usize = 8 << 20;
    let read = tokio::task::spawn_blocking(move || files::read(&path)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(chain(&error).to_string()),
        Err(_) => return Err("it cannot be read".to_owned()),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Json::String(text)),
        Err(error) if error.as_bytes().len() > LONGEST => {
            Err("it is no text, and larger than 8 MiB".to_owned())
        }
        Err(error) => Ok(json!(error.into_bytes())),
    }
}

/// 32 bytes of the process's generator, in hex.
fn seed() -> Option<String> {
    let mut bytes = [0; 32];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a path, links followed, is inside a directory.
pub(crate) fn within(directory: &Path, path: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else {
        return false;
    };
    // What is not there yet is where its directory is.
    let real = path
        .canonicalize()
        .or_else(|_| match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        });
    real.is_ok_and(|real| real.starts_with(&directory))
}

enum Fetch {
    Vault(Error),
    Local(String),
}

impl RenderError {
    /// Whether the template itself is wrong, so that waiting does not help.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(self, Self::Template(error)
            if !matches!(error.kind, herder_template::ErrorKind::Source { .. }))
    }

    /// Whether trying again later can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Vault { source, .. } if source.is_transient())
    }

    /// Whether logging in again helps.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        matches!(self, Self::Vault { source, .. } if source.needs_login())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_drawn_stays_with_the_process() {
        let fetcher = || {
            let client = Client::new(&crate::Config::new("http://127.0.0.1:1")).unwrap();
            Fetcher::new(client, Arc::new(herder_base::SystemClock))
        };
        let template = Template::parse(
            "t",
            "{{sprig_randAlphaNum 24}}",
            &herder_template::Options::default(),
        );
        let template = template.unwrap();
        let (mut one, mut other) = (fetcher(), fetcher());
        let first = one.render(&template).await.unwrap().text;
        one.forget_all();
        assert!(first == one.render(&template).await.unwrap().text);
        assert!(first != other.render(&template).await.unwrap().text);
        assert_eq!(first.len(), 24);
    }

    #[test]
    fn takes_any_lifetime() {
        let client = Client::new(&crate::Config::new("http://127.0.0.1:1")).unwrap();
        let mut fetcher = Fetcher::new(client, Arc::new(herder_base::SystemClock));
        let most = u64::MAX;
        for (path, answer) in [
            (
                "a",
                json!({"lease_id": "x", "lease_duration": most, "renewable": true}),
            ),
            (
                "b",
                json!({"lease_id": "x", "lease_duration": most, "renewable": false}),
            ),
            ("c", json!({"data": {"rotation_period": 1, "ttl": most}})),
        ] {
            let path = path.to_owned();
            fetcher.learn(Request::Secret { path }, answer);
        }
        for at in [i64::MIN, i64::MAX] {
            let (path, data) = (at.to_string(), BTreeMap::new());
            let request = Request::PkiCert { path, data };
            fetcher.learn(request, json!({"Expiration": at, "ReplaceAt": at}));
        }
        assert_eq!(fetcher.leases.len(), 5);
        assert!(fetcher.next_due().is_some_and(|due| due <= Instant::now()));
    }
}

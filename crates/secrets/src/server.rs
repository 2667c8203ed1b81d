//! The server: the core with its clock and its questions; what happens by itself is in `timed`. Owns the order "do, make durable, record,
//! answer"; the caller owns listeners.

use crate::audit::Trail;
use crate::core::Core;
use crate::core::context::After;
use crate::core::request::{Op, Request, Response, wipe};
use crate::core::seal::{InitResult, SealConfig};
use crate::external::{Answer, Question, Rotates, SqlQuestion};
use crate::http::Asker;
use crate::{Error, Result, http, sys};
use herder_base::Clock;
use herder_store::Store;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an end waits for requests that change something: longer than a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the entries are.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A store the caller opened.
    Store(Store),
    /// A file of the server's own.
    File(PathBuf),
    /// Gone with the process.
    InMemory,
}

/// What a server needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the entries are.
    pub storage: Storage,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Address clients reach the server at, for answers that name it; may be empty.
    pub api_addr: String,
}

/// A Vault-compatible server, sealed until it is unsealed. Clones share it.
#[derive(Clone)]
pub struct Server {
    pub(crate) core: Arc<Core>,
    asker: Arc<Asker>,
    /// Requests that come to their end whether or not their client still waits.
    pub(crate) tasks: TaskTracker,
    pub(crate) limits: Limits,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("sealed", &self.core.is_sealed())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the storage; the server starts sealed.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(config: Config) -> std::result::Result<Self, herder_store::OpenError> {
        let store = match config.storage {
            Storage::Store(store) => store,
            Storage::File(path) => Store::open(path)?,
            Storage::InMemory => Store::in_memory(),
        };
        Ok(Self {
            core: Arc::new(Core::new(store, config.clock, config.api_addr)),
            asker: Arc::default(),
            tasks: TaskTracker::new(),
            limits: Limits::default(),
        })
    }

    /// Initialises with so many key shares, of which so many are needed; the server stays sealed. The first token's id
    /// may be given, which only a server for development should do.
    ///
    /// # Errors
    /// If it is initialised, the numbers are impossible, or the storage fails.
    pub async fn init(&self, shares: usize, threshold: usize, root_id: Option<String>) -> Result<InitResult> {
        self.core.init(SealConfig { shares, threshold }, root_id).await
    }

    /// Opens the audit devices' files anew, after they were moved away.
    ///
    /// # Errors
    /// If one cannot be opened; then nothing is answered until it can.
    pub fn reopen_audit_files(&self) -> Result<()> {
        self.core.sinks.reopen()
    }

    /// The HTTP interface. Whoever serves it may put [`crate::PeerCertificates`] and `ConnectInfo<SocketAddr>` into the
    /// requests' extensions.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Waits until no request that changes something is under way any more, but not for ever. Whoever serves the router
    /// themselves waits for this before the process ends; [`Self::serve`] and [`Self::run`] do so.
    pub async fn drained(&self) {
        // A closed tracker takes tasks all the same; closing only lets the waiting end.
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still under way at the end");
        }
    }

    /// Serves on a listener until cancelled, then drains.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        cancel: CancellationToken,
    ) {
        http::serve::serve(self.clone(), listener, tls, cancel).await;
    }

    /// Answers a request: done and durable, then recorded, then given.
    ///
    /// # Errors
    /// [`Error`] as the client shall see it.
    pub async fn handle(&self, mut request: Request) -> Result<Response> {
        self.answer(&mut request).await
    }

    /// The same for a request the caller goes on using.
    pub(crate) async fn answer(&self, request: &mut Request) -> Result<Response> {
        if let Some(refused) = &request.refused {
            let error = Error::NotCanonical(refused.clone());
            let mut trail = Trail::default();
            trail.refuse(&self.core, &error);
            let outcome = Err(error);
            trail.response(&self.core, request, &outcome).await?;
            return outcome;
        }
        // What is rare is boxed, here and below: a request's future is moved as a whole, with room for all it may do.
        if request.path.starts_with("sys/")
            && let Some(answer) = Box::pin(sys::outside::handle(&self.core, request)).await
        {
            return answer;
        }
        let mut trail = Trail::default();
        let outcome = self.finish(request, &mut trail).await;
        trail.response(&self.core, request, &outcome).await?;
        outcome
    }

    async fn finish(&self, request: &mut Request, trail: &mut Trail) -> Result<Response> {
        let mut turns = Vec::new();
        // More than a few questions for one log in would be a loop.
        for _ in 0..5 {
            let attempt = if is_slow(request) {
                let core = Arc::clone(&self.core);
                let mut asked = request.clone();
                let room = Box::pin(self.limits.slow(request)).await?;
                let mut moved = std::mem::take(trail);
                let (attempt, moved) = tokio::task::spawn_blocking(move || {
                    let _room = room;
                    let attempt = core.attempt(&asked, &mut moved);
                    wipe(&mut asked.data);
                    (attempt, moved)
                })
                .await
                .map_err(|_| Error::Internal("the request ended abnormally"))?;
                *trail = moved;
                attempt
            } else {
                self.core.attempt(request, trail)
            };
            match attempt {
                Ok(done) => {
                    if let Some(pending) = done.pending {
                        pending.durable().await?;
                    }
                    for after in done.after {
                        match after {
                            After::Seal => self.core.seal(),
                            After::Rotate => Box::pin(self.core.rotate()).await?,
                            After::Audit(devices) => self.core.sinks.replace(&devices)?,
                        }
                    }
                    return Ok(done.response);
                }
                Err(Error::Needs(question)) => {
                    trail.flush(&self.core, request)?;
                    if turns.is_empty()
                        && let Some(of) = rotates(&question)
                    {
                        turns = Box::pin(self.core.rotations.turns(of)).await;
                        // Begun anew: the password may have been replaced while this waited.
                        continue;
                    }
                    if let Some((id, undo)) = crate::engines::database::announced(&question)? {
                        self.core.announce(&id, &undo)?.durable().await?;
                    }
                    let reply = match &*question {
                        Question::Sql(sql) => Box::pin(self.ask_database(sql)).await?,
                        Question::Http(http) => Box::pin(self.asker.ask(http)).await,
                    };
                    request.answers.push(Answer { to: *question, reply });
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Internal("too many questions for one request"))
    }

    /// Whether a request needs no token; none do while nothing can be looked up.
    pub(crate) fn is_public(&self, request: &Request) -> bool {
        sys::outside::knows(&request.path)
            || request.op == Op::Write
                && request
                    .path
                    .strip_prefix("auth/")
                    .is_some_and(|rest| rest.ends_with("/login") || rest.contains("/login/"))
    }

    /// Asks a database. A new password is stored first: if what comes back is not a plain yes, the
    /// password that counts is still known.
    async fn ask_database(
        &self,
        question: &SqlQuestion,
    ) -> Result<std::result::Result<(u16, Value), String>> {
        let made = &question.made;
        if let Some(of) = &made.rotates {
            self.core.propose(of, &made.password).await?;
        }
        let asked = http::sql::ask(question).await;
        if let (Some(of), Err(_)) = (&made.rotates, &asked.outcome) {
            self.core.unproven(of, &made.password, &asked).await?;
        }
        Ok(asked.outcome.map(|()| (200, Value::Null)))
    }
}

/// The entries whose password a question replaces.
fn rotates(question: &Question) -> Option<&Rotates> {
    match question {
        Question::Sql(question) => question.made.rotates.as_ref(),
        Question::Http(_) => None,
    }
}

/// How much of what is costly may be under way at once. What is more waits its turn, but not for ever.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    long: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    log_ins: Arc<Semaphore>,
}

/// Long bodies that are held at once: with what they become, a gigabyte at the very most.
const LONG: usize = 8;

impl Default for Limits {
    fn default() -> Self {
        // One place more than there are cores, so that none of them waits for the next.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            long: Arc::new(Semaphore::new(LONG)),
            slow: Arc::new(Semaphore::new(cores + 1)),
            log_ins: Arc::new(Semaphore::new(cores + 1)),
        }
    }
}

impl Limits {
    /// Room for a long body.
    pub(crate) async fn long(&self) -> Result<OwnedSemaphorePermit> {
        room(&self.long).await
    }

    /// Room for slow work. Log ins have their own: whoever has no token must not keep those waiting who have one.
    async fn slow(&self, request: &Request) -> Result<OwnedSemaphorePermit> {
        room(if request.path.contains("/login") {
            &self.log_ins
        } else {
            &self.slow
        })
        .await
    }
}

async fn room(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    match tokio::time::timeout(PATIENCE, Arc::clone(of).acquire_owned()).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(Error::Busy),
    }
}

/// Requests that make or use large keys, or stretch passwords: they would hold up everybody else.
fn is_slow(request: &Request) -> bool {
    if request.op == Op::Read {
        // Made when it is asked for first.
        return request.path.ends_with("/wrapping_key");
    }
    request.op == Op::Write
        && !request.path.starts_with("sys/")
        && [
            "/issue/",
            "/generate/",
            "/sign",
            "/issuers/",
            "/root/",
            "/keys/",
            "/login/",
            "/users/",
            "/revoke",
            "/rotate",
            "/verify/",
            "/config/",
        ]
        .iter()
        .any(|part| request.path.contains(part))
}

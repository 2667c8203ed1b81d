//! Composes the platform: builds every part, binds every listener, then runs. Nothing runs before everything is built.

use crate::allowed::Allowed;
use crate::api;
use crate::datadir::DataDir;
use crate::error::{Error, boxed};
use crate::flow::Access;
use crate::flow_bell::FlowBell;
use crate::history::History;
use crate::keeper;
use crate::listening::{bind, serve};
use crate::live::Live;
use crate::ops;
use crate::options::Options;
use crate::record;
use crate::run_tokens::RunTokens;
use crate::secret_file::SecretFile;
use crate::secrets::{self, Choice};
use crate::state::{Inner, Shared};
use crate::supervisor::{Fate, Supervisor};
use crate::view::{Looked, View};
use crate::wire::actions::PlatformActions;
use crate::wire::definitions::update_jobs;
use crate::wire::edge::{FabricDial, OwnCertificate};
use crate::wire::journal::LedgerJournal;
use crate::wire::pods::PodExecutor;
use crate::wire::remotes::JobRemotes;
use crate::wire::{self};
use arc_swap::{ArcSwap, ArcSwapOption};
use herder_base::{Clock, SystemClock};
use herder_cluster::Cluster;
use herder_edge::Edge;
use herder_git::Git;
use herder_jobs::{ArtefactStore, JobEvent, Jobs, LogStore, Ports, Settings};
use herder_kubelite::Kubelite;
use herder_ledger::Ledger;
use herder_node::fabric;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where pods find the platform.
const PLATFORM_IN_CLUSTER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 3)), 443);

/// A platform that has been started: its servers answer, the flow waits for [`Platform::run`].
pub struct Platform {
    dir: DataDir,
    shared: Shared,
    supervisor: Supervisor,
    endpoints: Value,
}

impl Platform {
    /// Builds and starts every part.
    ///
    /// # Errors
    /// If the data directory is in use, an address is taken, or a part does not start; nothing is left running then.
    pub async fn start(options: Options) -> Result<Self, Error> {
        // One provider for the whole process; a second call finds it set.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let supervisor = Supervisor::default();
        match build(options, &supervisor).await {
            Ok((dir, shared, endpoints)) => Ok(Self {
                dir,
                shared,
                supervisor,
                endpoints,
            }),
            Err(error) => {
                // The first failure is the one to tell.
                let _stopped = supervisor.stop().await;
                Err(error)
            }
        }
    }

    /// What `endpoints.json` says.
    #[must_use]
    pub fn endpoints(&self) -> &Value {
        &self.endpoints
    }

    /// A link that signs a browser in, once and within minutes.
    ///
    /// # Errors
    /// If the machine gives no random numbers.
    pub fn login_link(&self) -> Result<String, Error> {
        let code = self.shared.codes.issue(self.shared.clock.now());
        let code = code.map_err(Error::file("make", "a code to sign in"))?;
        let url = self.endpoints.pointer("/dashboard/url").and_then(Value::as_str);
        Ok(format!("{}login#{code}", url.unwrap_or_default()))
    }

    /// Keeps the fleet true until `cancel`, then stops everything in reverse order.
    ///
    /// # Errors
    /// If an essential part failed, or some part had to be cut off.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let shared = &self.shared;
        let spawn = |name, make: fn(Shared, CancellationToken) -> _| {
            let shared = shared.clone();
            self.supervisor
                .spawn(name, Fate::Essential, move |cancel| make(shared, cancel));
        };
        spawn("git watcher", |shared, cancel| {
            Box::pin(keeper::watch_git(shared, cancel)) as Work
        });
        spawn("keeper", |shared, cancel| {
            Box::pin(keeper::run(shared, cancel)) as Work
        });
        let failed = tokio::select! {
            () = cancel.cancelled() => false,
            () = self.supervisor.failed() => true,
        };
        let stopped = self.supervisor.stop().await;
        self.shared.ledger.close().await;
        self.dir.close();
        if failed { Err(Error::PartFailed) } else { stopped }
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

async fn build(mut options: Options, supervisor: &Supervisor) -> Result<(DataDir, Shared, Value), Error> {
    let dir = DataDir::open(&options.dir)?;
    dir.path().clone_into(&mut options.dir);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = bind("the edge (HTTP)", options.listen.http).await?;
    let https = bind("the edge (HTTPS)", options.listen.https).await?;
    let board = bind("the dashboard", options.listen.dashboard).await?;
    let vault = Choice::of(&options).await?;
    let address = |listener: &TcpListener| {
        listener
            .local_addr()
            .map_err(Error::file("read the address of", "a listener"))
    };
    let (http_at, https_at, board_at) = (address(&http)?, address(&https)?, address(&board)?);

    // The cluster and the ledger do not know each other, so they start together.
    let config = herder_kubelite::Config {
        dir: options.dir.clone(),
        nodes: options.nodes,
        listen: options.listen.kubernetes,
        exe: options.program.clone(),
        ingress: vec![http_at.ip()],
    };
    let at = |name: &str| options.dir.join("state").join(name);
    let (file, key, head) = (at("ledger.sqlite"), at("audit.key"), at("audit.head"));
    let (kubelite, ledger) = tokio::join!(
        Kubelite::start(config, Arc::clone(&clock)),
        Ledger::open_sealed(&file, &key, &head)
    );
    let ledger = ledger.map_err(|error| Error::start("the ledger")(boxed(error)))?;
    let kubelite = kubelite.map_err(|error| Error::start("the cluster")(boxed(error)))?;
    let (kubeconfig, kube_url, kube_ca) = (
        kubelite.kubeconfig(),
        kubelite.url(),
        kubelite.ca_pem().to_owned(),
    );
    let (fabric, authority) = (kubelite.fabric(), kubelite.authority());
    let inside_tls = |name: &str, at: SocketAddr| {
        authority
            .service_tls(name, "herder-system", at.ip(), &*clock)
            .map_err(|error| Error::start("TLS inside the cluster")(boxed(error)))
    };
    supervisor.spawn("cluster", Fate::Essential, |cancel| async move {
        kubelite.run(cancel).await;
        Ok::<_, Infallible>(())
    });
    let cluster = Cluster::connect(&kubeconfig, None)
        .await
        .map_err(|error| Error::start("the Kubernetes client")(boxed(error)))?;
    let watching = cluster.clone();
    supervisor.spawn("cluster watch", Fate::Essential, |cancel| async move {
        watching.run(cancel).await;
        Ok::<_, Infallible>(())
    });

    if fabric.is_some() {
        announce(&cluster).await?;
    }
    let reviewer = secrets::reviewer(&cluster, kube_url.clone(), kube_ca).await?;
    let inside = match &fabric {
        Some(fabric) => Some(secrets::Inside {
            fabric,
            tls: inside_tls("vault", secrets::IN_CLUSTER)?,
        }),
        None => None,
    };
    let vault = vault.start(supervisor, &options.dir, reviewer, inside).await?;
    let platform_tls = inside_tls("platform", PLATFORM_IN_CLUSTER)?;

    let git = Git::new(options.dir.join("git"));
    let allowed = Allowed::new(&options.fleet);
    let (executor, actions) = (
        Arc::new(PodExecutor::default()),
        Arc::new(PlatformActions::default()),
    );
    let ports = Ports {
        executor: Arc::clone(&executor) as _,
        actions: Arc::clone(&actions) as _,
        remotes: Arc::new(JobRemotes {
            git: git.clone(),
            allowed: allowed.clone(),
        }),
        journal: Arc::new(LedgerJournal::new(ledger.clone())),
        clock: Arc::clone(&clock),
        logs: LogStore::new(options.dir.join("logs")),
        artefacts: ArtefactStore::new(options.dir.join("artefacts")),
    };
    let (jobs, dispatcher) = Jobs::new(
        Settings {
            board: Some(format!("http://{board_at}")),
            ..Settings::default()
        },
        ports,
    );

    let token = SecretFile::open(&dir, "state/dashboard.token")?;
    let webhook_secret = SecretFile::open(&dir, "state/webhook.secret")?;
    let shared = Shared(Arc::new(Inner {
        clock,
        git,
        allowed,
        cluster,
        vault: vault.client,
        cluster_login: vault.login,
        introduced: ArcSwapOption::empty(),
        ledger,
        jobs,
        live: Live::default(),
        run_tokens: RunTokens::default(),
        reading: ArcSwapOption::empty(),
        seeded: ArcSwapOption::empty(),
        unreadable: ArcSwapOption::empty(),
        looked: Looked::default(),
        view: ArcSwap::from_pointee(View::default()),
        access: Access::default(),
        history: History::default(),
        bell: FlowBell::default(),
        everything_down: AtomicBool::new(false),
        refused_hosts: ArcSwap::default(),
        edge: OnceLock::new(),
        edge_http: http_at,
        token,
        webhook_secret,
        codes: api::Codes::default(),
        throttle: api::Throttle::default(),
        rung: api::Rung::default(),
        names: api::Names::new(&options.dashboard_urls, board_at),
        audit_fault: ArcSwapOption::empty(),
        options,
    }));
    fill(&shared, &executor, &actions);
    record::take_up_seal(&shared)
        .await
        .map_err(|error| Error::start("the ledger")(boxed(error)))?;
    let down = ops::stays_down(&shared)
        .await
        .map_err(|error| Error::start("the ledger")(boxed(error)))?;
    shared.everything_down.store(down, Ordering::SeqCst);
    supervisor.spawn("jobs", Fate::Essential, |cancel| async move {
        dispatcher.run(cancel).await;
        Ok::<_, Infallible>(())
    });
    let built_in = update_jobs(&shared.options.fleet, &shared.options.branch);
    shared
        .jobs
        .add_built_in(vec![built_in])
        .await
        .map_err(|error| Error::start("the job dispatcher")(boxed(error)))?;
    let ringing = shared.clone();
    supervisor.spawn("job events", Fate::Optional, |cancel| {
        ring_for_jobs(ringing, cancel)
    });

    serve_edge(supervisor, &shared, fabric.as_ref(), http, https);
    serve_board(supervisor, &shared, board);
    if let Some(fabric) = &fabric {
        let inside = fabric
            .listen(PLATFORM_IN_CLUSTER)
            .await
            .map_err(|source| Error::Listen {
                what: "pods",
                address: PLATFORM_IN_CLUSTER,
                source,
            })?;
        let router = api::pod_router(shared.clone());
        supervisor.spawn("platform in the cluster", Fate::Essential, |cancel| {
            serve(
                "the platform for pods",
                inside,
                router,
                Some(platform_tls),
                cancel,
            )
        });
    }
    let endpoints = json!({
        "kubeconfig": kubeconfig,
        "kubernetes": kube_url,
        "vault": vault.endpoint,
        "edge": {"http": format!("http://{http_at}"), "https": format!("https://{https_at}"), "ca_file": dir.path().join("edge-ca.pem")},
        "dashboard": {"url": format!("http://{board_at}/"), "token_file": dir.path().join("state/dashboard.token")},
    });
    dir.write_endpoints(&endpoints)?;
    Ok((dir, shared, endpoints))
}

/// Gives Vault and the platform names in the cluster.
async fn announce(cluster: &Cluster) -> Result<(), Error> {
    for (name, address) in [("vault", secrets::IN_CLUSTER), ("platform", PLATFORM_IN_CLUSTER)] {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "herder-system"},
            "spec": {"clusterIP": address.ip(), "ports": [{"name": "https", "port": address.port()}]},
        });
        let applied = cluster.server_apply(&service, herder_cluster::MANAGER).await;
        applied.map_err(|error| Error::start("the platform's names in the cluster")(boxed(error)))?;
    }
    Ok(())
}

fn fill(shared: &Shared, executor: &PodExecutor, actions: &PlatformActions) {
    let weak: Weak<Inner> = Arc::downgrade(&shared.0);
    executor.fill(weak.clone());
    actions.fill(weak);
}

fn serve_edge(
    supervisor: &Supervisor,
    shared: &Shared,
    fabric: Option<&fabric::Fabric>,
    http: TcpListener,
    https: TcpListener,
) {
    let edge = match fabric {
        Some(fabric) => Edge::new(Box::new(FabricDial(fabric.clone()))),
        None => Edge::new(Box::new(herder_edge::DirectDial)),
    };
    // Set once: there is one edge.
    let _first = shared.edge.set(edge.clone());
    let own = match herder_edge::self_signed(vec!["localhost".to_owned()]) {
        Ok(key) => Arc::new(OwnCertificate::new(key)),
        Err(error) => {
            tracing::error!(error = %herder_base::chain(&error), "no certificate could be made; the edge serves HTTP only");
            return;
        }
    };
    let (plain, secure, certificates) = (edge.clone(), edge.clone(), Arc::clone(&own));
    supervisor.spawn("edge HTTP", Fate::Essential, |cancel| async move {
        plain.serve_http(http, cancel).await;
        Ok::<_, Infallible>(())
    });
    supervisor.spawn("edge HTTPS", Fate::Essential, |cancel| async move {
        secure.serve_https(https, certificates, cancel).await
    });
    let shared = shared.clone();
    supervisor.spawn("edge routes", Fate::Essential, |cancel| {
        wire::edge::run(shared, edge, own, cancel)
    });
}

fn serve_board(supervisor: &Supervisor, shared: &Shared, listener: TcpListener) {
    let router = api::router(shared.clone());
    supervisor.spawn("dashboard", Fate::Essential, |cancel| {
        serve("the dashboard", listener, router, None, cancel)
    });
}

/// Whoever looks at runs hears of every change.
async fn ring_for_jobs(shared: Shared, cancel: CancellationToken) -> Result<(), Infallible> {
    let mut events = shared.jobs.subscribe();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            event = events.recv() => event,
        };
        match event {
            Ok(JobEvent::Decided(_)) => {}
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => shared.live.ring(),
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

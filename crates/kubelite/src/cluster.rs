//! The composition: one cluster in one process. Opens the store, makes the certificates, starts the network and the
//! node agents, and runs the API server, the controllers and the scheduler. Owns the order of starting and stopping.

use base64::Engine as _;
use herder_apiserver::api::{ApiServer, Context};
use herder_apiserver::auth::{Agents, Rbac, TokenError, Tokens, bootstrap_roles};
use herder_apiserver::images::{self, Puller};
use herder_apiserver::pki::{Authority, Pki, PkiError, write_private};
use herder_apiserver::registry::{DeleteOptions, OpenError, Registry, Status};
use herder_base::Clock;
use herder_control::controllers;
use herder_node::fabric::{Fabric, FabricConfig, FabricError, KUBERNETES, NodeConfig, PolicySnapshot};
use herder_store::Store;
use serde_json::json;
use sha2::Digest as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How to start a cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub dir: PathBuf,
    /// Node agents to run; 0 is an API server alone.
    pub nodes: usize,
    /// Where the API server listens on the machine; port 0 picks one.
    pub listen: SocketAddr,
    /// The `herder` binary, re-executed for the network and the agents.
    pub exe: PathBuf,
    /// The addresses at which the edge serves Ingresses, for their status.
    pub ingress: Vec<IpAddr>,
}

/// Why a cluster could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file, directory or socket.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The address is taken or not ours.
    #[error("the Kubernetes API cannot listen on {address}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The store.
    #[error("cannot open the cluster's state")]
    Store(#[from] herder_store::OpenError),
    /// What is in it.
    #[error("cannot read the cluster's state")]
    Objects(#[from] OpenError),
    /// Certificates.
    #[error("cannot prepare the cluster's certificates")]
    Pki(#[from] PkiError),
    /// The token key.
    #[error("cannot prepare the token key")]
    Tokens(#[from] TokenError),
    /// The first objects.
    #[error("cannot write the cluster's first objects")]
    Bootstrap(#[from] Status),
    /// The network.
    #[error("cannot start the cluster's network")]
    Fabric(#[from] FabricError),
    /// Images.
    #[error("cannot open the store of images")]
    Images(#[from] herder_images::StoreError),
    /// A task ended abnormally.
    #[error("starting was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A cluster that is ready to [`run`](Kubelite::run).
#[derive(Debug)]
pub struct Kubelite {
    /// The agents as they were started, to start them again.
    agents: Vec<NodeConfig>,
    /// Their credentials.
    credentials: Arc<Agents>,
    config: Config,
    clock: Arc<dyn Clock>,
    registry: Registry,
    fabric: Option<Fabric>,
    puller: Puller,
    api: ApiServer,
    stop: CancellationToken,
    address: SocketAddr,
    ca_pem: String,
    authority: Authority,
    listeners: Vec<TcpListener>,
    socket: UnixListener,
}

fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

impl Kubelite {
    /// Opens everything and starts the network and the node agents. Connections wait until [`run`](Kubelite::run).
    ///
    /// # Errors
    /// [`StartError`] says which part and why; nothing is left running.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let runtime = config.dir.join("kubelite");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&runtime)
            .map_err(io("create", &runtime))?;
        let fabric = async {
            if config.nodes == 0 {
                return Ok(None);
            }
            let fabric = Fabric::start(FabricConfig {
                dir: config.dir.clone(),
                exe: config.exe.clone(),
                cluster_id: cluster_id(&config.dir),
            });
            Ok::<_, StartError>(Some(fabric.await?))
        };
        let state = Self::open_state(&config, &clock);
        let (fabric, state) = tokio::join!(fabric, state);
        let started = match (fabric, state) {
            (Ok(fabric), Ok((registry, pki))) => {
                Self::assemble(config, clock, registry, &pki, fabric.clone(), &runtime)
                    .await
                    .map_err(|error| (error, fabric))
            }
            (Ok(fabric), Err(error)) => Err((error, fabric)),
            (Err(error), _) => Err((error, None)),
        };
        match started {
            Ok(cluster) => Ok(cluster),
            Err((error, fabric)) => {
                if let Some(fabric) = fabric {
                    fabric.shutdown().await;
                }
                Err(error)
            }
        }
    }

    async fn open_state(config: &Config, clock: &Arc<dyn Clock>) -> Result<(Registry, Pki), StartError> {
        let (dir, listen, clock) = (config.dir.join("state"), config.listen, Arc::clone(clock));
        // Reading a large store and making keys would hold up the runtime's other tasks.
        let opened = tokio::task::spawn_blocking(move || {
            let pki = Pki::open(&dir.join("pki"), &[listen.ip()], &*clock)?;
            let store = Store::open(dir.join("kube.redb"))?;
            Ok::<_, StartError>((Registry::open(store, clock)?, pki))
        });
        let (registry, pki) = opened.await??;
        bootstrap(&registry).await?;
        Ok((registry, pki))
    }

    async fn assemble(
        config: Config,
        clock: Arc<dyn Clock>,
        registry: Registry,
        pki: &Pki,
        fabric: Option<Fabric>,
        runtime: &Path,
    ) -> Result<Self, StartError> {
        let tokens = Arc::new(Tokens::new(&pki.token_key)?);
        let credentials = Arc::new(Agents::default());
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen {
                address: config.listen,
                source,
            })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let socket = listen_unix(&runtime.join("api.sock"))?;
        let mut listeners = vec![listener];
        if let Some(fabric) = &fabric {
            let service = SocketAddr::from((KUBERNETES, 443));
            let inside = fabric
                .listen(service)
                .await
                .map_err(|source| StartError::Listen {
                    address: service,
                    source,
                })?;
            listeners.push(inside);
        }
        let stop = CancellationToken::new();
        let (images, puller) = images::images(&config.dir, registry.clone(), Arc::clone(&clock))?;
        let api = ApiServer::new(
            Context {
                rbac: Rbac::new(registry.clone()),
                registry: registry.clone(),
                tokens,
                agents: Arc::clone(&credentials),
                images,
                fabric: fabric.clone(),
                dir: config.dir.clone(),
                stop: stop.clone(),
                sessions: TaskTracker::new(),
            },
            pki.tls()?,
        );
        let mut cluster = Self {
            address,
            ca_pem: pki.ca_pem.clone(),
            authority: pki.authority.clone(),
            clock,
            registry,
            fabric,
            puller,
            api,
            stop,
            listeners,
            socket,
            agents: Vec::new(),
            credentials,
            config,
        };
        crate::old_logs::forget(&cluster.config.dir, &cluster.registry).await;
        write_private(&cluster.kubeconfig(), cluster.kubeconfig_text(pki).as_bytes())?;
        cluster.agents = cluster.spawn_nodes().await?;
        Ok(cluster)
    }

    /// Removes nodes of ours that an earlier run had and this one has not; the controllers replace their pods.
    async fn forget_nodes(&self) -> Result<(), StartError> {
        let (nodes, _) = self.registry.list("nodes", None);
        let surplus = nodes.iter().map(|node| herder_object::name(node)).filter(|name| {
            let number = name
                .strip_prefix('n')
                .and_then(|number| number.parse::<usize>().ok());
            number.is_some_and(|number| number > self.config.nodes)
        });
        for name in surplus {
            tracing::info!(
                node = name,
                "this cluster has fewer nodes than before: its pods move"
            );
            self.registry
                .delete("nodes", "", name, DeleteOptions::default())
                .await?;
        }
        Ok(())
    }

    async fn spawn_nodes(&self) -> Result<Vec<NodeConfig>, StartError> {
        self.forget_nodes().await?;
        let Some(fabric) = &self.fabric else {
            return Ok(Vec::new());
        };
        // From the start nothing is open: pods wait for the controllers to say what holds for them.
        fabric.set_policies(PolicySnapshot::default()).await?;
        let nodes = (1..=self.config.nodes).filter_map(|number| Some((number, u8::try_from(number).ok()?)));
        let spawns = nodes.map(|(number, index)| async move {
            let name = format!("n{number}");
            let mut node = NodeConfig::new(name.clone(), index, self.credentials.issue(&name)?);
            node.nodes = self.config.nodes;
            fabric.spawn_node(node.clone()).await?;
            Ok::<_, StartError>(node)
        });
        futures::future::try_join_all(spawns).await
    }

    /// Serves and controls until `cancel`, then stops in order: controllers, nodes, network, API.
    pub async fn run(self, cancel: CancellationToken) {
        let mut serving = JoinSet::new();
        for listener in self.listeners {
            serving.spawn(self.api.clone().serve_tls(listener, self.stop.clone()));
        }
        serving.spawn(self.api.clone().serve_unix(self.socket, self.stop.clone()));
        serving.spawn(self.puller.run(self.stop.clone()));
        let deps = controllers::Deps {
            registry: self.registry.clone(),
            fabric: self.fabric.clone(),
            clock: self.clock,
            volumes: self.config.dir.join("volumes"),
            root_ca: self.ca_pem,
            ingress: self.config.ingress,
        };
        if let Some(fabric) = &self.fabric {
            serving.spawn(replace_nodes(
                fabric.clone(),
                self.agents,
                self.credentials,
                (self.config.dir.clone(), self.registry.clone()),
                cancel.child_token(),
            ));
        }
        tokio::select! {
            () = async {
                controllers::run(deps, cancel.child_token()).await;
                cancel.cancelled().await;
            } => {}
            // Nothing runs without it: whoever supervises this cluster must hear of it.
            () = network_ended(self.fabric.as_ref()) => {
                tracing::error!("the cluster's network ended by itself: every pod is gone with it");
            }
        }
        if let Some(fabric) = self.fabric {
            fabric.shutdown().await;
        }
        self.stop.cancel();
        while serving.join_next().await.is_some() {}
        let _best_effort = std::fs::remove_file(self.config.dir.join("kubelite").join("api.sock"));
    }

    /// The objects.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// The network; `None` without nodes.
    #[must_use]
    pub fn fabric(&self) -> Option<Fabric> {
        self.fabric.clone()
    }

    /// Where the API server listens on the machine.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API server's URL, on the machine.
    #[must_use]
    pub fn url(&self) -> String {
        let ip = if self.address.ip().is_unspecified() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            self.address.ip()
        };
        format!("https://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.config.dir.join("kubeconfig")
    }

    /// The certificate of the cluster's authority.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What signs for the control plane's own services inside the cluster.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority.clone()
    }

    fn kubeconfig_text(&self, pki: &Pki) -> String {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let (certificate, key) = &pki.admin;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: herder\nclusters:\n- name: herder\n  cluster:\n    server: {}\n    \
             certificate-authority-data: {}\ncontexts:\n- name: herder\n  context:\n    cluster: herder\n    user: admin\n\
             users:\n- name: admin\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
            self.url(),
            encode(&pki.ca_pem),
            encode(certificate),
            encode(key),
        )
    }
}

/// Names this cluster's cgroups: the same for the same directory, different for others.
fn cluster_id(dir: &Path) -> String {
    let path = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let digest = hex::encode(sha2::Sha256::digest(path.as_os_str().as_encoded_bytes()));
    digest.chars().take(10).collect()
}

fn listen_unix(path: &Path) -> Result<UnixListener, StartError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("replace the socket", path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(io("listen on", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io("protect", path))?;
    Ok(listener)
}

/// What every cluster has: namespaces, roles, the API server's own service, priorities.
async fn bootstrap(registry: &Registry) -> Result<(), StartError> {
    let namespaces = [
        "default",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "herder-system",
    ];
    let missing = namespaces
        .into_iter()
        .filter(|name| registry.get("namespaces", "", name).is_none())
        .map(|name| {
            let labels = json!({"kubernetes.io/metadata.name": name});
            registry.create(
                "namespaces",
                json!({"metadata": {"name": name, "labels": labels}}),
            )
        });
    futures::future::try_join_all(missing).await?;
    let service = async {
        if registry.get("services", "default", "kubernetes").is_some() {
            return Ok(());
        }
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {"clusterIP": KUBERNETES.to_string(), "ports": [{"name": "https", "port": 443, "targetPort": 443}]},
        });
        registry.create("services", service).await.map(|_| ())
    };
    let priorities = async {
        const RESOURCE: &str = "priorityclasses.scheduling.k8s.io";
        for (name, value) in [
            ("system-cluster-critical", 2_000_000_000_i64),
            ("system-node-critical", 2_000_001_000),
        ] {
            if registry.get(RESOURCE, "", name).is_none() {
                let class = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "PreemptLowerPriority"});
                registry.create(RESOURCE, class).await?;
            }
        }
        Ok(())
    };
    tokio::try_join!(bootstrap_roles(registry), service, priorities)?;
    Ok(())
}

/// How long a node that was lost stays away: a machine that is replaced is not back at once.
const REPLACE_AFTER: Duration = Duration::from_secs(5);

/// Starts a new agent for every node whose agent ended by itself, as a data centre replaces a machine.
async fn replace_nodes(
    fabric: Fabric,
    agents: Vec<NodeConfig>,
    credentials: Arc<Agents>,
    (dir, registry): (PathBuf, Registry),
    cancel: CancellationToken,
) {
    let mut exits = fabric.subscribe_node_exits();
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            exit = exits.recv() => {
                let exit = match exit {
                    Ok(exit) => exit,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                credentials.revoke(&exit.name);
                let Some(agent) = agents.iter().find(|agent| agent.name == exit.name && !exit.expected) else { continue };
                tracing::warn!(node = %exit.name, reason = %exit.reason, "a node was lost; a new one takes its place");
                let (fabric, mut agent) = (fabric.clone(), agent.clone());
                let (credentials, dir, registry) = (Arc::clone(&credentials), dir.clone(), registry.clone());
                waiting.spawn(async move {
                    tokio::time::sleep(REPLACE_AFTER).await;
                    crate::old_logs::forget(&dir, &registry).await;
                    let name = agent.name.clone();
                    match credentials.issue(&name) {
                        Ok(token) => {
                            agent.token = token;
                            (name, fabric.spawn_node(agent).await.map_err(StartError::from))
                        }
                        Err(error) => (name, Err(error.into())),
                    }
                });
            }
            Some(done) = waiting.join_next() => {
                if let Ok((node, Err(error))) = done {
                    tracing::error!(%node, error = %herder_base::chain(&error), "a lost node could not be replaced");
                }
            }
        }
    }
}

/// Resolves when the network's process has ended; never without one.
async fn network_ended(fabric: Option<&Fabric>) {
    match fabric {
        Some(fabric) => fabric.ended().await,
        None => std::future::pending().await,
    }
}

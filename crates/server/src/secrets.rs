//! Which Vault the platform speaks to: its own, or another by address. Everything after this sees a client only. Pods
//! find it under one name in either case; requests to another Vault are handed on.

use crate::error::{Error, boxed};
use crate::listening::{bind, serve};
use crate::options::{ExternalVault, Options};
use crate::supervisor::{Fate, Supervisor};
use crate::vault_audit;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use herder_base::{Secret, SystemClock};
use herder_cluster::Cluster;
use herder_kubelite::fabric::Fabric;
use herder_secrets::{Embedded, EmbeddedConfig, KubernetesReviewer};
use herder_vault::{Client, ClusterLogin, Config};
use http::StatusCode;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where pods find Vault.
pub(crate) const IN_CLUSTER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 2)), 8200);

/// The service account by which Vault reviews tokens, and how long its own token lives: a new one at every start.
const REVIEWER: &str = "herder-token-reviewer";
const REVIEWER_TOKEN: std::time::Duration = std::time::Duration::from_secs(365 * 86400);

/// Largest request that is handed on; Vault's own limit.
const MOST_BYTES: usize = 32 << 20;

/// A Vault to use.
pub(crate) struct Vault {
    pub(crate) client: Client,
    /// What `endpoints.json` says of it.
    pub(crate) endpoint: Value,
    /// The cluster as it has yet to be introduced, if this Vault does not know it.
    pub(crate) login: Option<ClusterLogin>,
}

/// How pods reach Vault: by the cluster's network, and with a certificate of the cluster's authority.
pub(crate) struct Inside<'a> {
    pub(crate) fabric: &'a Fabric,
    pub(crate) tls: Arc<rustls::ServerConfig>,
}

impl Inside<'_> {
    async fn listen(&self) -> Result<TcpListener, Error> {
        self.fabric
            .listen(IN_CLUSTER)
            .await
            .map_err(|source| Error::Listen {
                what: "Vault for pods",
                address: IN_CLUSTER,
                source,
            })
    }
}

/// Which Vault it is to be.
pub(crate) enum Choice {
    /// The platform's own, listening here.
    Own(TcpListener),
    /// Somebody else's.
    Other(ExternalVault),
}

impl Choice {
    /// What the options say; an address that is taken shows before anything is started.
    pub(crate) async fn of(options: &Options) -> Result<Self, Error> {
        Ok(match &options.vault {
            Some(other) => Self::Other(other.clone()),
            None => Self::Own(bind("Vault", options.listen.vault).await?),
        })
    }

    /// Starts or reaches it, and lets pods reach it.
    pub(crate) async fn start(
        self,
        supervisor: &Supervisor,
        dir: &Path,
        reviewer: KubernetesReviewer,
        inside: Option<Inside<'_>>,
    ) -> Result<Vault, Error> {
        match self {
            Self::Own(listener) => embedded(supervisor, dir, listener, reviewer, inside).await,
            Self::Other(other) => external(supervisor, &other, reviewer, inside).await,
        }
    }
}

async fn embedded(
    supervisor: &Supervisor,
    dir: &Path,
    listener: TcpListener,
    reviewer: KubernetesReviewer,
    inside: Option<Inside<'_>>,
) -> Result<Vault, Error> {
    let failed = |error| Error::start("the secrets server")(boxed(error));
    let at = listener
        .local_addr()
        .map_err(Error::file("read the address of", "a listener"))?;
    let address = format!("http://{at}");
    let config = EmbeddedConfig {
        dir: dir.to_owned(),
        api_addr: address.clone(),
        kubernetes: Some(reviewer),
    };
    let embedded = Embedded::start(config, Arc::new(SystemClock))
        .await
        .map_err(failed)?;
    let token = embedded.root_token().map_err(failed)?;
    let endpoint = json!({"addr": address, "token_file": embedded.token_file});
    let server = embedded.server;
    let running = server.clone();
    supervisor.spawn("secrets", Fate::Essential, |cancel| async move {
        running.run(cancel).await;
        Ok::<_, Infallible>(())
    });
    if let Some(inside) = inside {
        let (listener, server) = (inside.listen().await?, server.clone());
        supervisor.spawn("secrets in the cluster", Fate::Essential, |cancel| async move {
            server.serve(listener, Some(inside.tls), cancel).await;
            Ok::<_, Infallible>(())
        });
    }
    let rotating = server.clone();
    supervisor.spawn("secrets outside", Fate::Essential, |cancel| async move {
        server.serve(listener, None, cancel).await;
        Ok::<_, Infallible>(())
    });
    let client = client(&Config::new(address))?;
    client.set_token(Secret::new(token.as_str().trim().to_owned()));
    vault_audit::enable(&client, dir).await?;
    let dir = dir.to_owned();
    supervisor.spawn("Vault's audit file", Fate::Optional, |cancel| {
        vault_audit::rotate(rotating, dir, cancel)
    });
    Ok(Vault {
        client,
        endpoint,
        login: None,
    })
}

/// Speaks to another Vault, with a token from a file that is kept alive.
async fn external(
    supervisor: &Supervisor,
    external: &ExternalVault,
    reviewer: KubernetesReviewer,
    inside: Option<Inside<'_>>,
) -> Result<Vault, Error> {
    let mut config = Config::new(&*external.address);
    config.namespace.clone_from(&external.namespace);
    if let Some(file) = &external.ca_file {
        config.ca = Some(std::fs::read(file).map_err(Error::file("read", file))?);
    }
    let client = client(&config)?;
    let token = herder_vault::read_token(&external.token_file)
        .map_err(Error::file("read the token for Vault in", &external.token_file))?;
    client.set_token(token);
    // Said at the start: nobody wants to learn of a wrong address or token from pods that do not start.
    client.lookup_self().await.map_err(|error| Error::Vault {
        address: external.address.clone(),
        source: boxed(error),
    })?;
    let (keeping, file) = (client.clone(), external.token_file.clone());
    supervisor.spawn("Vault's token", Fate::Optional, |cancel| async move {
        herder_vault::keep_token(keeping, &file, cancel).await;
        Ok::<_, Infallible>(())
    });
    let router = Router::new().fallback(hand_on).with_state(client.clone());
    if let Some(inside) = inside {
        let listener = inside.listen().await?;
        supervisor.spawn("secrets in the cluster", Fate::Essential, |cancel| {
            serve("Vault for pods", listener, router, Some(inside.tls), cancel)
        });
    }
    let id = hex::encode(digest(&SHA256, reviewer.ca_pem.as_bytes()));
    Ok(Vault {
        client,
        endpoint: json!({
            "addr": external.address,
            "token_file": external.token_file,
            "ca_file": external.ca_file,
            "namespace": external.namespace,
        }),
        login: Some(ClusterLogin {
            id: id.get(..16).unwrap_or_default().to_owned(),
            host: reviewer.host,
            ca_pem: reviewer.ca_pem,
            token: Secret::new(reviewer.token),
        }),
    })
}

fn client(config: &Config) -> Result<Client, Error> {
    Client::new(config).map_err(|error| Error::start("the Vault client")(boxed(error)))
}

/// Hands a pod's request on to the other Vault, with the pod's own token.
async fn hand_on(State(client): State<Client>, request: Request) -> Response {
    let refuse = |status: StatusCode, text: String| (status, Json(json!({"errors": [text]}))).into_response();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_BYTES).await else {
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request body too large: 32 MiB are the most".to_owned(),
        );
    };
    match client.forward(http::Request::from_parts(parts, body)).await {
        Ok(response) => response.map(axum::body::Body::from),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, herder_base::chain(&error).to_string()),
    }
}

/// How the secrets server asks the cluster about service accounts: with an account that may do nothing else.
pub(crate) async fn reviewer(
    cluster: &Cluster,
    host: String,
    ca_pem: String,
) -> Result<KubernetesReviewer, Error> {
    let failed = |error: herder_cluster::Error| {
        Error::start("the secrets server's access to the cluster")(boxed(error))
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": REVIEWER, "namespace": "herder-system"}});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": REVIEWER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": REVIEWER, "namespace": "herder-system"}],
    });
    for object in [account, binding] {
        cluster
            .server_apply(&object, herder_cluster::MANAGER)
            .await
            .map_err(failed)?;
    }
    let token = cluster
        .token("herder-system", REVIEWER, &[], REVIEWER_TOKEN)
        .await
        .map_err(failed)?;
    Ok(KubernetesReviewer {
        host,
        ca_pem,
        token: token.expose().clone(),
    })
}

//! What scenes work with: the running platform's doors, the organisation's repositories, and waiting.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use super::http;
use super::organisation::{Organisation, STAGES};
use super::report::Progress;
use crate::platform::{Platform as Api, escape, vault_of};
use anyhow::{Context as _, Result, anyhow, bail};
use herder_cluster::Cluster;
use herder_server::{Listen, Options, Platform};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a scene fails; generous, because machines are shared.
const PATIENCE: Duration = Duration::from_secs(90);

/// The running platform and everything around it.
pub(crate) struct Context {
    options: Options,
    pub(crate) organisation: Organisation,
    pub(crate) api: Api,
    pub(crate) cluster: Cluster,
    endpoints: Value,
    cancel: CancellationToken,
    /// Not there while the platform is started again.
    serving: Option<JoinHandle<Result<(), herder_server::Error>>>,
}

impl Context {
    /// Starts the platform.
    pub(crate) async fn start(options: Options, organisation: Organisation) -> Result<Self> {
        let platform = Platform::start(options.clone()).await?;
        let endpoints = platform.endpoints().clone();
        let kubeconfig = PathBuf::from(
            endpoints["kubeconfig"]
                .as_str()
                .context("endpoints name no kubeconfig")?,
        );
        let cancel = CancellationToken::new();
        // What the support team keeps in Vault has to be there before the first pod asks for it.
        stock_vault(&endpoints).await?;
        #[expect(clippy::disallowed_methods, reason = "`stop` joins it")]
        let serving = tokio::spawn(platform.run(cancel.clone()));
        Ok(Self {
            api: Api::of(&options.dir)?,
            cluster: Cluster::connect(&kubeconfig, None).await?,
            options,
            organisation,
            endpoints,
            cancel,
            serving: Some(serving),
        })
    }

    /// Stops the platform and starts it again on the same data directory and the same addresses: people look at it.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.end().await?;
        let listen = Listen {
            kubernetes: self.address("/kubernetes")?,
            vault: match &self.options.vault {
                None => self.address("/vault/addr")?,
                Some(_) => self.options.listen.vault,
            },
            http: self.address("/edge/http")?,
            https: self.address("/edge/https")?,
            dashboard: self.address("/dashboard/url")?,
        };
        let organisation = Organisation::at(&self.options.dir.join("repos"), self.organisation.estate());
        let options = Options {
            listen,
            ..self.options.clone()
        };
        *self = Self::start(options, organisation).await?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        self.cancel.cancel();
        if let Some(serving) = &mut self.serving {
            let ended = serving.await.context("the platform panicked");
            self.serving = None;
            ended??;
        }
        Ok(())
    }

    pub(crate) fn endpoints(&self) -> &Value {
        &self.endpoints
    }

    /// A link that signs a browser in.
    pub(crate) async fn login_link(&self) -> Result<String> {
        Ok(crate::platform::login_link(&self.api).await?.0)
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.options.dir
    }

    fn address(&self, pointer: &str) -> Result<SocketAddr> {
        let url = self
            .endpoints
            .pointer(pointer)
            .and_then(Value::as_str)
            .with_context(|| format!("endpoints have no {pointer}"))?;
        let host = url
            .split_once("://")
            .map_or(url, |(_, rest)| rest)
            .trim_end_matches('/');
        host.parse().with_context(|| format!("{url} is no address"))
    }

    /// The edge, plain.
    pub(crate) fn edge(&self) -> Result<SocketAddr> {
        self.address("/edge/http")
    }

    /// The edge, TLS.
    pub(crate) fn edge_tls(&self) -> Result<SocketAddr> {
        self.address("/edge/https")
    }

    /// Asks until there is an answer that is not `None`. The last error is the reason when time runs out.
    pub(crate) async fn until<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let started = Instant::now();
        let mut last = None;
        while started.elapsed() < PATIENCE {
            if self.serving.as_ref().is_none_or(JoinHandle::is_finished) {
                bail!("the platform ended while waiting for {what}");
            }
            match ask().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => last = None,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let waited = format!("waited {} s for {what}", PATIENCE.as_secs());
        Err(last.map_or_else(|| anyhow!("{waited}"), |error| error.context(waited.clone())))
    }

    /// The status of one application in one namespace, if it is there.
    pub(crate) async fn cell(&self, application: &str, namespace: &str) -> Result<Option<Value>> {
        let status = self.api.get("/api/v1/status").await?;
        let row = status["applications"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["name"] == application);
        let cell = row.and_then(|row| {
            row["cells"]
                .as_array()?
                .iter()
                .find(|cell| cell["namespace"] == namespace)
        });
        Ok(cell.cloned())
    }

    /// Waits until an application is healthy in a namespace, in a version if one is named.
    pub(crate) async fn healthy(
        &self,
        application: &str,
        namespace: &str,
        version: Option<&str>,
    ) -> Result<Value> {
        let what = format!(
            "{application} {} to be healthy in {namespace}",
            version.unwrap_or_default()
        );
        let found = self.until(&what, || async {
            let cell = self.cell(application, namespace).await?;
            let Some(cell) = cell else {
                bail!("{application} is not in {namespace}")
            };
            let done =
                cell["health"] == "healthy" && version.is_none_or(|version| cell["version"] == version);
            if done {
                Ok(Some(cell))
            } else {
                Err(anyhow!(
                    "it is {} at {}: {}",
                    cell["health"],
                    cell["version"],
                    cell["reason"]
                ))
            }
        });
        found.await
    }

    /// Waits until everything that is there from the first commit is healthy and answers through the edge.
    pub(crate) async fn first_ready(&self, progress: &Progress) -> Result<Value> {
        let mut answers = Vec::new();
        for (number, (stage, _)) in STAGES.iter().enumerate() {
            progress.say(&format!(
                "waiting for the shop in {stage} ({} of {})",
                number + 1,
                STAGES.len()
            ));
            self.healthy("shop", stage, None).await?;
            answers.push(self.page(stage).await?);
        }
        progress.say("waiting for the production database");
        self.healthy("database", "production", None).await?;
        Ok(json!({"answers": answers.len()}))
    }

    /// What the shop of an environment shows through the edge.
    pub(crate) async fn page(&self, environment: &str) -> Result<Value> {
        let (edge, host) = (self.edge()?, Organisation::host(environment));
        self.until(&format!("{host} to answer"), || async {
            let answer = http::get(edge, &host, "/").await?;
            if !answer.status.is_success() {
                bail!("{host} answers {}: {}", answer.status, answer.text());
            }
            Ok(Some(answer.json()?))
        })
        .await
    }

    /// The explanation for an application.
    pub(crate) async fn why(&self, application: &str, namespace: &str) -> Result<Value> {
        self.api
            .get(&format!(
                "/api/v1/why?application={}&namespace={}",
                escape(application),
                escape(namespace)
            ))
            .await
    }

    /// Tells the platform that a repository changed, as a git server's webhook does.
    pub(crate) async fn webhook(&self, repository: &str) -> Result<()> {
        self.api
            .post(
                "/webhooks/git",
                &json!({"repository": self.organisation.url(repository)}),
            )
            .await?;
        Ok(())
    }

    /// Commits and tells.
    pub(crate) async fn change(
        &self,
        repository: &str,
        files: &[(&str, Option<String>)],
        message: &str,
    ) -> Result<String> {
        let commit = self.organisation.commit(repository, files, message).await?;
        self.webhook(repository).await?;
        Ok(commit.to_string())
    }

    /// Waits for the newest run of a job after `after` to end, and returns it.
    pub(crate) async fn run_after(&self, job: &str, after: u64) -> Result<Value> {
        let path = format!("/api/v1/runs?job={}", escape(job));
        self.until(&format!("a run of {job} after #{after}"), || async {
            let runs = self.api.get(&path).await?;
            let run = runs
                .as_array()
                .into_iter()
                .flatten()
                .find(|run| run["number"].as_u64() > Some(after))
                .cloned();
            Ok(run.filter(|run| run["finished"] == true))
        })
        .await
    }

    /// The number of a job's newest run, zero if there is none.
    pub(crate) async fn newest_run(&self, job: &str) -> Result<u64> {
        let runs = self.api.get(&format!("/api/v1/runs?job={}", escape(job))).await?;
        Ok(runs
            .pointer("/0/number")
            .and_then(Value::as_u64)
            .unwrap_or_default())
    }

    /// Reads a path of the embedded Vault with the root token.
    pub(crate) fn vault(&self) -> Result<herder_vault::Client> {
        vault_of(&self.endpoints)
    }

    /// What this user or machine does not get.
    pub(crate) async fn remarks(&self) -> Vec<String> {
        let status = self.api.get("/api/v1/status").await.unwrap_or_default();
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let mut remarks: Vec<String> = nodes
            .flat_map(|node| node["remarks"].as_array().into_iter().flatten())
            .filter_map(|remark| remark.as_str().map(str::to_owned))
            .collect();
        remarks.sort();
        remarks.dedup();
        if remarks.is_empty() {
            remarks
        } else {
            vec![remarks.join("; ")]
        }
    }
}

/// Writes the secrets and the certificate role that git only names. A secret that is there already is kept.
async fn stock_vault(endpoints: &Value) -> Result<()> {
    let vault = vault_of(endpoints)?;
    if vault.read("secret/data/shop/db").await.is_err() {
        let password = format!(
            "{:016x}",
            std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "shop")
        );
        vault
            .write(
                "secret/data/shop/db",
                &json!({"username": "shop", "password": password}),
            )
            .await?;
    }
    let role = json!({"allowed_domains": "demo.localhost", "allow_subdomains": true, "key_type": "ec", "key_bits": 256, "max_ttl": "72h"});
    vault.write("pki/roles/shop", &role).await?;
    Ok(())
}

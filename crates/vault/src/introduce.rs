//! Makes a Vault know a cluster, so that its service accounts can log in. A Vault may serve many clusters: a log in that
//! somebody else set up is never touched. Owns which log in is ours; knows nothing of roles and policies.

use crate::client::{Client, Method};
use crate::error::Error;
use herder_base::Secret;
use serde_json::{Value as Json, json};

/// A cluster that a Vault is to know.
#[derive(Debug)]
pub struct ClusterLogin {
    /// What the cluster is known by however its address changes. Stands in the log in's description.
    pub id: String,
    /// The API server as Vault reaches it, such as `https://10.0.0.1:6443`.
    pub host: String,
    /// PEM of the authority that signed the API server's certificate.
    pub ca_pem: String,
    /// A token that may create TokenReviews.
    pub token: Secret<String>,
}

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introduced {
    /// There was no such log in; there is now.
    Made,
    /// It was made for this cluster, and knows its present address.
    Renewed,
    /// It is somebody else's, and left as it is.
    Foreign,
}

/// Sets up the Kubernetes log in at `auth/MOUNT` for a cluster, unless somebody else did.
///
/// # Errors
/// If Vault cannot be reached or refuses.
pub async fn introduce(client: &Client, mount: &str, cluster: &ClusterLogin) -> Result<Introduced, Error> {
    let mount = mount.trim_matches('/');
    let description = format!("made by Herder for the cluster {}", cluster.id);
    let answer = client.call(Method::Get, "sys/auth", None).await?;
    let there = answer
        .get("data")
        .unwrap_or(&answer)
        .get(format!("{mount}/"))
        .and_then(|found| found.get("description"))
        .and_then(Json::as_str);
    let done = match there {
        Some(text) if text == description => Introduced::Renewed,
        Some(_) => return Ok(Introduced::Foreign),
        None => {
            let body = json!({"type": "kubernetes", "description": description});
            client
                .call(Method::Post, &format!("sys/auth/{mount}"), Some(&body))
                .await?;
            Introduced::Made
        }
    };
    let body = json!({
        "kubernetes_host": cluster.host,
        "kubernetes_ca_cert": cluster.ca_pem,
        "token_reviewer_jwt": cluster.token.expose(),
    });
    client
        .call(Method::Post, &format!("auth/{mount}/config"), Some(&body))
        .await?;
    Ok(done)
}

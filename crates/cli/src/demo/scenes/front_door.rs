//! Scene 6: the edge routes by host name and path to live pods only, HTTP and HTTPS.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::http;
use crate::demo::organisation::{Organisation, STAGES};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let (edge, tls) = (context.edge()?, context.edge_tls()?);
    let mut hosts = vec![];
    for (stage, _) in STAGES {
        let host = Organisation::host(stage);
        let plain = http::get(edge, &host, "/cart").await?;
        let secure = http::get_tls(tls, &host, "/cart", roots(context)?).await?;
        for answer in [&plain, &secure] {
            ensure!(
                answer.status.is_success(),
                "{host} answers {}: {}",
                answer.status,
                answer.text()
            );
            let page = answer.json()?;
            ensure!(
                page["config"]["ENVIRONMENT"] == stage,
                "{host} leads to {}",
                page["config"]
            );
        }
        hosts.push(host);
    }
    let by_path = http::get(edge, &Organisation::host("staging"), "/abc/x")
        .await?
        .json()?;
    ensure!(
        by_path["application"] == "abc-application",
        "/abc leads to {}",
        by_path["application"]
    );
    let beside = http::get(edge, &Organisation::host("staging"), "/abcx")
        .await?
        .json()?;
    ensure!(
        beside["application"] == "shop",
        "/abcx leads to {}",
        beside["application"]
    );
    let unknown = http::get(edge, "nobody.demo.localhost", "/").await?;
    ensure!(
        unknown.status == 404,
        "an unknown host answers {}",
        unknown.status
    );
    Ok(json!({"http_and_https": hosts, "by_path": "/abc", "unknown_host": unknown.status.as_u16()}))
}

/// The authority that signs what the edge shows.
fn roots(context: &Context) -> Result<rustls::RootCertStore> {
    use rustls::pki_types::pem::PemObject;
    let file = context
        .endpoints()
        .pointer("/edge/ca_file")
        .and_then(Value::as_str)
        .context("endpoints name no authority of the edge")?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

//! `herder demo-app`: the example application of the demo, a small HTTP server that shows what it was given.
//!
//! It exists so that the demo needs no image and nothing installed. As `web` it answers with its version, its
//! environment's config, a fingerprint of its secret (never the secret) and what its database holds; as `database` it
//! keeps one file per key in its volume.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `herder demo-app`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// What to be
    #[arg(value_enum, default_value = "web")]
    role: Role,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: String,
    /// Directory of KEY files that configure the application
    #[arg(long, default_value = "/etc/shop")]
    config: PathBuf,
    /// File whose fingerprint is shown as proof that the secret arrived
    #[arg(long)]
    secret: Option<PathBuf>,
    /// Certificate that is shown (subject and expiry come from the file's presence)
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// URL of the database
    #[arg(long)]
    database: Option<String>,
    /// Where the database keeps its data
    #[arg(long, default_value = "/data")]
    data: PathBuf,
    /// Fail after start, as an application with a bug does
    #[arg(long)]
    crash: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    Web,
    Database,
}

/// Serves until SIGTERM, then finishes what is in flight.
pub(crate) async fn run(args: Args) -> Result<()> {
    crate::print::outlive_reader();
    if let Some(reason) = &args.crash {
        println!("shop starting");
        eprintln!("panic: {reason}");
        return Err(crate::output::Exit(3).into());
    }
    let listener = TcpListener::bind(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("{:?} listens on {}", args.role, args.listen);
    let args = Arc::new(args);
    let mut terminate = signal(SignalKind::terminate())?;
    let draining = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let args = Arc::clone(&args);
                let service = service_fn(move |request| answer(Arc::clone(&args), request));
                let http = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let watched = draining.watch(http);
                connections.spawn(async move { watched.await.is_ok() });
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
        }
    }
    println!("draining");
    // In-flight requests get a moment; the pod's grace period is the hard limit.
    let _drained = tokio::time::timeout(Duration::from_secs(5), draining.shutdown()).await;
    Ok(())
}

async fn answer(args: Arc<Args>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let (status, value) = match (args.role, &parts.method, path.as_str()) {
        (_, &Method::GET, "/healthz") => (StatusCode::OK, json!({"ok": true})),
        (Role::Web, &Method::GET, _) => (StatusCode::OK, page(&args, &path).await),
        (Role::Web, &Method::POST, _) => store(&args, &path, body).await,
        (Role::Database, &Method::GET, _) => match key_file(&args.data, &path).map(std::fs::read_to_string) {
            Some(Ok(text)) => (StatusCode::OK, json!(text)),
            _ => (StatusCode::NOT_FOUND, json!({"error": "no such key"})),
        },
        (Role::Database, &Method::POST | &Method::PUT, _) => {
            let bytes = body.collect().await?.to_bytes();
            match key_file(&args.data, &path) {
                Some(file) => {
                    std::fs::write(&file, &bytes)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                    (StatusCode::OK, json!({"stored": bytes.len()}))
                }
                None => (
                    StatusCode::BAD_REQUEST,
                    json!({"error": "keys are letters, digits and dashes"}),
                ),
            }
        }
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            json!({"error": "only GET and POST"}),
        ),
    };
    let mut text = serde_json::to_vec_pretty(&value)?;
    text.push(b'\n');
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(text)))?)
}

/// Everything the application was given, as proof that it arrived.
async fn page(args: &Args, path: &str) -> Value {
    let env = |name: &str| std::env::var(name).ok();
    let database = match &args.database {
        Some(url) => fetch(Method::GET, &format!("{url}/orders"), Bytes::new())
            .await
            .unwrap_or_else(|e| json!({"error": e.to_string()})),
        None => Value::Null,
    };
    json!({
        "application": env("APPLICATION").unwrap_or_else(|| "shop".into()),
        "version": env("VERSION"),
        "pod": env("POD_NAME").or_else(|| env("HOSTNAME")),
        "node": env("NODE_NAME"),
        "path": path,
        "config": config(&args.config),
        "secret": args.secret.as_deref().map(fingerprint),
        "certificate": args.certificate.as_deref().map(|file| file.exists()),
        "database": database,
    })
}

fn config(dir: &Path) -> Value {
    let entries = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut values = serde_json::Map::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.')
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            values.insert(name, json!(text.trim()));
        }
    }
    Value::Object(values)
}

/// A short digest: enough to compare, nothing to learn.
fn fingerprint(file: &Path) -> Value {
    match std::fs::read(file) {
        Ok(bytes) => {
            // FNV-1a, truncated: two equal secrets show equal fingerprints, and 24 bits give nothing away.
            let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            json!(format!("{:06x}", hash & 0xff_ffff))
        }
        Err(error) => json!({"error": error.to_string()}),
    }
}

async fn store(args: &Args, path: &str, body: Incoming) -> (StatusCode, Value) {
    let Some(url) = &args.database else {
        return (
            StatusCode::NOT_FOUND,
            json!({"error": "this environment has no database"}),
        );
    };
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
    };
    match fetch(Method::POST, &format!("{url}{path}"), bytes).await {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => (StatusCode::BAD_GATEWAY, json!({"error": format!("{error:#}")})),
    }
}

async fn fetch(method: Method, url: &str, body: Bytes) -> Result<Value> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder().method(method).uri(url).body(Full::new(body))?;
    let response = tokio::time::timeout(Duration::from_secs(2), client.request(request))
        .await
        .context("timed out")??;
    Ok(serde_json::from_slice(
        &response.into_body().collect().await?.to_bytes(),
    )?)
}

/// A key is one file name, so a path cannot climb out of the volume.
fn key_file(data: &Path, path: &str) -> Option<PathBuf> {
    let key = path.trim_start_matches('/');
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| data.join(key))
}

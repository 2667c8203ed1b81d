//! The configuration files of `vault server`: HCL or JSON, as Vault's own. Owns the reading of them only.

use super::Failure;
use herder_secrets::{Body, ClientCertificates, Item, parse_hcl};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One `listener "tcp"`.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: String,
    pub(super) tls: Option<(String, String, ClientCertificates)>,
}

/// What the configuration files say together.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) listeners: Vec<Listener>,
    pub(super) storage: Option<PathBuf>,
    pub(super) has_storage: bool,
    pub(super) api_addr: String,
    pub(super) notes: Vec<String>,
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read(path.to_owned(), source))
}

impl Settings {
    pub(super) fn load(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut settings = Self::default();
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                let entries =
                    std::fs::read_dir(path).map_err(|source| Failure::Read(path.clone(), source))?;
                files.extend(
                    entries
                        .filter_map(|entry| Some(entry.ok()?.path()))
                        .filter(|file| file.extension().is_some_and(|end| end == "hcl" || end == "json")),
                );
            } else {
                files.push(path.clone());
            }
        }
        files.sort();
        for file in files {
            let items = parse_hcl(&read(&file)?).map_err(|source| Failure::Parse(file.clone(), source))?;
            for item in &items {
                settings.take(&file, item)?;
            }
        }
        Ok(settings)
    }

    fn take(&mut self, file: &Path, item: &Item) -> Result<(), Failure> {
        let wrong = |text: String| Failure::Config(format!("{}: {text}", file.display()));
        let body = || match &item.body {
            Body::Items(items) => herder_secrets::hcl_object(items),
            Body::Value(Value::Object(map)) => map.clone(),
            Body::Value(_) => Map::new(),
        };
        let label = item.labels.first().map(String::as_str).unwrap_or_default();
        match item.key.as_str() {
            "listener" if label == "tcp" => self.listeners.push(listener(&body())?),
            "listener" => {
                return Err(wrong(format!(
                    "listener {label:?} is not supported: write listener \"tcp\""
                )));
            }
            "storage" | "backend" => {
                self.has_storage = true;
                match label {
                    "inmem" => {}
                    "file" | "raft" => {
                        let path = body().get("path").and_then(Value::as_str).map(PathBuf::from);
                        self.storage =
                            Some(path.ok_or_else(|| wrong(format!("storage {label:?} needs a path")))?);
                    }
                    other => {
                        return Err(wrong(format!(
                            "storage {other:?} is not supported: write storage \"file\" or \"inmem\""
                        )));
                    }
                }
            }
            "api_addr" => self.api_addr = item.json().as_str().unwrap_or_default().to_owned(),
            "default_lease_ttl" | "max_lease_ttl" if item.json() != "768h" => {
                self.notes.push(format!(
                    "{} is fixed at 768h here; tune the mounts instead",
                    item.key
                ));
            }
            "seal" => {
                return Err(wrong(
                    "seal is not supported: this server is unsealed with key shares".to_owned(),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn listener(body: &Map<String, Value>) -> Result<Listener, Failure> {
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let truth = |key: &str| match body.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    };
    let address = text("address").unwrap_or("127.0.0.1:8200").to_owned();
    if truth("tls_disable") {
        return Ok(Listener { address, tls: None });
    }
    let (Some(certificate), Some(key)) = (text("tls_cert_file"), text("tls_key_file")) else {
        return Err(Failure::Config(format!(
            "the listener {address} needs tls_cert_file and tls_key_file, or tls_disable = true"
        )));
    };
    let clients = if truth("tls_require_and_verify_client_cert") {
        let authorities = text("tls_client_ca_file").ok_or_else(|| {
            Failure::Config(format!(
                "the listener {address} requires client certificates but has no tls_client_ca_file"
            ))
        })?;
        ClientCertificates::Require(read(Path::new(authorities))?)
    } else if truth("tls_disable_client_certs") {
        ClientCertificates::Ignore
    } else {
        ClientCertificates::Request
    };
    Ok(Listener {
        address,
        tls: Some((read(Path::new(certificate))?, read(Path::new(key))?, clients)),
    })
}

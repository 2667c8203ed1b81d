//! Pulls: the manifest for this machine, then its blobs side by side, each continued where it broke off, then unpacked.

use super::http::{RegistryError, Sent, Session};
use super::{Client, Credentials};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::{
    DOCKER_LIST, DOCKER_MANIFEST, DOCKER_OLD, DOCUMENT, Descriptor, INDEX, Index, MANIFEST, Manifest,
};
use crate::store::{LAYERS, Named, Store, StoreError, choose};
use http::header::{ACCEPT, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Blobs that are fetched at the same time.
const AT_ONCE: usize = 4;
/// How often a blob that breaks off is continued without getting any further.
const TRIES: u32 = 5;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Nobody gave it.
    #[error("failed to pull image \"{name}\": {why}")]
    Nobody {
        /// Which.
        name: Reference,
        /// What each said.
        why: String,
    },
    /// What came cannot be used.
    #[error("failed to pull image \"{name}\"")]
    Store {
        /// Which.
        name: Reference,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// Why one registry did not give it.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// Pulls an image and gives it its name.
    ///
    /// # Errors
    /// [`PullError`], with every registry's own words.
    pub async fn pull(
        &self,
        store: &Store,
        name: &Reference,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Named, PullError> {
        let failed = |source| PullError::Store {
            name: name.clone(),
            source,
        };
        let locking = store.clone();
        // Waiting for who prunes would hold up everything else here.
        let _adding = apart(name, move || locking.adding()).await.map_err(failed)?;
        let mut said: Vec<String> = Vec::new();
        for session in self.sessions(name, credentials, "pull") {
            match fetch(store, &session, name).await {
                Ok(target) => {
                    let (store, named, manifest) = (store.clone(), name.clone(), target.clone());
                    return apart(name, move || {
                        store.prepare(&store.own_manifest(&manifest)?)?;
                        store.name(&named, &manifest, None, now)
                    })
                    .await
                    .map_err(failed);
                }
                Err(error) => {
                    let text = herder_base::chain(&error).to_string();
                    if !said.contains(&text) {
                        said.push(text);
                    }
                }
            }
        }
        Err(PullError::Nobody {
            name: name.clone(),
            why: said.join("; "),
        })
    }
}

/// Work for a thread of its own.
async fn apart<T: Send + 'static>(
    name: &Reference,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    // Only a panic there, or the end of everything, ends like this.
    done.unwrap_or_else(|_| Err(StoreError::Unknown(name.clone())))
}

async fn fetch(store: &Store, session: &Session, name: &Reference) -> Result<Descriptor, Failed> {
    let wanted = name.digest().cloned();
    let target = document(store, session, &name.wanted(), wanted.as_ref()).await?;
    let manifest = if target.is_index() {
        let index: Index = store.read(&target.digest, "index of images")?;
        let chosen = choose(&index, &target.digest)?.clone();
        if !store.has(&chosen.digest) {
            document(store, session, &chosen.digest.to_string(), Some(&chosen.digest)).await?;
        }
        chosen.digest
    } else {
        target.digest.clone()
    };
    let found: Manifest = store.read(&manifest, "manifest of an image")?;
    if found.layers.len() > LAYERS {
        return Err(Failed::Store(StoreError::Unfit {
            digest: manifest,
            why: format!("it has {} layers, and {LAYERS} are the most", found.layers.len()),
        }));
    }
    if found.config.size > DOCUMENT {
        return Err(Failed::Store(StoreError::Large {
            digest: found.config.digest,
            size: found.config.size,
            most: DOCUMENT,
        }));
    }
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut fetching = JoinSet::new();
    for blob in found.layers.into_iter().chain([found.config]) {
        if store.has(&blob.digest) {
            continue;
        }
        let (store, session, turns) = (store.clone(), session.clone(), Arc::clone(&turns));
        fetching.spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            fetch_blob(&store, &session, &blob).await
        });
    }
    while let Some(done) = fetching.join_next().await {
        done.map_err(|_| session.odd("was given up on"))??;
    }
    Ok(target)
}

/// Fetches a manifest or index into the store.
async fn document(
    store: &Store,
    session: &Session,
    what: &str,
    wanted: Option<&Digest>,
) -> Result<Descriptor, Failed> {
    let mut headers = HeaderMap::new();
    for media_type in [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST] {
        headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    let url = session.url(&format!("manifests/{what}"));
    let response = session
        .send(&Method::GET, &url, &headers, || Ok(Sent::nothing()))
        .await?;
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned());
    let bytes = session.success(response).await?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > DOCUMENT {
        return Err(session.odd("gave a manifest that is too large").into());
    }
    let found = Digest::of(&bytes);
    if let Some(wanted) = wanted.filter(|wanted| **wanted != found) {
        return Err(Failed::Store(StoreError::Digest {
            wanted: wanted.clone(),
            found,
        }));
    }
    let inside = serde_json::from_slice::<serde_json::Value>(&bytes)
        .map_err(|_| session.odd("gave a manifest that is no JSON"))?;
    let own = inside.get("mediaType").and_then(serde_json::Value::as_str);
    let media_type = own.map(str::to_owned).or(media_type).unwrap_or_default();
    if media_type.starts_with(DOCKER_OLD)
        || inside.get("schemaVersion").and_then(serde_json::Value::as_u64) == Some(1)
    {
        return Err(session
            .odd("has this image as schema 1 only, whose contents cannot be checked; push it again with a newer docker")
            .into());
    }
    let known = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type.as_str());
    let media_type = match (known, inside.get("manifests").is_some()) {
        (true, _) => media_type,
        (false, true) => INDEX.to_owned(),
        (false, false) => MANIFEST.to_owned(),
    };
    Ok(store.put(&media_type, &bytes)?)
}

async fn fetch_blob(store: &Store, session: &Session, blob: &Descriptor) -> Result<(), Failed> {
    let mut tries = 0;
    loop {
        let (opened, wanted) = (store.clone(), blob.clone());
        let nobody = || session.odd("was given up on");
        // Another task or process may be at it: then this waits.
        let part = tokio::task::spawn_blocking(move || opened.continue_blob(&wanted))
            .await
            .map_err(|_| nobody())??;
        let Some(mut part) = part else { return Ok(()) };
        let before = part.bytes();
        let came = async {
            let mut headers = HeaderMap::new();
            if before > 0 && before < blob.size {
                let range = HeaderValue::from_str(&format!("bytes={before}-")).map_err(|_| nobody())?;
                headers.insert(RANGE, range);
            }
            if before < blob.size || blob.size == 0 {
                let url = session.url(&format!("blobs/{}", blob.digest));
                let response = session
                    .send(&Method::GET, &url, &headers, || Ok(Sent::nothing()))
                    .await?;
                let response = session.check(response).await?;
                if before > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                    part.restart()?;
                }
                let mut body = response.into_body();
                while let Some(bytes) = session.part(&mut body).await? {
                    part.add(&bytes)?;
                }
            }
            Ok::<_, Failed>(())
        }
        .await;
        let after = part.bytes();
        let done = match came {
            Ok(()) => part.finish().map_err(Failed::from),
            Err(error) => Err(error),
        };
        let again = match &done {
            Ok(()) => return Ok(()),
            Err(Failed::Registry(error)) => error.passes(),
            // Too little came.
            Err(Failed::Store(StoreError::Size { found, wanted, .. })) => found < wanted,
            Err(Failed::Store(_)) => false,
        };
        tries = if after > before { 0 } else { tries + 1 };
        if !again || tries >= TRIES {
            return done;
        }
        tokio::time::sleep(Duration::from_millis(200 << tries)).await;
    }
}

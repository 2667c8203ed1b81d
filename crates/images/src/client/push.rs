//! Pushes an image: what the registry has not yet, then the manifest under its name.

use super::http::{RegistryError, Sent, Session};
use super::{Client, Credentials};
use crate::reference::Reference;
use crate::spec::{Descriptor, MANIFEST};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error("failed to push \"{name}\": {why}")]
    Refused {
        /// Which.
        name: Reference,
        /// What it said.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// Pushes `image` under the name `to`; its manifest.
    ///
    /// # Errors
    /// [`PushError`]
    pub async fn push(
        &self,
        store: &Store,
        image: &Reference,
        to: &Reference,
        credentials: &Credentials,
    ) -> Result<Descriptor, PushError> {
        let _adding = store.adding()?;
        let named = store
            .find(image)?
            .ok_or_else(|| StoreError::Unknown(image.clone()))?;
        let document = store.document(&named.manifest)?;
        let (manifest, _) = store.describe(&named.manifest)?;
        let media_type = if manifest.media_type.is_empty() {
            MANIFEST
        } else {
            &manifest.media_type
        };
        let target = Descriptor::of(media_type, &document);
        let blobs: Vec<Descriptor> = manifest.layers.into_iter().chain([manifest.config]).collect();
        let mut said: Vec<String> = Vec::new();
        for session in self.sessions(to, credentials, "pull,push") {
            // A mirror is read from; what is pushed goes to the registry itself.
            if session.endpoint.stands_for.is_some() {
                continue;
            }
            match push(store, &session, &blobs, &target, &document, to).await {
                Ok(()) => return Ok(target),
                Err(Failed::Store(error)) => return Err(error.into()),
                Err(Failed::Registry(error)) => {
                    let text = error.to_string();
                    if !said.contains(&text) {
                        said.push(text);
                    }
                }
            }
        }
        Err(PushError::Refused {
            name: to.clone(),
            why: said.join("; "),
        })
    }
}

async fn push(
    store: &Store,
    session: &Session,
    blobs: &[Descriptor],
    target: &Descriptor,
    document: &[u8],
    to: &Reference,
) -> Result<(), Failed> {
    for blob in blobs {
        push_blob(store, session, blob).await?;
    }
    let mut headers = HeaderMap::new();
    let media_type = HeaderValue::from_str(&target.media_type);
    let media_type = media_type.map_err(|_| session.odd("cannot be told the manifest's kind"))?;
    headers.insert(CONTENT_TYPE, media_type);
    let tag = to.tag().map_or_else(|| target.digest.to_string(), str::to_owned);
    let url = session.url(&format!("manifests/{tag}"));
    let body = Bytes::copy_from_slice(document);
    let make = || Ok(Sent::Bytes(Some(body.clone())));
    let response = session.send(&Method::PUT, &url, &headers, make).await?;
    session.success(response).await?;
    Ok(())
}

async fn push_blob(store: &Store, session: &Session, blob: &Descriptor) -> Result<(), Failed> {
    let none = HeaderMap::new();
    let nothing = || Ok(Sent::nothing());
    let url = session.url(&format!("blobs/{}", blob.digest));
    let there = session.send(&Method::HEAD, &url, &none, nothing).await?;
    if there.status() == StatusCode::OK {
        return Ok(());
    }
    let url = session.url("blobs/uploads/");
    let begun = session.send(&Method::POST, &url, &none, nothing).await?;
    let begun = session.check(begun).await?;
    let location = begun
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| session.odd("does not say where to upload"))?;
    let location = session.absolute(&url, location)?;
    let join = if location.contains('?') { '&' } else { '?' };
    let url = format!(
        "{location}{join}digest={}",
        super::http::percent(&blob.digest.to_string())
    );
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let make = || {
        let file = store
            .open_blob(&blob.digest)
            .map_err(|error| session.odd(format!("cannot be given it: {error}")))?;
        Ok(Sent::File(file, blob.size))
    };
    let done = session.send(&Method::PUT, &url, &headers, make).await?;
    session.success(done).await?;
    Ok(())
}

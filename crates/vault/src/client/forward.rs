//! Hands requests of others on to Vault as they are: their token, never this client's. Owns which headers go across.

use super::Client;
use crate::error::Error;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response};
use hyper::body::Bytes;

/// Headers that concern one connection only, RFC 9110 section 7.6.1, and those this end makes itself.
const HOP: [http::HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what must not go across, the headers named by `Connection` among it.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP {
        headers.remove(name);
    }
}

impl Client {
    /// Answers a request with what Vault answers. Tried once: whoever asked decides what to repeat. The namespace of this
    /// client counts if the request names none.
    ///
    /// # Errors
    /// If there is no answer, or one of more than 32 MiB.
    pub async fn forward(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let path = request.uri().path().to_owned();
        self.0
            .transport
            .relay(request)
            .await
            .map_err(|failure| self.failed(failure, &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("te", "trailers"),
            ("x-vault-token", "t"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-vault-token"]);
    }
}

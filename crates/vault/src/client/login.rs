//! Getting, renewing and giving back tokens.

use super::{Client, Identity, Method, identity_of, reason};
use crate::error::Error;
use herder_base::Secret;
use serde_json::{Value as Json, json};
use std::time::Duration;

impl Client {
    /// Logs in with a Kubernetes service account's token; the client uses the new token from then on.
    ///
    /// # Errors
    /// If the role refuses this service account, or Vault cannot be reached.
    pub async fn login_kubernetes(
        &self,
        mount: &str,
        role: &str,
        jwt: &Secret<String>,
    ) -> Result<Identity, Error> {
        self.login(mount, role, json!({"role": role, "jwt": jwt.expose().trim()}))
            .await
    }

    /// Logs in with an AppRole.
    ///
    /// # Errors
    /// If the pair is refused, or Vault cannot be reached.
    pub async fn login_approle(
        &self,
        mount: &str,
        role_id: &str,
        secret_id: &Secret<String>,
    ) -> Result<Identity, Error> {
        self.login(
            mount,
            role_id,
            json!({"role_id": role_id, "secret_id": secret_id.expose()}),
        )
        .await
    }

    async fn login(&self, mount: &str, role: &str, body: Json) -> Result<Identity, Error> {
        let path = format!("auth/{mount}/login");
        // The old token is not sent: it may be what is wrong.
        self.set_session(None, Identity::default());
        let (status, answer) = self.exchange(Method::Post, &path, Some(&body), None).await?;
        match status {
            200..=299 => {}
            503 => {
                return Err(Error::Sealed {
                    address: self.address().to_owned(),
                });
            }
            500..=599 => {
                return Err(Error::Refused {
                    path,
                    status,
                    reason: reason(&answer),
                });
            }
            _ => {
                return Err(Error::Login {
                    mount: mount.to_owned(),
                    role: role.to_owned(),
                    reason: reason(&answer),
                });
            }
        }
        let auth = answer.get("auth");
        let token = auth
            .and_then(|auth| auth.get("client_token"))
            .and_then(Json::as_str)
            .ok_or(Error::Malformed {
                path,
                what: "it has no client_token",
            })?;
        let mut identity = identity_of(auth);
        identity.role.get_or_insert_with(|| role.to_owned());
        self.set_session(Some(Secret::from(token)), identity.clone());
        Ok(identity)
    }

    /// Looks up who the token is.
    ///
    /// # Errors
    /// If the token is not valid or Vault cannot be reached.
    pub async fn lookup_self(&self) -> Result<Identity, Error> {
        let answer = self.call(Method::Get, "auth/token/lookup-self", None).await?;
        let known = self.identity().role;
        let mut identity = identity_of(answer.get("data"));
        identity.role = identity.role.or(known);
        self.set_identity(identity.clone());
        Ok(identity)
    }

    /// Renews the token and says how long it lives now; that it is less than asked means that its end is near.
    ///
    /// # Errors
    /// If it cannot be renewed.
    pub async fn renew_self(&self, increment: Duration) -> Result<Duration, Error> {
        let body = json!({"increment": increment.as_secs()});
        let answer = self
            .call(Method::Put, "auth/token/renew-self", Some(&body))
            .await?;
        let renewed = identity_of(answer.get("auth"));
        let mut identity = self.identity();
        identity.lifetime = renewed.lifetime;
        identity.renewable = renewed.renewable;
        self.set_identity(identity);
        Ok(renewed.lifetime)
    }

    /// Gives the token back; everything leased by it ends.
    ///
    /// # Errors
    /// If Vault cannot be reached.
    pub async fn revoke_self(&self) -> Result<(), Error> {
        self.call(Method::Post, "auth/token/revoke-self", None).await?;
        self.set_session(None, Identity::default());
        Ok(())
    }
}

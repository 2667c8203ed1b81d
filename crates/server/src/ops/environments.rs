//! Developer environments: a lease makes one exist, its end removes it.

use crate::api::Failure;
use crate::state::Shared;
use herder_fleet::{Environment, EnvironmentKind};
use herder_ledger::{Actor, Lease};
use serde_json::{Value, json};
use std::time::Duration;

impl Shared {
    async fn developer_environment(&self, name: &str) -> Result<(Environment, herder_fleet::Lease), Failure> {
        let reading = self.known().await?;
        let names = || {
            reading
                .fleet
                .environments
                .iter()
                .map(|environment| environment.name.as_str())
        };
        let Some(environment) = reading.fleet.environment(name) else {
            let failure = Failure::not_found(format!("the fleet has no environment `{name}`"));
            return Err(super::names::near(
                failure,
                name,
                names(),
                "`herder env list` lists them",
            ));
        };
        match environment.kind {
            EnvironmentKind::Developer(lease) => Ok((environment.clone(), lease)),
            EnvironmentKind::Permanent => Err(Failure::conflict(format!(
                "`{name}` is permanent: it is up as long as git has it"
            ))
            .hint("`kind: developer` in its file makes it come and go")),
        }
    }

    /// Brings an environment up, or extends its lease.
    pub(crate) async fn environment_up(
        &self,
        name: &str,
        lease: Option<Duration>,
        who: &Actor,
    ) -> Result<Value, Failure> {
        let (_, bounds) = self.developer_environment(name).await?;
        let wanted = lease.unwrap_or(bounds.default);
        if wanted > bounds.max {
            let max = herder_base::format_duration(bounds.max);
            return Err(
                Failure::invalid(format!("`{name}` may be leased for {max} at most")).hint(format!(
                    "`herder env up {name} --lease {max}` is what it may have"
                )),
            );
        }
        let now = self.clock.now();
        let until = now.saturating_add(wanted).unwrap_or(jiff::Timestamp::MAX);
        self.ledger
            .put_lease(&Lease {
                environment: name.to_owned(),
                by: who.name(),
                since: now,
                until,
            })
            .await?;
        self.audit(who, "environment.up", name, &format!("until {until}"))
            .await?;
        self.pass_over(self.bell.pass_again()).await?;
        Ok(json!({"name": name, "until": until}))
    }

    /// Ends an environment's lease.
    pub(crate) async fn environment_down(&self, name: &str, who: &Actor) -> Result<Value, Failure> {
        self.developer_environment(name).await?;
        let ended = self.ledger.end_lease(name).await?;
        self.audit(
            who,
            "environment.down",
            name,
            if ended { "" } else { "it was not up" },
        )
        .await?;
        self.pass_over(self.bell.pass_again()).await?;
        Ok(json!({"name": name, "ended": ended}))
    }
}

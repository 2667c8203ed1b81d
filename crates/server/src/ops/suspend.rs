//! Suspending: an application in an environment stays as it is, whatever git says, until a time that is said at once or
//! until somebody resumes it. Kept in the ledger; the flow sees a held application, as it sees one that cannot be read.

use super::names;
use crate::api::Failure;
use crate::state::Shared;
use herder_fleet::Fleet;
use herder_ledger::Actor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Duration;

/// What a suspension's fact begins with.
const FACT: &str = "suspended/";
/// How long one lasts if nothing is said, and at most.
const DEFAULT: Duration = Duration::from_secs(8 * 3600);
const MOST: Duration = Duration::from_secs(30 * 86400);

/// One suspension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suspension {
    pub(crate) application: String,
    pub(crate) namespace: String,
    pub(crate) by: String,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    #[serde(default)]
    pub(crate) reason: String,
}

impl Suspension {
    fn fact(application: &str, namespace: &str) -> String {
        format!("{FACT}{namespace}/{application}")
    }

    /// Why the application is held, for people.
    pub(crate) fn why(&self) -> String {
        let reason = if self.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", self.reason)
        };
        format!("suspended by {} until {}{reason}", self.by, self.until)
    }
}

/// What to suspend, where, how long and why.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SuspendRequest {
    pub(crate) application: String,
    pub(crate) namespace: String,
    /// How long, such as `8h`.
    #[serde(rename = "for")]
    pub(crate) lasts: Option<String>,
    pub(crate) reason: String,
    pub(crate) by: String,
}

impl Shared {
    /// The suspensions that hold now. Those that have ended are none.
    pub(crate) async fn suspensions(&self) -> Result<Vec<Suspension>, herder_ledger::Error> {
        let now = self.clock.now();
        let facts = self.ledger.facts(FACT).await?;
        let read = facts.iter().filter_map(|(name, text)| read(name, text));
        Ok(read.filter(|one| one.until > now).collect())
    }

    /// The fleet as it is to be made true: with what is suspended held.
    pub(crate) async fn with_suspensions<'a>(
        &self,
        fleet: &'a Fleet,
    ) -> Result<Cow<'a, Fleet>, herder_ledger::Error> {
        Ok(hold(fleet, &self.suspensions().await?))
    }

    /// Leaves an application as it is.
    pub(crate) async fn suspend(&self, request: &SuspendRequest, who: &Actor) -> Result<Value, Failure> {
        let namespace = self.place(&request.application, &request.namespace).await?;
        let lasts = request
            .lasts
            .as_deref()
            .map(herder_base::duration_with_unit)
            .transpose();
        let lasts = lasts
            .map_err(|error| Failure::invalid(error.to_string()))?
            .unwrap_or(DEFAULT);
        if lasts > MOST || lasts.is_zero() {
            let most = herder_base::format_duration(MOST);
            return Err(
                Failure::invalid(format!("a suspension lasts {most} at most, and not for no time"))
                    .hint("what is to stay as it is for longer belongs into git"),
            );
        }
        // To the second: people read it.
        let now = self.clock.now();
        let since = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let one = Suspension {
            application: request.application.clone(),
            namespace: namespace.clone(),
            by: who.name(),
            since,
            until: since.saturating_add(lasts).unwrap_or(Timestamp::MAX),
            reason: request.reason.clone(),
        };
        // Plain data always is JSON.
        let text = serde_json::to_string(&one).unwrap_or_default();
        self.ledger
            .put_fact(&Suspension::fact(&one.application, &namespace), &text)
            .await?;
        let subject = format!("{} in {namespace}", one.application);
        self.audit(who, "suspend", &subject, &one.why()).await?;
        self.pass_over(self.bell.pass_again()).await?;
        Ok(json!(one))
    }

    /// Lets git have its way again.
    pub(crate) async fn resume(&self, request: &SuspendRequest, who: &Actor) -> Result<Value, Failure> {
        let namespace = self.place(&request.application, &request.namespace).await?;
        let fact = Suspension::fact(&request.application, &namespace);
        let was = self.ledger.fact(&fact).await?.is_some();
        if !was {
            return Err(Failure::conflict(format!(
                "`{}` is not suspended in `{}`",
                request.application, request.namespace
            )));
        }
        self.ledger.drop_fact(&fact).await?;
        let subject = format!("{} in {namespace}", request.application);
        self.audit(who, "resume", &subject, "").await?;
        self.pass_over(self.bell.pass_again()).await?;
        Ok(json!({"application": request.application, "namespace": namespace}))
    }

    /// The namespace that is meant, if git has the application there.
    async fn place(&self, application: &str, asked: &str) -> Result<String, Failure> {
        let reading = self.known().await?;
        let namespace = self.namespace(asked);
        let units = reading
            .fleet
            .units
            .iter()
            .filter(|unit| unit.namespace == namespace);
        let known = units.into_iter().any(|unit| {
            unit.held_applications.contains_key(application)
                || unit
                    .objects
                    .iter()
                    .any(|object| object.application.as_deref() == Some(application))
        });
        let view = self.view();
        let cells = view.applications.iter().filter(|row| row.name == application);
        let shown = cells
            .flat_map(|row| &row.cells)
            .any(|cell| cell.namespace == namespace);
        if known {
            Ok(namespace)
        } else if shown {
            // It goes by its workload's name, so nothing tells which other objects are its own.
            let message = format!(
                "the objects of `{application}` in `{asked}` do not say that they are one application"
            );
            Err(Failure::conflict(message)
                .hint("give them the label `herder.dev/application` in git: what has it can be suspended"))
        } else {
            Err(names::no_application(
                &self.view(),
                application,
                asked,
                &namespace,
            ))
        }
    }
}

/// A suspension as it was written down. One that this version cannot read holds all the same.
fn read(name: &str, text: &str) -> Option<Suspension> {
    let (namespace, application) = name.strip_prefix(FACT)?.split_once('/')?;
    Some(serde_json::from_str(text).unwrap_or_else(|error| Suspension {
        application: application.to_owned(),
        namespace: namespace.to_owned(),
        by: "somebody".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        until: Timestamp::MAX,
        reason: format!("what was written down of it cannot be read: {error}"),
    }))
}

/// The fleet with what is suspended held; the same one if nothing is.
fn hold<'a>(fleet: &'a Fleet, suspensions: &[Suspension]) -> Cow<'a, Fleet> {
    let mut fleet = Cow::Borrowed(fleet);
    for one in suspensions {
        if !fleet.units.iter().any(|unit| unit.namespace == one.namespace) {
            continue;
        }
        for unit in &mut fleet.to_mut().units {
            if unit.namespace == one.namespace {
                let held = unit.held_applications.entry(one.application.clone());
                held.or_insert_with(|| one.why());
                // As the readers do with what they hold: nothing of it is wanted, so nothing of it is written.
                unit.objects
                    .retain(|object| object.application.as_deref() != Some(one.application.as_str()));
            }
        }
    }
    fleet
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::Tree;
    use herder_fleet::{Inputs, Renders};
    use std::collections::BTreeMap;

    fn fleet() -> Fleet {
        let web = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, labels: {herder.dev/application: NAME}}\n";
        let files = [
            "namespaces/staging/shop.yaml",
            "namespaces/staging/web.yaml",
            "namespaces/production/shop.yaml",
        ];
        let mut texts = vec![("fleet.yaml", "discover: namespaces/*\n".to_owned())];
        texts.extend(files.map(|file| {
            let name = if file.ends_with("shop.yaml") {
                "shop"
            } else {
                "web"
            };
            (file, web.replace("NAME", name))
        }));
        let tree = Tree::from_texts(texts.iter().map(|(file, text)| (*file, text.as_str()))).unwrap();
        let inputs = Inputs {
            fleet_url: "https://git.example.org/fleet".into(),
            root: tree,
            trees: BTreeMap::new(),
            renders: Renders::default(),
        };
        herder_fleet::read(&inputs).0
    }

    #[test]
    fn what_is_suspended_is_held_and_nothing_else() {
        let fleet = fleet();
        let objects = |fleet: &Fleet, namespace: &str| {
            let unit = fleet
                .units
                .iter()
                .find(|unit| unit.namespace == namespace)
                .unwrap()
                .clone();
            let names = unit
                .objects
                .iter()
                .filter_map(|object| object.application.clone());
            (names.collect::<Vec<_>>(), unit.held_applications)
        };
        assert_eq!(objects(&fleet, "staging").0, ["shop", "web"]);
        let one = Suspension {
            application: "shop".to_owned(),
            namespace: "staging".to_owned(),
            by: "ada".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::from_second(60).unwrap(),
            reason: "load test".to_owned(),
        };
        assert!(matches!(hold(&fleet, &[]), Cow::Borrowed(_)));
        let held = hold(&fleet, std::slice::from_ref(&one));
        let (left, why) = objects(&held, "staging");
        assert_eq!(left, ["web"]);
        assert_eq!(
            why["shop"],
            "suspended by ada until 1970-01-01T00:01:00Z: load test"
        );
        assert_eq!(objects(&held, "production"), objects(&fleet, "production"));
        // What cannot be read any more does not let go.
        let broken = read("suspended/staging/shop", "{").unwrap();
        assert_eq!((broken.until, &*broken.application), (Timestamp::MAX, "shop"));
        let elsewhere = Suspension {
            namespace: "gone".to_owned(),
            ..one
        };
        assert!(matches!(hold(&fleet, &[elsewhere]), Cow::Borrowed(_)));
    }
}

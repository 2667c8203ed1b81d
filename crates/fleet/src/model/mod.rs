//! The words of a fleet: plain data, no behaviour beyond looking things up.

mod environment;
mod inputs;
mod unit;

pub use environment::{ConfigSource, Environment, EnvironmentKind, Lease, StateRule};
pub use inputs::{Inputs, SourceRef};
pub use unit::{Desired, Hook, LeftOut, Stage, Turn, Unit, UnitOrigin};

use herder_base::{AllowList, Commit, Location, Url};
use herder_job::Job;
use herder_object::Gvk;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that is to exist, as one commit of the fleet repository and its sources say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// The fleet's name, the value of the label on everything it owns.
    pub name: String,
    /// The commit of the fleet repository.
    pub commit: Commit,
    /// What fleet.yaml sets for all.
    pub settings: Settings,
    /// Namespaces (and the cluster-level manifests) with their objects.
    pub units: Vec<Unit>,
    /// Environments in stage order, then the developer ones.
    pub environments: Vec<Environment>,
    /// Applications by name.
    pub applications: Vec<Application>,
    /// Teams by name.
    pub teams: Vec<Team>,
    /// Jobs by name, from Job DSL and the native form.
    pub jobs: Vec<Job>,
    /// Vault policies by name.
    pub policies: Vec<Policy>,
    /// Vault roles for service accounts, by name.
    pub roles: Vec<Role>,
    /// What could not be read, so that what is missing above must not be taken for removed.
    pub held: Held,
    /// The remotes that other repositories, and the parameters of jobs, may name.
    pub remotes: AllowList,
    /// Findings that are known and are no news for a while.
    pub acknowledged: Vec<Acknowledged>,
}

impl Fleet {
    /// The value of the fleet label.
    #[must_use]
    pub fn label(&self) -> String {
        crate::render::label_value(&self.name)
    }

    /// An environment by name.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|environment| environment.name == name)
    }

    /// An application by name.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|application| application.name == name)
    }

    /// A unit by its id.
    #[must_use]
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.id == id)
    }

    /// A job by its whole name.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// All objects of all units.
    pub fn objects(&self) -> impl Iterator<Item = (&Unit, &Desired)> {
        self.units
            .iter()
            .flat_map(|unit| unit.objects.iter().map(move |object| (unit, object)))
    }

    /// The kinds that occur, for whoever observes.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Gvk> {
        self.objects().map(|(_, object)| object.key.gvk.clone()).collect()
    }
}

/// Which lists of a [`Fleet`] are incomplete, each with the reason. Whoever makes reality match must not remove an
/// entry that is absent from a held list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Units: a unit that is not listed may only be missing because a file could not be read.
    pub units: Option<String>,
    /// Jobs.
    pub jobs: Option<String>,
    /// Vault policies.
    pub policies: Option<String>,
    /// Vault roles.
    pub roles: Option<String>,
    /// The fleet's name and settings: fleet.yaml is of no use, and all else is as if it said nothing.
    pub fleet: Option<String>,
}

/// What fleet.yaml sets for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Vault's address as pods see it.
    pub vault_address: String,
    /// The authority of its certificate, as PEM or as a file in pods; `None` is the machine's roots there.
    pub vault_ca: Option<String>,
    /// Where the Kubernetes login method is mounted in Vault.
    pub vault_mount: String,
    /// The image of the secrets agent's containers; it has `herder` on its path.
    pub agent_image: String,
    /// To which namespaces hosts of the edge are given.
    pub hosts: BTreeMap<String, Vec<String>>,
    /// The largest share of the fleet's objects one plan may delete without being told to, in percent.
    pub prune_limit_percent: u8,
    /// The kubeconfig file of the cluster it runs on; `None` is the embedded one.
    pub kubeconfig: Option<String>,
    /// The context in that file.
    pub context: Option<String>,
    /// Remotes that other repositories may name besides those that the fleet names.
    pub remotes: Vec<String>,
    /// Whether they may name those beside the ones that the fleet names.
    pub sibling_remotes: bool,
    /// Globs of files whose objects may have fields that their kind does not have.
    pub lenient: Vec<String>,
    /// Whether kustomizations may read files anywhere in their repository.
    pub load_anywhere: bool,
    /// Whether folders may hold objects that are in no namespace.
    pub cluster_scoped: bool,
}

impl Settings {
    /// Where every pod with a service account has the cluster's own authority.
    pub const CLUSTER_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

    /// Whether an address is Vault's own inside the cluster, whose certificate is of the cluster's authority.
    #[must_use]
    pub fn is_in_cluster(address: &str) -> bool {
        let host = address.split_once("://").map_or(address, |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        let host = host.strip_suffix(".svc.cluster.local").unwrap_or(host);
        host.strip_suffix(".svc").unwrap_or(host) == "vault.herder-system"
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vault_address: "https://vault.herder-system:8200".to_owned(),
            vault_ca: Some(Self::CLUSTER_CA.to_owned()),
            vault_mount: "kubernetes".to_owned(),
            agent_image: "host".to_owned(),
            hosts: BTreeMap::new(),
            prune_limit_percent: 30,
            kubeconfig: None,
            context: None,
            remotes: Vec::new(),
            sibling_remotes: true,
            lenient: Vec::new(),
            load_anywhere: false,
            cluster_scoped: false,
        }
    }
}

/// An application: what is built from one source and moves through the stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// Its name; also its directory in config repositories and the value of the label.
    pub name: String,
    /// The team that owns it.
    pub team: Option<String>,
    /// Where its source is, resolved; empty if it is not said.
    pub repository: Url,
    /// The images it consists of, as kustomizations name them.
    pub images: Vec<String>,
    /// The environments it passes, in stage order; empty in the file means all permanent ones that have it.
    pub stages: Vec<String>,
    /// Where it is defined; a synthetic application (only found in a config repository) has that directory.
    pub source: Location,
}

/// A team: who owns environments and applications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub source: Location,
}

/// A Vault policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Its name: the file's name without `.hcl`.
    pub name: String,
    /// The HCL text.
    pub text: String,
    /// Where it is.
    pub source: Location,
}

/// A role of Vault's Kubernetes login: which service accounts in which namespaces get which policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Service account names; `*` is any.
    pub service_accounts: Vec<String>,
    /// Namespaces; `*` is any.
    pub namespaces: Vec<String>,
    /// Policy names.
    pub policies: Vec<String>,
    /// How long its tokens live.
    pub ttl: Option<Duration>,
    /// How long they can be renewed for.
    pub max_ttl: Option<Duration>,
    /// The audience the service account token must have.
    pub audience: Option<String>,
    /// Where it is.
    pub source: Location,
}

/// A finding that is known, with the reason it may stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The finding's code.
    pub code: String,
    /// Which files, a pattern with `*`.
    pub at: String,
    /// Why it may stay.
    pub reason: String,
    /// The last day it may.
    pub until: jiff::civil::Date,
    /// Where that is said.
    pub source: Location,
}

impl Acknowledged {
    /// Whether it is about a finding.
    #[must_use]
    pub fn is_about(&self, finding: &herder_base::Diagnostic) -> bool {
        let place = finding.at.as_ref().map(|at| {
            let at = Location {
                line: 0,
                column: 0,
                ..at.clone()
            };
            at.to_string()
        });
        self.code == finding.code && crate::read::wildcard(&self.at, &place.unwrap_or_default())
    }
}

//! What the parts of the platform share: handles to the outside and the latest values, each replaced as a whole.
//!
//! Owns no behaviour. Whoever changes something wakes the flow or rings the bell; nobody waits for a lock.

use crate::allowed::Allowed;
use crate::api::{Codes, Names, Rung, Throttle};
use crate::flow::Access;
use crate::flow_bell::FlowBell;
use crate::history::History;
use crate::live::Live;
use crate::options::Options;
use crate::reading::Reading;
use crate::run_tokens::RunTokens;
use crate::secret_file::SecretFile;
use crate::view::{Looked, View};
use arc_swap::{ArcSwap, ArcSwapOption};
use herder_base::Clock;
use herder_cluster::Cluster;
use herder_fleet::{Fleet, Renders};
use herder_git::Git;
use herder_jobs::Jobs;
use herder_ledger::Ledger;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Everything shared. See [`Shared`].
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) git: Git,
    /// The remotes that may be reached.
    pub(crate) allowed: Allowed,
    pub(crate) cluster: Cluster,
    pub(crate) vault: herder_vault::Client,
    /// The cluster, if Vault has to be told of it, and the log in at which it was told.
    pub(crate) cluster_login: Option<herder_vault::ClusterLogin>,
    pub(crate) introduced: ArcSwapOption<String>,
    pub(crate) ledger: Ledger,
    pub(crate) jobs: Jobs,
    pub(crate) live: Live,
    pub(crate) run_tokens: RunTokens,
    /// The last reading of git, none before the first.
    pub(crate) reading: ArcSwapOption<Reading>,
    /// Why the last attempt to read git failed, if it did.
    pub(crate) unreadable: ArcSwapOption<String>,
    /// When the remotes were last looked at.
    pub(crate) looked: Looked,
    pub(crate) view: ArcSwap<View>,
    /// What was seen of Vault last, and what it refused.
    pub(crate) access: Access,
    /// What was written down last.
    pub(crate) history: History,
    /// Wakes the flow, and what for.
    pub(crate) bell: FlowBell,
    /// Everything is to be gone until the next `up`.
    pub(crate) everything_down: AtomicBool,
    /// Ingresses of which the edge refuses a host.
    pub(crate) refused_hosts: ArcSwap<crate::wire::hosts::Refused>,
    /// The edge, for its figures, once it serves.
    pub(crate) edge: OnceLock<herder_edge::Edge>,
    /// The edge's addresses, for links.
    pub(crate) edge_http: std::net::SocketAddr,
    /// The platform's token: of the command line, and for signing in.
    pub(crate) token: SecretFile,
    /// What forges sign their notices with.
    pub(crate) webhook_secret: SecretFile,
    /// Codes of the links that are printed.
    pub(crate) codes: Codes,
    pub(crate) throttle: Throttle,
    pub(crate) rung: Rung,
    pub(crate) names: Names,
    /// What is wrong with the audit chain, if something was found.
    pub(crate) audit_fault: ArcSwapOption<String>,
}

impl Inner {
    /// Lets jobs reach what this fleet allows, and nothing else any more.
    pub(crate) fn allow(&self, fleet: &Fleet) {
        let jobs: Vec<_> = fleet
            .jobs
            .iter()
            .map(crate::wire::definitions::definition)
            .collect();
        self.allowed.put(&self.options.fleet, fleet, &jobs);
    }

    /// What the last reading rendered.
    pub(crate) fn renders(&self) -> Renders {
        let last = self.reading.load_full();
        last.map(|reading| reading.inputs.renders.clone())
            .unwrap_or_default()
    }
}

/// A cheap handle to what is shared.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Inner>);

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Shared {
    /// The latest view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The last reading, if there is one.
    pub(crate) fn reading(&self) -> Option<Arc<Reading>> {
        self.reading.load_full()
    }
}

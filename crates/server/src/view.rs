//! What the board and the platform API show: one immutable snapshot, replaced as a whole whenever something changed.
//!
//! Owns the wire format of `/api/v1`. These structs are for reading only; nothing decides by them.

use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The state of the platform at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct View {
    /// The fleet this platform keeps true.
    pub(crate) fleet: FleetView,
    /// Stages in promotion order.
    pub(crate) stages: Vec<String>,
    /// One row per application.
    pub(crate) applications: Vec<Row>,
    /// Namespaces that come from environments or discovery.
    pub(crate) environments: Vec<EnvironmentView>,
    /// What is wrong with the repositories as they were read.
    pub(crate) diagnostics: Vec<Finding>,
    /// What is wrong, known and no news for now.
    pub(crate) acknowledged: Vec<KnownFinding>,
    /// What is there although everything was taken down; none while it is up.
    pub(crate) down: Option<DownView>,
    /// The machines.
    pub(crate) nodes: Vec<NodeView>,
    /// The last pass of the flow.
    pub(crate) pass: PassView,
}

/// Which repository at which commit.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct FleetView {
    /// The fleet's name.
    pub(crate) name: String,
    /// Its repository.
    pub(crate) url: String,
    /// The commit that was last read.
    pub(crate) commit: String,
    /// When, RFC 3339.
    pub(crate) read_at: String,
    /// When it was last looked whether there is a newer one, RFC 3339.
    pub(crate) looked_at: Looked,
    /// How many namespaces it declares.
    pub(crate) namespaces: usize,
    /// How many objects it declares.
    pub(crate) objects: usize,
}

/// How something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// Needs a person.
    Degraded,
    /// Not there although it should be.
    Missing,
    /// On its way.
    Progressing,
    /// Cannot be read; left as it is.
    Held,
    /// Some of its objects are left out; the others are as they should be.
    Incomplete,
    /// As it should be.
    #[default]
    Healthy,
}

impl Health {
    /// The word shown beside the colour and the shape.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Degraded => "degraded",
            Self::Missing => "missing",
            Self::Progressing => "progressing",
            Self::Held => "held",
            Self::Incomplete => "incomplete",
            Self::Healthy => "healthy",
        }
    }

    /// A shape that differs without colour.
    #[must_use]
    pub(crate) fn shape(self) -> &'static str {
        match self {
            Self::Degraded => "✕",
            Self::Missing => "○",
            Self::Progressing => "◐",
            Self::Held => "‖",
            Self::Incomplete => "◌",
            Self::Healthy => "●",
        }
    }

    /// Whether it belongs at the top.
    #[must_use]
    pub(crate) fn needs_attention(self) -> bool {
        matches!(
            self,
            Self::Degraded | Self::Missing | Self::Held | Self::Incomplete
        )
    }
}

/// One application over all stages.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    /// The application.
    pub(crate) name: String,
    /// The team that owns it, if any.
    pub(crate) team: String,
    /// The worst of its cells.
    pub(crate) health: Health,
    /// One per namespace it is in; stages first, in order.
    pub(crate) cells: Vec<Cell>,
}

/// One application in one namespace.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cell {
    /// The environment, or the namespace where there is none.
    pub(crate) stage: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The version as people say it: the one that git wants.
    pub(crate) version: String,
    /// The version that serves meanwhile, if it is another one.
    pub(crate) serving: String,
    /// How it is.
    pub(crate) health: Health,
    /// Why, in plain words; empty when healthy.
    pub(crate) reason: String,
    /// Ready pods.
    pub(crate) ready: u64,
    /// Wanted pods.
    pub(crate) desired: u64,
    /// Since when this version has been wanted, RFC 3339; empty if unknown.
    pub(crate) since: String,
    /// Objects that somebody else changed or removed.
    pub(crate) drifted: u64,
    /// The job run that caused the latest rollout, as `job/number`; empty if none did.
    pub(crate) run: String,
    /// Its pods.
    pub(crate) pods: Vec<PodView>,
}

/// One pod as a small square.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct PodView {
    /// Its name.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) node: String,
    /// `ready`, `starting` or `failing`.
    pub(crate) state: &'static str,
    /// What it waits for or failed of.
    pub(crate) reason: String,
}

/// A namespace.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct EnvironmentView {
    /// Its name in the fleet.
    pub(crate) name: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// `permanent`, `developer` or `discovered`.
    pub(crate) kind: String,
    /// Whether it is meant to exist now.
    pub(crate) up: bool,
    /// Whether everything in it is as it should be.
    pub(crate) healthy: bool,
    /// Whether there is anything of it in the cluster.
    pub(crate) present: bool,
    /// Until when, RFC 3339, for leased ones.
    pub(crate) until: String,
    /// Who asked for it.
    pub(crate) by: String,
    /// Where its applications answer.
    pub(crate) urls: Vec<String>,
    /// Why nothing in it is changed at the moment; empty when it is not held.
    pub(crate) held: String,
}

/// A diagnostic of the readers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// `error`, `warning` or `note`.
    pub(crate) severity: String,
    /// A stable code.
    pub(crate) code: String,
    /// `path:line:column`, with the repository in front if it is another one.
    pub(crate) at: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
    /// How often it was found.
    pub(crate) times: usize,
    /// Some of the other places where it was found.
    pub(crate) also: Vec<String>,
}

/// A finding that somebody acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KnownFinding {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    /// Why it may stay.
    pub(crate) reason: String,
    /// The last day it may.
    pub(crate) until: String,
}

/// What is left after everything was taken down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DownView {
    /// How many objects of the fleet are still in the cluster; none if it could not be asked.
    pub(crate) left: Option<usize>,
    /// Some of them.
    pub(crate) names: Vec<String>,
}

/// When git was last looked at. Its clones are one moment: it moves on without a new view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked(Arc<AtomicI64>);

impl Looked {
    /// It was looked at now.
    pub(crate) fn now(&self, now: Timestamp) {
        self.0.store(now.as_second(), Ordering::Relaxed);
    }

    /// When that was, RFC 3339; empty before the first time.
    pub(crate) fn text(&self) -> String {
        match self.0.load(Ordering::Relaxed) {
            0 => String::new(),
            second => Timestamp::from_second(second)
                .map(|at| at.to_string())
                .unwrap_or_default(),
        }
    }
}

impl Serialize for Looked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl From<&herder_base::Diagnostic> for Finding {
    fn from(diagnostic: &herder_base::Diagnostic) -> Self {
        Self {
            severity: diagnostic.severity.to_string(),
            code: diagnostic.code.to_owned(),
            at: diagnostic
                .at
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            message: herder_base::Plain(&diagnostic.message).to_string(),
            hint: diagnostic.hint.clone().unwrap_or_default(),
            times: 1,
            also: Vec::new(),
        }
    }
}

/// One machine of the cluster.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct NodeView {
    /// Its name.
    pub(crate) name: String,
    /// Whether it takes pods.
    pub(crate) ready: bool,
    /// How many pods it runs.
    pub(crate) pods: usize,
    /// What it lacks, with the remedy.
    pub(crate) remarks: Vec<String>,
}

/// What one pass of the flow did.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct PassView {
    /// Counts up with every pass.
    pub(crate) generation: u64,
    /// When it ended, RFC 3339.
    pub(crate) at: String,
    /// How long it took, milliseconds.
    pub(crate) milliseconds: u64,
    /// What it wrote.
    pub(crate) written: usize,
    /// What it removed.
    pub(crate) deleted: usize,
    /// What the cluster refused.
    pub(crate) failures: Vec<String>,
    /// The same, by what it was about; not part of the wire format.
    #[serde(skip)]
    pub(crate) refusals: Vec<Refusal>,
    /// Objects that git names and that are left out; not part of the wire format.
    #[serde(skip)]
    pub(crate) absent: Vec<Refusal>,
    /// Applications whose Jobs have ended and went, by namespace; not part of the wire format.
    #[serde(skip)]
    pub(crate) ended: Vec<(String, String)>,
    /// What people should look at, beside what is refused; not part of the wire format.
    #[serde(skip)]
    pub(crate) findings: Vec<Finding>,
    /// What it left out and why, once per kind.
    pub(crate) notes: Vec<String>,
}

/// A change that the cluster refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The application of the object, empty if it has none.
    pub(crate) application: String,
    /// The object's namespace.
    pub(crate) namespace: String,
    /// The object's name.
    pub(crate) name: String,
    /// Which object, and the cluster's reason.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

impl Refusal {
    /// Whether it was about an application in a namespace. Objects that say no application go by their own name, as
    /// they do on the board.
    pub(crate) fn is_about(&self, application: &str, namespace: &str) -> bool {
        let own = if self.application.is_empty() {
            &self.name
        } else {
            &self.application
        };
        self.namespace == namespace && own == application
    }
}

/// Why an application is as it is: the cause first, then the way from commit to log line.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct WhyView {
    /// The application.
    pub(crate) application: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// Whether there is nothing to explain.
    pub(crate) healthy: bool,
    /// The cause in plain words.
    pub(crate) cause: String,
    /// What to do about it.
    pub(crate) remedy: String,
    /// From commit to container.
    pub(crate) chain: Vec<StepView>,
    /// The last lines before the failure.
    pub(crate) log_tail: Vec<String>,
}

/// One step on the way from commit to cause.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct StepView {
    /// `Commit`, `Deployment`, `ReplicaSet`, `Pod`, `Container` …
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// How it is, in a word or two.
    pub(crate) state: String,
    /// More, if there is more to say.
    pub(crate) detail: String,
    /// Whether the trouble is here.
    pub(crate) bad: bool,
}

//! Tree → [`Fleet`]: teams, environments, applications, jobs, policies and every object that is to exist, with
//! diagnostics beside it.
//!
//! Owns the format of the fleet repository and what rendering adds to an object (labels, source, secrets agent). Reads
//! files of commits and nothing else: no filesystem, network, clock or cluster. [`sources`] says which other
//! repositories are needed, the caller fetches them, [`read`] does the rest. One bad file never hides the others, and
//! what could not be read is *held*, not missing.
#![forbid(unsafe_code)]

pub mod format;
mod model;
mod promote;
mod read;
mod render;

pub use model::{
    Acknowledged, Application, ConfigSource, Desired, Environment, EnvironmentKind, Fleet, Held, Hook,
    Inputs, Lease, LeftOut, Policy, Role, Settings, SourceRef, Stage, StateRule, Team, Turn, Unit,
    UnitOrigin,
};
pub use promote::{Move, Pinned, PromoteError, Promotion, is_older, pinned, promote, release, rollback};
pub use read::{Renders, read, sources};
pub use render::inject;

/// Label naming the fleet an object belongs to; only objects that carry it are ever pruned.
pub const FLEET_LABEL: &str = "herder.dev/fleet";
/// Label naming the [`Unit`] an object belongs to.
pub const UNIT_LABEL: &str = "herder.dev/unit";
/// Label naming the application an object belongs to.
pub const APPLICATION_LABEL: &str = "herder.dev/application";
/// Label on workloads with the short version that people see.
pub const VERSION_LABEL: &str = "herder.dev/version";
/// Label and annotation on what is never deleted.
pub const STATE_LABEL: &str = "herder.dev/state";
/// Annotation with `repository//path:line@commit`; never compared, so that commits which change nothing write nothing.
pub const SOURCE_ANNOTATION: &str = "herder.dev/source";
/// Annotation by which an object that cannot be changed in place is deleted and made again.
pub const RECREATE_ANNOTATION: &str = "herder.dev/recreate";
/// Annotation on hooks with the state of their application that they run for.
pub const RUN_ANNOTATION: &str = "herder.dev/run";
/// Annotation with the hash of what git wants; a live object with another hash is applied again.
pub const HASH_ANNOTATION: &str = "herder.dev/hash";

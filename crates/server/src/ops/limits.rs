//! How long the platform itself waits. Stated here alone: clients are told by [`crate::api::waits_for`] and have no limit
//! of their own for as long as they hear that something is waited for.

use std::time::Duration;

/// For a pass of the flow.
pub(crate) const PASS: Duration = Duration::from_secs(120);
/// For a promoted version to be healthy.
pub(crate) const HEALTHY: Duration = Duration::from_secs(600);
/// For everything to be gone.
pub(crate) const GONE: Duration = Duration::from_secs(120);

//! Supervisor, configuration, the flow, platform API, dashboard.

pub mod wire;

//! Supervisor, configuration, the flow, platform API, dashboard.

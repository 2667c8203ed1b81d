//! Vault HTTP client side: policy sync, preflight, leases, the agent that renders templates.

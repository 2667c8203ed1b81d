//! Signing in to the dashboard, its sessions and its cookies.

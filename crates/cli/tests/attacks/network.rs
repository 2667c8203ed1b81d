//! Other pods' traffic, and network policies.

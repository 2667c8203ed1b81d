//! Credentials of nodes, and what a node may read.

//! What makes of stored objects a running cluster: the controllers and the scheduler. They read and write the registry,
//! publish to the network, and know neither HTTP nor how a pod is run.

pub mod controllers;
#[cfg(test)]
mod random;
mod scheduler;

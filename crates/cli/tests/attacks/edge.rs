//! Hosts belong to the namespaces that the fleet gives them to.

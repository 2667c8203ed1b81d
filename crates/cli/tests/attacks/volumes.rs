//! Volumes of other namespaces.

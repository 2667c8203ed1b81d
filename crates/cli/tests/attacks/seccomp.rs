//! System calls that no container needs.

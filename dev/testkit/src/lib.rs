//! Fixtures and a whole platform in one process.

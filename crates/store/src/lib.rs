//! Versioned key-value store with watch and compare-and-set.

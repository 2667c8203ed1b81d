//! Spellings of Vault's paths.

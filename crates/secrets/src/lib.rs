//! Vault-compatible server: sans-IO core under an HTTP skin.

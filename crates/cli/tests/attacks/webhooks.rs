//! Webhooks without a signature, and addresses that hold credentials.

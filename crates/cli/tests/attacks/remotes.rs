//! Repositories that name other repositories.

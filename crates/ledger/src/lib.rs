//! Runs, promotions, approvals and the audit chain in SQL (SQLite or PostgreSQL).

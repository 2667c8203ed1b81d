//! The record of what was done cannot be rewritten unseen.

//! Corpora and real clients as judges.

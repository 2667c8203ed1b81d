//! What a stranger sends costs no more than it should: patches, logs, repositories.

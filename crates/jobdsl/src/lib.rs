//! Jenkins Job DSL scripts and config.xml to job definitions.

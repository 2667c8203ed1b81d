//! Go text/template with consul-template functions.

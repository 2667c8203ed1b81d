//! HTTP router: routes by hostname and path to live endpoints, TLS, draining.

//! Connections that idle, dawdle or never finish.

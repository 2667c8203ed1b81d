//! The binary `herder`.
fn main() {}

//! Development tasks: check, test, tidy, bench.
fn main() {}

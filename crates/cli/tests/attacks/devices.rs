//! The machine's devices and ids, from within a container.

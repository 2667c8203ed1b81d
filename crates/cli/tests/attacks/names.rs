//! Names that become paths, files, interfaces and control groups.

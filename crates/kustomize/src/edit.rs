//! Edits of kustomization files.

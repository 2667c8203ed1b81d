//! Tree to manifests, byte for byte what kustomize build prints.

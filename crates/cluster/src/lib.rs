//! observe() and apply(); health and diagnosis. The only crate that imports kube.

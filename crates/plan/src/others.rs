//! What objects ask for in others' words (Argo CD's, Flux's, Helm's annotations), as far as it is about deleting and
//! changing them. Pure; order is `herder_fleet`'s.

use serde_json::Value;

/// Why an object asks not to be deleted when git no longer has it.
pub(crate) fn stays(live: &Value) -> Option<&'static str> {
    if option(live, "Prune=false") || option(live, "Delete=false") {
        Some("argocd.argoproj.io/sync-options")
    } else if is(live, "helm.sh/resource-policy", "keep") {
        Some("helm.sh/resource-policy: keep")
    } else if is(live, "kustomize.toolkit.fluxcd.io/prune", "disabled") {
        Some("kustomize.toolkit.fluxcd.io/prune: disabled")
    } else {
        None
    }
}

/// Whether an object that cannot be changed in place asks to be made anew.
pub(crate) fn anew(desired: &Value) -> bool {
    option(desired, "Force=true") || is(desired, "kustomize.toolkit.fluxcd.io/force", "enabled")
}

/// Why an object that is there asks to be left as it is.
pub(crate) fn untouched(desired: &Value) -> Option<&'static str> {
    if is(desired, "kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent") {
        Some("kustomize.toolkit.fluxcd.io/ssa: IfNotPresent")
    } else if is(desired, "kustomize.toolkit.fluxcd.io/ssa", "Ignore") {
        Some("kustomize.toolkit.fluxcd.io/ssa: Ignore")
    } else if is(desired, "kustomize.toolkit.fluxcd.io/reconcile", "disabled") {
        Some("kustomize.toolkit.fluxcd.io/reconcile: disabled")
    } else {
        None
    }
}

fn is(object: &Value, name: &str, value: &str) -> bool {
    herder_object::annotations(object)
        .chain(herder_object::labels(object))
        .any(|(found, text)| found == name && text.eq_ignore_ascii_case(value))
}

fn option(object: &Value, wanted: &str) -> bool {
    herder_object::annotations(object)
        .filter(|(name, _)| *name == "argocd.argoproj.io/sync-options")
        .flat_map(|(_, text)| text.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn others_words_are_understood() {
        let of = |name: &str, value: &str| json!({"metadata": {"annotations": {name: value}}});
        for (name, value) in [
            ("argocd.argoproj.io/sync-options", "Validate=false, Prune=false"),
            ("helm.sh/resource-policy", "keep"),
            ("kustomize.toolkit.fluxcd.io/prune", "Disabled"),
        ] {
            assert!(stays(&of(name, value)).is_some(), "{name}");
        }
        assert_eq!(stays(&of("argocd.argoproj.io/sync-options", "Prune=true")), None);
        assert!(anew(&of(
            "argocd.argoproj.io/sync-options",
            "Force=true,Replace=true"
        )));
        assert!(!anew(&of("kustomize.toolkit.fluxcd.io/force", "disabled")));
        assert!(untouched(&of("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent")).is_some());
        assert_eq!(untouched(&of("kustomize.toolkit.fluxcd.io/ssa", "Merge")), None);
    }
}

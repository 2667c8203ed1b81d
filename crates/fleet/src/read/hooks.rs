//! The order that manifests ask for in others' words: hooks and waves of Argo CD and Helm. What is honoured becomes a
//! [`Turn`] and a [`Hook`]; what is not is left out with a note, never applied as if nothing had been said.

use crate::render;
use crate::{Desired, Hook, Stage, Turn, Unit};
use herder_base::Diagnostic;
use serde_json::Value;
use sha2::{Digest, Sha256};

const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";
const ARGO_REMOVAL: &str = "argocd.argoproj.io/hook-delete-policy";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const HELM_REMOVAL: &str = "helm.sh/hook-delete-policy";

/// Gives every object of a unit its turn, and every hook the run that it is of.
pub(crate) fn order(unit: &mut Unit, found: &mut Vec<Diagnostic>) {
    let mut kept = Vec::with_capacity(unit.objects.len());
    for mut object in std::mem::take(&mut unit.objects) {
        match said(&object.value) {
            Ok((turn, hook)) => {
                object.turn = turn;
                object.hook = hook;
                kept.push(object);
            }
            Err(why) => found.push(
                Diagnostic::note("hook", format!("{} is left out: {why}", object.key))
                    .at(object.source.clone()),
            ),
        }
    }
    let runs: Vec<Option<String>> = kept
        .iter()
        .map(|object| object.hook.is_some().then(|| run(&kept, object)))
        .collect();
    for (object, run) in kept.iter_mut().zip(runs) {
        if let Some(run) = run {
            render::stamp(object, &run);
        }
    }
    unit.objects = kept;
}

/// What a hook runs for: everything of its application that is no hook, as it is to be. It runs again when that changes.
fn run(objects: &[Desired], hook: &Desired) -> String {
    let mut digest = Sha256::new();
    for object in objects
        .iter()
        .filter(|object| object.hook.is_none() && object.application == hook.application)
    {
        digest.update(object.hash.as_bytes());
    }
    let mut text = hex::encode(digest.finalize());
    text.truncate(16);
    text
}

/// What an object asks for; the error says what of it is not supported.
fn said(value: &Value) -> Result<(Turn, Option<Hook>), String> {
    let annotation = |name: &str| {
        herder_object::annotations(value)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let words = |text: &str| -> Vec<String> {
        let words = text.split(',').map(|word| word.trim().to_ascii_lowercase());
        words.filter(|word| !word.is_empty()).collect()
    };
    let number = |name: &str| -> Result<i32, String> {
        annotation(name).map_or(Ok(0), |text| {
            text.trim()
                .parse()
                .map_err(|_| format!("{name} is `{text}`, and should be a whole number"))
        })
    };
    let wave = number(ARGO_WAVE)?;
    let (hook, argo) = match (annotation(ARGO_HOOK), annotation(HELM_HOOK)) {
        (Some(hook), _) => (hook, true),
        (None, Some(hook)) => (hook, false),
        (None, None) => {
            return Ok((
                Turn {
                    stage: Stage::With,
                    wave,
                },
                None,
            ));
        }
    };
    let stage = words(hook).iter().find_map(|word| match (argo, word.as_str()) {
        (true, "presync") | (false, "pre-install" | "pre-upgrade") => Some(Stage::Before),
        (true, "sync") | (false, "crd-install") => Some(Stage::With),
        (true, "postsync") | (false, "post-install" | "post-upgrade") => Some(Stage::After),
        _ => None,
    });
    let name = if argo { ARGO_HOOK } else { HELM_HOOK };
    let Some(stage) = stage else {
        return Err(format!(
            "{name}: {hook} is not supported (PreSync, Sync and PostSync are, and Helm's hooks around installs and upgrades)"
        ));
    };
    let wave = if argo { wave } else { number(HELM_WEIGHT)? };
    let turn = Turn { stage, wave };
    if !matches!(herder_object::kind(value), "Job" | "Pod") || (!argo && stage == Stage::With) {
        // What a hook's Job needs comes at its turn, and stays.
        return Ok((turn, None));
    }
    let removal = annotation(if argo { ARGO_REMOVAL } else { HELM_REMOVAL })
        .map(words)
        .unwrap_or_default();
    let has = |argos: &str, helms: &str| removal.iter().any(|word| word == argos || word == helms);
    Ok((
        turn,
        Some(Hook {
            gone_after_success: has("hooksucceeded", "hook-succeeded"),
            gone_after_failure: has("hookfailed", "hook-failed"),
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hooks_and_waves_are_understood_or_refused() {
        let of = |kind: &str, annotations: Value| {
            said(&json!({"kind": kind, "metadata": {"name": "x", "annotations": annotations}}))
        };
        let turn = |stage, wave| Turn { stage, wave };
        assert_eq!(of("Job", json!({})), Ok((Turn::default(), None)));
        assert_eq!(
            of("Service", json!({ARGO_WAVE: "-5"})),
            Ok((turn(Stage::With, -5), None))
        );
        let (at, hook) = of(
            "Job",
            json!({ARGO_HOOK: "PreSync", ARGO_WAVE: "2", ARGO_REMOVAL: "HookSucceeded"}),
        )
        .unwrap();
        assert_eq!(at, turn(Stage::Before, 2));
        assert!(hook.is_some_and(|hook| hook.gone_after_success && !hook.gone_after_failure));
        let (at, hook) = of(
            "Job",
            json!({HELM_HOOK: "post-install,post-upgrade", HELM_WEIGHT: "3"}),
        )
        .unwrap();
        assert_eq!((at, hook.is_some()), (turn(Stage::After, 3), true));
        assert_eq!(
            of("ConfigMap", json!({ARGO_HOOK: "PreSync"})),
            Ok((turn(Stage::Before, 0), None))
        );
        for bad in [
            json!({ARGO_HOOK: "SyncFail"}),
            json!({ARGO_HOOK: "Skip"}),
            json!({HELM_HOOK: "test"}),
            json!({HELM_HOOK: "pre-delete"}),
            json!({ARGO_WAVE: "first"}),
        ] {
            assert!(of("Job", bad.clone()).is_err(), "{bad}");
        }
    }
}

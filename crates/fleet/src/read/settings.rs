//! fleet.yaml.

use super::documents;
use super::outline::Outline;
use crate::Inputs;
use crate::Settings;
use crate::format::FLEET;
use herder_base::{AllowList, Diagnostic, Location};
use serde_json::Value;

/// Reads fleet.yaml into the outline and returns the discovery globs with their places.
pub(crate) fn read(
    inputs: &Inputs,
    outline: &mut Outline,
    found: &mut Vec<Diagnostic>,
) -> Vec<(String, Location)> {
    "fleet".clone_into(&mut outline.name);
    let path = if inputs.root.file("fleet.yaml").is_none() && inputs.root.file("fleet.yml").is_some() {
        "fleet.yml"
    } else {
        "fleet.yaml"
    };
    if inputs.root.file(path).is_none() {
        outline.broken = Some("there is no fleet.yaml".to_owned());
        outline.held.units.clone_from(&outline.broken);
        found.push(
            Diagnostic::error("missing-file", "this repository has no fleet.yaml")
                .at(Location::new("fleet.yaml", 0, 0))
                .hint("an empty fleet.yaml is enough; `discover: namespaces/*` makes every folder below namespaces/ a namespace"),
        );
        return Vec::new();
    }
    let (mut all, bad) = documents::file(&inputs.root, path, &FLEET, found);
    if bad {
        // What it would set is unknown: the defaults might change everything that runs.
        outline.broken = Some(format!("{path} could not be read"));
        outline.held.units.clone_from(&outline.broken);
        outline.settings.sibling_remotes = false;
        if let Some(name) = inputs.root.text(path).and_then(name) {
            outline.name = name;
        }
    }
    if all.len() > 1 {
        found.push(
            Diagnostic::error(
                "duplicate",
                "fleet.yaml holds several documents; only the first is read",
            )
            .at(Location::new(
                path,
                all.get(1).map_or(0, |second| second.at.line),
                0,
            )),
        );
        all.truncate(1);
    }
    let Some(fleet) = all.pop() else { return Vec::new() };
    // A file's own name is no name for a fleet, but it is the default one.
    fleet.name.clone_into(&mut outline.name);
    let settings = &mut outline.settings;
    if let Some(vault) = fleet.get("vault") {
        if let Some(address) = vault.get("address").and_then(Value::as_str) {
            settings.vault_address = vault_address(
                address.trim_end_matches('/'),
                fleet.place("/vault/address"),
                found,
            );
            settings.vault_ca =
                Settings::is_in_cluster(&settings.vault_address).then(|| Settings::CLUSTER_CA.to_owned());
        }
        if let Some(ca) = vault.get("ca").and_then(Value::as_str) {
            settings.vault_ca = Some(ca.to_owned());
        }
        if let Some(mount) = vault.get("mount").and_then(Value::as_str) {
            mount.trim_matches('/').clone_into(&mut settings.vault_mount);
        }
    }
    if let Some(image) = fleet.text("agentImage") {
        image.clone_into(&mut settings.agent_image);
    }
    settings.lenient = texts(fleet.get("lenient"));
    settings.load_anywhere = fleet.text("loadRestriction") == Some("none");
    settings.cluster_scoped = fleet.text("clusterScoped") == Some("allow");
    if let Some(hosts) = fleet.get("hosts").and_then(Value::as_object) {
        settings.hosts = hosts
            .iter()
            .map(|(host, namespaces)| (host.clone(), texts(Some(namespaces))))
            .collect();
    }
    if let Some(limit) = fleet.get("pruneLimit").and_then(Value::as_u64) {
        settings.prune_limit_percent = u8::try_from(limit.min(100)).unwrap_or(100);
    }
    if let Some(remotes) = fleet.get("remotes") {
        settings.sibling_remotes = remotes.get("siblings").and_then(Value::as_bool).unwrap_or(true);
        for (index, line) in texts(remotes.get("allow")).into_iter().enumerate() {
            match AllowList::default().list(&line) {
                Ok(()) => settings.remotes.push(line),
                Err(why) => found.push(
                    Diagnostic::error(
                        "bad-value",
                        format!("`{}` allows no remote: {why}", herder_base::show_remote(&line)),
                    )
                    .at(fleet.place(&format!("/remotes/allow/{index}")))
                    .hint("write the address of a repository, or of a folder of them with a `/` at its end"),
                ),
            }
        }
    }
    if let Some(cluster) = fleet.get("cluster") {
        let text = |name: &str| cluster.get(name).and_then(Value::as_str).map(str::to_owned);
        settings.kubeconfig = text("kubeconfig");
        settings.context = text("context");
        let external = text("engine").as_deref() == Some("kubeconfig");
        if external && settings.kubeconfig.is_none() {
            found.push(
                Diagnostic::error(
                    "missing-field",
                    "engine `kubeconfig` needs the field `kubeconfig`",
                )
                .at(fleet.place("/cluster")),
            );
        }
    }
    let globs = texts(fleet.get("discover"));
    let listed = fleet.get("discover").is_some_and(Value::is_array);
    globs
        .into_iter()
        .enumerate()
        .map(|(index, glob)| {
            let place = if listed {
                fleet.place(&format!("/discover/{index}"))
            } else {
                fleet.place("/discover")
            };
            (glob, place)
        })
        .collect()
}

/// Vault's address; inside the cluster it speaks TLS only, as earlier fleets do not say.
fn vault_address(address: &str, place: Location, found: &mut Vec<Diagnostic>) -> String {
    match address.strip_prefix("http://") {
        Some(rest) if Settings::is_in_cluster(address) => {
            found.push(
                Diagnostic::warning("vault-tls", "Vault in the cluster is reached by TLS only")
                    .at(place)
                    .hint(format!("write https://{rest}, or leave the address out")),
            );
            format!("https://{rest}")
        }
        _ => address.to_owned(),
    }
}

/// The fleet's name in a file of which something else is wrong.
fn name(text: &str) -> Option<String> {
    let (documents, _) = herder_object::yaml::parse(text);
    let root = &documents.first()?.root;
    let name = root.get("name").or_else(|| root.get("metadata")?.get("name"))?;
    name.text()
        .filter(|name| crate::format::is_name(name))
        .map(str::to_owned)
}

/// A text or a list of texts, as a list.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A text, number or boolean as text.
pub(crate) fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A mapping to scalars.
pub(crate) fn scalars(value: Option<&Value>) -> std::collections::BTreeMap<String, String> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), scalar(value)))
        .collect()
}

/// A duration that the format has checked.
pub(crate) fn duration(value: Option<&Value>) -> Option<std::time::Duration> {
    herder_base::duration_with_unit(&scalar(value?)).ok()
}

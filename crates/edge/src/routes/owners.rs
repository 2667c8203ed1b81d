//! Whose a host is. Pure: from what the fleet gives, what git declares, whose it was, and what is in the cluster.
//!
//! In this order: what `hosts` of fleet.yaml says, and then nobody else; whose it was, for as long as git or an Ingress
//! has it there; the first namespace in the fleet's order that declares it; the namespace of the oldest Ingress. A
//! wildcard, and rules for every host, are only for whom the fleet gives them to.

use std::collections::{BTreeMap, BTreeSet};

/// The key for rules without a host, and for default backends.
pub const EVERY: &str = "*";

/// Whose a host has been found to be without the fleet saying so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The namespace.
    pub namespace: String,
    /// Whether git declares it there.
    pub declared: bool,
}

/// What decides whose a host is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// What the fleet gives: a host, `*.domain` for all below a domain, or `*` for rules without a host; to namespaces,
    /// with `*` in their names.
    pub granted: BTreeMap<String, Vec<String>>,
    /// Hosts that are no application's, whatever the fleet says.
    pub reserved: BTreeSet<String>,
    /// Hosts that are no application's unless the fleet gives them to one.
    pub kept: BTreeSet<String>,
    /// What git declares: a host, and the namespaces in the fleet's order.
    pub declared: BTreeMap<String, Vec<String>>,
    /// Whose hosts were.
    pub held: BTreeMap<String, Claim>,
    /// Namespaces whose git could not be read: what they had stays theirs.
    pub unread: BTreeSet<String>,
    /// Whether git has been read at all; before, nobody loses anything.
    pub known: bool,
    /// Nobody owns anything: every namespace may have every host. For tests of what comes after.
    pub anyone: bool,
}

impl Owners {
    /// Every namespace may have every host.
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            anyone: true,
            ..Self::default()
        }
    }

    /// Finds the owners of hosts that are not given, with what is in the cluster: hosts and namespaces, oldest first.
    #[must_use]
    pub fn claims(&self, live: &[(String, String)]) -> BTreeMap<String, Claim> {
        let mut by_host: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (host, namespace) in live {
            by_host.entry(host).or_default().push(namespace);
        }
        let hosts: BTreeSet<&str> = by_host
            .keys()
            .copied()
            .chain(self.declared.keys().map(String::as_str))
            .chain(self.held.keys().map(String::as_str))
            .filter(|host| !host.starts_with('*') && !host.is_empty())
            .collect();
        let mut claims = BTreeMap::new();
        for host in hosts {
            let declared = self.declared.get(host);
            let declares =
                |namespace: &str| declared.is_some_and(|all| all.iter().any(|one| one == namespace));
            let live = by_host.get(host);
            let before = self.held.get(host).filter(|claim| {
                !self.known
                    || self.unread.contains(&claim.namespace)
                    || declares(&claim.namespace)
                    || live.is_some_and(|all| all.contains(&claim.namespace.as_str()))
            });
            let owner = before
                .map(|claim| claim.namespace.as_str())
                .or_else(|| declared.and_then(|all| all.first()).map(String::as_str))
                .or_else(|| live.and_then(|all| all.first()).copied());
            if let Some(owner) = owner {
                let claim = Claim {
                    namespace: owner.to_owned(),
                    declared: declares(owner),
                };
                claims.insert(host.to_owned(), claim);
            }
        }
        claims
    }

    /// Whether a namespace may have a host (`*` for rules without one), or why not and what to do.
    ///
    /// # Errors
    /// The reason, a sentence for people.
    pub fn check(&self, claims: &BTreeMap<String, Claim>, host: &str, namespace: &str) -> Result<(), String> {
        if self.anyone {
            return Ok(());
        }
        if self.reserved.contains(host) {
            return Err(format!(
                "`{host}` is the dashboard's own name and no application's"
            ));
        }
        if let Some((pattern, namespaces)) = self.given(host) {
            return if namespaces.iter().any(|glob| matches(glob, namespace)) {
                Ok(())
            } else {
                Err(format!(
                    "fleet.yaml gives `{pattern}` to {}: add `{namespace}` there, or use another host",
                    namespaces.join(", ")
                ))
            };
        }
        let advice = format!("`hosts: {{\"{host}\": {namespace}}}` in fleet.yaml gives it to this namespace");
        if host == EVERY {
            return Err(format!(
                "it has a rule for every host, which only the fleet can give: name a host, or {advice}"
            ));
        }
        if host.starts_with('*') {
            return Err(format!(
                "`{host}` is a wildcard, which only the fleet can give: {advice}"
            ));
        }
        if self.kept.contains(host) {
            return Err(format!(
                "`{host}` is this machine's own name, where the dashboard is: {advice}"
            ));
        }
        match claims.get(host) {
            Some(claim) if claim.namespace == namespace => Ok(()),
            Some(claim) => Err(format!(
                "`{host}` belongs to namespace {}, which had it first: {advice}",
                claim.namespace
            )),
            // Only the hosts of a certificate come here: no rule is for them.
            None => Err(format!(
                "`{host}` is in `tls`, but no rule of this namespace is for it"
            )),
        }
    }

    /// The most specific entry of the fleet's that is about a host.
    fn given(&self, host: &str) -> Option<(&String, &Vec<String>)> {
        if let Some(found) = self.granted.get_key_value(host) {
            return Some(found);
        }
        if host == EVERY {
            return None;
        }
        let name = host.strip_prefix("*.").unwrap_or(host);
        // A wildcard is below the domain it names and below all that are above that one.
        let mut rest = if name == host {
            name.split_once('.').map(|(_, rest)| rest)
        } else {
            Some(name)
        };
        while let Some(domain) = rest {
            if let Some(found) = self.granted.get_key_value(&format!("*.{domain}")) {
                return Some(found);
            }
            rest = domain.split_once('.').map(|(_, rest)| rest);
        }
        None
    }
}

/// Whether a name matches a pattern in which `*` is anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter()
            .map(|(host, namespace)| ((*host).to_owned(), (*namespace).to_owned()))
            .collect()
    }

    fn owners(granted: &[(&str, &[&str])], declared: &[(&str, &[&str])]) -> Owners {
        let map = |all: &[(&str, &[&str])]| {
            all.iter()
                .map(|(host, names)| {
                    (
                        (*host).to_owned(),
                        names.iter().map(|n| (*n).to_owned()).collect(),
                    )
                })
                .collect()
        };
        Owners {
            granted: map(granted),
            declared: map(declared),
            known: true,
            ..Owners::default()
        }
    }

    fn may(owners: &Owners, there: &[(&str, &str)], host: &str, namespace: &str) -> bool {
        owners
            .check(&owners.claims(&live(there)), host, namespace)
            .is_ok()
    }

    #[test]
    fn what_the_fleet_gives_is_nobody_elses() {
        let owners = owners(
            &[
                ("shop.example.org", &["shop"]),
                ("*.example.org", &["web-*", "edge"]),
                ("*.deep.example.org", &["deep"]),
                ("*", &["gateway"]),
            ],
            &[("shop.example.org", &["thief"]), ("a.example.org", &["thief"])],
        );
        for (host, namespace, expected) in [
            ("shop.example.org", "shop", true),
            ("shop.example.org", "thief", false),
            ("shop.example.org", "web-1", false),
            ("a.example.org", "web-1", true),
            ("a.b.example.org", "edge", true),
            ("a.example.org", "thief", false),
            ("*.example.org", "edge", true),
            ("*.b.example.org", "edge", true),
            ("*.b.example.org", "thief", false),
            ("*.deep.example.org", "edge", false),
            ("x.deep.example.org", "deep", true),
            ("*", "gateway", true),
            ("*", "shop", false),
            ("*.org", "edge", false),
        ] {
            assert_eq!(
                may(&owners, &[(host, namespace)], host, namespace),
                expected,
                "{host} {namespace}"
            );
        }
    }

    #[test]
    fn who_had_it_first_keeps_it() {
        let mut owners = owners(&[], &[("h", &["first", "second"])]);
        assert!(may(&owners, &[("h", "older"), ("h", "first")], "h", "first"));
        assert!(!may(&owners, &[("h", "older")], "h", "older"));
        assert!(may(
            &owners,
            &[("free", "older"), ("free", "newer")],
            "free",
            "older"
        ));
        assert!(!may(
            &owners,
            &[("free", "older"), ("free", "newer")],
            "free",
            "newer"
        ));
        let claim = |namespace: &str| Claim {
            namespace: namespace.to_owned(),
            declared: true,
        };
        // It was the second's, and git still has it there: nothing that comes before takes it.
        owners.held.insert("h".into(), claim("second"));
        assert!(may(&owners, &[("h", "first")], "h", "second"));
        // Once neither git nor an Ingress has it there it is free.
        owners.held.insert("h".into(), claim("gone"));
        assert!(may(&owners, &[], "h", "first"));
        owners.unread.insert("gone".into());
        assert!(!may(&owners, &[], "h", "first"));
        owners.unread.clear();
        owners.known = false;
        assert!(!may(&owners, &[("h", "first")], "h", "first"));
    }

    #[test]
    fn wildcards_and_our_own_names_are_only_given() {
        let mut owners = owners(&[], &[("*.example.org", &["a"]), ("localhost", &["a"])]);
        owners.reserved.insert("board.example.org".into());
        owners.kept.insert("localhost".into());
        for host in ["*.example.org", "*", "board.example.org", "localhost"] {
            assert!(!may(&owners, &[(host, "a")], host, "a"), "{host}");
        }
        for host in ["localhost", "board.example.org"] {
            owners.granted.insert(host.into(), vec!["a".into()]);
        }
        assert!(may(&owners, &[], "localhost", "a"));
        assert!(!may(&owners, &[], "board.example.org", "a"));
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*", "x", true),
            ("*-dev", "a-dev", true),
            ("*-dev", "a-dev-x", false),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axc", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

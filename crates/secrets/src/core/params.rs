//! The `token_*` parameters every log in method's roles share: reading, showing, and turning them into a token.

use super::context::Cx;
use super::fields::Fields;
use super::request::Auth;
use super::token::{self, NewToken};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TokenParams {
    pub(crate) policies: Vec<String>,
    pub(crate) ttl: i64,
    pub(crate) max_ttl: i64,
    pub(crate) period: i64,
    pub(crate) explicit_max_ttl: i64,
    pub(crate) num_uses: i64,
    pub(crate) no_default_policy: bool,
    pub(crate) kind: String,
    pub(crate) cidrs: Vec<String>,
}

/// Who logged in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    pub(crate) display_name: String,
    /// Name of the entity's alias on this mount.
    pub(crate) alias: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) role: String,
}

impl TokenParams {
    /// Takes over what is given; the short old names (`policies`, `ttl`, …) count too.
    pub(crate) fn update(&mut self, data: &Map<String, Value>) -> Result<()> {
        if let Some(policies) = data.list("token_policies").or_else(|| data.list("policies")) {
            self.policies = clean_policies(policies);
            if self.policies.iter().any(|policy| policy == "root") {
                return Err(Error::invalid("root policy cannot be granted by an auth method"));
            }
        }
        for (names, field) in [
            (["token_ttl", "ttl"], &mut self.ttl),
            (["token_max_ttl", "max_ttl"], &mut self.max_ttl),
            (["token_period", "period"], &mut self.period),
            (
                ["token_explicit_max_ttl", "explicit_max_ttl"],
                &mut self.explicit_max_ttl,
            ),
        ] {
            for name in names.iter().rev() {
                if let Some(seconds) = data.seconds(name)? {
                    *field = seconds;
                }
            }
        }
        if let Some(uses) = data.int("token_num_uses")?.or(data.int("num_uses")?) {
            if uses < 0 {
                return Err(Error::invalid("token_num_uses cannot be negative"));
            }
            self.num_uses = uses;
        }
        if let Some(flag) = data.flag("token_no_default_policy")? {
            self.no_default_policy = flag;
        }
        if let Some(kind) = data.text("token_type") {
            if !matches!(
                kind.as_str(),
                "" | "service" | "batch" | "default" | "default-service" | "default-batch"
            ) {
                return Err(Error::invalid(format!(
                    "invalid 'token_type' value {kind:?}: write service, batch or default"
                )));
            }
            self.kind = kind;
        }
        if let Some(cidrs) = data
            .list("token_bound_cidrs")
            .or_else(|| data.list("bound_cidrs"))
        {
            self.cidrs = parse_cidrs(cidrs)?;
        }
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Error::invalid(
                "token_ttl should not be greater than token_max_ttl",
            ));
        }
        if self.kind == "batch" && (self.period > 0 || self.num_uses > 0) {
            return Err(Error::invalid(
                "batch tokens can have neither a period nor a number of uses",
            ));
        }
        Ok(())
    }

    /// The fields roles show.
    pub(crate) fn show(&self, into: &mut Map<String, Value>) {
        let kind = if self.kind.is_empty() {
            "default"
        } else {
            &self.kind
        };
        for (key, value) in [
            ("token_policies", json!(self.policies)),
            ("token_ttl", json!(self.ttl)),
            ("token_max_ttl", json!(self.max_ttl)),
            ("token_period", json!(self.period)),
            ("token_explicit_max_ttl", json!(self.explicit_max_ttl)),
            ("token_num_uses", json!(self.num_uses)),
            ("token_no_default_policy", json!(self.no_default_policy)),
            ("token_type", json!(kind)),
            ("token_bound_cidrs", json!(self.cidrs)),
        ] {
            into.insert(key.to_owned(), value);
        }
    }

    /// Creates the token of a successful log in.
    pub(crate) fn log_in(
        &self,
        cx: &mut Cx<'_>,
        path: &str,
        remote: Option<std::net::IpAddr>,
        login: Login,
    ) -> Result<Auth> {
        if !cidr_allows(&self.cidrs, remote) {
            return Err(Error::Denied);
        }
        self.give(cx, path, &self.cidrs, login)
    }

    /// The same for a log in whose token is bound to other addresses than the role's, wherever it was made.
    pub(crate) fn give(&self, cx: &mut Cx<'_>, path: &str, cidrs: &[String], login: Login) -> Result<Auth> {
        let mount_max = cx.mount.max_ttl();
        let max_ttl = if self.max_ttl > 0 {
            self.max_ttl.min(mount_max)
        } else {
            mount_max
        };
        let ttl = if self.ttl > 0 {
            self.ttl
        } else {
            cx.mount.default_ttl()
        }
        .min(max_ttl);
        let entity = super::identity::entity_for_login(cx, &login)?;
        let mut policies = self.policies.clone();
        if !self.no_default_policy {
            policies.push("default".to_owned());
        }
        let batch = matches!(self.kind.as_str(), "batch" | "default-batch");
        let mut meta = login.metadata;
        if !login.role.is_empty() {
            meta.entry("role".to_owned())
                .or_insert_with(|| login.role.clone());
        }
        let mut auth = token::create(
            cx,
            NewToken {
                policies,
                path: path.to_owned(),
                meta,
                display_name: login.display_name,
                num_uses: self.num_uses,
                ttl,
                max_ttl,
                explicit_max_ttl: self.explicit_max_ttl,
                period: self.period,
                batch,
                entity_id: entity
                    .as_ref()
                    .map(|entity| entity.id.clone())
                    .unwrap_or_default(),
                renewable: true,
                cidrs: cidrs.to_vec(),
                ..NewToken::default()
            },
        )?;
        if let Some(entity) = entity {
            auth.identity_policies = super::identity::policies_of(cx, &entity)?;
            auth.policies.extend(auth.identity_policies.iter().cloned());
            auth.policies.sort();
            auth.policies.dedup();
        }
        Ok(auth)
    }
}

/// Lower case, sorted, once each.
pub(crate) fn clean_policies(policies: Vec<String>) -> Vec<String> {
    let set: std::collections::BTreeSet<String> = policies
        .into_iter()
        .map(|policy| policy.trim().to_lowercase())
        .filter(|policy| !policy.is_empty())
        .collect();
    set.into_iter().collect()
}

/// Checks address ranges; a plain address means just that one.
pub(crate) fn parse_cidrs(list: Vec<String>) -> Result<Vec<String>> {
    for cidr in &list {
        if parse_cidr(cidr).is_none() {
            return Err(Error::invalid(format!(
                "{cidr:?} is no address range: write for example 10.0.0.0/8"
            )));
        }
    }
    Ok(list)
}

fn parse_cidr(text: &str) -> Option<(std::net::IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: std::net::IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

/// Whether every one of some ranges lies in one of others; no others hold all.
pub(crate) fn cidrs_within(inner: &[String], outer: &[String]) -> bool {
    use std::net::IpAddr;
    let within = |inner: &str, outer: &str| match (parse_cidr(inner), parse_cidr(outer)) {
        (Some((start, bits)), Some((_, most))) => {
            let same = match start {
                IpAddr::V4(_) => 32,
                IpAddr::V6(_) => 128,
            };
            bits >= most && bits <= same && cidr_allows(&[outer.to_owned()], Some(start))
        }
        _ => false,
    };
    outer.is_empty()
        || inner
            .iter()
            .all(|inner| outer.iter().any(|outer| within(inner, outer)))
}

/// Whether a client's address is in one of the ranges; no ranges allow all.
pub(crate) fn cidr_allows(cidrs: &[String], remote: Option<std::net::IpAddr>) -> bool {
    use std::net::IpAddr;
    if cidrs.is_empty() {
        return true;
    }
    let Some(remote) = remote.map(|address| address.to_canonical()) else {
        return false;
    };
    cidrs
        .iter()
        .filter_map(|cidr| parse_cidr(cidr))
        .any(|(network, bits)| match (network, remote) {
            (IpAddr::V4(network), IpAddr::V4(remote)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(network) & mask == u32::from(remote) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(remote)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(network) & mask == u128::from(remote) & mask
            }
            _ => false,
        })
}

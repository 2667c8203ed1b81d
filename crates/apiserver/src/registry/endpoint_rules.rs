//! The rules for where services lead: the network's proxy connects there on behalf of pods, so that no address may mean
//! the proxy's own machine.

use super::Cause;
use super::meta::text;
use super::names::{LABEL, invalid, is_label};
use super::pod_rules::items;
use serde_json::{Value, json};
use std::net::IpAddr;

/// `Endpoints`.
pub(super) fn endpoints(object: &Value, causes: &mut Vec<Cause>) {
    for (at, subset) in items(object, "/subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (index, address) in items(subset, &format!("/{list}")).iter().enumerate() {
                let place = format!("subsets[{at}].{list}[{index}]");
                check(format!("{place}.ip"), text(address, "/ip"), causes);
                hostname(&place, address, causes);
            }
        }
    }
}

/// `EndpointSlice`.
pub(super) fn slice(object: &Value, causes: &mut Vec<Cause>) {
    let names = text(object, "/addressType") == "FQDN";
    for (at, endpoint) in items(object, "/endpoints").iter().enumerate() {
        let place = format!("endpoints[{at}]");
        for (index, address) in items(endpoint, "/addresses").iter().enumerate() {
            if !names {
                let address = address.as_str().unwrap_or_default();
                check(format!("{place}.addresses[{index}]"), address, causes);
            }
        }
        hostname(&place, endpoint, causes);
    }
}

fn hostname(place: &str, endpoint: &Value, causes: &mut Vec<Cause>) {
    let name = text(endpoint, "/hostname");
    if !name.is_empty() && !is_label(name) {
        causes.push(invalid(format!("{place}.hostname"), &json!(name), LABEL));
    }
}

fn check(field: String, address: &str, causes: &mut Vec<Cause>) {
    let why = match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Err(_) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        Ok(ip) if ip.is_unspecified() => "may not be unspecified (0.0.0.0 or ::)",
        Ok(ip) if ip.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        Ok(IpAddr::V4(ip)) if ip.is_link_local() => {
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        }
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        }
        Ok(ip) if ip.is_multicast() => "may not be in the multicast range (224.0.0.0/4, ff00::/8)",
        // A service that leads to a service would go round the policies of whoever is behind the second one.
        Ok(IpAddr::V4(ip)) if matches!(ip.octets(), [10, 96, ..]) => {
            "may not be a service address (10.96.0.0/16)"
        }
        Ok(_) => return,
    };
    causes.push(invalid(field, &json!(address), why));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_service_leads_to_the_proxy_itself() {
        let fine = |address: &str| {
            let mut causes = Vec::new();
            let slice_of = json!({"addressType": "IPv4", "endpoints": [{"addresses": [address]}]});
            slice(&slice_of, &mut causes);
            let before = causes.len();
            endpoints(
                &json!({"subsets": [{"addresses": [{"ip": address}]}]}),
                &mut causes,
            );
            assert_eq!(causes.len(), before * 2, "{address}");
            causes.is_empty()
        };
        for address in ["10.42.1.2", "192.0.2.1", "2001:db8::1"] {
            assert!(fine(address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "10.96.0.2",
            "localhost",
            "",
        ] {
            assert!(!fine(address), "{address}");
        }
    }
}

//! Where Endpoints and EndpointSlices may lead, in Kubernetes' words: an address that is special to whoever dials it is
//! no endpoint.

use super::Cause;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All that is wrong with the addresses of an Endpoints or an EndpointSlice.
pub(super) fn check(object: &Value) -> Vec<Cause> {
    let list = |value: &Value, pointer: &str| -> Vec<Value> {
        let found = value.pointer(pointer).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let mut causes = Vec::new();
    let mut look = |field: String, value: &Value| {
        if let Some(why) = value.as_str().and_then(special) {
            causes.push(Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: format!("Invalid value: {}: {why}", json!(value)),
                field,
            });
        }
    };
    for (at, subset) in list(object, "/subsets").iter().enumerate() {
        for kind in ["addresses", "notReadyAddresses"] {
            for (index, address) in list(subset, &format!("/{kind}")).iter().enumerate() {
                let ip = address.get("ip").unwrap_or(&Value::Null);
                look(format!("subsets[{at}].{kind}[{index}].ip"), ip);
            }
        }
    }
    for (at, endpoint) in list(object, "/endpoints").iter().enumerate() {
        for (index, address) in list(endpoint, "/addresses").iter().enumerate() {
            look(format!("endpoints[{at}].addresses[{index}]"), address);
        }
    }
    causes
}

/// Why an address cannot be an endpoint.
fn special(text: &str) -> Option<&'static str> {
    let address: IpAddr = text.parse().ok()?;
    let v4 = |test: fn(Ipv4Addr) -> bool| match address {
        IpAddr::V4(address) => test(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some_and(test),
    };
    let v6 = |test: fn(Ipv6Addr) -> bool| matches!(address, IpAddr::V6(address) if test(address));
    if v4(|ip| ip.is_unspecified()) || v6(|ip| ip.is_unspecified()) {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if v4(|ip| ip.is_loopback()) || v6(|ip| ip.is_loopback()) {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if v4(|ip| ip.is_link_local()) || v6(|ip| ip.is_unicast_link_local()) {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if v4(|ip| ip.is_multicast()) || v6(|ip| ip.is_multicast()) {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else if v4(|ip| matches!(ip.octets(), [10, 96, ..])) {
        Some("may not be a service address (10.96.0.0/16)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_no_endpoints() {
        for (address, fine) in [
            ("10.42.1.7", true),
            ("192.168.7.7", true),
            ("0.0.0.0", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.5", false),
            ("10.96.0.2", false),
        ] {
            let slice = json!({"endpoints": [{"addresses": [address]}]});
            let old = json!({"subsets": [{"addresses": [{"ip": address}]}]});
            assert_eq!(check(&slice).is_empty(), fine, "{address}");
            assert_eq!(check(&old).is_empty(), fine, "{address}");
        }
        let old = json!({"subsets": [{"notReadyAddresses": [{"ip": "10.42.1.2"}, {"ip": "127.0.0.1"}]}]});
        assert_eq!(check(&old)[0].field, "subsets[0].notReadyAddresses[1].ip");
    }
}

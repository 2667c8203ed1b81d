//! Resource quantities as numbers: parsing and adding up. Pure.

use crate::field::{items, map};
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource name, in thousandths of the unit so that millicores stay whole.
pub type Amounts = BTreeMap<String, i128>;

/// A quantity in thousandths of its unit; `None` if it is none.
#[must_use]
pub fn milli(value: &Value) -> Option<i128> {
    match value {
        Value::Number(n) => parse(&n.to_string()),
        Value::String(s) => parse(s),
        _ => None,
    }
}

/// The same of a text.
#[must_use]
pub fn parse(text: &str) -> Option<i128> {
    let text = text.trim();
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (digits.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Thousandths, rounded up, are all that Kubernetes itself keeps of a fraction.
    let fraction = fraction.get(..9.min(fraction.len()))?;
    let nano = format!("{digits}{fraction:0<9}").parse::<i128>().ok()?;
    let (factor, divisor): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        other => {
            let power = other.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            let factor = 10_i128.checked_pow(power.unsigned_abs().min(18))?;
            if power < 0 { (1, factor) } else { (factor, 1) }
        }
    };
    let scaled = nano.checked_mul(factor)?;
    let unit = divisor.checked_mul(1_000_000)?;
    let amount = scaled.checked_add(unit - 1)? / unit;
    Some(if negative { -amount } else { amount })
}

/// Thousandths as a quantity: `1500` is `1500m`, `2000` is `2`; bytes with a binary suffix when they are whole.
#[must_use]
pub fn print(amount: i128, resource: &str) -> String {
    if amount % 1000 != 0 {
        return format!("{amount}m");
    }
    let whole = amount / 1000;
    if resource.contains("memory") || resource.contains("storage") {
        for (suffix, bits) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            if whole != 0 && whole % (1 << bits) == 0 {
                return format!("{}{suffix}", whole >> bits);
            }
        }
    }
    whole.to_string()
}

/// Adds the amounts of `of` to `to`.
pub fn add(to: &mut Amounts, of: &Amounts) {
    for (name, amount) in of {
        *to.entry(name.clone()).or_default() += amount;
    }
}

fn of_containers(pod_spec: &Value, list: &str, field: &str) -> Vec<(Amounts, bool)> {
    items(pod_spec, list)
        .iter()
        .map(|container| {
            let amounts = map(container, field)
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), milli(value)?)))
                .collect();
            let sidecar = crate::field::text(container, "/restartPolicy") == "Always";
            (amounts, sidecar)
        })
        .collect()
}

/// What a pod asks for (`requests`) or may use (`limits`): the sum of its containers, or its hungriest init container.
#[must_use]
pub fn of_pod(pod_spec: &Value, what: &str) -> Amounts {
    let field = format!("/resources/{what}");
    let mut sum = Amounts::new();
    for (amounts, _) in of_containers(pod_spec, "/containers", &field) {
        add(&mut sum, &amounts);
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for (amounts, sidecar) in of_containers(pod_spec, "/initContainers", &field) {
        let mut now = amounts.clone();
        add(&mut now, &sidecars);
        for (name, amount) in now {
            let most = peak.entry(name).or_default();
            *most = (*most).max(amount);
        }
        if sidecar {
            add(&mut sidecars, &amounts);
        }
    }
    add(&mut sum, &sidecars);
    for (name, amount) in peak {
        let total = sum.entry(name).or_default();
        *total = (*total).max(amount);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parses() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("64Mi", Some(67_108_864_000)),
            ("1e3", Some(1_000_000)),
            ("1n", Some(1)),
            ("2E", Some(2_000_000_000_000_000_000_000)),
            ("1Ei", Some(1000 << 60)),
            ("-1", Some(-1000)),
            ("", None),
            ("Mi", None),
            ("1Qi", None),
            ("+-1", None),
            (".-1", None),
            ("1.0000000000.1", None),
            ("99999999999999999999999999999999999999999", None),
            // Rounding up what just fits must not turn it round.
            ("170141183460469231731687303715.884105727", None),
        ] {
            assert_eq!(milli(&json!(text)), expected, "{text}");
        }
        assert_eq!(milli(&json!(2)), Some(2000));
    }

    #[test]
    fn sums_a_pod() {
        let spec = json!({
            "initContainers": [
                {"resources": {"requests": {"cpu": "2"}}},
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
            ],
            "containers": [{"resources": {"requests": {"cpu": "500m"}}}, {"resources": {"requests": {"cpu": "250m"}}}],
        });
        assert_eq!(of_pod(&spec, "requests").get("cpu"), Some(&2000));
        assert_eq!(print(67_108_864_000, "memory"), "64Mi");
        assert_eq!(print(850, "cpu"), "850m");
    }
}

//! acknowledged.yaml: findings that are known. What is wrong with it leaves every finding as it is.

use super::documents;
use crate::format::ACKNOWLEDGED;
use crate::{Acknowledged, Inputs};
use herder_base::Diagnostic;
use serde_json::Value;

/// The file, at the repository's root.
const FILES: [&str; 2] = ["acknowledged.yaml", "acknowledged.yml"];

/// Reads it.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Acknowledged> {
    let mut all = Vec::new();
    for path in FILES.iter().filter(|path| inputs.root.file(path).is_some()) {
        let (documents, _) = documents::file(&inputs.root, path, &ACKNOWLEDGED, found);
        for checked in documents {
            let findings = checked.get("findings").and_then(Value::as_array);
            for (index, value) in findings.into_iter().flatten().enumerate() {
                let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
                let source = checked.place(&format!("/findings/{index}"));
                let mut wrong = |message: String, field: &str, hint: &str| {
                    let at = checked.place(&format!("/findings/{index}/{field}"));
                    found.push(Diagnostic::error("bad-value", message).at(at).hint(hint));
                };
                if text("reason").trim().is_empty() {
                    wrong(
                        "an acknowledgement without a reason".to_owned(),
                        "reason",
                        "say why it may stay",
                    );
                    continue;
                }
                // YAML makes a moment of a day that is not quoted.
                let day = text("until").trim_end_matches("T00:00:00Z");
                let Ok(until) = day.parse() else {
                    let message = format!("`{}` is no day", text("until"));
                    wrong(message, "until", "write a day such as 2027-03-31");
                    continue;
                };
                let at = text("at");
                all.push(Acknowledged {
                    code: text("code").to_owned(),
                    at: if at.is_empty() { "*" } else { at }.to_owned(),
                    reason: text("reason").trim().to_owned(),
                    until,
                    source,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Renders;
    use herder_base::Tree;
    use std::collections::BTreeMap;

    #[test]
    fn each_has_a_reason_and_a_day() {
        let text = "findings:\n\
            - {code: no-equivalent, at: jobs/*, reason: in spring, until: 2027-03-31}\n\
            - {code: yaml, reason: ' ', until: 2027-03-31}\n\
            - {code: yaml, reason: later, until: soon}\n\
            - {code: yaml, reason: later, until: '2027-03-31'}\n";
        let inputs = Inputs {
            fleet_url: "https://git.example.org/fleet".into(),
            root: Tree::from_texts([("acknowledged.yaml", text)]).unwrap(),
            trees: BTreeMap::new(),
            renders: Renders::default(),
        };
        let mut found = Vec::new();
        let all = read(&inputs, &mut found);
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].source.line, all[0].until.to_string().as_str()),
            (2, "2027-03-31")
        );
        let places: Vec<u32> = found
            .iter()
            .filter_map(|found| Some(found.at.as_ref()?.line))
            .collect();
        assert_eq!(places, [3, 4]);
        let about = |code: &'static str, path: &str| {
            let finding = Diagnostic::warning(code, "x").at(herder_base::Location::new(path, 9, 9));
            all[0].is_about(&finding)
        };
        assert!(about("no-equivalent", "jobs/a.groovy"));
        assert!(!about("no-equivalent", "other/a.groovy") && !about("yaml", "jobs/a.groovy"));
    }
}

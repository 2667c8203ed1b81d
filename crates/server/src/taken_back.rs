//! Applications that a reading takes back to an older version than the one before: most likely a branch that was pushed
//! over. Said for as long as it stays so, because what it undid is still wanted by whoever made it. Pure.

use herder_base::Diagnostic;
use herder_fleet::{Fleet, is_older};
use std::collections::BTreeMap;

/// An application that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Back {
    application: String,
    unit: String,
    from: String,
    to: String,
}

/// By unit and application, the version that git wants.
fn versions(fleet: &Fleet) -> BTreeMap<(&str, &str), &str> {
    let versions = fleet.objects().filter_map(|(unit, object)| {
        let application = object.application.as_deref()?;
        Some(((unit.id.as_str(), application), object.version.as_deref()?))
    });
    versions.collect()
}

/// What goes back from one reading to the next, and what went back before and still is.
pub(crate) fn taken_back(before: Option<(&Fleet, &[Back])>, now: &Fleet) -> Vec<Back> {
    let Some((before, known)) = before else {
        return Vec::new();
    };
    let (old, new) = (versions(before), versions(now));
    let still = known
        .iter()
        .filter(|back| new.get(&(back.unit.as_str(), back.application.as_str())) == Some(&back.to.as_str()));
    let fresh = new.iter().filter_map(|(place, to)| {
        let from = old.get(place).filter(|from| is_older(to, from))?;
        Some(Back {
            application: place.1.to_owned(),
            unit: place.0.to_owned(),
            from: (*from).to_owned(),
            to: (*to).to_owned(),
        })
    });
    still.cloned().chain(fresh).collect()
}

/// As findings.
pub(crate) fn findings(back: &[Back], fleet: &Fleet) -> Vec<Diagnostic> {
    let found = back.iter().map(|back| {
        let unit = fleet.unit(&back.unit);
        let place = unit
            .and_then(|unit| unit.environment.clone())
            .unwrap_or_else(|| back.unit.clone());
        let mut found = Diagnostic::warning(
            "taken-back",
            format!(
                "git takes {} in {place} back from {} to {}",
                back.application, back.from, back.to
            ),
        )
        .hint("if nobody meant it, the branch was pushed over or a commit was reverted: promote it again");
        let object = unit.and_then(|unit| {
            let mut objects = unit.objects.iter();
            objects.find(|object| {
                object.application.as_ref() == Some(&back.application) && object.version.is_some()
            })
        });
        found.at = object.map(|object| object.source.clone());
        found
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::Tree;
    use herder_fleet::Inputs;

    fn fleet(tag: &str) -> Fleet {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: 'x:{tag}'}}]}}\n"
        );
        let files = [
            ("fleet.yaml", ""),
            ("environments/staging.yaml", "config: {path: c}\n"),
            ("c/shop/p.yaml", &pod),
        ];
        let root = Tree::from_texts(files).unwrap();
        herder_fleet::read(&Inputs {
            root,
            ..Inputs::default()
        })
        .0
    }

    #[test]
    fn it_is_said_for_as_long_as_it_is_so() {
        let (newer, older) = (fleet("1.3.0"), fleet("1.1.0"));
        assert!(taken_back(None, &older).is_empty());
        assert!(taken_back(Some((&older, &[])), &newer).is_empty());
        let back = taken_back(Some((&newer, &[])), &older);
        let said = findings(&back, &older);
        assert_eq!(said.len(), 1);
        assert!(
            said[0]
                .to_string()
                .contains("git takes shop in staging back from 1.3.0 to 1.1.0"),
            "{}",
            said[0]
        );
        let still = taken_back(Some((&older, &back)), &older);
        assert_eq!(still, back);
        assert!(taken_back(Some((&older, &still)), &newer).is_empty());
    }
}

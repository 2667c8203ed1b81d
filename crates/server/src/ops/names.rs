//! What is said of a name that nobody knows: the nearest one there is, or where to look. One place for all requests.

use crate::api::Failure;
use crate::view::View;

/// No application of this name is in this namespace. `asked` is the namespace as it was typed.
pub(crate) fn no_application(view: &View, application: &str, asked: &str, namespace: &str) -> Failure {
    let failure = Failure::not_found(format!("no application `{application}` is in `{asked}`"));
    let Some(row) = view.applications.iter().find(|row| row.name == application) else {
        let names = view.applications.iter().map(|row| row.name.as_str());
        return near(
            failure,
            application,
            names,
            "`herder status` lists applications and where they are",
        );
    };
    // It is somewhere, so the namespace is what was meant otherwise.
    let places = || {
        row.cells
            .iter()
            .flat_map(|cell| [cell.stage.as_str(), cell.namespace.as_str()])
    };
    if row.cells.iter().any(|cell| cell.namespace == namespace) {
        return failure.hint("git has it, and nothing of it runs there yet");
    }
    let mut all: Vec<&str> = row.cells.iter().map(|cell| cell.stage.as_str()).collect();
    all.dedup();
    near(failure, asked, places(), &format!("it is in {}", all.join(", ")))
}

/// Says the nearest name, or else something of use.
pub(crate) fn near<'a>(
    failure: Failure,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> Failure {
    match herder_base::suggest(name, known) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Cell, Row};

    #[test]
    fn the_name_that_is_wrong_is_the_one_that_is_mended() {
        let cell = |stage: &str, namespace: &str| Cell {
            stage: stage.to_owned(),
            namespace: namespace.to_owned(),
            ..Cell::default()
        };
        let view = View {
            applications: vec![Row {
                name: "shop".to_owned(),
                cells: vec![cell("staging", "shop-staging"), cell("production", "shop")],
                ..Row::default()
            }],
            ..View::default()
        };
        let hint = |application: &str, asked: &str| {
            no_application(&view, application, asked, asked)
                .for_people()
                .1
                .to_owned()
        };
        assert_eq!(hint("shp", "staging"), "did you mean `shop`?");
        assert_eq!(hint("shop", "stagin"), "did you mean `staging`?");
        assert_eq!(hint("shop", "elsewhere"), "it is in staging, production");
        assert!(hint("unheard-of", "staging").contains("herder status"));
    }
}

//! Which of the readers' findings are shown, and how: the same warning once with its places, what is acknowledged apart.
//! Pure; owns no finding.

use crate::view::{Finding, KnownFinding};
use herder_base::{Diagnostic, Severity};
use herder_fleet::Acknowledged;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Places of a folded finding that are named; the rest is a number.
const PLACES: usize = 5;

/// What is to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) news: Vec<Finding>,
    pub(crate) known: Vec<KnownFinding>,
}

/// Sorts findings into news and what is known, and folds what says the same.
pub(crate) fn tell(found: &[Diagnostic], acknowledged: &[Acknowledged], now: Timestamp) -> Told {
    let today = now.to_zoned(TimeZone::UTC).date();
    let mut told = Told::default();
    let mut used = vec![false; acknowledged.len()];
    // Notes are for the log: they ask nothing of anybody.
    for diagnostic in found.iter().filter(|found| found.severity != Severity::Note) {
        let mut by = None;
        for (one, used) in acknowledged.iter().zip(&mut used) {
            if one.is_about(diagnostic) {
                *used = true;
                by = by.or(Some(one).filter(|one| today <= one.until));
            }
        }
        let finding = Finding::from(diagnostic);
        match by {
            Some(by) => told.known.push(KnownFinding {
                finding,
                reason: by.reason.clone(),
                until: by.until.to_string(),
            }),
            None => add(&mut told.news, finding),
        }
    }
    for (one, used) in acknowledged.iter().zip(used) {
        let warning = if today > one.until {
            Diagnostic::warning(
                "acknowledgement",
                format!("the acknowledgement of `{}` ended on {}", one.code, one.until),
            )
            .hint("mend what it is about, or give it a later day")
        } else if used {
            continue;
        } else {
            Diagnostic::warning(
                "acknowledgement",
                format!("no finding is `{}` at `{}`", one.code, one.at),
            )
            .hint("remove the acknowledgement: what it is about is mended, or its code or place is wrong")
        };
        add(&mut told.news, Finding::from(&warning.at(one.source.clone())));
    }
    told
}

/// A warning that was said already of another place only adds that place.
fn add(all: &mut Vec<Finding>, finding: Finding) {
    let same = all.iter_mut().find(|other| {
        finding.severity == "warning"
            && (&other.severity, &other.code, &other.message, &other.hint)
                == (&finding.severity, &finding.code, &finding.message, &finding.hint)
    });
    match same {
        Some(other) => {
            other.times += 1;
            if other.also.len() < PLACES {
                other.also.push(finding.at);
            }
        }
        None => all.push(finding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::Location;

    fn warning(path: &str) -> Diagnostic {
        let message = "`hudson.plugins.X` has no equivalent";
        Diagnostic::warning("no-equivalent", message).at(Location::new(path, 3, 1))
    }

    fn known(code: &str, at: &str, until: &str) -> Acknowledged {
        Acknowledged {
            code: code.to_owned(),
            at: at.to_owned(),
            reason: "they go in spring".to_owned(),
            until: until.parse().unwrap(),
            source: Location::new("acknowledged.yaml", 2, 3),
        }
    }

    #[test]
    fn the_same_warning_is_one_line_with_its_places() {
        let mut found: Vec<Diagnostic> = (0..20).map(|n| warning(&format!("jobs/{n}.groovy"))).collect();
        found.push(Diagnostic::warning("no-equivalent", "another"));
        // Each error is somebody's to mend, so none is folded.
        found.extend([Diagnostic::error("yaml", "x"), Diagnostic::error("yaml", "x")]);
        found.push(Diagnostic::note("held", "x"));
        let told = tell(&found, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(told.news.len(), 4);
        let first = &told.news[0];
        assert_eq!((first.times, first.also.len()), (20, PLACES));
        assert_eq!(
            (first.at.as_str(), first.also[0].as_str()),
            ("jobs/0.groovy:3:1", "jobs/1.groovy:3:1")
        );
    }

    #[test]
    fn what_is_acknowledged_is_no_news_until_its_day() {
        let found = [warning("jobs/a.groovy"), warning("jobs/b.groovy")];
        let at = |day: &str| format!("{day}T12:00:00Z").parse().unwrap();
        let ack = [known("no-equivalent", "jobs/a.*", "2027-03-31")];
        let told = tell(&found, &ack, at("2027-03-31"));
        assert_eq!((told.news.len(), told.known.len()), (1, 1));
        assert_eq!(told.news[0].at, "jobs/b.groovy:3:1");
        assert_eq!(told.known[0].reason, "they go in spring");
        let late = tell(&found, &ack, at("2027-04-01"));
        assert!(late.known.is_empty());
        let codes: Vec<&str> = late.news.iter().map(|found| found.code.as_str()).collect();
        assert_eq!(codes, ["no-equivalent", "acknowledgement"]);
        assert_eq!(late.news[0].times, 2);
        // One that is about nothing is told, so that nobody keeps it.
        let told = tell(&found, &[known("yaml", "*", "2027-03-31")], at("2027-01-01"));
        assert!(
            told.news
                .iter()
                .any(|found| found.code == "acknowledgement" && found.message.contains("no finding"))
        );
    }
}

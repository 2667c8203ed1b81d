//! What a fleet has besides objects: Vault's policies and roles. Things with a name and a text; two texts are equal if
//! and only if nothing is to be written. Decided here beside the objects, in the same plan.

use crate::{Effect, Known, What};
use herder_base::{Diagnostic, Location};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Fewer removals than this are never too many.
const FEW: usize = 5;

/// Of what kind a thing is. In the order in which they are written; removed in the reverse order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A policy of Vault.
    Policy,
    /// A role of Vault's Kubernetes login.
    Role,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::Policy, Self::Role];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Role => "role",
        }
    }

    /// All of them, for people.
    const fn named(self) -> &'static str {
        match self {
            Self::Policy => "Vault's policies",
            Self::Role => "Vault's roles",
        }
    }

    /// What no plan writes or removes.
    const fn protected(self) -> &'static [&'static str] {
        match self {
            Self::Policy => &["root", "default"],
            Self::Role => &[],
        }
    }
}

/// One thing as git wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// Where it is written.
    pub source: Location,
    /// Why it cannot be, if so: its name, for example.
    pub fault: Option<String>,
}

/// One thing as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its text; `None` if it is gone although it is noted as the fleet's.
    pub text: Option<String>,
    /// Whether it is noted as the fleet's. Nothing else is ever removed.
    pub ours: bool,
}

/// All that is known of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// What git wants.
    pub wanted: Vec<Wish>,
    /// Why some of what git wants could not be read: then nothing is removed.
    pub held: Option<String>,
    /// What there is: at least all that is wanted or ours.
    pub present: Known<BTreeMap<String, Present>>,
    /// What was refused lately: with which text (none: the removal), and why. It is not asked again yet.
    pub refused: BTreeMap<String, (Option<Arc<str>>, String)>,
}

impl Inventory {
    /// Of which nothing is wanted and nothing is there.
    #[must_use]
    pub fn none() -> Self {
        Self {
            wanted: Vec::new(),
            held: None,
            present: Known::Known(BTreeMap::new()),
            refused: BTreeMap::new(),
        }
    }
}

/// One change of a part, or one that is deliberately not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAction {
    /// What to do.
    pub what: What,
    /// Of what kind it is.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// The text it is to have, for [`What::Apply`].
    pub text: Option<Arc<str>>,
    /// Whether it is noted as the fleet's.
    pub ours: bool,
    /// Why, for people.
    pub reason: String,
    /// The place in git it comes from.
    pub source: Option<Location>,
}

impl fmt::Display for PartAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part.word(), self.name)
    }
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOutcome {
    /// Of what kind it is.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// What was to be done.
    pub what: What,
    /// What happened, or the reason why not.
    pub result: Result<Effect, String>,
}

/// Decides what to change of one part.
pub(crate) fn decide(
    part: Part,
    inventory: &Inventory,
    everything_down: bool,
    notes: &mut Vec<Diagnostic>,
) -> Vec<PartAction> {
    let present = match &inventory.present {
        Known::Known(present) => present,
        Known::Unknown(why) => {
            let message = format!("{} are left as they are: {why}", part.named());
            notes.push(Diagnostic::warning("held", message));
            return Vec::new();
        }
    };
    let mut actions = Vec::new();
    let mut wanted = BTreeSet::new();
    for wish in inventory.wanted.iter().filter(|_| !everything_down) {
        let first = wanted.insert(wish.name.as_str());
        if let Some(action) = write(part, inventory, present, wish, first) {
            actions.push(action);
        }
    }
    let ours = present.iter().filter(|(_, found)| found.ours);
    let gone: Vec<&String> = ours
        .clone()
        .map(|(name, _)| name)
        .filter(|name| !wanted.contains(name.as_str()))
        .collect();
    if let Some(why) = inventory
        .held
        .as_ref()
        .filter(|_| !everything_down && !gone.is_empty())
    {
        let message = format!("{} of {} are left as they are: {why}", gone.len(), part.named());
        notes.push(Diagnostic::warning("held", message));
        return actions;
    }
    let many = gone.len() > FEW && gone.len() * 2 > ours.count() && !everything_down;
    if many {
        let message = format!(
            "git no longer has {} of {}; none of them is removed",
            gone.len(),
            part.named()
        );
        notes.push(
            Diagnostic::error("mass-delete", message)
                .hint("if that is meant, remove them by and by, or half of them at once at most"),
        );
    }
    for name in gone {
        let why = if everything_down {
            "everything is to go"
        } else {
            "git no longer has it"
        };
        let refused = inventory.refused.get(name).filter(|(text, _)| text.is_none());
        let (what, reason) = match refused {
            _ if many => (
                What::Hold,
                format!("{why}, but that would remove too much at once"),
            ),
            _ if part.protected().contains(&name.as_str()) => {
                (What::Hold, format!("{why}, but it is never removed"))
            }
            Some((_, refusal)) => (
                What::Hold,
                format!("{why}, but it was refused just now: {refusal}"),
            ),
            None => (What::Delete, why.to_owned()),
        };
        actions.push(PartAction {
            what,
            part,
            name: name.clone(),
            text: None,
            ours: true,
            reason,
            source: None,
        });
    }
    actions
}

fn write(
    part: Part,
    inventory: &Inventory,
    present: &BTreeMap<String, Present>,
    wish: &Wish,
    first: bool,
) -> Option<PartAction> {
    let found = present.get(&wish.name);
    let ours = found.is_some_and(|found| found.ours);
    let hold = |reason: String| (What::Hold, reason);
    let refused = inventory
        .refused
        .get(&wish.name)
        .filter(|(text, _)| text.as_deref() == Some(&*wish.text));
    let (what, reason) = if !first {
        hold(format!("`{}` is defined twice; the first one counts", wish.name))
    } else if let Some(fault) = &wish.fault {
        hold(fault.clone())
    } else if part.protected().contains(&wish.name.as_str()) {
        hold(format!("`{}` is not the fleet's to define", wish.name))
    } else {
        let reason = match found.and_then(|found| found.text.as_deref()) {
            None => "it does not exist",
            Some(text) if text != &*wish.text => "it is not as git says",
            Some(_) if !ours => "it is not noted as the fleet's",
            Some(_) => return None,
        };
        match refused {
            Some((_, why)) => hold(format!("{reason}, but it was refused just now: {why}")),
            None => (What::Apply, reason.to_owned()),
        }
    };
    Some(PartAction {
        what,
        part,
        name: wish.name.clone(),
        text: (what == What::Apply).then(|| Arc::clone(&wish.text)),
        ours,
        reason,
        source: Some(wish.source.clone()),
    })
}

/// The rules that the actions of parts must hold.
pub(crate) fn faults(actions: &[PartAction], say: &mut impl FnMut(&'static str, String)) {
    let mut seen = BTreeSet::new();
    for action in actions {
        // What is held may be held twice: as the second definition of what is written.
        if action.what != What::Hold && !seen.insert((action.part, &action.name)) {
            say("plan-twice", format!("{action} is in the plan twice"));
        }
        if action.reason.is_empty() {
            say("plan-reason", format!("{:?} {action} has no reason", action.what));
        }
        if action.what != What::Hold && action.part.protected().contains(&action.name.as_str()) {
            say("plan-protected", format!("{action} would be changed"));
        }
        match action.what {
            What::Apply if action.text.is_none() => {
                say("plan-value", format!("{action} would be written without a text"));
            }
            What::Delete if !action.ours => say(
                "plan-foreign",
                format!("{action} would be removed although no fleet made it"),
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(wanted: &[(&str, &str)], present: &[(&str, &str, bool)]) -> Inventory {
        let wanted = wanted.iter().map(|(name, text)| Wish {
            name: (*name).to_owned(),
            text: Arc::from(*text),
            source: Location::default(),
            fault: None,
        });
        let present = present.iter().map(|(name, text, ours)| {
            let found = Present {
                text: (!text.is_empty()).then(|| (*text).to_owned()),
                ours: *ours,
            };
            ((*name).to_owned(), found)
        });
        Inventory {
            wanted: wanted.collect(),
            present: Known::Known(present.collect()),
            ..Inventory::none()
        }
    }

    fn decided(inventory: &Inventory, down: bool) -> (Vec<String>, usize) {
        let mut notes = Vec::new();
        let actions = decide(Part::Policy, inventory, down, &mut notes);
        let mut faults_found = Vec::new();
        faults(&actions, &mut |code, _| faults_found.push(code));
        assert_eq!(faults_found, [""; 0]);
        let told = actions
            .iter()
            .map(|action| format!("{:?} {}: {}", action.what, action.name, action.reason));
        (told.collect(), notes.len())
    }

    #[test]
    fn only_differences_and_only_what_is_ours() {
        let mut known = inventory(
            &[
                ("new", "1"),
                ("other", "2"),
                ("same", "1"),
                ("taken", "1"),
                ("new", "2"),
                ("root", "x"),
            ],
            &[
                ("other", "1", true),
                ("same", "1", true),
                ("taken", "1", false),
                ("foreign", "1", false),
                ("gone", "1", true),
                ("noted", "", true),
            ],
        );
        let (told, notes) = decided(&known, false);
        assert_eq!(
            told,
            [
                "Apply new: it does not exist",
                "Apply other: it is not as git says",
                "Apply taken: it is not noted as the fleet's",
                "Hold new: `new` is defined twice; the first one counts",
                "Hold root: `root` is not the fleet's to define",
                "Delete gone: git no longer has it",
                "Delete noted: git no longer has it",
            ]
        );
        assert_eq!(notes, 0);
        // What was refused is not asked again until it says something else.
        let refusal = |text: Option<&str>| (text.map(Arc::from), "no".to_owned());
        known.refused = BTreeMap::from([
            ("new".to_owned(), refusal(Some("1"))),
            ("other".to_owned(), refusal(Some("1"))),
            ("gone".to_owned(), refusal(None)),
        ]);
        let (told, _) = decided(&known, false);
        assert_eq!(
            told[0],
            "Hold new: it does not exist, but it was refused just now: no"
        );
        assert_eq!(told[1], "Apply other: it is not as git says");
        assert_eq!(
            told[5],
            "Hold gone: git no longer has it, but it was refused just now: no"
        );
        // While git cannot be read whole, nothing goes.
        known.held = Some("a file is broken".to_owned());
        let (told, notes) = decided(&known, false);
        assert!(told.iter().all(|told| !told.contains("gone")), "{told:?}");
        assert_eq!(notes, 1);
        // Everything goes if that is said.
        known.refused.clear();
        let (told, _) = decided(&known, true);
        assert_eq!(told.len(), 4);
        assert!(told.iter().all(|told| told.starts_with("Delete")), "{told:?}");
    }

    #[test]
    fn what_is_unknown_stays_and_so_does_much_at_once() {
        let mut known = inventory(&[("a", "1")], &[("gone", "1", true)]);
        known.present = Known::Unknown("Vault is sealed".to_owned());
        assert_eq!(decided(&known, false), (Vec::new(), 1));
        assert_eq!(decided(&known, true), (Vec::new(), 1));
        let names: Vec<String> = (0..7).map(|n| format!("p{n}")).collect();
        let there: Vec<(&str, &str, bool)> = names.iter().map(|name| (name.as_str(), "1", true)).collect();
        let (told, notes) = decided(&inventory(&[], &there), false);
        assert!(told.iter().all(|told| told.starts_with("Hold")) && notes == 1);
        let (told, _) = decided(&inventory(&[], &there), true);
        assert!(told.iter().all(|told| told.starts_with("Delete")));
    }

    #[test]
    fn every_rule_refuses_an_action() {
        let good = PartAction {
            what: What::Apply,
            part: Part::Policy,
            name: "a".to_owned(),
            text: Some("x".into()),
            ours: false,
            reason: "because".to_owned(),
            source: None,
        };
        let refused = |actions: &[PartAction]| {
            let mut found = Vec::new();
            faults(actions, &mut |code, _| found.push(code));
            found
        };
        let with = |change: &dyn Fn(&mut PartAction)| {
            let mut action = good.clone();
            change(&mut action);
            refused(&[action])
        };
        assert_eq!(with(&|_| {}), [""; 0]);
        assert_eq!(refused(&[good.clone(), good.clone()]), ["plan-twice"]);
        assert_eq!(with(&|action| action.reason.clear()), ["plan-reason"]);
        assert_eq!(with(&|action| action.text = None), ["plan-value"]);
        assert_eq!(with(&|action| action.what = What::Delete), ["plan-foreign"]);
        assert_eq!(
            with(&|action| action.name = "root".to_owned()),
            ["plan-protected"]
        );
    }
}

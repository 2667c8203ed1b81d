//! A seed run: what many scripts make, together, and what applying it would change. All or nothing is decided here: a
//! run is one value, and whoever applies it applies that value.

use crate::compile::{Compiled, Item, ItemKind};
use crate::diff::{Difference, diff};
use herder_base::{Diagnostic, Location, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// What all scripts of a repository make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Items by file name, see [`Item::file_name`].
    pub items: BTreeMap<String, Made>,
    /// What is wrong with scripts, or worth knowing.
    pub diagnostics: Vec<Diagnostic>,
    /// Jobs that scripts ask to be started.
    pub queued: Vec<String>,
    /// Scripts that could not be read to their end: items that are missing may be theirs.
    pub broken: BTreeSet<String>,
}

/// An item and the script it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The script.
    pub script: String,
    /// The item.
    pub item: Item,
}

impl Seed {
    /// Puts the scripts' results together. Of two scripts that make the same item the first in order has it.
    #[must_use]
    pub fn new(compiled: impl IntoIterator<Item = (String, Compiled)>) -> Self {
        let mut seed = Self::default();
        for (script, made) in compiled {
            if made.diagnostics.iter().any(|d| d.severity == Severity::Error) {
                seed.broken.insert(script.clone());
            }
            seed.diagnostics.extend(made.diagnostics);
            seed.queued.extend(made.queued);
            for item in made.items {
                seed.insert(script.clone(), item);
            }
        }
        seed
    }

    /// Adds an item, unless there is one of its name, or one of a name that is written to the same file.
    pub fn insert(&mut self, script: String, item: Item) {
        let key = item.file_name();
        if let Some(first) = self.items.get_mut(&key) {
            // Many scripts say the folder they put their jobs into; as in Jenkins the last one counts.
            if item.kind == ItemKind::Folder
                && first.item.kind == ItemKind::Folder
                && first.item.name == item.name
            {
                let message = format!("the folder `{}` is made by {} as well", item.name, first.script);
                let found = Diagnostic::note("made-again", message)
                    .at(Location::new(&script, 0, 0))
                    .hint("the last one counts");
                self.diagnostics.push(found);
                *first = Made { script, item };
                return;
            }
            let message = if first.item.name == item.name {
                format!("`{}` is made by {} already", item.name, first.script)
            } else {
                format!("`{}` and `{}` would be one file", first.item.name, item.name)
            };
            let found = Diagnostic::error("duplicate", message)
                .at(Location::new(&script, 0, 0))
                .hint("the first one counts");
            self.diagnostics.push(found);
            return;
        }
        self.items.insert(key, Made { script, item });
    }

    /// Whether something went wrong: a script is broken, or a diagnostic is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        !self.broken.is_empty() || self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// What is done with items that no script makes any more, as Job DSL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removed {
    /// They stay.
    #[default]
    Ignore,
    /// They stay but nothing starts them. Views and folders cannot be disabled: they stay.
    Disable,
    /// They go.
    Delete,
}

/// What happens to one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is new.
    Create,
    /// It changes.
    Update(Vec<Difference>),
    /// It stays, and is told not to start any more.
    Disable,
    /// It goes.
    Delete,
    /// It would go, but a script could not be read, so that nobody knows.
    Hold,
}

/// What applying a seed run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeedPlan {
    /// By file name; what stays as it is has no entry.
    pub steps: BTreeMap<String, Step>,
    /// How many stay as they are.
    pub unchanged: usize,
}

impl SeedPlan {
    /// Compares what is there, XML by file name, with what a seed run makes.
    #[must_use]
    pub fn new(before: &BTreeMap<String, String>, seed: &Seed, removed: Removed) -> Self {
        let mut plan = Self::default();
        for (key, made) in &seed.items {
            match before.get(key) {
                None => {
                    plan.steps.insert(key.clone(), Step::Create);
                }
                Some(xml) => {
                    let differences = diff(xml, &made.item.xml);
                    if differences.is_empty() {
                        plan.unchanged += 1;
                    } else {
                        plan.steps.insert(key.clone(), Step::Update(differences));
                    }
                }
            }
        }
        for (key, xml) in before.iter().filter(|(key, _)| !seed.items.contains_key(*key)) {
            let step = match removed {
                Removed::Ignore => None,
                _ if !seed.broken.is_empty() => Some(Step::Hold),
                Removed::Delete => Some(Step::Delete),
                Removed::Disable => can_be_disabled(key, xml).then_some(Step::Disable),
            };
            match step {
                Some(step) => {
                    plan.steps.insert(key.clone(), step);
                }
                None => plan.unchanged += 1,
            }
        }
        plan
    }

    /// The items after it is applied. Applying is writing this, at once or not at all.
    #[must_use]
    pub fn apply(&self, before: &BTreeMap<String, String>, seed: &Seed) -> BTreeMap<String, String> {
        let mut after = before.clone();
        for (key, step) in &self.steps {
            match step {
                Step::Create | Step::Update(_) => {
                    if let Some(made) = seed.items.get(key) {
                        after.insert(key.clone(), made.item.xml.clone());
                    }
                }
                Step::Delete => {
                    after.remove(key);
                }
                Step::Disable => {
                    if let Some(xml) = after.get_mut(key) {
                        *xml = disabled(xml);
                    }
                }
                Step::Hold => {}
            }
        }
        after
    }
}

fn can_be_disabled(key: &str, xml: &str) -> bool {
    !key.starts_with("VIEW__")
        && crate::import(key, key, xml)
            .is_ok_and(|item| item.kind == ItemKind::Job && item.job.is_some_and(|job| !job.disabled))
}

/// The same job with `disabled` set.
fn disabled(xml: &str) -> String {
    match crate::xml::read(xml) {
        Ok(root) => {
            root.child("disabled").set_text("true");
            crate::xml::print(&root)
        }
        Err(_) => xml.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, compile_all};
    use herder_base::Tree;

    fn seed(files: &[(&str, &str)]) -> Seed {
        let tree = Tree::from_texts(files.iter().copied()).unwrap();
        let scripts: Vec<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        let made = compile_all(&tree, &scripts, &Options::default());
        Seed::new(scripts.into_iter().zip(made))
    }

    fn before(seed: &Seed) -> BTreeMap<String, String> {
        SeedPlan::new(&BTreeMap::new(), seed, Removed::Ignore).apply(&BTreeMap::new(), seed)
    }

    #[test]
    fn plans_what_changes_and_applies_it() {
        let old = before(&seed(&[(
            "a.groovy",
            "job('same')\njob('changed') { description 'old' }\njob('gone')\nlistView('v')",
        )]));
        let new = seed(&[(
            "a.groovy",
            "job('same')\njob('changed') { description 'new' }\njob('f/new')",
        )]);
        let plan = SeedPlan::new(&old, &new, Removed::Disable);
        assert_eq!(plan.unchanged, 2);
        assert_eq!(plan.steps.get("f__new"), Some(&Step::Create));
        assert_eq!(plan.steps.get("gone"), Some(&Step::Disable));
        let Some(Step::Update(changed)) = plan.steps.get("changed") else {
            panic!("{plan:?}")
        };
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].path, "description");
        let after = plan.apply(&old, &new);
        assert!(after["gone"].contains("<disabled>true</disabled>"));
        // A second run finds nothing to do.
        assert!(SeedPlan::new(&after, &new, Removed::Disable).steps.is_empty());
        let deleted = SeedPlan::new(&old, &new, Removed::Delete).apply(&old, &new);
        assert_eq!(
            deleted.keys().map(String::as_str).collect::<Vec<_>>(),
            ["changed", "f__new", "same"]
        );
        assert!(
            !SeedPlan::new(&old, &new, Removed::Ignore)
                .steps
                .contains_key("gone")
        );
    }

    #[test]
    fn a_broken_script_removes_nothing_and_harms_no_other() {
        let old = before(&seed(&[("a.groovy", "job('a')"), ("b.groovy", "job('b')")]));
        let new = seed(&[
            ("a.groovy", "job('a2')\njob('x'"),
            ("b.groovy", "job('b') { description 'd' }"),
        ]);
        let plan = SeedPlan::new(&old, &new, Removed::Delete);
        assert_eq!(plan.steps.get("a"), Some(&Step::Hold));
        assert!(matches!(plan.steps.get("b"), Some(Step::Update(_))));
        assert_eq!(new.broken.iter().collect::<Vec<_>>(), ["a.groovy"]);
    }

    #[test]
    fn two_scripts_cannot_make_one_job() {
        let twice = seed(&[
            ("a.groovy", "job('x') { description 'a' }"),
            ("b.groovy", "job('x')"),
        ]);
        assert_eq!(twice.items["x"].script, "a.groovy");
        assert_eq!(twice.diagnostics[0].code, "duplicate");
        assert!(twice.has_errors());
    }

    #[test]
    fn a_folder_is_made_again() {
        let both = seed(&[
            ("a.groovy", "folder('team') { description 'a' }\njob('team/a')"),
            ("b.groovy", "folder('team') { description 'b' }\njob('team/b')"),
        ]);
        assert!(!both.has_errors(), "{:?}", both.diagnostics);
        assert_eq!(both.items["team"].script, "b.groovy");
        assert!(
            both.items["team"]
                .item
                .xml
                .contains("<description>b</description>")
        );
        assert_eq!(both.diagnostics[0].code, "made-again");
    }

    #[test]
    fn two_names_cannot_be_one_file() {
        let both = seed(&[("a.groovy", "job('a/b')\njob('a__b')")]);
        assert_eq!(both.items["a__b"].item.name, "a/b");
        let message = both.diagnostics[0].message.as_str();
        assert_eq!(message, "`a/b` and `a__b` would be one file");
        assert!(both.has_errors() && both.broken.is_empty());
    }
}

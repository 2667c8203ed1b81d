//! Matrix jobs: the steps of every combination of the axes, one combination after another.

use super::{Mapper, texts};
use crate::xml::Node;
use herder_job::Step;
use std::collections::BTreeMap;

/// The most steps that combinations may come to.
const MOST: usize = 1000;

impl Mapper<'_> {
    pub(super) fn matrix(&mut self, root: &Node) {
        if !root.is_named("matrix-project") {
            return;
        }
        let mut axes: Vec<(String, Vec<String>)> = Vec::new();
        for axis in root.first("axes").iter().flat_map(|axes| axes.elements()) {
            let name = axis.text_of("name");
            match axis.name().as_str() {
                "hudson.matrix.TextAxis" | "hudson.matrix.UserDefinedAxis" => {
                    let mut values = Vec::new();
                    texts(axis.first("values").as_ref(), &mut values);
                    axes.push((name, values));
                }
                other => {
                    let what = other.rsplit('.').next().unwrap_or(other).to_owned();
                    self.refuse(&what, "is no axis that can be run: only `text` is");
                }
            }
        }
        if !root.text_of("combinationFilter").trim().is_empty() {
            self.refuse(
                "combinationFilter",
                "is Groovy of Jenkins: list the combinations as jobs of their own",
            );
        }
        if axes.iter().all(|(_, values)| values.is_empty())
            || axes.iter().any(|(_, values)| values.is_empty())
        {
            self.refuse(
                "matrixJob",
                "has no axis with values: there is nothing to combine",
            );
            return;
        }
        let count = axes.iter().try_fold(self.job.steps.len(), |count, (_, values)| {
            count.checked_mul(values.len())
        });
        if count.is_none_or(|count| count > MOST) {
            self.refuse("matrixJob", &format!("comes to more than {MOST} steps"));
            return;
        }
        let mut combinations: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
        for (name, values) in &axes {
            let with = |combination: &BTreeMap<String, String>, value: &String| {
                let mut combination = combination.clone();
                combination.insert(name.clone(), value.clone());
                combination
            };
            combinations = combinations
                .iter()
                .flat_map(|combination| values.iter().map(move |value| with(combination, value)))
                .collect();
        }
        let once = std::mem::take(&mut self.job.steps);
        for combination in combinations {
            let title: Vec<String> = combination
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            for step in &once {
                let Step::Shell { text, .. } = step else { continue };
                let first = text
                    .lines()
                    .map(str::trim)
                    .find(|line| !line.is_empty() && !line.starts_with('#'));
                let first: String = first.unwrap_or_default().chars().take(60).collect();
                self.job.steps.push(Step::Shell {
                    name: format!("{}: {first}", title.join(",")),
                    text: text.clone(),
                    env: combination.clone(),
                });
            }
        }
    }
}

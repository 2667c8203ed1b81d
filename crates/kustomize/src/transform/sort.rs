//! The order of the output.

use crate::error::{Error, Result};
use crate::id::{self, ResId};
use crate::kustomization::SortOptions;
use crate::resmap::ResMap;
use crate::schema::Schema;
use std::collections::HashMap;

/// Sorts as the options say.
pub(crate) fn sort(map: &mut ResMap, options: &SortOptions, schema: &Schema) -> Result<()> {
    match options.order.as_str() {
        "fifo" if options.legacy.is_some() => {
            Err(Error::new("`legacySortOptions` is set, but the order is fifo"))
        }
        "fifo" => Ok(()),
        "legacy" => legacy(
            map,
            options.legacy.clone().unwrap_or_else(id::default_order),
            schema,
        ),
        other => {
            Err(Error::new(format!("the sort order `{other}` is not known")).hint("it can be fifo or legacy"))
        }
    }
}

fn legacy(map: &mut ResMap, orders: (Vec<String>, Vec<String>), schema: &Schema) -> Result<()> {
    let mut ranks: HashMap<&str, isize> = HashMap::new();
    let count = isize::try_from(orders.0.len()).unwrap_or_default();
    for (at, kind) in (0..).zip(&orders.0) {
        ranks.insert(kind, at - count);
    }
    for (at, kind) in (1..).zip(&orders.1) {
        ranks.insert(kind, at);
    }
    let mut list: Vec<_> = std::mem::take(map.list_mut())
        .into_iter()
        .map(|resource| {
            let id = resource.id(schema);
            let rank = ranks.get(id.gvk.kind.as_str()).copied().unwrap_or_default();
            let key = (rank, id::sort_text(&id.gvk), text(&id));
            (key, id, resource)
        })
        .collect();
    list.sort_by(|(a, a_id, _), (b, b_id, _)| {
        let kinds = a.1.cmp(&b.1);
        let namespaces = a_id.gvk.kind == "Namespace" && b_id.gvk.kind == "Namespace";
        let core = a_id.gvk.group.is_empty() || b_id.gvk.group.is_empty();
        let kinds = if namespaces && core {
            kinds.reverse()
        } else {
            kinds
        };
        a.0.cmp(&b.0).then(kinds).then_with(|| a.2.cmp(&b.2))
    });
    map.append_all(
        list.into_iter().map(|(_, _, resource)| resource).collect(),
        schema,
    )
}

/// The text by which resources of one kind are sorted.
fn text(id: &ResId) -> String {
    let or = |text: &'_ str, otherwise: &'static str| {
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text.to_owned()
        }
    };
    format!("{}|{}|{}", id.gvk, or(&id.namespace, "~X"), or(&id.name, "~N"))
}

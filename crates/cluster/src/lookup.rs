//! Finding a cluster and its kinds the way kubectl's users do: the default kubeconfig or the pod one runs in, and
//! kinds by plural, singular or short name.

use crate::cache::Watch;
use crate::{Cluster, Error};
use herder_object::Gvk;
use kube::config::KubeConfigOptions;
use std::path::Path;

/// The short names people know by heart.
const SHORT: &[(&str, &str)] = &[
    ("cm", "configmaps"),
    ("cj", "cronjobs"),
    ("deploy", "deployments"),
    ("ds", "daemonsets"),
    ("ep", "endpoints"),
    ("ev", "events"),
    ("ing", "ingresses"),
    ("netpol", "networkpolicies"),
    ("no", "nodes"),
    ("ns", "namespaces"),
    ("po", "pods"),
    ("pv", "persistentvolumes"),
    ("pvc", "persistentvolumeclaims"),
    ("quota", "resourcequotas"),
    ("rs", "replicasets"),
    ("sa", "serviceaccounts"),
    ("sts", "statefulsets"),
    ("svc", "services"),
];

impl Cluster {
    /// The cluster that kubectl would talk to: the named file, `~/.kube/config`, or the pod's own.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] if none of them can be used.
    pub async fn connect_default(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, Error> {
        if let Some(path) = kubeconfig {
            return Self::connect(path, context).await;
        }
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Kubeconfig {
            path: "the default kubeconfig and the pod's service account".into(),
            source,
        };
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match kube::Config::from_kubeconfig(&options).await {
            Ok(config) => config,
            Err(_) => kube::Config::incluster().map_err(|error| wrong(Box::new(error)))?,
        };
        Self::with_config(config).map_err(|error| wrong(Box::new(error)))
    }

    /// A kind by whatever name people call it, and whether it has namespaces; none if the cluster does not serve it.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub async fn resolve(&self, name: &str) -> Result<Option<(Gvk, bool)>, Error> {
        let (name, group) = name
            .split_once('.')
            .map_or((name, None), |(name, group)| (name, Some(group)));
        let name = name.to_lowercase();
        let name = SHORT
            .iter()
            .find(|(short, _)| *short == name)
            .map_or(name.as_str(), |(_, plural)| plural);
        let kinds = self.kinds().await?;
        let mut found: Vec<(Gvk, bool)> = kinds
            .all()
            .filter(|(of, kind, served)| {
                (served.plural == name || kind.to_lowercase() == name)
                    && group.is_none_or(|group| group == *of)
            })
            .filter_map(|(group, kind, served)| {
                let version = served.versions.first()?.clone();
                Some((
                    Gvk {
                        group: group.to_owned(),
                        version,
                        kind: kind.to_owned(),
                    },
                    served.namespaced,
                ))
            })
            .collect();
        // `events` and the like are in two groups: the core group comes first.
        found.sort();
        Ok(found.into_iter().next())
    }

    /// Whether objects of a kind are in namespaces.
    ///
    /// # Errors
    /// [`Error::Unserved`] if the cluster does not know it.
    pub async fn is_namespaced(&self, gvk: &Gvk) -> Result<bool, Error> {
        let kinds = self.kinds_with(gvk).await?;
        let served = kinds.get(gvk).ok_or_else(|| Error::Unserved {
            kind: gvk.to_string(),
        })?;
        Ok(served.namespaced)
    }

    /// The namespace that the kubeconfig or the pod names.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        &self.namespace
    }

    /// The names of all namespaces, from the watches.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let objects = self.cache.objects(&Watch::all("v1", "Namespace"));
        objects
            .iter()
            .map(|object| herder_object::name(object).to_owned())
            .collect()
    }
}

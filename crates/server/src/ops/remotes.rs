//! Notices that repositories changed.

use crate::state::Shared;
use herder_base::Url;

impl Shared {
    /// Looks at once at the known remotes that these addresses mean. Returns how many: which they are, and what opens
    /// them, is nobody's business who only rings.
    pub(crate) async fn notify_remotes(&self, urls: &[&str]) -> usize {
        let jobs = self.jobs.list().await.unwrap_or_default();
        let sources = jobs.iter().flat_map(|job| &job.definition.sources);
        let mut known: Vec<Url> = sources.map(|source| source.url.clone()).collect();
        if let Some(reading) = self.reading() {
            known.extend(reading.sources.iter().map(|(remote, _)| remote.url().clone()));
        }
        known.sort();
        known.dedup();
        known.retain(|known| urls.iter().any(|url| same_remote(known.expose(), url)));
        for url in &known {
            // A dispatcher that is stopping needs no notice.
            let _woken = self.jobs.notify(url.expose()).await;
        }
        if !known.is_empty() {
            self.bell.read_again();
        }
        known.len()
    }

    /// Looks at once at every remote that jobs and the fleet are read from.
    pub(crate) async fn look_again(&self) {
        for job in self.jobs.list().await.unwrap_or_default() {
            for source in &job.definition.sources {
                // A dispatcher that is stopping needs no notice.
                let _woken = self.jobs.notify(source.url.expose()).await;
            }
        }
        self.bell.read_again();
    }
}

/// Whether two addresses mean the same repository: scheme, user, port and a final `.git` do not matter, nor does it
/// when the notice only has the path's end (`org/repo`).
fn same_remote(known: &str, told: &str) -> bool {
    let (known, told) = (plain(known), plain(told));
    !told.is_empty() && (known == told || known.ends_with(&format!("/{told}")))
}

fn plain(url: &str) -> String {
    let url = url.trim().trim_end_matches('/').trim_end_matches(".git");
    let without_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let without_user = match without_scheme.split_once('@') {
        Some((user, rest)) if !user.contains('/') => rest,
        _ => without_scheme,
    };
    // scp form: host:path
    without_user
        .replacen(':', "/", 1)
        .trim_start_matches('/')
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::same_remote;

    #[test]
    fn the_same_repository_in_other_words() {
        for (known, told) in [
            ("file:///srv/git/shop.git", "/srv/git/shop"),
            ("/srv/git/shop.git", "file:///srv/git/shop.git"),
            ("git@example.org:team/shop.git", "https://example.org/team/shop"),
            ("https://example.org/team/shop.git", "team/shop"),
        ] {
            assert!(same_remote(known, told), "{known} {told}");
        }
        assert!(!same_remote("https://example.org/team/shop.git", "hop"));
        assert!(!same_remote("https://example.org/team/shop.git", ""));
    }
}

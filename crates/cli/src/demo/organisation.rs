//! The example organisation: which repositories there are, what is in them, and commits to them.
//!
//! The files themselves are in `crates/cli/demo/`; this module fills in what differs between places and environments.

use anyhow::{Context, Result};
use herder_base::Commit;
use herder_git::{Change, Git, Signature};
use std::path::{Path, PathBuf};

/// The environments in stage order, each with what its config says that no other's does.
pub(crate) const STAGES: [(&str, &str); 5] = [
    ("testing", "Hello, testers"),
    ("staging", "Hello, reviewers"),
    ("performance", "Hello, load"),
    ("audit", "Hello, auditors"),
    ("production", "Welcome to the shop"),
];

/// The version everything starts with.
pub(crate) const FIRST_VERSION: &str = "1.0.0";

/// Where maven is not to be had, the job runs a shell step instead and says so.
const SHELL_BUILD: &str =
    "echo 'no maven here: a shell step stands in for maven(\"-e clean test\")'\n        sh ./test.sh";

const FLEET: &[(&str, &str)] = &[
    ("fleet.yaml", include_str!("../../demo/fleet/fleet.yaml")),
    (
        "teams/retail.yaml",
        include_str!("../../demo/fleet/teams/retail.yaml"),
    ),
    (
        "environments/testing.yaml",
        include_str!("../../demo/fleet/environments/testing.yaml"),
    ),
    (
        "environments/staging.yaml",
        include_str!("../../demo/fleet/environments/staging.yaml"),
    ),
    (
        "environments/performance.yaml",
        include_str!("../../demo/fleet/environments/performance.yaml"),
    ),
    (
        "environments/audit.yaml",
        include_str!("../../demo/fleet/environments/audit.yaml"),
    ),
    (
        "environments/production.yaml",
        include_str!("../../demo/fleet/environments/production.yaml"),
    ),
    (
        "environments/dev-payments.yaml",
        include_str!("../../demo/fleet/environments/dev-payments.yaml"),
    ),
    (
        "namespaces/library/00-namespace.yaml",
        include_str!("../../demo/fleet/namespaces/library/00-namespace.yaml"),
    ),
    (
        "applications/shop.yaml",
        include_str!("../../demo/fleet/applications/shop.yaml"),
    ),
    (
        "jobs/abc-application.groovy",
        include_str!("../../demo/fleet/jobs/abc-application.groovy"),
    ),
    (
        "jobs/shop-release.yaml",
        include_str!("../../demo/fleet/jobs/shop-release.yaml"),
    ),
    (
        "jobs/office-hours.yaml",
        include_str!("../../demo/fleet/jobs/office-hours.yaml"),
    ),
    (
        "policies/shop.hcl",
        include_str!("../../demo/fleet/policies/shop.hcl"),
    ),
    (
        "policies/intruder.hcl",
        include_str!("../../demo/fleet/policies/intruder.hcl"),
    ),
    (
        "policies/roles.yaml",
        include_str!("../../demo/fleet/policies/roles.yaml"),
    ),
];

const SHOP: &[(&str, &str)] = &[
    ("VERSION", include_str!("../../demo/shop/VERSION")),
    ("test.sh", include_str!("../../demo/shop/test.sh")),
    (
        "deploy/kustomization.yaml",
        include_str!("../../demo/shop/deploy/kustomization.yaml"),
    ),
    (
        "deploy/release.env",
        include_str!("../../demo/shop/deploy/release.env"),
    ),
    (
        "deploy/deployment.yaml",
        include_str!("../../demo/shop/deploy/deployment.yaml"),
    ),
    (
        "deploy/service.yaml",
        include_str!("../../demo/shop/deploy/service.yaml"),
    ),
];

const ABC: &[(&str, &str)] = &[
    ("test.sh", include_str!("../../demo/abc-application/test.sh")),
    (
        "someApp/kustomization.yaml",
        include_str!("../../demo/abc-application/someApp/kustomization.yaml"),
    ),
    (
        "someApp/deployment.yaml",
        include_str!("../../demo/abc-application/someApp/deployment.yaml"),
    ),
    (
        "someApp/front.yaml",
        include_str!("../../demo/abc-application/someApp/front.yaml"),
    ),
];

const CONFIG: &[(&str, &str)] = &[
    (
        "shop/kustomization.yaml",
        include_str!("../../demo/config/kustomization.yaml"),
    ),
    (
        "shop/settings.env",
        include_str!("../../demo/config/settings.env"),
    ),
    (
        "shop/ingress.yaml",
        include_str!("../../demo/config/ingress.yaml"),
    ),
];

const DEVELOPER: &[(&str, &str)] = &[
    (
        "shop/kustomization.yaml",
        include_str!("../../demo/dev/shop-kustomization.yaml"),
    ),
    (
        "shop/settings.env",
        include_str!("../../demo/config/settings.env"),
    ),
    (
        "shop/ingress.yaml",
        include_str!("../../demo/config/ingress.yaml"),
    ),
    (
        "database/kustomization.yaml",
        include_str!("../../demo/dev/database-kustomization.yaml"),
    ),
    (
        "database/database.yaml",
        include_str!("../../demo/dev/database.yaml"),
    ),
];

const STATE: &[(&str, &str)] = &[
    (
        "database/kustomization.yaml",
        include_str!("../../demo/production/database-kustomization.yaml"),
    ),
    (
        "database/database.yaml",
        include_str!("../../demo/dev/database.yaml"),
    ),
];

/// The repositories of the organisation below one directory.
pub(crate) struct Organisation {
    dir: PathBuf,
    estate: Option<PathBuf>,
    git: Git,
}

impl Organisation {
    pub(crate) fn at(dir: &Path, estate: Option<&Path>) -> Self {
        Self {
            dir: dir.to_owned(),
            estate: estate.map(Path::to_owned),
            git: Git::new(dir.join(".caches")),
        }
    }

    /// The address of a repository.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("file://{}/{name}.git", self.dir.display())
    }

    fn remote(&self, name: &str) -> herder_base::AllowedRemote {
        herder_base::AllowedRemote::own(self.url(name).into())
    }

    /// The folder that stands in for the built-in estate, if one was named.
    pub(crate) fn estate(&self) -> Option<&Path> {
        self.estate.as_deref()
    }

    /// The host name an environment's shop answers to.
    pub(crate) fn host(environment: &str) -> String {
        format!("shop.{environment}.demo.localhost")
    }

    /// Makes every repository with its first commit.
    pub(crate) async fn write(&self) -> Result<()> {
        let shop = self.create("shop", SHOP, &[]).await?;
        self.create("abc-application", ABC, &[]).await?;
        for (environment, greeting) in STAGES {
            let host = Self::host(environment);
            let values = [
                ("@ENVIRONMENT@", environment),
                ("@GREETING@", greeting),
                ("@HOST@", &host),
                ("@REF@", shop.as_str()),
                ("@VERSION@", FIRST_VERSION),
            ];
            let mut files = CONFIG.to_vec();
            if environment == "production" {
                files.extend(STATE);
            }
            self.create(&format!("config-{environment}"), &files, &values)
                .await?;
        }
        let host = Self::host("dev-payments");
        let values = [
            ("@ENVIRONMENT@", "dev-payments"),
            ("@GREETING@", "Hello, developer"),
            ("@HOST@", &host),
            ("@REF@", shop.as_str()),
            ("@VERSION@", FIRST_VERSION),
        ];
        self.create("config-dev-payments", DEVELOPER, &values).await?;
        self.create("fleet", FLEET, &[("@BUILD@", SHELL_BUILD)]).await?;
        Ok(())
    }

    async fn create(&self, name: &str, files: &[(&str, &str)], values: &[(&str, &str)]) -> Result<Commit> {
        let path = self.dir.join(format!("{name}.git"));
        self.git
            .init_bare(&path)
            .await
            .with_context(|| format!("cannot create {}", path.display()))?;
        let repositories = format!("file://{}", self.dir.display());
        let changes: Vec<Change> = files
            .iter()
            .map(|(path, text)| {
                let text = values
                    .iter()
                    .fold(text.replace("@REPOS@", &repositories), |text, (from, to)| {
                        text.replace(from, to)
                    });
                Change {
                    path: (*path).to_owned(),
                    content: Some(text.into_bytes()),
                }
            })
            .collect();
        self.commit_changes(name, &Commit::default(), &changes, "First commit")
            .await
    }

    /// A file as it is at the head of a repository.
    pub(crate) async fn file(&self, name: &str, path: &str) -> Result<String> {
        let tree = self.git.fetch(&self.remote(name), "main").await?;
        tree.text(path)
            .map(str::to_owned)
            .with_context(|| format!("{name} has no {path}"))
    }

    /// Commits files onto the head of a repository; `None` removes one.
    pub(crate) async fn commit(
        &self,
        name: &str,
        files: &[(&str, Option<String>)],
        message: &str,
    ) -> Result<Commit> {
        let parent = self.git.resolve(&self.remote(name), "main").await?;
        let changes: Vec<Change> = files
            .iter()
            .map(|(path, text)| Change {
                path: (*path).to_owned(),
                content: text.clone().map(String::into_bytes),
            })
            .collect();
        self.commit_changes(name, &parent, &changes, message).await
    }

    async fn commit_changes(
        &self,
        name: &str,
        parent: &Commit,
        changes: &[Change],
        message: &str,
    ) -> Result<Commit> {
        use herder_base::Clock;
        let author = Signature {
            name: "Demo".to_owned(),
            email: "demo@example.org".to_owned(),
            time: herder_base::SystemClock.now(),
        };
        let commit = self
            .git
            .commit(&self.remote(name), "main", parent, changes, message, &author)
            .await;
        commit.with_context(|| format!("cannot commit to {name}"))
    }
}

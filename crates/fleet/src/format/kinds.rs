//! The tables.

use super::Type::{Bool, Duration, Either, Integer, List, Map, Name, Object, Scalar, Text, Word};
use super::{Field, Kind, Type};

const fn field(name: &'static str, is: Type, doc: &'static str) -> Field {
    Field {
        name,
        is,
        required: false,
        doc,
    }
}

const fn needed(name: &'static str, is: Type, doc: &'static str) -> Field {
    Field {
        name,
        is,
        required: true,
        doc,
    }
}

const TEXTS: Type = Either(&[Text, List(&Text)]);

/// All kinds.
pub const KINDS: &[&Kind] = &[
    &FLEET,
    &TEAM,
    &ENVIRONMENT,
    &APPLICATION,
    &JOB,
    &ROLES,
    &ACKNOWLEDGED,
];

/// fleet.yaml.
pub(crate) const FLEET: Kind = Kind {
    name: "Fleet",
    files: "fleet.yaml",
    doc: "What holds for the whole fleet. Every field may be left out.",
    fields: &[
        field(
            "name",
            Name,
            "The fleet's name, the value of the label `herder.dev/fleet` on everything it owns. Default: `fleet`. Changing it makes another fleet.",
        ),
        field(
            "discover",
            TEXTS,
            "Globs of folders, such as `namespaces/*`. Each matched folder is a namespace: the YAML files directly in it, or its kustomization.",
        ),
        field(
            "vault",
            Object(&[
                field(
                    "address",
                    Text,
                    "Vault's address as pods see it. Default: `https://vault.herder-system:8200`.",
                ),
                field(
                    "ca",
                    Text,
                    "The authority of Vault's certificate, as PEM or as a file in pods. Default: the cluster's own for Vault in the cluster, the roots of the agent's image for another address.",
                ),
                field(
                    "mount",
                    Text,
                    "Where Vault's Kubernetes login is mounted. Default: `kubernetes`.",
                ),
            ]),
            "Where secrets come from.",
        ),
        field(
            "agentImage",
            Text,
            "The image of the containers that fetch secrets; it needs `herder` on its path. Default: `host`.",
        ),
        field(
            "lenient",
            TEXTS,
            "Globs of files, such as `namespaces/old/*` (`*` is anything, `/` too), whose objects may have fields that Kubernetes does not know. Default: none; one object at a time: the annotation `herder.dev/strict: \"false\"`.",
        ),
        field(
            "loadRestriction",
            Word(&["rootOnly", "none"]),
            "Which files kustomizations may read: `rootOnly`, those in and below their own folder, or `none`, any in their repository, as `kustomize build --load-restrictor LoadRestrictionsNone`. Default: `rootOnly`.",
        ),
        field(
            "clusterScoped",
            Word(&["allow", "refuse"]),
            "Whether discovered folders may hold objects that are in no namespace, such as ClusterRoles. Default: `refuse`; they belong into manifests/.",
        ),
        field(
            "hosts",
            Map(&TEXTS),
            "Whose hosts of the edge are: a host, `*.domain` for all below it, or `*` for rules without a host; to one or more namespaces (`*` in a name is anything). The most specific entry counts, and nobody else may have its hosts. A host that is not here belongs to the namespace that had it first; wildcards and rules without a host are only served for whom they are given to here.",
        ),
        field(
            "pruneLimit",
            Integer(0, 100),
            "The largest share of the fleet's objects that one pass may delete without being told to, in percent. Default: 30.",
        ),
        field(
            "remotes",
            Object(&[
                field(
                    "allow",
                    List(&Text),
                    "Addresses of repositories, or of folders of them with a `/` at the end, such as `https://github.com/kubernetes-sigs/`.",
                ),
                field(
                    "siblings",
                    Bool,
                    "Whether what lies beside a remote that the fleet names (same host, same folder) is allowed as well. Default: true.",
                ),
            ]),
            "Which remotes repositories other than this one, and parameters of jobs, may name besides those that the fleet names.",
        ),
        field(
            "cluster",
            Object(&[
                field(
                    "engine",
                    Word(&["embedded", "kubeconfig"]),
                    "`embedded` is Herder's own; `kubeconfig` is any Kubernetes. Default: `embedded`.",
                ),
                field("kubeconfig", Text, "The file, for `engine: kubeconfig`."),
                field("context", Text, "The context in it."),
            ]),
            "The cluster that the fleet runs on.",
        ),
    ],
};

const REPOSITORY: Field = needed(
    "repository",
    Text,
    "A git remote: a URL, or a path relative to this repository's own address (`../shop.git`).",
);
const BRANCH: Field = field("branch", Text, "The branch. Default: the remote's own.");
const DEPTH: Field = field(
    "depth",
    Integer(0, 1_000_000),
    "How many commits back the history in the workspace goes; 0 is all of it. Default: 1.",
);
const SUBMODULES: Field = field(
    "submodules",
    Bool,
    "Whether its submodules are checked out, and theirs. Default: false.",
);

/// teams/*.yaml.
pub(crate) const TEAM: Kind = Kind {
    name: "Team",
    files: "teams/*.yaml",
    doc: "Who owns environments and applications. The name is all there is to a team so far.",
    fields: &[field("name", Name, "Default: the file's name.")],
};

/// environments/*.yaml.
pub(crate) const ENVIRONMENT: Kind = Kind {
    name: "Environment",
    files: "environments/*.yaml",
    doc: "One namespace with a config repository of its own.",
    fields: &[
        field("name", Name, "Default: the file's name."),
        field("namespace", Name, "Default: the environment's name."),
        field(
            "kind",
            Word(&["permanent", "developer"]),
            "`permanent` always exists; `developer` only while somebody holds a lease on it (`herder env up`). Default: `permanent`.",
        ),
        field("after", Name, "The environment before it in the order of stages."),
        field(
            "config",
            Either(&[
                Text,
                Object(&[
                    field(
                        "repository",
                        Text,
                        "A git remote: a URL, or a path relative to this repository's own address (`../config-staging.git`). Default: this repository.",
                    ),
                    BRANCH,
                    field("path", Text, "The directory in it. Default: its root."),
                ]),
            ]),
            "Where its config is: one directory per application, each with a kustomization.",
        ),
        field(
            "include",
            List(&Name),
            "The only applications to take from the config. Default: all.",
        ),
        field(
            "state",
            List(&Text),
            "What is never deleted: `Kind/name` with `*`, such as `PersistentVolumeClaim/*`.",
        ),
        field(
            "lease",
            Object(&[
                field(
                    "default",
                    Duration,
                    "How long a lease lasts if nothing is said. Default: 8h.",
                ),
                field("max", Duration, "How long at most. Default: 7d."),
            ]),
            "For developer environments.",
        ),
        field("team", Name, "The team it belongs to."),
        field(
            "substitute",
            Map(&Scalar),
            "Values of variables in its objects, expanded as Flux does: `${NAME}`, `${NAME:-default}`, `${NAME:=default}`; `$${NAME}` is the text itself. `{}` expands defaults only. Default: nothing expands, and a variable is an error.",
        ),
        field(
            "clusterScoped",
            Word(&["allow", "refuse"]),
            "Whether its config may hold objects that are in no namespace, such as ClusterRoles. Default: `refuse`.",
        ),
        field("labels", Map(&Scalar), "Labels of its namespace."),
        field(
            "quota",
            Map(&Scalar),
            "Hard limits of its ResourceQuota, such as `pods: 20`.",
        ),
        field(
            "podSecurity",
            Word(&["privileged", "baseline", "restricted"]),
            "What the pods of its namespace may ask for, by Kubernetes' Pod Security Standards. Only this repository can say it: a config repository that lowers it is refused. Default: `baseline`.",
        ),
        field(
            "deployer",
            Object(&[field(
                "clusterRole",
                Text,
                "The ClusterRole that jobs get in the namespace. Default: a Role of Herder's that may change what runs, config, Secrets and routes in the namespace, but no rights and no quotas.",
            )]),
            "What the jobs that deploy there may do.",
        ),
    ],
};

/// applications/*.yaml.
pub(crate) const APPLICATION: Kind = Kind {
    name: "Application",
    files: "applications/*.yaml",
    doc: "What is built from one source and moves through the stages.",
    fields: &[
        field(
            "name",
            Name,
            "Its directory in config repositories. Default: the file's name.",
        ),
        field("team", Name, "The team that owns it."),
        field(
            "source",
            Either(&[Text, Object(&[REPOSITORY])]),
            "The repository it is built from.",
        ),
        field(
            "images",
            List(&Text),
            "The images it consists of, as kustomizations name them.",
        ),
        field(
            "stages",
            List(&Name),
            "The environments it passes. Default: all permanent ones whose config has it.",
        ),
    ],
};

/// jobs/**/*.yaml.
pub(crate) const JOB: Kind = Kind {
    name: "Job",
    files: "jobs/**/*.yaml",
    doc: "A job. Jenkins Job DSL (`jobs/**/*.groovy`) is read as well.",
    fields: &[
        field(
            "name",
            Text,
            "Folders separated by `/`. Default: the file's path below `jobs/`.",
        ),
        field("description", Text, "What it is for."),
        field(
            "parameters",
            List(&Object(&[
                needed("name", Text, "Also the environment variable's name."),
                field(
                    "type",
                    Word(&["text", "lines", "boolean", "choice", "password"]),
                    "Default: `text`.",
                ),
                field("default", Scalar, "The value if none is given."),
                field(
                    "choices",
                    List(&Scalar),
                    "For `type: choice`; the first is the default.",
                ),
                field("description", Text, "What it is for."),
            ])),
            "What a person can set when starting it.",
        ),
        field(
            "source",
            Either(&[Text, Object(&[REPOSITORY, BRANCH, DEPTH, SUBMODULES])]),
            "The repository it checks out into its workspace, with its history, branches and tags.",
        ),
        field(
            "sources",
            List(&Object(&[
                REPOSITORY,
                BRANCH,
                DEPTH,
                SUBMODULES,
                field(
                    "directory",
                    Text,
                    "The directory in the workspace. Default: its root.",
                ),
            ])),
            "Several repositories, instead of `source`.",
        ),
        field(
            "triggers",
            Object(&[
                field(
                    "poll",
                    TEXTS,
                    "When to look for new commits, as Jenkins writes times: `H/15 * * * *`.",
                ),
                field("cron", TEXTS, "When to run."),
                field(
                    "webhook",
                    Bool,
                    "Whether a notification about one of its repositories starts it.",
                ),
                field("upstream", List(&Text), "Jobs whose end starts it."),
                field(
                    "threshold",
                    Word(&["success", "failure"]),
                    "The worst result of those that still counts. Default: `success`.",
                ),
            ]),
            "What starts it, besides people.",
        ),
        field(
            "steps",
            List(&Either(&[
                Text,
                Object(&[
                    field("name", Text, "For the log."),
                    needed("shell", Text, "A script for /bin/sh, unless it begins with `#!`."),
                ]),
            ])),
            "What it does, in order.",
        ),
        field(
            "environment",
            Text,
            "The environment it deploys to; its pod runs there. `$NAME` takes it from a parameter.",
        ),
        field("namespace", Text, "The same by namespace."),
        field("env", Map(&Scalar), "Environment variables."),
        field("timeout", Duration, "How long a run may take."),
        field(
            "retries",
            Integer(0, 100),
            "How often a failed run is tried again. Default: 0.",
        ),
        field(
            "concurrent",
            Bool,
            "Whether two runs may go on at once. Default: false.",
        ),
        field("disabled", Bool, "Whether it is switched off. Default: false."),
        field(
            "quietPeriod",
            Duration,
            "How long it waits for further commits before it starts.",
        ),
        field(
            "retention",
            Object(&[
                field("runs", Integer(1, 1_000_000), "At most so many runs."),
                field("age", Duration, "At most so long."),
            ]),
            "What is kept of finished runs.",
        ),
        field(
            "artefacts",
            Either(&[
                List(&Text),
                Object(&[
                    needed("include", TEXTS, "Globs: `*` within a name, `**` across folders."),
                    field("exclude", TEXTS, "Globs of what is not kept all the same."),
                    field(
                        "allowEmpty",
                        Bool,
                        "Whether a run that has no such file succeeds all the same. Default: false.",
                    ),
                    field(
                        "always",
                        Bool,
                        "Whether they are kept although a step failed. Default: false.",
                    ),
                ]),
            ]),
            "Files of the workspace that are kept with the run, as long as the run is: globs, or these fields.",
        ),
        field(
            "downstream",
            List(&Either(&[
                Text,
                Object(&[
                    needed("job", Text, "The job."),
                    field(
                        "when",
                        Word(&["success", "failure", "completed", "always"]),
                        "How this job must have ended: `completed` is success or failure, `always` also when somebody ended it. Default: `success`.",
                    ),
                    field(
                        "parameters",
                        Map(&Scalar),
                        "What it is given; `$NAME` is a variable or parameter of this run.",
                    ),
                    field(
                        "current",
                        Bool,
                        "Whether it is given this run's own parameters, too. Default: false.",
                    ),
                    field(
                        "sameCommits",
                        Bool,
                        "Whether it takes the commits of this run, in repositories that both check out. Default: false.",
                    ),
                ]),
            ])),
            "Jobs to start when it has ended. A job that has led to this run is not started again.",
        ),
        field(
            "may",
            Either(&[
                List(&Word(&["env", "promote", "run"])),
                Object(&[
                    field(
                        "env",
                        TEXTS,
                        "Developer environments that it may bring up and down.",
                    ),
                    field("promote", TEXTS, "Environments that it may promote to."),
                    field("run", TEXTS, "Jobs that it may start, whose runs it may read."),
                ]),
            ]),
            "What its steps may ask the platform for: `herder env`, `herder promote`, `herder job run`. A list of words is for the job's own: the environment it deploys to, and jobs that deploy there. A job that deploys nowhere belongs to the platform: all are its own. Otherwise names by word, with `*`. Nothing if it is left out.",
        ),
    ],
};

/// policies/roles.yaml.
pub(crate) const ROLES: Kind = Kind {
    name: "Roles",
    files: "policies/roles.yaml",
    doc: "Which service account in which namespace gets which Vault policies.",
    fields: &[needed(
        "roles",
        Map(&Object(&[
            needed("serviceAccounts", TEXTS, "Names of service accounts; `*` is any."),
            needed("namespaces", TEXTS, "Names of namespaces; `*` is any."),
            needed(
                "policies",
                TEXTS,
                "Names of policies: `policies/NAME.hcl` without `.hcl`.",
            ),
            field(
                "ttl",
                Duration,
                "How long a token lives before it must be renewed.",
            ),
            field("maxTtl", Duration, "How long it can be renewed for."),
            field(
                "audience",
                Text,
                "The audience that the service account's token must have.",
            ),
        ])),
        "The roles by name.",
    )],
};

/// acknowledged.yaml.
pub(crate) const ACKNOWLEDGED: Kind = Kind {
    name: "Acknowledged",
    files: "acknowledged.yaml",
    doc: "Findings that are known and are no news for a while. They are shown apart until their day, then again as before.",
    fields: &[needed(
        "findings",
        List(&Object(&[
            needed(
                "code",
                Text,
                "The finding's code, as `herder status --json` has it.",
            ),
            field(
                "at",
                Text,
                "Which files, with `*` for anything; `repository//path` for those of other repositories. Default: all.",
            ),
            needed("reason", Text, "Why it may stay for now."),
            needed("until", Text, "The last day it may, such as `2027-03-31` (UTC)."),
        ])),
        "The findings.",
    )],
};

/// Fields of earlier versions that nothing acts on: the kind, the place, and what is so instead. They are told, never
/// taken for something that has an effect.
pub(crate) const RETIRED: &[(&str, &str, &str)] = &[
    (
        "Fleet",
        "/domains",
        "hosts of the edge are what Ingresses say, and whose they are is what `hosts` says",
    ),
    (
        "Team",
        "/members",
        "people are not told apart: who holds the platform's token may do everything",
    ),
    ("Team", "/channel", "nothing is sent to teams"),
    (
        "Application",
        "/url",
        "links are made from the application's Ingresses",
    ),
    (
        "Application",
        "/source/branch",
        "what is built is what its jobs check out, and what runs is what configs pin",
    ),
    ("Job", "/image", "the pods of jobs run the image `host`"),
];

//! Table: for each documented field a text in which it has an effect or is refused, and what that is compared with.

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
const CONFIG_MAP_B: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata:
      annotations: {herder.dev/vault-role: r, herder.dev/file.x: secret/data/x}
    spec: {serviceAccountName: a, containers: [{name: c, image: host}]}
";

/// The field, the file, and the file with the field. What is not said in the base is said here.
pub(crate) const ROWS: &[(&str, &str, &str)] = &[
    ("Fleet.name", "fleet.yaml", "discover: namespaces/*\nname: x\n"),
    (
        "Fleet.discover",
        "fleet.yaml",
        "discover: [namespaces/*, other/*]\n",
    ),
    (
        "Fleet.vault",
        "fleet.yaml",
        "discover: namespaces/*\nvault: {mount: k8s}\n",
    ),
    (
        "Fleet.vault.address",
        "fleet.yaml",
        "discover: namespaces/*\nvault: {address: 'https://vault.example.org'}\n",
    ),
    (
        "Fleet.vault.ca",
        "fleet.yaml",
        "discover: namespaces/*\nvault: {ca: /etc/ca.pem}\n",
    ),
    (
        "Fleet.vault.mount",
        "fleet.yaml",
        "discover: namespaces/*\nvault: {mount: k8s}\n",
    ),
    (
        "Fleet.agentImage",
        "fleet.yaml",
        "discover: namespaces/*\nagentImage: agent:1\n",
    ),
    (
        "Fleet.hosts",
        "fleet.yaml",
        "discover: namespaces/*\nhosts: {a.example.org: one}\n",
    ),
    (
        "Fleet.hosts.*",
        "fleet.yaml",
        "discover: namespaces/*\nhosts: {a.example.org: [one, two]}\n",
    ),
    (
        "Fleet.pruneLimit",
        "fleet.yaml",
        "discover: namespaces/*\npruneLimit: 1\n",
    ),
    (
        "Fleet.remotes",
        "fleet.yaml",
        "discover: namespaces/*\nremotes: {siblings: false}\n",
    ),
    (
        "Fleet.remotes.allow",
        "fleet.yaml",
        "discover: namespaces/*\nremotes: {allow: ['https://h/x/']}\n",
    ),
    (
        "Fleet.remotes.siblings",
        "fleet.yaml",
        "discover: namespaces/*\nremotes: {siblings: false}\n",
    ),
    (
        "Fleet.cluster",
        "fleet.yaml",
        "discover: namespaces/*\ncluster: {engine: kubeconfig}\n",
    ),
    (
        "Fleet.cluster.engine",
        "fleet.yaml",
        "discover: namespaces/*\ncluster: {engine: kubeconfig}\n",
    ),
    (
        "Fleet.cluster.kubeconfig",
        "fleet.yaml",
        "discover: namespaces/*\ncluster: {kubeconfig: /k}\n",
    ),
    (
        "Fleet.cluster.context",
        "fleet.yaml",
        "discover: namespaces/*\ncluster: {kubeconfig: /k, context: c}\n",
    ),
    (
        "Fleet.lenient",
        "fleet.yaml",
        "discover: namespaces/*\nlenient: namespaces/*\n",
    ),
    (
        "Fleet.loadRestriction",
        "fleet.yaml",
        "discover: namespaces/*\nloadRestriction: none\n",
    ),
    (
        "Fleet.clusterScoped",
        "fleet.yaml",
        "discover: namespaces/*\nclusterScoped: allow\n",
    ),
    ("Team.name", "teams/retail.yaml", "name: other\n"),
    (
        "Environment.name",
        "environments/testing.yaml",
        "name: t\nconfig: {path: configs/testing}\nteam: retail\n",
    ),
    (
        "Environment.namespace",
        "environments/testing.yaml",
        "namespace: t\nconfig: {path: configs/testing}\nteam: retail\n",
    ),
    (
        "Environment.kind",
        "environments/testing.yaml",
        "kind: developer\nconfig: {path: configs/testing}\nteam: retail\n",
    ),
    (
        "Environment.after",
        "environments/testing.yaml",
        "after: nowhere\nconfig: {path: configs/testing}\nteam: retail\n",
    ),
    (
        "Environment.config",
        "environments/testing.yaml",
        "config: ../config.git\nteam: retail\n",
    ),
    (
        "Environment.config.repository",
        "environments/testing.yaml",
        "config: {repository: ../config.git}\nteam: retail\n",
    ),
    (
        "Environment.config.branch",
        "environments/testing.yaml",
        "config: {repository: ../config.git, branch: x}\nteam: retail\n",
    ),
    (
        "Environment.config.path",
        "environments/testing.yaml",
        "config: {path: configs/dev}\nteam: retail\n",
    ),
    (
        "Environment.include",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\ninclude: [shop]\n",
    ),
    (
        "Environment.state",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\nstate: [ConfigMap/*]\n",
    ),
    (
        "Environment.lease",
        "environments/dev.yaml",
        "kind: developer\nconfig: {path: configs/dev}\nlease: {max: 9h}\n",
    ),
    (
        "Environment.lease.default",
        "environments/dev.yaml",
        "kind: developer\nconfig: {path: configs/dev}\nlease: {default: 1h}\n",
    ),
    (
        "Environment.lease.max",
        "environments/dev.yaml",
        "kind: developer\nconfig: {path: configs/dev}\nlease: {max: 9h}\n",
    ),
    (
        "Environment.team",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: audit\n",
    ),
    (
        "Environment.labels",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\nlabels: {a: b}\n",
    ),
    (
        "Environment.quota",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\nquota: {pods: 3}\n",
    ),
    (
        "Environment.podSecurity",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\npodSecurity: restricted\n",
    ),
    (
        "Environment.deployer",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\ndeployer: {clusterRole: edit}\n",
    ),
    (
        "Environment.deployer.clusterRole",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\ndeployer: {clusterRole: edit}\n",
    ),
    (
        "Environment.substitute",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\nsubstitute: {A: b}\n",
    ),
    (
        "Environment.clusterScoped",
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\nclusterScoped: allow\n",
    ),
    (
        "Acknowledged.findings",
        "acknowledged.yaml",
        "findings: [{code: x, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].code",
        "acknowledged.yaml",
        "findings: [{code: y, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].at",
        "acknowledged.yaml",
        "findings: [{code: x, reason: r, until: 2999-01-01, at: 'jobs/*'}]\n",
    ),
    (
        "Acknowledged.findings[].reason",
        "acknowledged.yaml",
        "findings: [{code: x, reason: other, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].until",
        "acknowledged.yaml",
        "findings: [{code: x, reason: r, until: 2999-01-02}]\n",
    ),
    (
        "Application.name",
        "applications/shop.yaml",
        "name: store\nteam: retail\nsource: ../shop.git\n",
    ),
    (
        "Application.team",
        "applications/shop.yaml",
        "team: audit\nsource: ../shop.git\n",
    ),
    (
        "Application.source",
        "applications/shop.yaml",
        "team: retail\nsource: ../store.git\n",
    ),
    (
        "Application.source.repository",
        "applications/shop.yaml",
        "team: retail\nsource: {repository: ../store.git}\n",
    ),
    (
        "Application.images",
        "applications/shop.yaml",
        "team: retail\nsource: ../shop.git\nimages: [shop]\n",
    ),
    (
        "Application.stages",
        "applications/shop.yaml",
        "team: retail\nsource: ../shop.git\nstages: [dev]\n",
    ),
    ("Job.name", "jobs/a.yaml", "steps: [make]\nname: x/y\n"),
    (
        "Job.description",
        "jobs/a.yaml",
        "steps: [make]\ndescription: d\n",
    ),
    (
        "Job.parameters",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    (
        "Job.parameters[].name",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    (
        "Job.parameters[].type",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P, type: boolean}]\n",
    ),
    (
        "Job.parameters[].default",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P, default: x}]\n",
    ),
    (
        "Job.parameters[].choices",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P, choices: [x]}]\n",
    ),
    (
        "Job.parameters[].description",
        "jobs/a.yaml",
        "steps: [make]\nparameters: [{name: P, description: d}]\n",
    ),
    (
        "Job.source",
        "jobs/a.yaml",
        "steps: [make]\nsource: ../shop.git\n",
    ),
    (
        "Job.source.repository",
        "jobs/a.yaml",
        "steps: [make]\nsource: {repository: ../shop.git}\n",
    ),
    (
        "Job.source.branch",
        "jobs/a.yaml",
        "steps: [make]\nsource: {repository: ../shop.git, branch: x}\n",
    ),
    (
        "Job.source.depth",
        "jobs/a.yaml",
        "steps: [make]\nsource: {repository: ../shop.git, depth: 0}\n",
    ),
    (
        "Job.source.submodules",
        "jobs/a.yaml",
        "steps: [make]\nsource: {repository: ../shop.git, submodules: true}\n",
    ),
    (
        "Job.sources",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../shop.git}]\n",
    ),
    (
        "Job.sources[].repository",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../x.git}]\n",
    ),
    (
        "Job.sources[].branch",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../x.git, branch: x}]\n",
    ),
    (
        "Job.sources[].depth",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../x.git, depth: 3}]\n",
    ),
    (
        "Job.sources[].submodules",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../x.git, submodules: true}]\n",
    ),
    (
        "Job.sources[].directory",
        "jobs/a.yaml",
        "steps: [make]\nsources: [{repository: ../x.git, directory: d}]\n",
    ),
    (
        "Job.triggers",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {webhook: true}\n",
    ),
    (
        "Job.triggers.poll",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {poll: H * * * *}\n",
    ),
    (
        "Job.triggers.cron",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {cron: H * * * *}\n",
    ),
    (
        "Job.triggers.webhook",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {webhook: true}\n",
    ),
    (
        "Job.triggers.upstream",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {upstream: [b]}\n",
    ),
    (
        "Job.triggers.threshold",
        "jobs/a.yaml",
        "steps: [make]\ntriggers: {upstream: [b], threshold: failure}\n",
    ),
    ("Job.steps", "jobs/a.yaml", "steps: [test]\n"),
    (
        "Job.steps[].name",
        "jobs/a.yaml",
        "steps: [{shell: make, name: n}]\n",
    ),
    ("Job.steps[].shell", "jobs/a.yaml", "steps: [{shell: test}]\n"),
    (
        "Job.environment",
        "jobs/a.yaml",
        "steps: [make]\nenvironment: testing\n",
    ),
    (
        "Job.namespace",
        "jobs/a.yaml",
        "steps: [make]\nnamespace: testing\n",
    ),
    ("Job.env", "jobs/a.yaml", "steps: [make]\nenv: {A: b}\n"),
    ("Job.timeout", "jobs/a.yaml", "steps: [make]\ntimeout: 5m\n"),
    ("Job.retries", "jobs/a.yaml", "steps: [make]\nretries: 1\n"),
    (
        "Job.concurrent",
        "jobs/a.yaml",
        "steps: [make]\nconcurrent: true\n",
    ),
    ("Job.disabled", "jobs/a.yaml", "steps: [make]\ndisabled: true\n"),
    (
        "Job.quietPeriod",
        "jobs/a.yaml",
        "steps: [make]\nquietPeriod: 5s\n",
    ),
    (
        "Job.retention",
        "jobs/a.yaml",
        "steps: [make]\nretention: {runs: 3}\n",
    ),
    (
        "Job.retention.runs",
        "jobs/a.yaml",
        "steps: [make]\nretention: {runs: 3}\n",
    ),
    (
        "Job.retention.age",
        "jobs/a.yaml",
        "steps: [make]\nretention: {age: 12h}\n",
    ),
    ("Job.artefacts", "jobs/a.yaml", "steps: [make]\nartefacts: [x]\n"),
    (
        "Job.artefacts.include",
        "jobs/a.yaml",
        "steps: [make]\nartefacts: {include: y}\n",
    ),
    (
        "Job.artefacts.exclude",
        "jobs/a.yaml",
        "steps: [make]\nartefacts: {include: y, exclude: z}\n",
    ),
    (
        "Job.artefacts.allowEmpty",
        "jobs/a.yaml",
        "steps: [make]\nartefacts: {include: y, allowEmpty: true}\n",
    ),
    (
        "Job.artefacts.always",
        "jobs/a.yaml",
        "steps: [make]\nartefacts: {include: y, always: true}\n",
    ),
    (
        "Job.downstream",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [b]\n",
    ),
    (
        "Job.downstream[].job",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [{job: b}]\n",
    ),
    (
        "Job.downstream[].when",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [{job: b, when: always}]\n",
    ),
    (
        "Job.downstream[].parameters",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [{job: b, parameters: {A: b}}]\n",
    ),
    (
        "Job.downstream[].current",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [{job: b, current: true}]\n",
    ),
    (
        "Job.downstream[].sameCommits",
        "jobs/a.yaml",
        "steps: [make]\ndownstream: [{job: b, sameCommits: true}]\n",
    ),
    ("Job.may", "jobs/a.yaml", "steps: [make]\nmay: [env]\n"),
    ("Job.may.env", "jobs/a.yaml", "steps: [make]\nmay: {env: dev}\n"),
    (
        "Job.may.promote",
        "jobs/a.yaml",
        "steps: [make]\nmay: {promote: testing}\n",
    ),
    ("Job.may.run", "jobs/a.yaml", "steps: [make]\nmay: {run: b}\n"),
    (
        "Roles.roles",
        "policies/roles.yaml",
        "roles: {s: {serviceAccounts: a, namespaces: one, policies: p}}\n",
    ),
    (
        "Roles.roles.*.serviceAccounts",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: b, namespaces: one, policies: p}}\n",
    ),
    (
        "Roles.roles.*.namespaces",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: two, policies: p}}\n",
    ),
    (
        "Roles.roles.*.policies",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: one, policies: [p, p]}}\n",
    ),
    (
        "Roles.roles.*.ttl",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: one, policies: p, ttl: 1h}}\n",
    ),
    (
        "Roles.roles.*.maxTtl",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: one, policies: p, maxTtl: 1h}}\n",
    ),
    (
        "Roles.roles.*.audience",
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: one, policies: p, audience: x}}\n",
    ),
];

/// What a field is compared with where the base does not have what it is about.
pub(crate) const WITHOUT: &[(&str, &str)] = &[
    ("Acknowledged.findings", ""),
    (
        "Acknowledged.findings[].code",
        "findings: [{code: x, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].at",
        "findings: [{code: x, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].reason",
        "findings: [{code: x, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Acknowledged.findings[].until",
        "findings: [{code: x, reason: r, until: 2999-01-01}]\n",
    ),
    (
        "Fleet.cluster.context",
        "discover: namespaces/*\ncluster: {kubeconfig: /k}\n",
    ),
    (
        "Environment.config.branch",
        "config: {repository: ../config.git}\nteam: retail\n",
    ),
    (
        "Job.parameters[].type",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    (
        "Job.parameters[].default",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    (
        "Job.parameters[].choices",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    (
        "Job.parameters[].description",
        "steps: [make]\nparameters: [{name: P}]\n",
    ),
    ("Job.source.branch", "steps: [make]\nsource: ../shop.git\n"),
    ("Job.source.depth", "steps: [make]\nsource: ../shop.git\n"),
    ("Job.source.submodules", "steps: [make]\nsource: ../shop.git\n"),
    (
        "Job.sources[].branch",
        "steps: [make]\nsources: [{repository: ../x.git}]\n",
    ),
    (
        "Job.sources[].depth",
        "steps: [make]\nsources: [{repository: ../x.git}]\n",
    ),
    (
        "Job.sources[].submodules",
        "steps: [make]\nsources: [{repository: ../x.git}]\n",
    ),
    (
        "Job.sources[].directory",
        "steps: [make]\nsources: [{repository: ../x.git}]\n",
    ),
    (
        "Job.triggers.threshold",
        "steps: [make]\ntriggers: {upstream: [b]}\n",
    ),
    (
        "Job.artefacts.exclude",
        "steps: [make]\nartefacts: {include: y}\n",
    ),
    (
        "Job.artefacts.allowEmpty",
        "steps: [make]\nartefacts: {include: y}\n",
    ),
    ("Job.artefacts.always", "steps: [make]\nartefacts: {include: y}\n"),
    ("Job.downstream[].when", "steps: [make]\ndownstream: [b]\n"),
    ("Job.downstream[].parameters", "steps: [make]\ndownstream: [b]\n"),
    ("Job.downstream[].current", "steps: [make]\ndownstream: [b]\n"),
    ("Job.downstream[].sameCommits", "steps: [make]\ndownstream: [b]\n"),
];

/// What each row starts from: enough that whatever a field says finds what it is about.
pub(crate) const BASE: &[(&str, &str)] = &[
    ("fleet.yaml", "discover: namespaces/*\n"),
    ("namespaces/one/a.yaml", DEPLOYMENT),
    ("other/two/a.yaml", CONFIG_MAP),
    ("teams/retail.yaml", "name: retail\n"),
    ("teams/audit.yaml", "name: audit\n"),
    (
        "environments/testing.yaml",
        "config: {path: configs/testing}\nteam: retail\n",
    ),
    (
        "environments/dev.yaml",
        "kind: developer\nconfig: {path: configs/dev}\n",
    ),
    ("configs/testing/shop/kustomization.yaml", "resources: [a.yaml]\n"),
    ("configs/testing/shop/a.yaml", CONFIG_MAP),
    ("configs/testing/base/kustomization.yaml", "resources: [a.yaml]\n"),
    ("configs/testing/base/a.yaml", CONFIG_MAP_B),
    ("configs/dev/shop/kustomization.yaml", "resources: [a.yaml]\n"),
    ("configs/dev/shop/a.yaml", CONFIG_MAP),
    ("applications/shop.yaml", "team: retail\nsource: ../shop.git\n"),
    ("jobs/a.yaml", "steps: [make]\n"),
    ("jobs/b.yaml", "steps: [make]\n"),
    (
        "policies/p.hcl",
        "path \"secret/data/x\" { capabilities = [\"read\"] }\n",
    ),
    (
        "policies/roles.yaml",
        "roles: {r: {serviceAccounts: a, namespaces: one, policies: p}}\n",
    ),
];

/// What earlier versions read and nothing acts on.
pub(crate) const RETIRED: &[(&str, &str)] = &[
    ("fleet.yaml", "discover: namespaces/*\ndomains: [x.example.org]\n"),
    ("teams/retail.yaml", "members: [{user: ada}]\n"),
    ("teams/retail.yaml", "channel: {slack: '#x'}\n"),
    ("applications/shop.yaml", "url: https://x\n"),
    (
        "applications/shop.yaml",
        "source: {repository: ../shop.git, branch: x}\n",
    ),
    ("jobs/a.yaml", "steps: [make]\nimage: maven\n"),
    ("stacks/a/stack.yaml", "description: d\n"),
];

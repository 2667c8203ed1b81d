// The other kinds of jobs, folders and views.
folder('team') { displayName 'The team'; description 'All jobs' }
pipelineJob('team/pipe') {
    parameters { stringParam 'A', 'b' }
    triggers { cron '@daily' }
    definition { cps { script "node { sh 'make \$X' }"; sandbox() } }
}
pipelineJob('team/scm-pipe') {
    definition { cpsScm { scm { git { remote { url 'https://example.org/p.git' }; branch 'main' } }; scriptPath 'ci/Jenkinsfile'; lightweight() } }
}
multibranchPipelineJob('team/branches') {
    branchSources { git { id 'one'; remote 'https://example.org/b.git'; includes 'main feature/*' } }
    orphanedItemStrategy { discardOldItems { numToKeep 10 } }
    triggers { cron '@daily' }
}
organizationFolder('org') { displayName 'Org' }
mavenJob('maven') { rootPOM 'sub/pom.xml'; goals 'verify'; mavenInstallation 'M3'; preBuildSteps { shell 'before' }; postBuildSteps('SUCCESS') { shell 'after' } }
matrixJob('matrix') { axes { text 'os', 'linux', 'mac'; label 'node', 'a', 'b'; jdk '17', '21' }; runSequentially(); combinationFilter 'os == "linux"' }
multiJob('phases') { steps { phase('build') { phaseJob('a') { parameters { currentBuild() } }; phaseJob 'b'; continuationCondition 'UNSTABLE' } } }
ivyJob('ivy') { ivyFilePattern '**/ivy.xml'; ivyBuilder { ant { target 'jar' } } }
listView('All') {
    description 'everything'
    filterBuildQueue()
    recurse()
    jobs { name 'team/build'; regex 'team/.*' }
    jobFilters { status { matchType MatchType.EXCLUDE_MATCHED; status Status.DISABLED } }
    columns { status(); weather(); name(); lastSuccess(); lastFailure(); lastDuration(); buildButton() }
}
nestedView('Nested') { views { listView('inner') { jobs { names 'a', 'b' } } }; columns { status() } }
sectionedView('Sections') { sections { listView { name 'one'; jobs { regex '.*' }; columns { name() } } } }
dashboardView('Board') { topPortlets { jenkinsJobsList() }; leftPortlets { testTrendChart { displayName 'Trend' } } }
buildPipelineView('Pipeline') { selectedJob 'first'; displayedBuilds 5; refreshFrequency 10 }
buildMonitorView('Monitor') { jobs { name 'a' } }
categorizedJobsView('Categories') { jobs { regex '.*' }; categorizationCriteria { regexGroupingRule(/^(\w+)-/) }; columns { status(); categorizedJob() } }
deliveryPipelineView('Delivery') { pipelines { component 'app', 'build' }; pipelineInstances 3; enableManualTriggers() }

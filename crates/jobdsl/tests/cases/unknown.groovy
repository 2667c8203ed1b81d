// Methods of plugins that are not known: kept, with a warning each, and the rest goes on.
job('kept') {
    someProperty 'x'
    publishers {
        slackNotifier { room 'builds'; notifySuccess true }
        archiveArtifacts 'a.jar'
    }
    steps {
        myTool(mode: 'fast', level: 3) { option 'a' }
        shell 'make'
    }
    triggers { githubPullRequest { admin 'somebody'; cron 'H/5 * * * *' } }
}
pipelineJob('old-style') { publishers { mailer 'a@example.org' } }
job('fine')

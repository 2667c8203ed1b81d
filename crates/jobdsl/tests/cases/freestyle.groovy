// A job with something of every section.
job('team/build') {
    displayName 'Build'
    description 'Builds and tests.'
    label 'linux && docker'
    jdk 'JDK 17'
    disabled false
    concurrentBuild()
    quietPeriod 10
    checkoutRetryCount 2
    customWorkspace '/srv/ws'
    weight 2
    keepDependencies()
    logRotator(30, 20, -1, 5)
    blockOn(['other', 'third']) { blockLevel 'GLOBAL'; scanQueueFor 'ALL' }
    throttleConcurrentBuilds { maxPerNode 1; maxTotal 2; categories(['heavy']) }
    environmentVariables { env 'A', 1; envs B: 'two', C: 3; keepBuildVariables true; propertiesFile 'env.properties' }
    authorization { permission 'hudson.model.Item.Read', 'anonymous'; permissionAll 'admin'; blocksInheritance() }
    properties { githubProjectUrl 'https://example.org/team/app' }
    parameters {
        stringParam 'VERSION', '1.0', 'what to build'
        booleanParam 'CLEAN', true
        choiceParam 'STAGE', ['dev', 'prod']
        textParam 'NOTES', 'a\nb'
        nonStoredPasswordParam 'TOKEN'
        fileParam 'in/file.bin', 'a file'
        runParam 'RUN', 'upstream'
        credentialsParam('CRED') { type 'com.cloudbees.plugins.credentials.common.StandardCredentials'; required() }
    }
    scm {
        git {
            remote { name 'origin'; url 'https://example.org/app.git'; credentials 'git-user'; refspec '+refs/heads/*:refs/remotes/origin/*' }
            branches 'main', 'release/*'
            extensions {
                cleanAfterCheckout()
                relativeTargetDirectory 'src'
                cloneOptions { shallow(); depth 1; timeout 20 }
                submoduleOptions { recursive() }
            }
            browser { gitLab 'https://example.org', '8.0' }
        }
    }
    triggers {
        cron 'H 2 * * 1-5'
        scm('H/10 * * * *') { ignorePostCommitHooks() }
        githubPush()
        upstream 'first, second', 'UNSTABLE'
    }
    wrappers {
        timestamps()
        colorizeOutput 'xterm'
        preBuildCleanup { includePattern '**/target/**'; deleteDirectories() }
        timeout { absolute 30; failBuild(); writeDescription 'too slow' }
        credentialsBinding { string 'SECRET', 'secret-id'; usernamePassword 'USER', 'PASS', 'login-id' }
        buildName '#${BUILD_NUMBER}'
        sshAgent 'key-id'
        maskPasswords()
    }
    steps {
        shell '''#!/bin/bash
make "$VERSION" && echo \\$HOME'''
        batchFile 'dir'
        maven { goals 'clean'; goals 'verify'; property 'skip', 'false'; mavenOpts '-Xmx1g'; rootPOM 'pom.xml' }
        gradle('build', '--info')
        ant('dist') { prop 'a', 'b'; buildFile 'build.xml' }
        copyArtifacts('upstream') { includePatterns '*.jar'; targetDirectory 'lib'; buildSelector { latestSuccessful true } }
        conditionalSteps {
            condition { and { stringsMatch '$STAGE', 'prod', false } { not { booleanCondition '$CLEAN' } } }
            runner 'Fail'
            steps { shell 'echo prod' }
        }
        downstreamParameterized {
            trigger('deploy') {
                block { buildStepFailure 'FAILURE'; failure 'FAILURE'; unstable 'UNSTABLE' }
                parameters { currentBuild(); predefinedProp 'K', 'v' }
            }
        }
        environmentVariables { env 'LATE', 'yes' }
    }
    publishers {
        archiveArtifacts { pattern 'build/*.jar'; pattern 'dist/*'; exclude '*.tmp'; onlyIfSuccessful(); fingerprint() }
        archiveJunit('**/TEST-*.xml') { allowEmptyResults(); healthScaleFactor 2.0 }
        downstream 'next', 'UNSTABLE'
        downstreamParameterized { trigger('a, b') { condition 'UNSTABLE_OR_BETTER'; parameters { booleanParam 'DRY', true; gitRevision() } } }
        mailer 'team@example.org', true, false
        extendedEmail {
            recipientList 'team@example.org'
            defaultSubject 'Broken'
            triggers { failure { sendTo { culprits(); developers() } }; fixed() }
        }
        publishHtml { report('site') { reportName 'Site'; keepAll() } }
        git { pushOnlyIfSuccess(); tag('origin', 'v$VERSION') { create() }; branch 'origin', 'released' }
        wsCleanup { deleteDirectories(); cleanWhenFailure false }
        retryBuild { retryLimit 2; fixedDelay 60 }
        postBuildTask { task 'ERROR', 'notify', true, true }
        flexiblePublish { conditionalAction { condition { status 'FAILURE', 'FAILURE' }; publishers { textFinder 'panic', '', true } } }
        buildDescription '', '${VERSION}'
    }
    configure { project ->
        project / 'properties' / 'com.example.Custom'(plugin: 'custom@1') { enabled true; 'list' { string 'a'; string 'b' } }
        project / publishers << 'com.example.Notifier' { room 'team' }
        (project / 'canRoam').value = false
        project.remove(project / 'jdk')
    }
}
queue 'team/build'

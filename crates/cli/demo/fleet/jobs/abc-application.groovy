job('abc-application') {
    parameters { string(name: 'NAMESPACE', defaultValue: 'staging', description: 'Kubernetes namespace to deploy to') }
    scm { git('@REPOS@/abc-application.git') }
    triggers { scm('H/15 * * * *') }
    steps {
        @BUILD@
        kustomize build ~/someApp | kubectl apply --namespace $NAMESPACE -f -
    }
}

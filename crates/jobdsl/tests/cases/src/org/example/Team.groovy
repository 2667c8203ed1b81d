package org.example

/** Builds a team's jobs the way many seed repositories do: a class that is given the script. */
class Team {
    String name
    List<String> services
    def build(script) {
        script.folder(name) { description "Jobs of ${name}" }
        services.each { service ->
            script.job("${name}/${service}") {
                with standard()
                steps { shell "build ${service}" }
            }
        }
    }
    static Closure standard() {
        return {
            logRotator { numToKeep 5 }
            wrappers { timestamps() }
        }
    }
}

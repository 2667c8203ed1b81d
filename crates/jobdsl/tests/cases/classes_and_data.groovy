// Jobs made by classes of other files, from data, and of names that exist only at run time.
import org.example.Team
import org.yaml.snakeyaml.Yaml

new Team(name: 'red', services: ['api', 'web']).build(this)

def data = new Yaml().load(readFileFromWorkspace('data.yaml'))
data.jobs.each { Map spec ->
    def made = job(spec.name) {
        triggers { cron spec.cron }
        steps { spec.steps.each { line -> shell line } }
    }
    made.with { description "From data: ${spec.name}" }
}
['one', 'two'].eachWithIndex { name, index ->
    freeStyleJob("counted-${name}") { steps { shell("echo ${index}") } }
}
def addBuildSteps = { context, String what -> context.steps { shell what } }
def late = job('late')
addBuildSteps(late, 'echo late')
late.configure { it / 'custom' << 'value'('1') }
if (binding.hasVariable('STAGE')) { job("stage-${STAGE}") }
println binding.hasVariable("NOPE") + " " + binding.variables.STAGE + " " + binding.STAGE + " " + getBinding().getVariable("STAGE")
def templated = new groovy.text.SimpleTemplateEngine().createTemplate('run $what<% flags.each { print " -${it}" } %> <%= flags.size() %> "quoted"').make([what: 'all', flags: ['a', 'b']])
job('templated') { steps { shell templated.toString() } }
class Labelled { String label; int size = 1; Labelled() { label = 'none' }; Labelled(String label) { this.label = label } }
def labelled = new Labelled(size: 4), other = new Labelled('x')
job("labelled-${labelled.label}-${labelled.size}-${other.label}")

// The language of seed repositories, feature by feature; what is printed is compared.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.Field
import org.example.Base
import org.example.Service as Svc
import static org.example.Names.shorten

@Field static final List<String> STAGES = ['dev', 'test', 'prod']

// Texts.
def n = 3
println "plain ${n} and $n, ${n * 2} and ${STAGES.size()} \$kept"
println 'single $n ' + "joined" + 1
println '''three
lines''' + """ with ${n}
inside"""
println($/dollar ${n} slashy \ kept $$ /$)
println(/slashy \d+ ${n}/)
println """
    indented
      more
    """.stripIndent().trim()
println '''|margin
           |second'''.stripMargin()
println 'a-b_c'.replaceAll(/[-_]/, '.') + 'x'.padLeft(3, '0') + 'abc'[0] + 'abc'[-1] + 'abcdef'[1..3]
println 'one two'.split(' ').collect { it.capitalize() }.join('+')
println 'a,b;c'.tokenize(',;') + 'k=v'.split('=').toList()
println 'x' * 3 + ' ' + 'abc'.reverse() + ' ' + 'Hello'.toLowerCase() + ' ' + 'abc'.contains('b')

// Numbers and operators.
println 7 / 2 + 7.intdiv(2) + 7 % 4 + 2 ** 10
println([1 <=> 2, 'a' == "a", 3 != 4, !true, true && false, true || false, 5 in [5, 6], 1 == 1.0])
def nothing = null
println([nothing?.length(), nothing ?: 'other', nothing == null ? 'yes' : 'no', 'x' ?: 'y'])
def counter = 0
counter++; counter += 4; counter -= 1; counter <<= 1
println counter

// Lists, maps, ranges.
def list = [3, 1, 2]
println list.sort() + list.max() + list.sum() + list.indexOf(2) + list.findAll { it > 1 } + list.find { it == 1 }
println list.collect { it * 2 }.inject(0) { sum, each -> sum + each }
println([1, [2, [3]]].flatten() + (1..4) + (1..<4) + ('a'..'c'))
println([1, 2, 2, 3].unique() + [1, 2, 3].reverse() + [1, 2, 3].take(2) + [1, 2, 3].drop(2) + [[1, 'a'], [2, 'b']].transpose())
println([1, 2, 3, 4].groupBy { it % 2 == 0 ? 'even' : 'odd' })
println([1, 2, 3].any { it > 2 } && [1, 2, 3].every { it > 0 })
println(['b', 'a'].withIndex().collect { text, index -> "$index$text" })
def map = [name: 'x', 'two words': 2, (n): 'three', nested: [a: [b: 1]]]
println map.name + map['two words'] + map[n] + map.nested.a.b + map.missing
map.each { key, value -> print "$key;" }
map.added = true
println map.containsKey('added') && map.findAll { k, v -> v instanceof Integer }.size() == 1
println map.collectEntries { k, v -> [(k.toString().toUpperCase()): v] }.keySet()
def (first, second) = [10, 20]
(first, second) = [second, first]
println "$first $second"
println([*list, *[9]] + [*: [a: 1], b: 2].toString())
println list*.toString() + ['aa', 'b']*.length()

// Control.
for (int i = 0; i < 3; i++) { if (i == 1) { continue }; print i }
for (stage in STAGES) { print stage[0] }
for (entry in [a: 1]) { println entry.key + entry.value }
def loops = 0
while (true) { loops++; if (loops > 4) break }
do { loops-- } while (loops > 2)
println loops
switch (n) { case 1: println 'one'; break; case [2, 3]: println 'two or three'; break; default: println 'other' }
switch ('abc') { case ~/a.*/: println 'begins with a'; break; case String: println 'text' }
try { throw new IllegalStateException('gone wrong') } catch (IllegalArgumentException | IllegalStateException e) { println e.message } finally { println 'finally' }
try { assert n == 4 : 'n is not four' } catch (AssertionError e) { println 'assertion' }
println((n > 2 && n < 4) ? 'between' : 'outside')

// Closures.
def twice = { it * 2 }
def add = { int a, int b = 10 -> a + b }
println twice(4) + add(1) + add(1, 2) + (twice >> { it + 1 })(5) + add.curry(5)(6)
def make = { Closure c -> def target = [log: []]; c.delegate = target; c.resolveStrategy = Closure.DELEGATE_FIRST; c(); target }
println make { log << 'called' }
def count(Closure c) { (1..3).collect(c).size() }
println count { it }
println 'text'.with { toUpperCase() + length() }
println ([1, 2, 3].collect { x -> if (x == 2) return 'two'; x })
def fibonacci
fibonacci = { i -> i < 2 ? i : fibonacci(i - 1) + fibonacci(i - 2) }
println fibonacci(12)

// Regular expressions.
def matcher = 'release-1.42' =~ /(\w+)-(\d+)\.(\d+)/
println matcher[0][1] + matcher[0][3] + matcher.matches()
println ('abc' ==~ /a.c/) && !('abcd' ==~ /a.c/)
println 'v1 v2'.findAll(/v\d/) + 'a1b2'.replaceAll(/\d/) { "<$it>" }

// Classes.
enum Size { SMALL, LARGE; String label() { name().toLowerCase() } }
trait Named { String name; String hello() { "hello ${name}" } }
class Point implements Named {
    final int x
    int y = 5
    static int made = 0
    Point(int x) { this.x = x; made++ }
    Point plus(Point other) { new Point(x + other.x) }
    String toString() { "P($x,$y)" }
    def getSum() { x + y }
}
def point = new Point(1) + new Point(2)
point.y = 7
point.name = 'p'
println "$point ${point.sum} ${Point.made} ${point.hello()} ${Size.LARGE.label()} ${Size.values().size()}"
println new Svc(name: 'api', port: 80).describe() + ' ' + shorten('production') + ' ' + (new Svc() instanceof Base)
println new Svc(name: 'api').tap { port = 81 }.port
def text(String a, Object... more) { a + more.size() }
println text('x') + text('x', 1, 2) + text(*['y', 1])
println named(size: 3, 'position')
def named(Map options, String where) { "$where ${options.size}" }

// Data.
def json = new JsonSlurper().parseText('{"jobs": [{"name": "a", "on": true}, {"name": "b", "n": 1.5}], "x": null}')
println json.jobs*.name + json.jobs[1].n + json.x
println JsonOutput.toJson([a: 1, b: [true, null, 'q"']])
println readFileFromWorkspace('data.yaml').readLines().size()
def xml = new XmlSlurper().parseText('<a><b c="1">t</b><b c="2"/></a>')
println xml.b.size() + xml.b[0].text() + xml.b[0].@c
println(('3' as Integer) + (4.7 as int) + '2.5'.toDouble() + ('1' as String))

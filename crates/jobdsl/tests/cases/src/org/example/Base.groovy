package org.example

abstract class Base {
    String name = 'none'
    abstract String kind()
    String describe() { "${kind()} ${name}" }
}

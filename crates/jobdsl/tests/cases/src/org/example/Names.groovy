package org.example

class Names {
    static String shorten(String name) { name.take(4) }
}

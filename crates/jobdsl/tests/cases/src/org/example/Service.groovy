package org.example

class Service extends Base {
    int port = 8080
    String kind() { 'service' }
    @Override
    String describe() { super.describe() + ":$port" }
}

#!/bin/sh
# The shop's tests: the version is one, and the manifests name the application.
set -e
grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' VERSION
grep -q 'name: shop' deploy/deployment.yaml
echo "tests passed for version $(cat VERSION)"

#!/bin/sh
# Stands where Maven's tests would: fails if the manifest lost its name.
set -e
grep -q 'name: abc-application' someApp/deployment.yaml
echo "tests passed"

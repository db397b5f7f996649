#!/usr/bin/env bash
# Builds the Versity S3 gateway into the cache: the second server of the contract tests. The last line is its path.
exec "$(dirname "${BASH_SOURCE[0]}")/go_program.sh" github.com/versity/versitygw/cmd/versitygw@v1.8.0

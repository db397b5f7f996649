#!/usr/bin/env bash
# Builds MinIO's command line into the cache, for the benchmark. The last line of stdout is its path.
exec "$(dirname "${BASH_SOURCE[0]}")/go_program.sh" github.com/minio/mc@latest

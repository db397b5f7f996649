#!/usr/bin/env bash
# Builds MinIO from source into the cache, for the lab's object store. The last line of stdout is its path.
exec "$(dirname "${BASH_SOURCE[0]}")/go_program.sh" github.com/minio/minio@latest

#!/bin/sh
# Makes Podferry's bucket and its user, who may do nothing else there. Where they are already it sets the user's password.
# usage: bucket.sh URL SECRETS; SECRETS is what `podferry init` made for MinIO.
set -eu
url=$1 secrets=$2

# no command line shows a password
export MC_HOST_store="${url%%://*}://$(cat "$secrets/root_user"):$(cat "$secrets/root_password")@${url#*://}"
mc mb --ignore-existing store/podferry
printf 'podferry\n%s\n' "$(cat "$secrets/podferry_password")" | mc admin user add store
mc admin policy create store podferry /opt/minio/policy.json
mc admin policy entities store --user podferry | grep -q 'podferry$' || mc admin policy attach store podferry --user podferry

#!/bin/sh
CDPATH= cd -- "$(dirname -- "$0")" || exit
exec ./firecracker --no-api --config-file vm.json "$@"

#!/usr/bin/env bash
# Installs what `make packages` made: checks of the packages, a Debian root with dpkg, the same root with rpm, and a
# machine with systemd under QEMU. Ends with `N passed, N failed, N skipped`. Called by `make test-install`.
set -uo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/install/lib.sh
. tests/install/lib.sh

[ -e "$packages/atrest-agent_$version-1_amd64.deb" ] || {
    echo "There are no packages in $packages: run make packages" >&2
    exit 1
}
words=("$@")
[ "${#words[@]}" != 0 ] || words=(contents deb rpm boot)
for word in "${words[@]}"; do
    # shellcheck source=/dev/null
    . "tests/install/$word.sh"
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

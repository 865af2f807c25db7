# What is in the packages: complaints of lintian and rpmlint, what the programs need, the same bytes twice.
# shellcheck shell=bash

# The newest symbol of a library that a program needs.
newest() { objdump -T "$1" | grep -oE "$2_[0-9]+(\.[0-9]+)*" | sort -V | tail -n 1; }

at_most() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]; }

for deb in "$packages"/*_"$version"-1_*.deb; do
    check "lintian: $(basename "$deb")" lintian --allow-root --fail-on error,warning --suppress-tags-from-file packaging/lintian-tags "$deb"
done
for rpm in "$packages"/*-"$version"-1.*.rpm; do
    check "rpmlint: $(basename "$rpm")" rpmlint --strict -c packaging/rpmlint.toml "$rpm"
done
for programs in "$packages"/programs/*; do
    for program in "$programs"/*; do
        name=$(basename "$programs")/$(basename "$program")
        check "$name needs glibc 2.28 at most" at_most "$(newest "$program" GLIBC)" GLIBC_2.28
        check "$name names no path of where it was built" not grep -qaF "$PWD" "$program"
    done
    check "$(basename "$programs")/atrest-agent needs CRYPTSETUP_2.0" [ "$(newest "$programs/atrest-agent" CRYPTSETUP)" = CRYPTSETUP_2.0 ]
done

packed_again() {
    (cd "$packages" && sha256sum ./*.deb ./*.rpm) >"$home/first.sums"
    packaging/packages.sh --pack $(ls "$packages/programs") || return
    (cd "$packages" && sha256sum -c --quiet "$home/first.sums")
}
check "packing twice gives the same bytes" packed_again

if command -v promtool >/dev/null; then
    check "promtool takes the rules" promtool check rules packaging/prometheus/atrest.rules.yml
    check "the rules fire when they should" promtool test rules packaging/prometheus/atrest.test.yml
    check "promtool takes the scrape configuration" promtool check config --syntax-only packaging/prometheus/scrape.yml
else
    skip "the rules of Prometheus" "there is no promtool (package prometheus)"
fi

#!/bin/sh
# Turns a fresh Raspberry Pi OS Lite (64 bit) into an instrument: system packages, leuko in /opt/leuko, profile.
# Run from a checkout or an unpacked release; run it again after an update or with a changed profile. Without a
# profile it installs leuko alone, which then makes one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/leuko
# no code from the folder where this runs: root may stand on a card of somebody else's
export PYTHONSAFEPATH=1

usage="usage: sudo ./install.sh [PROFILE] [--wheels FOLDER]
       PROFILE          device profile, which leuko firmware init prints; without one, only leuko is installed
       --wheels FOLDER  install without a network what leuko firmware bundle-wheels collected"

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

profile= wheels=
while [ $# -gt 0 ]; do
    case $1 in
    --wheels) wheels=${2:-}; [ -n "$wheels" ] || { echo "$usage" >&2; exit 2; }; shift ;;
    --wheels=?*) wheels=${1#--wheels=} ;;
    -h | --help) echo "$usage"; exit ;;
    -*) echo "$usage" >&2; exit 2 ;;
    *) [ -z "$profile" ] || { echo "$usage" >&2; exit 2; }; profile=$1 ;;
    esac
    shift
done

[ "$(id -u)" -eq 0 ] || fail "needs root: sudo ./install.sh $profile"
[ -z "$profile" ] || [ -f "$profile" ] || fail "$profile: no such file"
# of programs, not of the kernel: a 32-bit Raspberry Pi OS boots a 64-bit kernel (getconf(1); config.txt, arm_64bit)
bits=$(getconf LONG_BIT)
[ "$bits" = 64 ] || fail "this system has $bits-bit programs, and leuko needs 64: write Raspberry Pi OS Lite (64-bit) to the card with Raspberry Pi Imager"
[ -d "$here/edge" ] && [ -d "$here/firmware_config" ] || fail "$here: is not a checkout of leuko-edge; copy all of it here"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "needs python3 3.11 or newer"

# check the profile and the wheels before changing anything
staged=
if [ -n "$wheels" ]; then
    # a private copy, whose hashes are checked while it is made; /tmp may be memory
    # under a name of its own: mktemp puts random letters for each X
    staged=$(mktemp -d /var/tmp/leuko-wheels.XXXXXXXXXX)
    trap 'rm -rf "$staged"' EXIT
    trap 'exit 1' HUP INT TERM
fi
packages=$(PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 \
    python3 -m firmware_config.preflight "$profile" ${wheels:+"$wheels" "$staged"}) ||
    fail "correct that, then run this again; nothing was changed"
missing=
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || state=
    [ "$state" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing$missing ..." >&2
    # shellcheck disable=SC2086
    { apt-get --quiet --quiet update && DEBIAN_FRONTEND=noninteractive \
        apt-get --quiet --quiet --yes install --no-install-recommends $missing; } >&2 ||
        fail "could not install$missing; without a network, install their .deb files first"
fi

# the camera's libraries belong to the system, so its Python is used
"$prefix/bin/python" -c pass 2>/dev/null || python3 -m venv --clear --system-site-packages "$prefix"
echo "installing leuko into $prefix ..." >&2
# print only the last of pip's errors; it may hold whatever a file is called
pip() {
    output=$("$prefix/bin/python" -m pip --disable-pip-version-check --quiet install "$@" 2>&1) ||
        fail "pip: $(printf '%s\n' "$output" | sed -n 's/^ERROR: //p' | tail -n 1 | LC_ALL=C tr -cd '[:print:]'); $remedy"
}
if [ -n "$wheels" ]; then
    remedy="collect the wheels again with leuko firmware bundle-wheels"
    list=$staged/leuko-requirements.txt
    collected() { pip --no-index --find-links "$staged" --require-hashes "$@"; }
    collected --requirement "$list"
    # another build of the same version may be installed
    grep '^leuko_edge==' "$list" | collected --no-deps --force-reinstall --requirement /dev/stdin
else
    remedy="is there a network? without one, --wheels installs what leuko firmware bundle-wheels collected"
    pip --require-hashes --requirement "$here/constraints/base.txt"
    pip --no-deps --no-build-isolation --force-reinstall "$here"
fi
mkdir -p /usr/local/bin
ln -sfn "$prefix/bin/leuko" /usr/local/bin/leuko

if [ -z "$profile" ]; then
    echo "leuko is installed; next: leuko firmware init, then sudo ./install.sh PROFILE" >&2
    exit
fi
"$prefix/bin/leuko" firmware install "$profile" --yes || fail "correct that, then run this again"

#!/bin/sh
# Makes an instrument of a fresh Raspberry Pi OS Lite (64 bit): system packages, leuko in /opt/leuko, profile.
# Run from a checkout or an unpacked release; run it again after an update or with a changed profile.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/leuko

usage="usage: sudo ./install.sh PROFILE [--wheels FOLDER]
       PROFILE          of the device, as leuko firmware init begins one
       --wheels FOLDER  install what leuko firmware bundle-wheels collected, without a network"

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

profile= wheels=
while [ $# -gt 0 ]; do
    case $1 in
    --wheels) wheels=${2:-}; [ -n "$wheels" ] || { echo "$usage" >&2; exit 2; }; shift ;;
    -h | --help) echo "$usage"; exit ;;
    -*) echo "$usage" >&2; exit 2 ;;
    *) [ -z "$profile" ] || { echo "$usage" >&2; exit 2; }; profile=$1 ;;
    esac
    shift
done
[ -n "$profile" ] || { echo "$usage" >&2; exit 2; }

[ "$(id -u)" -eq 0 ] || fail "needs root: sudo ./install.sh $profile"
[ -f "$profile" ] || fail "$profile: no such profile"
[ -z "$wheels" ] || [ -f "$wheels/leuko-requirements.txt" ] || fail "$wheels: not made by leuko firmware bundle-wheels"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 3.11 or newer is needed"

packages=python3-venv
# the cameras of a Raspberry Pi are read through its own picamera2
! grep -Eq '^[[:space:]]*sensor[[:space:]]*=[[:space:]]*"imx' "$profile" || packages="$packages python3-picamera2"
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
        fail "could not install$missing: without a network, install their .deb files first"
fi

# the camera's libraries are the system's, whose Python this is
"$prefix/bin/python" -c pass 2>/dev/null || python3 -m venv --clear --system-site-packages "$prefix"
echo "installing leuko into $prefix ..." >&2
pip() { "$prefix/bin/python" -m pip --disable-pip-version-check --quiet install "$@"; }
if [ -n "$wheels" ]; then
    pip --no-index --find-links "$wheels" --require-hashes --requirement "$wheels/leuko-requirements.txt"
    pip --no-index --no-deps --force-reinstall "$wheels"/leuko_edge-*.whl
else
    pip --require-hashes --requirement "$here/constraints/base.txt"
    pip --no-deps --no-build-isolation --force-reinstall "$here"
fi
mkdir -p /usr/local/bin
ln -sfn "$prefix/bin/leuko" /usr/local/bin/leuko

"$prefix/bin/leuko" firmware check "$profile" || fail "correct the profile, then run this again"
"$prefix/bin/leuko" firmware install "$profile" --yes

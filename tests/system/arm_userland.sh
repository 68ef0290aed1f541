#!/bin/sh
# An aarch64 Debian 12 userland with what a device installs, run through user-mode emulation: arm_userland.sh DIR
# makes DIR/python, which sees the device's pinned packages and no other, and DIR/tests, to be put on PYTHONPATH:
# the second runtime and what only tests import. Needs root once, to build; under a minute, 950 MB.
# PYTHON (default: python3) is one that has this checkout's build packages, as .venv/bin/python has.
set -eu
dir=$1
python=${PYTHON:-python3}
checkout=$(cd "$(dirname "$0")/../.." && pwd)
[ ! -e "$dir/ready" ] || exit 0
command -v mmdebstrap >/dev/null || { apt-get -qq update && apt-get -qqy install mmdebstrap; }
mkdir -p "$dir"
# Debian 12's emulator (qemu 7.2) computes LiteRT's int8 kernels wrongly; Debian 13's is right
mmdebstrap -q --variant=extract --include=qemu-user trixie "$dir/qemu"
mmdebstrap -q --variant=extract --architectures=arm64 --include=base-files,base-passwd,libatomic1,libstdc++6,python3-venv,zlib1g \
    bookworm "$dir/root"
for link in lib bin sbin; do [ -e "$dir/root/$link" ] || ln -s "usr/$link" "$dir/root/$link"; done
# install FOLDER WORD ...: wheels for the userland's Python, none that the words do not name
install() {
    folder=$1
    shift
    for minor in $(seq 17 36); do set -- "$@" --platform "manylinux_2_${minor}_aarch64"; done
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$folder" \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none --platform manylinux2014_aarch64 \
        --only-binary=:all: --no-deps "$@"
}
PYTHONPATH=$checkout "$python" -m edge.cli firmware bundle-wheels --release bookworm --out "$dir/wheels" >/dev/null
mkdir "$dir/leuko"
mv "$dir"/wheels/leuko_edge-*.whl "$dir/leuko" # the checkout itself is tested
install "$dir/site" --no-index "$dir"/wheels/*.whl
mv "$dir"/leuko/*.whl "$dir/wheels" # for an instrument that is installed whole
install "$dir/tests" tflite-runtime==2.14.0 'pytest>=8.3' iniconfig 'pluggy<2' packaging 'hypothesis>=6.100' \
    'sortedcontainers<3' 'scipy>=1.13' tifffile==2026.3.3
absolute=$(cd "$dir" && pwd)
# as sys.executable the script itself: the emulator cannot start a program of its own kind for a test
cat > "$dir/python" <<EOF
#!/bin/sh
exec env PYTHONHOME=$absolute/root/usr PYTHONPATH=$absolute/site\${PYTHONPATH:+:\$PYTHONPATH} \\
    $absolute/qemu/usr/bin/qemu-aarch64 -cpu "\${QEMU_CPU:-cortex-a76}" -L $absolute/root -0 $absolute/python \\
    $absolute/root/usr/bin/python3.11 "\$@"
EOF
chmod +x "$dir/python"
"$dir/python" -c pass
touch "$dir/ready"

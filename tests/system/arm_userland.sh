#!/bin/sh
# An aarch64 Debian 12 userland with both runtimes, run through user-mode emulation: arm_userland.sh DIR
# makes DIR/python. Needs root once, to build; about a quarter of a minute on a quiet machine, 350 MB.
set -eu
dir=$1
[ ! -e "$dir/ready" ] || exit 0
command -v mmdebstrap >/dev/null || { apt-get -qq update && apt-get -qqy install mmdebstrap; }
mkdir -p "$dir"
# Debian 12's emulator (qemu 7.2) computes LiteRT's int8 kernels wrongly; Debian 13's is right
mmdebstrap -q --variant=extract --include=qemu-user trixie "$dir/qemu"
mmdebstrap -q --variant=extract --architectures=arm64 --include=python3,libstdc++6,libatomic1,zlib1g \
    bookworm "$dir/root"
for link in lib bin sbin; do [ -e "$dir/root/$link" ] || ln -s "usr/$link" "$dir/root/$link"; done
platforms=$(for v in 2014 _2_17 _2_27 _2_28 _2_34; do printf -- '--platform manylinux%s_aarch64 ' $v; done)
# shellcheck disable=SC2086
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$dir/site" \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none $platforms --only-binary=:all: \
    ai-edge-litert==2.3.0 tflite-runtime==2.14.0 'numpy<2' 'opencv-python-headless<4.12' click rich tomlkit flowio
absolute=$(cd "$dir" && pwd)
cat > "$dir/python" <<EOF
#!/bin/sh
exec env PYTHONHOME=$absolute/root/usr PYTHONPATH=$absolute/site\${PYTHONPATH:+:\$PYTHONPATH} \\
    $absolute/qemu/usr/bin/qemu-aarch64 -cpu "\${QEMU_CPU:-cortex-a76}" -L $absolute/root \\
    $absolute/root/usr/bin/python3.11 "\$@"
EOF
chmod +x "$dir/python"
"$dir/python" -c pass
touch "$dir/ready"

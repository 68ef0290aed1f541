#!/bin/sh
# A Debian 13 root with the real picamera2 and libcamera, whose virtual camera plays JPEG frames: build.sh DIR
# makes DIR/python, which runs inside it: DIR/root/t/frames/0.jpg, 1.jpg, ... (1920x1080) are played, and
# DIR/root/t is on Python's path. Needs root; about half a minute on a quiet machine, 900 MB.
set -eu
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
[ ! -e "$dir/ready" ] || exit 0
command -v mmdebstrap >/dev/null || { apt-get -qq update && apt-get -qqy install mmdebstrap; }
mkdir -p "$dir"
root=$(cd "$dir" && pwd)/root
mmdebstrap -q --variant=apt --aptopt='Apt::Install-Recommends "false"' \
    --include=ca-certificates,gcc,libc6-dev,libcap-dev,python3,python3-dev,python3-libcamera,python3-prctl,python3-venv \
    trixie "$root"
# how this machine reaches the network holds inside too
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
for file in /etc/pip.conf /etc/resolv.conf; do [ ! -e $file ] || cp -L $file "$root$file"; done
chroot "$root" python3 -m venv --system-site-packages /venv
chroot "$root" /venv/bin/pip install --quiet --disable-pip-version-check --root-user-action ignore \
    picamera2 'opencv-python-headless>=4.10,<5' numpy click rich tomlkit
# the tuning files of Raspberry Pi's sensors come with libcamera for ARM alone
chroot "$root" sh -ec 'cd /tmp; dpkg --add-architecture arm64; apt-get -qq update
    apt-get -qq download libcamera-ipa:arm64; dpkg -x libcamera-ipa_*_arm64.deb tunings'
mkdir -p "$root/usr/share/libcamera/ipa"
cp -r "$root/tmp/tunings/usr/share/libcamera/ipa/rpi" "$root/usr/share/libcamera/ipa/"
mkdir -p "$root/t/frames" "$root/usr/share/libcamera/pipeline/virtual"
cp "$here"/*.py "$here/dma_heap.c" "$root/t/"
chroot "$root" gcc -O2 -shared -fPIC -o /t/dma_heap.so /t/dma_heap.c
cat > "$root/usr/share/libcamera/pipeline/virtual/virtual.yaml" <<'EOF'
%YAML 1.1
---
"Virtual0":
  supported_formats:
  - {width: 1920, height: 1080, frame_rates: [30]}
  frames: {path: "/t/frames/"}
  location: "CameraLocationExternal"
  model: "VirtualCamera"
...
EOF
# libcamera 0.4's virtual handler leaves the status of frames unset, and picamera2 drops those that failed:
# fresh memory is filled with zeros, which say that they did not; what threads keep for themselves is not filled
cat > "$dir/python" <<EOF
#!/bin/sh
exec chroot $root env GLIBC_TUNABLES=glibc.malloc.perturb=255:glibc.malloc.tcache_count=0 \\
    LD_PRELOAD=/t/dma_heap.so PYTHONPATH=/t /venv/bin/python "\$@"
EOF
chmod +x "$dir/python"
"$dir/python" -c 'import cv2, picamera2'
touch "$dir/ready"

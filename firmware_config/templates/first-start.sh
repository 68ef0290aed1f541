#!/bin/sh
# Installs the instrument from the card's boot partition; a start that was interrupted or failed is repeated.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
log=$here/first-start.log

# a FAT partition keeps no file's execute permission
if ! sh "$here/install.sh" "$here/device.toml" --wheels "$here/wheels" >"$log" 2>&1; then
    tail -n 5 "$log" | LC_ALL=C tr -cd '[:print:]\n' >&2
    echo "leuko: not installed; this is the end of $log, and it is tried again in a minute" >&2
    exit 1
fi
echo "leuko: installed; restarting" | tee -a "$log"
# the card is an instrument from here on: cloud-init would repeat its first boot on a read-only root
touch /etc/cloud/cloud-init.disabled
# it may hold the hash of a password, and all users can read this partition
rm -f "$here/../user-data"
sync
systemctl --no-block reboot

#!/usr/bin/env bash
# A Debian "trixie" folder with the real GUI Blender 4.3 and a virtual display, for `make test-gui` and the pictures
# in docs/.  1.8 GB, outside the repository, made once.
#
#   scripts/gui_root.sh           make it if it is not there, mount what it needs, print its path
#   scripts/gui_root.sh --down    unmount (do this before you delete the folder: /dev is bind-mounted in it)
#
#   FARPLANE_GUI_ROOT=DIR         where (default /var/tmp/farplane-gui/trixie)
#   FARPLANE_DEBIAN=URL           the Debian mirror (default: the one that apt uses here)
set -euo pipefail

ROOT=${FARPLANE_GUI_ROOT:-/var/tmp/farplane-gui/trixie}
PACKAGES=(blender python3-numpy xvfb xauth libgl1-mesa-dri libegl-mesa0 x11-apps imagemagick)

[ "$(id -u)" = 0 ] || { echo "gui_root: this needs root (debootstrap, mount, chroot)" >&2; exit 1; }

mounted() { mountpoint -q "$ROOT/$1"; }

if [ "${1:-}" = --down ]; then
    for point in dev sys proc; do
        if mounted "$point"; then umount "$ROOT/$point"; fi
    done
    exit 0
fi

up() {
    mounted proc || mount -t proc proc "$ROOT/proc"
    mounted sys || mount --bind /sys "$ROOT/sys"
    mounted dev || mount --bind /dev "$ROOT/dev"
}

if [ ! -x "$ROOT/usr/bin/blender" ] || [ ! -d "$ROOT/usr/lib/python3/dist-packages/numpy" ]; then
    command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap >&2
    mirror=${FARPLANE_DEBIAN:-$(grep -rhoE '(URIs: |^deb )\S*https?://\S*debian/?( |$)' /etc/apt/sources.list \
        /etc/apt/sources.list.d 2>/dev/null | grep -oE 'https?://\S+' | head -1 || true)}
    mirror=${mirror:-http://deb.debian.org/debian}
    if [ ! -e "$ROOT/etc/debian_version" ]; then
        mkdir -p "$ROOT"
        debootstrap --variant=minbase trixie "$ROOT" "$mirror" >&2
    fi
    cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
    up
    chroot "$ROOT" apt-get update >&2
    chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${PACKAGES[@]}" >&2
fi
up
echo "$ROOT"

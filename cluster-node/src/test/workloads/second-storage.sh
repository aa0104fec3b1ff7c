#!/bin/sh
# usage: second-storage.sh DIRECTORY SIZE COMMAND…
#
# Runs a command that sees an empty file system of its own at DIRECTORY, and another at DIRECTORY/disk, as it would on a host that shares no storage.
set -e
if [ "$1" != --inside ]; then
  exec unshare --mount --propagation private sh "$0" --inside "$@"
fi
mount -t tmpfs -o "size=$3,mode=0755" gantry-test "$2"
mkdir "$2/disk"
mount -t tmpfs -o "size=$3,mode=0755" gantry-test "$2/disk"
shift 3
exec "$@"

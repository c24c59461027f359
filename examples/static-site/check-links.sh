#!/bin/sh
# Fails where a page links to a file that is not there.
set -eu
cd "$1"
wrong=0
for page in *.html; do
  for link in $(sed -n 's/.*href="\([^":]*\)".*/\1/p' "$page"); do
    [ -f "$link" ] || { echo "$page links to $link, which is not there" >&2; wrong=1; }
  done
done
[ "$wrong" = 0 ] && echo "all links lead somewhere"

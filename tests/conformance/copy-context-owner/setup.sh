chown 1234:1234 a.txt 2>/dev/null || true
mkdir d
chown 99:99 d 2>/dev/null || true

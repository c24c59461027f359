"""Prints what Python's tarfile finds in the archive on standard input."""

import hashlib
import io
import sys
import tarfile

archive = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
for entry in archive:
    content = archive.extractfile(entry).read() if entry.isreg() else b""
    digest = hashlib.sha256(content).hexdigest()[:12]
    print(entry.name, entry.type.decode(), oct(entry.mode)[2:], entry.uid, entry.gid, int(entry.mtime), entry.linkname, digest)

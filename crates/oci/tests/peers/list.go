// Prints what Go's archive/tar finds in the gzipped archive on standard input.
package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	unpacked, err := gzip.NewReader(os.Stdin)
	check(err)
	archive := tar.NewReader(unpacked)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
		hash := sha256.New()
		_, err = io.Copy(hash, archive)
		check(err)
		fmt.Printf("%s %c %o %d %d %d %s %x\n", strings.TrimSuffix(entry.Name, "/"), entry.Typeflag, entry.Mode,
			entry.Uid, entry.Gid, entry.ModTime.Unix(), entry.Linkname, hash.Sum(nil)[:6])
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

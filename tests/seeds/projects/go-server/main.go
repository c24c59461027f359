// A server for the Go Dockerfiles of the seeds: it needs a module, and the certificates of its image.
package main

import (
	"crypto/x509"
	"fmt"
	"log"
	"net/http"

	"github.com/dustin/go-humanize"
)

func main() {
	roots := 0
	if pool, err := x509.SystemCertPool(); err == nil {
		roots = len(pool.Subjects()) //nolint:staticcheck // a count is all that is wanted
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "served by Go, certificates: %t, %s\n", roots > 0, humanize.Comma(1234567))
	})
	log.Println("listening on 8080")
	log.Fatal(http.ListenAndServe(":8080", nil))
}

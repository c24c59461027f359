// A small service: its pages, its health, and whether it could speak TLS with others.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/julienschmidt/httprouter"
)

// version is set by the linker.
var version = "unknown"

func routes() http.Handler {
	router := httprouter.New()
	router.GET("/healthz", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		fmt.Fprintln(w, "ok")
	})
	router.GET("/version", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		fmt.Fprintf(w, "version %s, trusts others: %t\n", version, trusts())
	})
	return router
}

// trusts tells whether the image has certificates to check others with: an image from scratch has those that it was given.
func trusts() bool {
	pool, err := x509.SystemCertPool()
	return err == nil && !pool.Equal(x509.NewCertPool())
}

func main() {
	server := &http.Server{Addr: ":8080", Handler: routes()}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.Background()) })
	log.Printf("version %s listens on 8080", version)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

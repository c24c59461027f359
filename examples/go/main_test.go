package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRoutes(t *testing.T) {
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/version": http.StatusOK, "/": http.StatusNotFound} {
		recorder := httptest.NewRecorder()
		routes().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		if recorder.Code != want {
			t.Errorf("%s answers %d instead of %d", path, recorder.Code, want)
		}
	}
}

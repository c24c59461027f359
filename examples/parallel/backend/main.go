// Serves the pages of the frontend, and tells when the next tide is.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"
)

// tide is 12 hours and 25 minutes from one high water to the next, with low water between them.
type tide struct {
	Kind    string `json:"kind"`
	Minutes int    `json:"minutes"`
}

func next(now time.Time) tide {
	const half = 12*60/2 + 12
	minutes := int(now.Unix()/60) % (2 * half)
	if minutes < half {
		return tide{Kind: "low", Minutes: half - minutes}
	}
	return tide{Kind: "high", Minutes: 2*half - minutes}
}

func main() {
	pages := "/static"
	if len(os.Args) > 1 {
		pages = os.Args[1]
	}
	http.Handle("/", http.FileServer(http.Dir(pages)))
	http.HandleFunc("/api/next", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(next(time.Now())); err != nil {
			log.Print(err)
		}
	})
	log.Println("listening on 8080")
	log.Fatal(http.ListenAndServe(":8080", nil))
}

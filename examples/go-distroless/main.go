// Tells the time in places that the image knows the zones of, as an ordinary user.
package main

import (
	"fmt"
	"log"
	"os"
	"os/user"
	"time"
	_ "time/tzdata" // the zones are in the program: no image needs them
)

func main() {
	me, err := user.Current()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s in %s\n", me.Username, me.HomeDir)
	places := os.Args[1:]
	if len(places) == 0 {
		places = []string{"UTC", "Europe/Berlin"}
	}
	for _, place := range places {
		zone, err := time.LoadLocation(place)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%-16s %s\n", place, time.Now().In(zone).Format(time.Kitchen))
	}
}

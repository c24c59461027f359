package main

import (
	"testing"
	"time"
)

func TestHighAndLowWaterTakeTurns(t *testing.T) {
	if got := next(time.Unix(0, 0)); got != (tide{Kind: "low", Minutes: 372}) {
		t.Errorf("at the beginning: %+v", got)
	}
	if got := next(time.Unix(372*60, 0)); got != (tide{Kind: "high", Minutes: 372}) {
		t.Errorf("half a tide later: %+v", got)
	}
}

package supervise

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestHearing(t *testing.T) {
	const none, term = "0000000000000000", "0000000000004000" // bit 15-1
	status := func(nspid, blocked, ignored, caught string) string {
		return "Name:\tx\nNSpid:\t" + nspid + "\nSigBlk:\t" + blocked + "\nSigIgn:\t" + ignored + "\nSigCgt:\t" + caught + "\n"
	}
	for _, tt := range []struct {
		name, status string
		want         hearing
	}{
		{"the first without a handler", status("812\t1", none, none, none), deaf},
		{"with one", status("812\t1", none, none, term), hears},
		{"that fetches it", status("812\t1", term, none, none), waits},
		{"that blocks it, with a handler", status("812\t1", term, none, term), hears},
		{"that wants nothing of it", status("812\t1", none, term, none), hears},
		{"not the first", status("812\t7", none, none, none), hears},
		{"in the host's namespace", status("812", none, none, none), hears},
		{"gone", "", hears},
	} {
		if got := parseHearing([]byte(tt.status), unix.SIGTERM); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

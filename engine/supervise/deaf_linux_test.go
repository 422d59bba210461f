package supervise

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestDrops(t *testing.T) {
	const none, term = "0000000000000000", "0000000000004000" // bit 15-1
	status := func(nspid, blocked, ignored, caught string) string {
		return "Name:\tx\nNSpid:\t" + nspid + "\nSigBlk:\t" + blocked + "\nSigIgn:\t" + ignored + "\nSigCgt:\t" + caught + "\n"
	}
	for _, tt := range []struct {
		name, status string
		want         bool
	}{
		{"the first without a handler", status("812\t1", none, none, none), true},
		{"with one", status("812\t1", none, none, term), false},
		{"that fetches it", status("812\t1", term, none, none), false},
		{"that wants nothing of it", status("812\t1", none, term, none), false},
		{"not the first", status("812\t7", none, none, none), false},
		{"in the host's namespace", status("812", none, none, none), false},
		{"gone", "", false},
	} {
		if got := drops([]byte(tt.status), unix.SIGTERM); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

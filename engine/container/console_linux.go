package container

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Resize tells a terminal by its master how large the user's is. It does
// nothing to a terminal that somebody closes at the same time, and does not
// make it block, as ioctls by descriptor would.
func Resize(console *os.File, rows, cols uint16) error {
	raw, err := console.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		fault = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	return nil
}

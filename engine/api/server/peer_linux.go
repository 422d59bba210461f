package server

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// checkPeer admits root and the engine's own user. The socket's mode says the
// same; this holds when somebody has changed it.
func checkPeer(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil // not a unix socket: a test's pipe
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("ask for peer: %w", credErr)
	}
	return admit(cred.Uid, uint32(os.Geteuid()), cred.Pid)
}

func admit(peer, self uint32, pid int32) error {
	if peer != 0 && peer != self {
		return fmt.Errorf("process %d belongs to user %d, the engine to user %d", pid, peer, self)
	}
	return nil
}

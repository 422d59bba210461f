package client

import (
	"context"
	"os"
	"time"

	"devstack/engine/guard"

	"golang.org/x/sys/unix"
)

// endPatience bounds the wait for processes that have nothing left to do.
const endPatience = 2 * time.Second

// ending prepares to wait for the end of who holds the data root: the guard,
// which outlives its engine. After that nothing of theirs is open any more.
func ending(o Options) (wait func(context.Context)) {
	none := func(context.Context) {}
	h, ok := guard.ReadHolder(o.Roots.DataLock())
	if !ok || h.Run != o.Roots.Run {
		return none
	}
	fd, err := unix.PidfdOpen(h.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return none
	}
	holder := os.NewFile(uintptr(fd), "pidfd")
	conn, err := holder.SyscallConn()
	if err != nil || !h.Alive() {
		holder.Close()
		return none
	}
	return func(ctx context.Context) {
		defer holder.Close()
		if holder.SetReadDeadline(time.Now().Add(endPatience)) != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { holder.SetReadDeadline(time.Unix(1, 0)) })()
		_ = conn.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
	}
}

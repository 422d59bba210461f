package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// connect connects to the engine; where there is none it starts one or returns
// ErrNotRunning.
func connect(ctx context.Context, o Options) (*conn, error) {
	c, err := dialSocket(ctx, o.Roots.Socket())
	if err == nil {
		return newConn(c), nil
	}
	if !absent(err) {
		return nil, fmt.Errorf("connect to engine: %w", err)
	}
	if cn := rejoin(ctx, o); cn != nil {
		return cn, nil
	}
	if !o.Start {
		return nil, ErrNotRunning
	}
	return activate(ctx, o)
}

// absent says that nobody listens: no socket, or one that was left behind.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTDIR)
}

// activate makes the socket, starts a guard with it and connects, all under the
// lock; whoever comes second finds an engine. The guard inherits the data
// root's lock: for one data root there is one engine.
func activate(ctx context.Context, o Options) (*conn, error) {
	if err := makeRunRoot(o.Roots.Run); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(o.Roots.Lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	defer lock.Close() // unlocks
	if err := flock(lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	c, err := dialSocket(ctx, o.Roots.Socket())
	if err == nil {
		return newConn(c), nil
	}
	if !absent(err) {
		return nil, fmt.Errorf("connect to engine: %w", err)
	}
	data, cn, err := holdData(ctx, o)
	if cn != nil || err != nil {
		return cn, err
	}
	defer data.Close() // the guard has its own
	listener, err := listen(o.Roots.Socket())
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := startGuard(o, listener, data); err != nil {
		os.Remove(o.Roots.Socket())
		return nil, err
	}
	if c, err = dialSocket(ctx, o.Roots.Socket()); err != nil {
		return nil, fmt.Errorf("connect to engine: %w", err)
	}
	cn = newConn(c)
	cn.started = true
	return cn, nil
}

// makeRunRoot makes the folder of the socket, for this user alone. One that
// somebody else has made (below /tmp, say) is not to be trusted.
func makeRunRoot(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make run root: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check run root: %w", err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.IsDir() || int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("run root %s is not a folder of user %d: set DEVSTACK_RUN_ROOT", dir, os.Geteuid())
	}
	if st.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close run root to others: %w", err)
		}
	}
	return nil
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// listen replaces whatever is at path by a listening socket.
func listen(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := bind(fd, path); err != nil {
		f.Close()
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return f, nil
}

func bind(fd int, path string) error {
	short, done, err := shortPath(path)
	if err != nil {
		return err
	}
	defer done()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: short}); err != nil {
		return err
	}
	if err := unix.Chmod(path, 0o600); err != nil {
		return err
	}
	return unix.Listen(fd, 4096)
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// shortPath returns a name for path that fits into a socket address, which has
// room for 107 bytes.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return path, func() {}, nil
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path), func() { unix.Close(dir) }, nil
}

// startGuard starts `devstack guard` in a session of its own, so that it
// survives this terminal.
func startGuard(o Options, listener, data *os.File) error {
	exe, err := o.exe()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := os.OpenFile(o.Roots.Log(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open engine's log: %w", err)
	}
	defer log.Close()
	door, err := openDoor(o.Roots.Socket())
	if err != nil {
		return err
	}
	defer door.Close()
	guard, err := os.StartProcess(exe, []string{"devstack", "guard", o.Roots.Run}, &os.ProcAttr{
		Dir:   "/",
		Env:   guardEnviron(o),
		Files: []*os.File{null, log, log, listener, data, door},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	return guard.Release()
}

// openDoor opens the socket's inode, by which it can be reached when its file
// has been removed.
func openDoor(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// guardEnviron is the environment with this client's roots, and with a Go
// runtime that is content with little; the guard takes the latter out again for
// the engine.
func guardEnviron(o Options) []string {
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	own := []string{
		"DEVSTACK_DATA_ROOT=" + o.Roots.Data,
		"DEVSTACK_RUN_ROOT=" + o.Roots.Run,
		"GOGC=10",
		"GOMAXPROCS=1",
	}
	for _, kv := range environ {
		switch key, _, _ := strings.Cut(kv, "="); key {
		case "DEVSTACK_DATA_ROOT", "DEVSTACK_RUN_ROOT", "GOGC", "GOMAXPROCS":
		default:
			own = append(own, kv)
		}
	}
	return own
}

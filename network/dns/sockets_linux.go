package dns

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sockets are a sandbox's two sockets at 127.0.0.11.
type Sockets struct {
	UDP, TCP int // plain descriptors: the server's epoll set watches them, not the runtime's poller
}

// Listen opens both sockets in the calling thread's network namespace, each on
// a port the kernel chose.
func Listen() (Sockets, error) {
	udp, err := listen(unix.SOCK_DGRAM)
	if err != nil {
		return Sockets{}, err
	}
	tcp, err := listen(unix.SOCK_STREAM)
	if err != nil {
		unix.Close(udp)
		return Sockets{}, err
	}
	return Sockets{UDP: udp, TCP: tcp}, nil
}

func listen(kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 11}}); err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen at 127.0.0.11: %w", err)
	}
	return fd, nil
}

// Ports returns the ports behind port 53.
func (s Sockets) Ports() (udp, tcp uint16, err error) {
	if udp, err = port(s.UDP); err != nil {
		return 0, 0, err
	}
	tcp, err = port(s.TCP)
	return udp, tcp, err
}

func port(fd int) (uint16, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	in, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("descriptor %d is no IPv4 socket", fd)
	}
	return uint16(in.Port), nil
}

// Close closes both.
func (s Sockets) Close() {
	unix.Close(s.UDP)
	unix.Close(s.TCP)
}

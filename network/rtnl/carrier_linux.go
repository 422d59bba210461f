package rtnl

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Settle makes the kernel act at once on a change of carrier of the interfaces
// named. It does so from a work queue otherwise: until then a bridge does not
// forward to its new port, and drops what the host sends into it; the first ARP
// request is lost, and the second comes a second later; IPv6 has no multicast
// route yet and hears no neighbour solicitation. Asking for the link state
// brings the pending change forward (linkwatch_sync_dev in ethtool_op_get_link).
func (c *Conn) Settle(names ...string) error {
	for _, name := range names {
		value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GLINK}
		req := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // struct ifreq's union is larger than a pointer
		}{data: unsafe.Pointer(&value)}
		copy(req.name[:unix.IFNAMSIZ-1], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return os.NewSyscallError("ioctl ethtool "+name, errno)
		}
	}
	return nil
}

//go:build !linux

package server

import (
	"errors"
	"net"
)

func checkPeer(net.Conn) error { return errors.ErrUnsupported }

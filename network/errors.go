package network

import "errors"

var (
	// ErrNoNetwork: the network named does not exist.
	ErrNoNetwork = errors.New("network not found")
	// ErrNoSandbox: the sandbox named does not exist.
	ErrNoSandbox = errors.New("sandbox not found")
	// ErrInUse: containers are still attached.
	ErrInUse = errors.New("network has active endpoints")
)

// Command heavy has most of what makes a program slow to start.
package main

import (
	_ "crypto/x509"
	_ "encoding/json"
	_ "net/http"
	_ "regexp"

	_ "devstack/engine/container/child"

	_ "github.com/google/go-containerregistry/pkg/v1/remote"
	_ "github.com/moby/profiles/seccomp"
	_ "github.com/vishvananda/netlink"
	_ "golang.org/x/sys/unix"
)

func main() {}

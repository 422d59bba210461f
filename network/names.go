package network

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"
)

// bridgePrefix starts the names of an engine's bridges, vethPrefix those of its
// host-side interfaces.
func bridgePrefix(tag string) string { return "ds" + tag + "b" }
func vethPrefix(tag string) string   { return "ds" + tag + "v" }

// bridgeName and vethName fill the 15 characters an interface name may have.
// salt steps aside when two names meet in the 30 bits.
func bridgeName(tag, network string, salt int) string {
	return bridgePrefix(tag) + shortHash(fmt.Sprintf("%s/%d", network, salt))
}

func vethName(tag, sandbox, ifname string, salt int) string {
	return vethPrefix(tag) + shortHash(fmt.Sprintf("%s/%s/%d", sandbox, ifname, salt))
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5])[:6])
}

// stableMAC derives a locally administered address from an endpoint's address:
// it is as unique on its bridge, and as sticky, as that.
func stableMAC(a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append([]byte{0x02, 0x42}, b[:]...)
	}
	sum := sha256.Sum256(a.AsSlice())
	return append([]byte{0x02, 0x42}, sum[:4]...)
}

// bridgeMAC keeps a bridge from taking the lowest address of its ports, which
// would change as they come and go.
func bridgeMAC(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return append([]byte{0x02, 0x43}, sum[:4]...)
}

package solve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// keyVersion changes when a step would be carried out differently.
const keyVersion = "2"

// key collects what a step depends on; every item has its length before it, so
// that no two lists of items look alike.
type key struct{ h hash.Hash }

func newKey(kind string) key {
	k := key{sha256.New()}
	k.add(keyVersion, kind)
	return k
}

func (k key) add(items ...string) {
	for _, s := range items {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		k.h.Write(n[:])
		k.h.Write([]byte(s))
	}
}

func (k key) list(items []string) {
	k.add(strconv.Itoa(len(items)))
	k.add(items...)
}

func (k key) flag(b bool) { k.add(strconv.FormatBool(b)) }

func (k key) sum() string { return hex.EncodeToString(k.h.Sum(nil)) }

// chain is OCI's chain id of a layer on what is below it; "" is nothing.
func chain(below string, layer digest.Digest) string {
	if below == "" {
		return string(layer)
	}
	return string(digest.FromString(below + " " + string(layer)))
}

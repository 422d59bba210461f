package supervise

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"

	"devstack/engine/image"
	"devstack/engine/image/snapshot"
	"devstack/engine/spec"
	"devstack/engine/state"
)

// maxAccounts bounds what is read of an image's account files, in bytes.
const maxAccounts = 4 << 20

// accountCache remembers the account files of images: containers of one image
// share them, and an image's content never changes.
type accountCache struct {
	mu sync.Mutex
	of map[string]spec.Accounts // image id
}

// resolveUser finds out who a container's process runs as. An empty user means the
// image's.
func (m *Machine) resolveUser(rec *state.Container, user string, groups []string) (spec.User, error) {
	user = firstOf(user, rec.Image.Config.User)
	if !spec.NeedsAccounts(user, groups) {
		return spec.ResolveUser(user, groups, spec.Accounts{})
	}
	acc, err := m.accounts.load(m.Roots.Data, rec.Image)
	if err != nil {
		return spec.User{}, err
	}
	return spec.ResolveUser(user, groups, acc)
}

func (a *accountCache) load(dataRoot string, img image.Image) (spec.Accounts, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := string(img.ID)
	if acc, ok := a.of[key]; ok && img.Root == "" {
		return acc, nil
	}
	root, err := snapshot.View(dataRoot, img)
	if err != nil {
		return spec.Accounts{}, err
	}
	defer root.Close()
	acc := spec.Accounts{Passwd: readInside(root, "etc/passwd"), Group: readInside(root, "etc/group")}
	if a.of == nil {
		a.of = map[string]spec.Accounts{}
	}
	a.of[key] = acc
	return acc, nil
}

// readInside reads a file of an image without leaving its root; what cannot
// be read counts as empty, as an image without the file does.
func readInside(root *os.File, path string) []byte {
	h, err := pathrs.OpenatInRoot(root, path)
	if err != nil {
		return nil
	}
	defer h.Close()
	st, err := h.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", h.Fd()))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxAccounts))
	return b
}

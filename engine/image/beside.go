package image

import (
	"path/filepath"
	"strings"
)

// Beside makes the relative path of a local reference count from dir, where
// the project file lies. Other references are left as they are.
func Beside(ref, dir string) string {
	transport, path, ok := strings.Cut(ref, ":")
	if !ok || path == "" || filepath.IsAbs(path) || !filepath.IsAbs(dir) {
		return ref
	}
	switch transport {
	case "oci", "oci-archive", "docker-archive", "rootfs":
		return transport + ":" + filepath.Join(dir, path)
	}
	return ref
}

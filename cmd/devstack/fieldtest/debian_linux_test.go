package fieldtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the root directory is made of. It is kept between runs, outside the
// repository; another list of packages makes another root.
const (
	debianSuite    = "bookworm"
	debianPackages = "postgresql,redis-server,nginx-light,busybox-static"
)

// debianRoot gives a root directory with the packages, making it when it is
// not there yet (half a minute). It is "" where mmdebstrap is not installed.
func debianRoot() (string, error) {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return "", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	cache = filepath.Join(cache, "devstack-test")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(debianSuite + " " + debianPackages))
	root := filepath.Join(cache, fmt.Sprintf("debian-%x", sum[:6]))
	lock, err := os.OpenFile(root+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // releases it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	half := root + ".half"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "fieldtest: making a Debian root in", root)
	cmd := exec.Command("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include="+debianPackages,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", debianSuite, half)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make a Debian root: %w\n%s", err, out)
	}
	return root, os.Rename(half, root)
}

// shopModules downloads the modules of the shop's API to dir.
func shopModules(dir string) (string, error) {
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir = filepath.Join("..", "..", "..", "examples", "shop", "api")
	cmd.Env = append(os.Environ(), "GOMODCACHE="+dir, "GOFLAGS=-modcacherw")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download the shop's modules: %w\n%s", err, out)
	}
	return dir, nil
}

func needDebian(t *testing.T) string {
	t.Helper()
	root := os.Getenv(debianEnv)
	if root == "" {
		t.Skip("needs root and mmdebstrap")
	}
	return root
}

// repository is the top of the work tree.
func repository(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

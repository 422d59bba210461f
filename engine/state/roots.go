package state

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strconv"
)

// Roots are the two folders an engine owns. Engines with different roots never
// see or disturb each other.
type Roots struct {
	Data string // what survives a reboot: images/ layers/ volumes/ containers/ engine.lock
	Run  string // what does not: engine.sock engine.lock engine.log netns/ projects/
}

// RootsFrom tells the roots of user uid from its environment:
// DEVSTACK_DATA_ROOT and DEVSTACK_RUN_ROOT, else the system's folders for root
// and the XDG folders for everybody else.
func RootsFrom(getenv func(string) string, uid int) Roots {
	data, run := "/var/lib/devstack", "/run/devstack"
	if uid != 0 {
		data = filepath.Join(userData(getenv), "devstack")
		run = userRun(getenv, uid)
	}
	return Roots{
		Data: absoluteOr(getenv("DEVSTACK_DATA_ROOT"), data),
		Run:  absoluteOr(getenv("DEVSTACK_RUN_ROOT"), run),
	}
}

// userData is XDG_DATA_HOME; the XDG specification says that a relative path
// there is to be ignored.
func userData(getenv func(string) string) string {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(getenv("HOME"), ".local", "share")
}

func userRun(getenv func(string) string, uid int) string {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "devstack")
	}
	return "/tmp/devstack-" + strconv.Itoa(uid)
}

// absoluteOr makes an explicit path absolute, so that the guard, whose folder
// is /, means the same place as the client.
func absoluteOr(path, fallback string) string {
	if path == "" {
		return fallback
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	return abs
}

// Tag is six hex digits that tell this engine's kernel objects (bridges,
// tables, cgroups) from those of an engine with other roots.
func (r Roots) Tag() string {
	sum := sha256.Sum256([]byte(filepath.Clean(r.Run)))
	return hex.EncodeToString(sum[:3])
}

// Socket is where the engine listens.
func (r Roots) Socket() string { return filepath.Join(r.Run, "engine.sock") }

// Lock is held by whoever makes or removes Socket.
func (r Roots) Lock() string { return filepath.Join(r.Run, "engine.lock") }

// DataLock is locked while an engine uses Data, and says which.
func (r Roots) DataLock() string { return filepath.Join(r.Data, "engine.lock") }

// Unwritten is what of containers' output is read and not in their logs yet.
func (r Roots) Unwritten() string { return filepath.Join(r.Run, "unwritten") }

// Log is what the guard and the engine write about themselves.
func (r Roots) Log() string { return filepath.Join(r.Run, "engine.log") }

package spec

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostDevice describes the device node at path.
func hostDevice(path string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return specs.LinuxDevice{}, fmt.Errorf("device %s: %w", path, err)
	}
	d := specs.LinuxDevice{
		Path:  path,
		Major: int64(unix.Major(uint64(st.Rdev))),
		Minor: int64(unix.Minor(uint64(st.Rdev))),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return specs.LinuxDevice{}, fmt.Errorf("device %s: not a device node", path)
	}
	mode := os.FileMode(st.Mode & 0o7777)
	d.FileMode = &mode
	d.UID, d.GID = &st.Uid, &st.Gid
	return d, nil
}

// hostDevices are the device nodes at or below path, which may be a directory
// (as --device /dev/snd allows); nodes go to the same place below target.
func hostDevices(path, target string) ([]specs.LinuxDevice, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("device %s: no such device on this host", path)
	}
	if !st.IsDir() {
		d, err := hostDevice(path)
		d.Path = target
		return []specs.LinuxDevice{d}, err
	}
	var out []specs.LinuxDevice
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeDevice == 0 {
			return err
		}
		d, err := hostDevice(p)
		if err != nil {
			return err
		}
		d.Path = filepath.Join(target, strings.TrimPrefix(p, path))
		out = append(out, d)
		return nil
	})
	if err == nil && out == nil {
		err = fmt.Errorf("device %s: the directory has no device nodes", path)
	}
	return out, err
}

// allHostDevices are the nodes of /dev that a privileged container gets.
func allHostDevices() []specs.LinuxDevice {
	var out []specs.LinuxDevice
	skip := map[string]bool{"pts": true, "shm": true, "mqueue": true, "fd": true, "console": true, "ptmx": true, "hugepages": true}
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case dir == "/dev" && skip[e.Name()]:
			case e.IsDir():
				walk(path)
			case e.Type()&fs.ModeDevice != 0:
				if d, err := hostDevice(path); err == nil {
					out = append(out, d)
				}
			}
		}
	}
	walk("/dev")
	return out
}

func deviceNumbers(path string) (major, minor int64, err error) {
	d, err := hostDevice(path)
	return d.Major, d.Minor, err
}

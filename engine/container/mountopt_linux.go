package container

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"devstack/engine/container/child"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// flagOption is a mount option that is an attribute of the mount.
type flagOption struct {
	attr  int
	clear bool
}

const atimeMask = unix.MOUNT_ATTR__ATIME

func flagOptions() map[string]flagOption {
	return map[string]flagOption{
		"ro": {unix.MOUNT_ATTR_RDONLY, false}, "rw": {unix.MOUNT_ATTR_RDONLY, true},
		"nosuid": {unix.MOUNT_ATTR_NOSUID, false}, "suid": {unix.MOUNT_ATTR_NOSUID, true},
		"nodev": {unix.MOUNT_ATTR_NODEV, false}, "dev": {unix.MOUNT_ATTR_NODEV, true},
		"noexec": {unix.MOUNT_ATTR_NOEXEC, false}, "exec": {unix.MOUNT_ATTR_NOEXEC, true},
		"nodiratime": {unix.MOUNT_ATTR_NODIRATIME, false}, "diratime": {unix.MOUNT_ATTR_NODIRATIME, true},
		"nosymfollow": {unix.MOUNT_ATTR_NOSYMFOLLOW, false}, "symfollow": {unix.MOUNT_ATTR_NOSYMFOLLOW, true},
		"noatime": {unix.MOUNT_ATTR_NOATIME, false}, "strictatime": {unix.MOUNT_ATTR_STRICTATIME, false},
		"relatime": {unix.MOUNT_ATTR_RELATIME, false}, "atime": {unix.MOUNT_ATTR_RELATIME, false},
		"norelatime": {unix.MOUNT_ATTR_STRICTATIME, false}, "nostrictatime": {unix.MOUNT_ATTR_RELATIME, false},
	}
}

func propagationOptions() map[string]int {
	return map[string]int{
		"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "shared": unix.MS_SHARED, "unbindable": unix.MS_UNBINDABLE,
	}
}

// apply adds the option to what is set and cleared. Access time is one field
// of several bits: it is cleared as a whole.
func (o flagOption) apply(set, clr *int) {
	switch {
	case o.attr&^atimeMask == 0:
		*clr |= atimeMask
		*set = *set&^atimeMask | o.attr
	case o.clear:
		*set &^= o.attr
		*clr |= o.attr
	default:
		*clr &^= o.attr
		*set |= o.attr
	}
}

// insideNamespace matches a bind source in another container's tree, such as
// the /dev/shm that ipc: "service:x" shares.
var insideNamespace = regexp.MustCompile(`^/proc/([1-9][0-9]*)/root(/.*)?$`)

// heldOpen matches a bind source that a process holds open, such as the
// directory of a volume's subpath, which nobody may swap meanwhile.
var heldOpen = regexp.MustCompile(`^/proc/([1-9][0-9]*)/fd/[0-9]+$`)

// compileMount translates one mount of the spec.
func compileMount(sm specs.Mount) (child.Mount, error) {
	m := child.Mount{Source: sm.Source, Type: sm.Type, Target: sm.Destination}
	if len(sm.UIDMappings)+len(sm.GIDMappings) > 0 {
		return m, fmt.Errorf("mount %q: id-mapped mounts are not supported", sm.Destination)
	}
	bind := sm.Type == "bind" || sm.Type == "none" || sm.Type == "" || slices.Contains(sm.Options, "bind") || slices.Contains(sm.Options, "rbind")
	if bind {
		m.Type = ""
	}
	flags, propagations := flagOptions(), propagationOptions()
	for _, o := range sm.Options {
		recursive, isRecursive := strings.CutPrefix(o, "r")
		if f, ok := flags[o]; ok {
			f.apply(&m.Attr, &m.AttrClear)
		} else if f, ok := flags[recursive]; ok && isRecursive {
			f.apply(&m.TreeAttr, &m.TreeAttrClear)
		} else if p, ok := propagations[o]; ok {
			m.Propagation, m.TreePropagation = p, false
		} else if p, ok := propagations[recursive]; ok && isRecursive {
			m.Propagation, m.TreePropagation = p, true
		} else if err := dataOption(&m, o, bind); err != nil {
			return m, err
		}
	}
	if !bind {
		m.Attr |= m.TreeAttr
		return m, nil
	}
	if sm.Source == "" {
		return m, fmt.Errorf("mount %q: a bind needs a source", sm.Destination)
	}
	if match := insideNamespace.FindStringSubmatch(sm.Source); match != nil {
		m.NSPid, _ = strconv.Atoi(match[1])
		m.Source = match[2]
	}
	if match := heldOpen.FindStringSubmatch(sm.Source); match != nil {
		m.NSPid, _ = strconv.Atoi(match[1])
		m.Held = true
	}
	return m, nil
}

// dataOption handles what is not a flag: the filesystem's own options.
func dataOption(m *child.Mount, o string, bind bool) error {
	switch o {
	case "bind", "remount", "defaults", "newinstance", "async", "nomand", "loud":
		return nil
	case "rbind":
		m.Recursive = true
		return nil
	case "tmpcopyup", "idmap", "ridmap":
		return fmt.Errorf("mount %q: option %q is not supported", m.Target, o)
	}
	if bind {
		return fmt.Errorf("mount %q: option %q has no meaning for a bind", m.Target, o)
	}
	key, value, found := strings.Cut(o, "=")
	m.Options = append(m.Options, child.Option{Key: key, Value: value, Flag: !found})
	return nil
}

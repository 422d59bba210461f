package spec

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
)

// Bound is a mount whose source is known: a bind, or a volume's directory.
type Bound struct {
	Source, Target string
	ReadOnly       bool
	Propagation    string // bind.propagation
	NonRecursive   bool
	ReadOnlyTree   bool // with ReadOnly: also what is mounted below it
}

// BindMount is the OCI form of b.
func BindMount(b Bound) specs.Mount {
	opts := []string{"rbind"}
	if b.NonRecursive {
		opts[0] = "bind"
	}
	if b.ReadOnly {
		opts = append(opts, "ro")
	}
	if b.ReadOnly && b.ReadOnlyTree {
		opts = append(opts, "rro")
	}
	propagation := b.Propagation
	if propagation == "" {
		propagation = "rprivate"
	}
	return specs.Mount{Destination: b.Target, Source: b.Source, Type: "bind", Options: append(opts, propagation)}
}

// TmpfsMount is the OCI form of a long-form tmpfs mount.
func TmpfsMount(m compose.Mount) specs.Mount {
	opts := []string{"nosuid", "nodev", "noexec"}
	if m.ReadOnly {
		opts = append(opts, "ro")
	}
	if m.Tmpfs != nil {
		if m.Tmpfs.Size > 0 {
			opts = append(opts, "size="+strconv.FormatInt(int64(m.Tmpfs.Size), 10))
		}
		if m.Tmpfs.Mode > 0 {
			opts = append(opts, fmt.Sprintf("mode=%o", m.Tmpfs.Mode))
		}
	}
	return specs.Mount{Destination: m.Target, Source: "tmpfs", Type: "tmpfs", Options: opts}
}

// tmpfsShort parses one entry of the `tmpfs` key: PATH[:OPTION,...].
func tmpfsShort(entry string) specs.Mount {
	target, opts, _ := strings.Cut(entry, ":")
	options := []string{"noexec", "nosuid", "nodev"}
	for o := range strings.SplitSeq(opts, ",") {
		switch o {
		case "":
			continue
		case "exec", "suid", "dev":
			options = slices.DeleteFunc(options, func(have string) bool { return have == "no"+o })
		}
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	return specs.Mount{Destination: path.Clean(target), Source: "tmpfs", Type: "tmpfs", Options: options}
}

// mergeMounts puts mounts over defaults: one for a target replaces the
// default there, and parents come before what lies below them.
func mergeMounts(defaults, mounts []specs.Mount) []specs.Mount {
	own := map[string]bool{}
	for _, m := range mounts {
		own[path.Clean(m.Destination)] = true
	}
	var out []specs.Mount
	for _, m := range defaults {
		if !own[path.Clean(m.Destination)] {
			out = append(out, m)
		}
	}
	sorted := slices.Clone(mounts)
	slices.SortStableFunc(sorted, func(a, b specs.Mount) int {
		return cmp.Compare(depth(a.Destination), depth(b.Destination))
	})
	return append(out, sorted...)
}

func depth(p string) int { return strings.Count(path.Clean(p), "/") }

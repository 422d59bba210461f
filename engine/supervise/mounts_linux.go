package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/image/snapshot"
	"devstack/engine/spec"
	"devstack/engine/state"
	"devstack/volumes"
)

// volumeUse is one volume at one place of a container.
type volumeUse struct {
	name   string // the volume's real name
	target string
	mount  compose.Mount
}

// anonymousTargets are the paths that get a volume without a name: `volumes`
// entries without a source, then the image's own VOLUMEs that nothing covers.
func anonymousTargets(rec *state.Container) []string {
	var out []string
	covered := map[string]bool{}
	for _, m := range rec.Declared.Volumes {
		covered[path.Clean(m.Target)] = true
		if m.Type == compose.MountVolume && m.Source == "" {
			out = append(out, path.Clean(m.Target))
		}
	}
	for _, entry := range rec.Declared.Tmpfs {
		target, _, _ := strings.Cut(entry, ":")
		covered[path.Clean(target)] = true
	}
	for target := range rec.Image.Config.Volumes {
		if target = path.Clean(target); !covered[target] {
			out = append(out, target)
		}
	}
	slices.Sort(out)
	return out
}

// makeAnonymous gives every anonymous target a volume, kept ones first.
func (u *Unit) makeAnonymous(ctx context.Context) error {
	targets := anonymousTargets(&u.rec)
	for target := range u.rec.Anonymous {
		if !slices.Contains(targets, target) {
			delete(u.rec.Anonymous, target)
		}
	}
	labels := map[string]map[string]string{}
	for _, m := range u.rec.Declared.Volumes {
		if m.Volume != nil {
			labels[path.Clean(m.Target)] = m.Volume.Labels
		}
	}
	for _, target := range targets {
		if _, ok := u.rec.Anonymous[target]; ok {
			continue
		}
		name := volumes.AnonymousName()
		_, err := u.m.Volumes.Create(ctx, volumes.Spec{Name: name, Project: u.p.Name, Anonymous: true, Labels: labels[target]})
		if err != nil {
			return err
		}
		u.rec.Anonymous[target] = name
	}
	return nil
}

// volumeUses are the volumes that the container mounts.
func (u *Unit) volumeUses() []volumeUse {
	declared, _ := u.p.Declared()
	var out []volumeUse
	for _, m := range u.rec.Declared.Volumes {
		if m.Type != compose.MountVolume {
			continue
		}
		use := volumeUse{target: path.Clean(m.Target), mount: m}
		if m.Source == "" {
			use.name = u.rec.Anonymous[use.target]
		} else if v, ok := declared.Volumes[m.Source]; ok {
			use.name = v.Name
		}
		out = append(out, use)
	}
	for target, name := range u.rec.Anonymous {
		if !slices.ContainsFunc(out, func(v volumeUse) bool { return v.target == target }) {
			out = append(out, volumeUse{name: name, target: target, mount: compose.Mount{Type: compose.MountVolume, Target: target}})
		}
	}
	return out
}

// populateVolumes fills volumes that are used for the first time with what
// the image has at their place.
func (u *Unit) populateVolumes(ctx context.Context) error {
	var view *os.File
	defer func() {
		if view != nil {
			view.Close()
		}
	}()
	for _, use := range u.volumeUses() {
		if use.mount.Volume != nil && (use.mount.Volume.NoCopy || use.mount.Volume.Subpath != "") {
			continue
		}
		v, err := u.m.Volumes.Lookup(use.name)
		if err != nil {
			return fmt.Errorf("volume %s: %w", use.name, err)
		}
		if view == nil {
			if view, err = snapshot.View(u.m.Roots.Data, u.rec.Image); err != nil {
				return err
			}
		}
		if err := u.m.Volumes.Populate(ctx, v, view, use.target); err != nil {
			return err
		}
	}
	return nil
}

// mounts are what the container sees besides its root, and the files that
// come from configs and secrets. held must stay open until the child has
// mounted.
func (u *Unit) mounts(ctx context.Context) (ms []specs.Mount, files []container.File, held []*os.File, err error) {
	declared, _ := u.p.Declared()
	for _, from := range u.rec.Declared.VolumesFrom {
		inherited, h, err := u.inherit(ctx, from)
		held = append(held, h...)
		if err != nil {
			return nil, nil, held, err
		}
		ms = append(ms, inherited...)
	}
	for _, m := range u.rec.Declared.Volumes {
		switch m.Type {
		case compose.MountBind:
			if err := volumes.BindSource(m.Source, m.Bind == nil || m.Bind.CreateHostPath); err != nil {
				return nil, nil, held, err
			}
			ms = append(ms, spec.BindMount(bound(m)))
		case compose.MountTmpfs:
			ms = append(ms, spec.TmpfsMount(m))
		case compose.MountImage:
			mount, err := imageMount(u.m.Roots.Data, m, u.rec.MountImages[path.Clean(m.Target)])
			if err != nil {
				return nil, nil, held, err
			}
			ms = append(ms, mount)
		}
	}
	for _, use := range u.volumeUses() {
		m, h, err := u.volumeMount(ctx, use)
		if h != nil {
			held = append(held, h)
		}
		if err != nil {
			return nil, nil, held, err
		}
		ms = append(ms, m)
	}
	fileMounts, files, err := fileObjects(declared, &u.rec.Declared)
	return append(ms, fileMounts...), files, held, err
}

// imageMount shows an image, or a directory of it, read-only.
func imageMount(dataRoot string, m compose.Mount, img image.Image) (specs.Mount, error) {
	subpath := ""
	if m.Image != nil {
		subpath = m.Image.Subpath
	}
	dirs, err := snapshot.Sub(dataRoot, img, subpath)
	if err != nil {
		return specs.Mount{}, fmt.Errorf("mount %s: %w", m.Target, err)
	}
	if len(dirs) == 1 {
		return spec.BindMount(spec.Bound{Source: dirs[0], Target: m.Target, ReadOnly: true}), nil
	}
	options := []string{"ro", "nodev", "nosuid"}
	for _, dir := range dirs {
		options = append(options, "lowerdir+="+dir)
	}
	return specs.Mount{Destination: m.Target, Type: "overlay", Source: "overlay", Options: options}, nil
}

func bound(m compose.Mount) spec.Bound {
	b := spec.Bound{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly, ReadOnlyTree: true}
	if m.Bind != nil {
		b.ReadOnlyTree = m.Bind.Recursive != "disabled" && m.Bind.Recursive != "writable"
		b.Propagation = m.Bind.Propagation
		b.NonRecursive = m.Bind.Recursive == "disabled"
	}
	return b
}

// volumeMount is the mount of one volume; with a subpath the result holds the
// directory open, so that nobody can swap it for another meanwhile.
func (u *Unit) volumeMount(ctx context.Context, use volumeUse) (specs.Mount, *os.File, error) {
	v, err := u.m.Volumes.Lookup(use.name)
	if err != nil {
		return specs.Mount{}, nil, fmt.Errorf("volume %s: %w", use.name, err)
	}
	vm, err := v.Mount(ctx)
	if err != nil {
		return specs.Mount{}, nil, err
	}
	if vm.Type == "bind" {
		b := spec.Bound{Source: vm.Source, Target: use.target, ReadOnly: use.mount.ReadOnly}
		if use.mount.Volume == nil || use.mount.Volume.Subpath == "" {
			return spec.BindMount(b), nil, nil
		}
		dir, err := volumes.OpenSubpath(vm.Source, use.mount.Volume.Subpath)
		if err != nil {
			return specs.Mount{}, nil, err
		}
		b.Source = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), dir.Fd())
		return spec.BindMount(b), dir, nil
	}
	opts := vm.Options
	if use.mount.ReadOnly {
		opts = append(slices.Clone(opts), "ro")
	}
	return specs.Mount{Destination: use.target, Source: vm.Source, Type: vm.Type, Options: opts}, nil, nil
}

// inherit are the mounts of another service's container, for volumes_from.
func (u *Unit) inherit(ctx context.Context, from string) ([]specs.Mount, []*os.File, error) {
	parts := strings.Split(from, ":")
	other, mode := u.p.find(parts[0], 1), parts[len(parts)-1]
	if parts[0] == "container" && len(parts) > 1 {
		for _, x := range u.p.Units() {
			if x.name == parts[1] {
				other = x
			}
		}
	}
	if other == nil {
		return nil, nil, fmt.Errorf("volumes_from %s: no such container", from)
	}
	rec := other.Record()
	var ms []specs.Mount
	var held []*os.File
	for _, m := range rec.Declared.Volumes {
		if m.Type == compose.MountBind {
			ms = append(ms, spec.BindMount(bound(m)))
		}
	}
	for _, use := range other.volumeUses() {
		m, h, err := u.volumeMount(ctx, use)
		if h != nil {
			held = append(held, h)
		}
		if err != nil {
			return nil, held, err
		}
		ms = append(ms, m)
	}
	if mode == "ro" {
		for i := range ms {
			ms[i].Options = append(slices.Clone(ms[i].Options), "ro")
		}
	}
	return ms, held, nil
}

// fileObjects are a service's configs and secrets: files are bound read-only;
// contents, and files that want another owner or mode, are placed in memory.
func fileObjects(p *compose.Project, s *compose.Service) ([]specs.Mount, []container.File, error) {
	var ms []specs.Mount
	var files []container.File
	add := func(ref compose.FileReference, objects map[string]compose.FileObject, defaultDir string) error {
		o, ok := objects[ref.Source]
		if !ok {
			return fmt.Errorf("%s is not declared", ref.Source)
		}
		target := ref.Target
		if target == "" {
			target = ref.Source
		}
		if !path.IsAbs(target) {
			target = path.Join(defaultDir, target)
		}
		if o.Driver != "" {
			return fmt.Errorf("%s has the driver %q: there are no drivers of secrets here", ref.Source, o.Driver)
		}
		if o.External {
			return fmt.Errorf("%s is external: there is no store of configs and secrets here", ref.Source)
		}
		if o.File != "" {
			st, err := os.Stat(o.File)
			if err != nil {
				return fmt.Errorf("%s: %w", ref.Source, err)
			}
			if ref.UID+ref.GID+ref.Mode != "" && st.Mode().IsRegular() {
				f, err := ownedFile(target, o.File, st, ref)
				files = append(files, f)
				return err
			}
			ms = append(ms, spec.BindMount(spec.Bound{Source: o.File, Target: target, ReadOnly: true}))
			return nil
		}
		f, err := memoryFile(target, o.Content, ref)
		files = append(files, f)
		return err
	}
	var errs []error
	for i, ref := range s.Configs {
		if err := add(ref, p.Configs, "/"); err != nil {
			errs = append(errs, &placedError{fmt.Errorf("config %w", err), []string{"configs", strconv.Itoa(i)}})
		}
	}
	for i, ref := range s.Secrets {
		if err := add(ref, p.Secrets, "/run/secrets"); err != nil {
			errs = append(errs, &placedError{fmt.Errorf("secret %w", err), []string{"secrets", strconv.Itoa(i)}})
		}
	}
	return ms, files, errors.Join(errs...)
}

// placedError is a fault of one entry of a service.
type placedError struct {
	error
	at []string
}

// ownedFile is a copy of a file with the owner and mode that its user asked
// for; what he left open is as it is on the host.
func ownedFile(target, path string, st os.FileInfo, ref compose.FileReference) (container.File, error) {
	const most = 1 << 20 // a bound of memory; Docker allows 1 MB and less
	if st.Size() > most {
		return container.File{}, fmt.Errorf("%s: with uid, gid or mode, a file may have %d bytes, not %d", ref.Source, most, st.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return container.File{}, fmt.Errorf("%s: %w", ref.Source, err)
	}
	if ref.Mode == "" {
		ref.Mode = strconv.FormatUint(uint64(st.Mode().Perm()), 8)
	}
	return memoryFile(target, string(data), ref)
}

// memoryFile is a config or secret whose content is in the project file or the
// environment, with the owner and mode that its user asked for.
func memoryFile(target, content string, ref compose.FileReference) (container.File, error) {
	f := container.File{Path: target, Data: []byte(content), Mode: 0o444}
	for _, n := range []struct {
		text string
		base int
		set  func(uint64)
	}{
		{ref.Mode, 8, func(v uint64) { f.Mode = os.FileMode(v) }},
		{ref.UID, 10, func(v uint64) { f.UID = int(v) }},
		{ref.GID, 10, func(v uint64) { f.GID = int(v) }},
	} {
		if n.text == "" {
			continue
		}
		v, err := strconv.ParseUint(n.text, n.base, 31)
		if err != nil {
			return f, fmt.Errorf("%s: %w", ref.Source, err)
		}
		n.set(v)
	}
	return f, nil
}

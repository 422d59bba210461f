package derive

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"devstack/engine/build/dockerfile"
	"devstack/engine/image"
)

// Input is what there is to know about a build.
type Input struct {
	Context    string            // directory, absolute
	Contexts   map[string]string // additional ones; only absolute directories count
	Name       string            // of the Dockerfile, for messages
	Text       []byte
	Target     string
	Args       map[string]string
	Command    []string // of the service; nil is the image's
	Entrypoint []string // likewise
	// Image is what is known of a base image; may be nil.
	Image func(ref string) (Image, bool)
	// IsDir tells directories from files; nil or !known: guessed from the name.
	IsDir   func(path string) (dir, known bool)
	Options Options
}

// Image is the part of an image's configuration that counts here.
type Image struct {
	WorkingDir string
	Entrypoint []string
	Cmd        []string
	Env        []string
}

// Rule is a derived watch rule.
type Rule struct {
	Path    string // on the host, absolute; may end in a glob
	Action  string
	Target  string
	Include []string // patterns relative to Path
	Ignore  []string // likewise, or absolute
	Mode    *uint32  // of files that are new; nil: as builds have it
	From    string   // "COPY . /app (Dockerfile:5)"
}

const (
	syncAction    = "sync"
	restartAction = "sync+restart"
	rebuildAction = "rebuild"
)

// unknownDir stands for the WORKDIR of a base image that nobody knows.
const unknownDir = "/.devstack-unknown-workdir"

// Rules derives the rules, rebuilds first, with remarks about what could not
// be derived.
func Rules(in Input) ([]Rule, []string, error) {
	d := &deriver{in: in, plans: map[*dockerfile.Stage]dockerfile.Plan{}}
	if err := d.evaluate(); err != nil {
		return nil, nil, err
	}
	for _, pattern := range in.Options.RebuildOn {
		if !strings.HasPrefix(pattern, "!") {
			pattern = strings.TrimPrefix(path.Clean("/"+pattern), "/") // not out of the context
		}
		r := Rule{Path: in.Context, Action: rebuildAction, Include: []string{pattern}, From: "x-devstack.watch.rebuild_on: " + pattern}
		if !strings.HasPrefix(pattern, "!") && !strings.ContainsAny(in.Context, "*?[") {
			// As a path it leaves the rest of the context unwatched.
			r.Path, r.Include = filepath.Join(in.Context, filepath.FromSlash(pattern)), nil
		}
		d.rebuilds = append(d.rebuilds, r)
		d.manifests = append(d.manifests, filepath.Join(in.Context, filepath.FromSlash(pattern)))
	}
	for _, s := range d.needed {
		for i, step := range d.plans[s].Steps {
			d.step(s, i, step)
		}
	}
	return d.finish(), d.remarks, nil
}

type deriver struct {
	in      Input
	file    *dockerfile.File
	target  *dockerfile.Stage
	needed  []*dockerfile.Stage
	plans   map[*dockerfile.Stage]dockerfile.Plan
	command []string // of the service, with its entrypoint
	// workingDir is where it runs.
	workingDir string

	rebuilds, syncs []Rule
	manifests       []string // absolute patterns that are rebuilt on
	remarks         []string
}

// evaluate parses the Dockerfile and goes through the stages that are needed.
func (d *deriver) evaluate() error {
	host := image.HostPlatform()
	var err error
	d.file, err = dockerfile.Parse(d.in.Text, dockerfile.Options{
		Name: d.in.Name, Args: d.in.Args, Target: d.in.Target, Platform: host, BuildPlatform: host,
		IsContext: func(name string) bool { _, ok := d.in.Contexts[name]; return ok },
	})
	if err != nil {
		return err
	}
	if d.target, err = d.file.Target(); err != nil {
		return err
	}
	d.needed = d.file.Needs(d.target)
	for _, s := range d.needed {
		if d.plans[s], err = d.file.Evaluate(s, d.base(s)); err != nil {
			return err
		}
	}
	c := d.plans[d.target].State.Image.Config
	d.workingDir = c.WorkingDir
	d.command = append(append(d.command, or(d.in.Entrypoint, c.Entrypoint)...), or(d.in.Command, c.Cmd)...)
	return nil
}

func or(a, b []string) []string {
	if a != nil {
		return a
	}
	return b
}

// base is the state in which a stage begins.
func (d *deriver) base(s *dockerfile.Stage) dockerfile.State {
	var f image.File
	switch s.Base.Kind {
	case dockerfile.Built:
		return d.plans[s.Base.Stage].State
	case dockerfile.Image:
		known := false
		if d.in.Image != nil {
			var i Image
			if i, known = d.in.Image(s.Base.Name); known {
				f.Config.WorkingDir, f.Config.Entrypoint, f.Config.Cmd, f.Config.Env = i.WorkingDir, i.Entrypoint, i.Cmd, i.Env
			}
		}
		if !known {
			f.Config.WorkingDir = unknownDir
		}
	case dockerfile.Context:
		f.Config.WorkingDir = unknownDir
	}
	return dockerfile.StateOf(f)
}

// step derives what one instruction asks for.
func (d *deriver) step(s *dockerfile.Stage, i int, step dockerfile.Step) {
	from := fmt.Sprintf("%s (%s:%d)", step.Name, filepath.Base(d.in.Name), step.Lines.First)
	switch {
	case step.Run != nil:
		for _, m := range step.Run.Mounts {
			if root, ok := d.root(m.From); ok && m.Type == "bind" {
				d.rebuild(Rule{Path: filepath.Join(root, filepath.FromSlash(path.Clean("/"+m.Source))), From: from})
			}
		}
	case step.Copy != nil:
		root, ok := d.root(step.Copy.From)
		if !ok {
			return
		}
		for _, src := range step.Copy.Sources {
			if dockerfile.IsURL(src) || dockerfile.IsGit(src) {
				continue
			}
			d.copied(s, i, step.Copy, root, src, from)
		}
	}
}

// root is the directory of the host that a source is, if it is one.
func (d *deriver) root(src dockerfile.Source) (string, bool) {
	if src.Kind != dockerfile.Context {
		return "", false
	}
	dir := d.in.Context
	if src.Name != "" {
		dir = d.in.Contexts[src.Name]
	}
	return filepath.Clean(dir), filepath.IsAbs(dir)
}

// copied derives the rules of one source of a COPY or ADD.
func (d *deriver) copied(s *dockerfile.Stage, i int, c *dockerfile.Copy, root, src, from string) {
	rel := strings.TrimPrefix(path.Clean("/"+src), "/")
	r := Rule{Path: filepath.Join(root, filepath.FromSlash(rel)), From: from}
	for _, x := range c.Exclude {
		r.Ignore = append(r.Ignore, filepath.Join(root, filepath.FromSlash(x)))
	}
	target, ok := d.targetOf(c, src, rel, r.Path)
	if n, err := strconv.ParseUint(c.Chmod, 8, 12); err == nil { // where it is symbolic, what is there counts
		mode := uint32(n)
		r.Mode = &mode
	}
	switch {
	case !d.final(s):
		from += ", which the image is made from"
	case !ok:
		from += ", which does not say where each file goes"
	default:
		use := d.use(s, i, c.Dest)
		if use.all == "" {
			d.sync(r, target, use.manifests)
			return
		}
		from += ", needed by " + use.all
	}
	r.From = from
	d.rebuild(r)
}

// final says whether the stage's files are in the image.
func (d *deriver) final(s *dockerfile.Stage) bool {
	for t := d.target; t != nil; t = t.Base.Stage {
		if t == s {
			return true
		}
		if t.Base.Kind != dockerfile.Built {
			break
		}
	}
	return false
}

// targetOf is where the source's path goes, if every file in it goes to the
// same place below that.
func (d *deriver) targetOf(c *dockerfile.Copy, src, rel, host string) (string, bool) {
	if strings.HasPrefix(c.Dest, unknownDir) {
		d.remark("the WORKDIR of the base image is not known, so where COPY %s goes is not either: it is rebuilt", src)
		return "", false
	}
	if c.Add && archive(src) {
		return "", false
	}
	if c.Parents {
		if strings.ContainsAny(src, "*?[") || strings.Contains(src, "/./") {
			return "", false
		}
		return path.Join(c.Dest, rel), true
	}
	dest := path.Clean(c.Dest)
	if dir, pattern := path.Split(rel); strings.ContainsAny(rel, "*?[") {
		// Directories that a glob matches are emptied into dest: only names
		// of files can be followed.
		return dest, !strings.ContainsAny(dir, "*?[") && strings.Contains(pattern, ".")
	}
	if !d.isDir(host) && (strings.HasSuffix(c.Dest, "/") || len(c.Sources) > 1) {
		dest = path.Join(dest, path.Base(rel))
	}
	return dest, true
}

func (d *deriver) isDir(host string) bool {
	if host == d.in.Context {
		return true
	}
	if d.in.IsDir != nil {
		if dir, known := d.in.IsDir(host); known {
			return dir
		}
	}
	return filepath.Ext(host) == ""
}

func archive(name string) bool {
	for _, ext := range []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

func (d *deriver) rebuild(r Rule) {
	r.Action = rebuildAction
	d.rebuilds = append(d.rebuilds, r)
}

// sync adds a sync with a rebuild for the manifests in it.
func (d *deriver) sync(r Rule, target string, manifests []manifest) {
	for _, m := range manifests {
		rebuild := Rule{Path: r.Path, Action: rebuildAction, From: r.From + ", needed by " + m.by, Ignore: r.Ignore}
		if name := path.Base(filepath.ToSlash(r.Path)); !d.isDir(r.Path) || strings.ContainsAny(name, "*?[") {
			if ok, err := path.Match(name, m.name); ok && err == nil {
				d.rebuilds = append(d.rebuilds, rebuild)
				d.manifests = append(d.manifests, filepath.Join(filepath.Dir(r.Path), m.name))
			}
			continue
		}
		rebuild.Include = []string{"**/" + m.name}
		d.rebuilds = append(d.rebuilds, rebuild)
		d.manifests = append(d.manifests, filepath.Join(r.Path, "**", m.name))
	}
	r.Action, r.Target = d.action(target), target
	d.syncs = append(d.syncs, r)
}

// finish puts the rules together: what is rebuilt is not synced as well.
func (d *deriver) finish() []Rule {
	var out []Rule
	for _, r := range append(d.rebuilds, d.syncs...) {
		for _, p := range d.in.Options.Ignore {
			r.Ignore = appendBelow(r.Ignore, r.Path, filepath.Join(d.in.Context, filepath.FromSlash(p)))
		}
		if r.Action != rebuildAction {
			for _, m := range d.manifests {
				if m == r.Path {
					r.Path = "" // the whole rule
				}
				r.Ignore = appendBelow(r.Ignore, r.Path, m)
			}
		}
		if r.Path != "" && !slices.ContainsFunc(out, r.same) {
			out = append(out, r)
		}
	}
	return out
}

// appendBelow adds an absolute pattern if it can match in a directory.
func appendBelow(list []string, dir, pattern string) []string {
	dir, _, _ = strings.Cut(dir, "*")
	if rel, ok := strings.CutPrefix(pattern, strings.TrimSuffix(dir, "/")+"/"); ok && !slices.Contains(list, pattern) && rel != "" {
		return append(slices.Clip(list), pattern)
	}
	return list
}

func (r Rule) same(o Rule) bool {
	return r.Path == o.Path && r.Action == o.Action && r.Target == o.Target && slices.Equal(r.Include, o.Include)
}

func (d *deriver) remark(format string, args ...any) {
	if r := "x-devstack.watch: " + fmt.Sprintf(format, args...); !slices.Contains(d.remarks, r) {
		d.remarks = append(d.remarks, r)
	}
}

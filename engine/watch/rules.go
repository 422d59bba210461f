package watch

import (
	"io/fs"

	"devstack/compose"
	"devstack/engine/watch/derive"
)

// Actions of a Rule.
const (
	Sync        = "sync"
	Rebuild     = "rebuild"
	Restart     = "restart"
	SyncRestart = "sync+restart"
	SyncExec    = "sync+exec"
)

// Options are what Compile needs to know of the world. Every function may be
// nil; then nothing is known.
type Options struct {
	// Services are those to watch; empty: all that are enabled.
	Services []string
	// ReadFile reads .dockerignore files and Dockerfiles.
	ReadFile func(path string) ([]byte, error)
	// Stat tells files from directories.
	Stat func(path string) (fs.FileInfo, error)
	// EvalSymlinks finds the real paths of build contexts and of what is watched.
	EvalSymlinks func(path string) (string, error)
	// Image is what is known of a base image: its WORKDIR, ENTRYPOINT and CMD.
	Image func(ref string) (Image, bool)
	// Model are further files of the model: see Model.
	Model []ModelFile
}

// Image is what deriving rules takes from the configuration of an image.
type Image = derive.Image

// Rule is one rule of a service. It is not to be changed.
type Rule struct {
	Service string
	Index   int    // in develop.watch; of derived rules, their number after those
	Path    string // absolute: file, directory or glob
	Action  string
	Target  string // in the container; "" where nothing is copied
	Exec    *compose.Hook
	Pos     compose.Pos // of the declaration
	Derived string      // from what: "COPY . /app (Dockerfile:5)"; "" if declared
	// Bound is the bind mount that shows the path to the container already, so
	// that nothing needs copying: "./src:/app". "" if there is none.
	Bound string

	scope scope
	perm  Perm
}

// Syncs says whether the rule copies files into containers.
func (r *Rule) Syncs() bool {
	return r.Target != "" && r.Bound == "" && (r.Action == Sync || r.Action == SyncRestart || r.Action == SyncExec)
}

// Restarts says whether the rule restarts the service.
func (r *Rule) Restarts() bool { return r.Action == Restart || r.Action == SyncRestart }

// Finding is a remark about rules.
type Finding struct {
	Pos     compose.Pos
	Service string
	Message string
	Hint    string
	Fatal   bool // the rule cannot work and is left out
}

// Rules are the rules of a project, compiled. They may be used by several
// goroutines.
type Rules struct {
	rules []*Rule
	model []ModelFile
	links *links
}

// All are the rules by service and in the order in which they are declared.
func (r *Rules) All() []*Rule { return r.rules }

// Of are the rules of a service.
func (r *Rules) Of(service string) []*Rule {
	var out []*Rule
	for _, x := range r.rules {
		if x.Service == service {
			out = append(out, x)
		}
	}
	return out
}

// Hit is a rule that a path triggers.
type Hit struct {
	Rule   *Rule
	Target string // of this path in the container; "" if the rule copies nothing
}

// Match finds what a change of a path triggers, in the order of the rules.
func (r *Rules) Match(path string) []Hit {
	var out []Hit
	for _, x := range r.rules {
		if v, _ := x.scope.judge(path); v == matched {
			out = append(out, Hit{x, x.target(path)})
		}
	}
	return out
}

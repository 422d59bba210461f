package api

import (
	"time"

	"devstack/compose"
)

// OpWatch watches a project's files; see WatchRequest.
const OpWatch = "watch"

// WatchRequest makes the engine watch a project's files and carry out what its
// rules say. Without Detach that lasts as long as the request; messages are
// WatchReports, and Progress of builds.
type WatchRequest struct {
	Name     string         `json:"name"`
	Load     LoadOptions    `json:"load"`
	Services []string       `json:"services,omitempty"` // empty: all
	Scale    map[string]int `json:"scale,omitempty"`    // as `up` was told
	Prune    bool           `json:"prune,omitempty"`    // images that a rebuild replaced go
	Detach   bool           `json:"detach,omitempty"`   // return once it watches; it goes on
	Stop     bool           `json:"stop,omitempty"`     // end a detached watch
	DryRun   bool           `json:"dry_run,omitempty"`  // only say what would be watched
	Explain  string         `json:"explain,omitempty"`  // only say what this path would trigger
	// Since is when the client read the project: what is edited after that is
	// no part of what it had built before it asked for a watch.
	Since time.Time `json:"since,omitzero"`
	// Credentials are for builds and pulls.
	Credentials Credentials `json:"credentials,omitzero"`
	Lock        *Lock       `json:"lock,omitempty"`
}

// LoadOptions say how the client loaded the project, so that the engine can do
// so again when a file of it changes. Paths are absolute, or relative to Cwd.
type LoadOptions struct {
	Files            []string `json:"files,omitempty"`
	Cwd              string   `json:"cwd"`
	ProjectDirectory string   `json:"project_directory,omitempty"`
	ProjectName      string   `json:"project_name,omitempty"`
	EnvFiles         []string `json:"env_files,omitempty"`
	Profiles         []string `json:"profiles,omitempty"`
	Environ          []string `json:"environ,omitempty"`
}

// WatchResult answers a request that does not follow.
type WatchResult struct {
	// Text is what DryRun or Explain asked for.
	Text  string `json:"text,omitempty"`
	Rules int    `json:"rules"`
	// Stopped tells Stop that there was a watch.
	Stopped bool `json:"stopped,omitempty"`
}

// Kinds of a WatchReport.
const (
	WatchReady   = "ready"   // it watches
	WatchChanged = "changed" // work begins
	WatchDone    = "done"    // it was done
	WatchFailed  = "failed"  // it could not be done; the next change tries again
	WatchPlan    = "plan"    // Text is the plan of a changed model
	WatchNotice  = "notice"
)

// WatchReport is what happened in a watch.
type WatchReport struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Service string    `json:"service,omitempty"` // empty: the project as a whole
	// Action is what was done: sync, rebuild, restart, sync+restart, sync+exec,
	// reload.
	Action string   `json:"action,omitempty"`
	Paths  []string `json:"paths,omitempty"` // what changed, relative to the project; the first few
	More   int      `json:"more,omitempty"`  // how many more changed
	Cause  string   `json:"cause,omitempty"` // where no path is: "web restarted"
	// Took is from the first change of a file to the end of the work.
	Took  compose.Duration `json:"took,omitempty"`
	Text  string           `json:"text,omitempty"`
	Error *Error           `json:"error,omitempty"`
}

package build

import (
	"time"

	"devstack/compose"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/solve"
	"devstack/engine/build/source"
	"devstack/engine/image/registry"
)

// Request is an image to build.
type Request struct {
	Project    string      // that asks for it, for `du`; may be ""
	Context    source.Spec // zero: none
	Dockerfile string      // path in the context, or absolute; "" is "Dockerfile"
	// DockerfileName is what messages call it; "" is its base name.
	DockerfileName string
	Inline         string // the Dockerfile itself, instead
	Target         string
	Args           map[string]*string // without a value: as if it were not there
	// OptionalArgs need not be declared by any ARG.
	OptionalArgs []string
	Labels       map[string]string // over the Dockerfile's
	Contexts     map[string]source.Spec

	Secrets      []Secret
	SSH          []SSH
	ExtraHosts   map[string][]string
	ShmSize      int64
	Ulimits      map[string]compose.Ulimit
	Network      string // of RUN: "" and "default", "none", "host", a network's real name
	Memory       int64  // bytes for each RUN; 0: no limit
	Privileged   bool   // allows RUN --security=insecure and --network=host
	Entitlements []string

	Tags          []string
	Platforms     []string // "" is this machine's
	NoCache       bool
	NoCacheFilter []string // stages
	Pull          bool
	CacheFrom     []CacheRef
	CacheTo       []CacheRef
	Epoch         *time.Time // SOURCE_DATE_EPOCH
	KeepModes     bool       // of files in contexts
	Compression   string     // of layers: gzip (default), zstd, none
	Annotations   map[string]string

	// Environ is the environment of whoever asks for the build, in which git
	// and downloads find proxies, keys and certificates; nil: the process's.
	Environ []string
	// Registry is the way to registries, with the credentials of whoever asks
	// for the build; nil: one for each image.
	Registry *registry.Client
	// Resolve gives the reference to use for an image, as a lock file pins
	// it; nil: as it is.
	Resolve func(ref string) (string, error)
}

// Secret is what RUN --mount=type=secret,id=ID shows: the content of File,
// else Value.
type Secret struct {
	ID    string
	File  string
	Value []byte
}

// SSH is what RUN --mount=type=ssh,id=ID leads to: an agent's socket, or a
// private key that an agent of the build then holds.
type SSH struct {
	ID   string // "" is "default"
	Path string
}

// Event is progress of a build.
type Event = solve.Event

// States of an Event. Warning is of the Dockerfile: Line says what.
const (
	Started = solve.Started
	Log     = solve.Log
	Cached  = solve.Cached
	Done    = solve.Succeeded
	Failed  = solve.Failed
	Warning = "warning"
)

// StepError is a step that failed, with its whole log and the excerpt of the
// Dockerfile.
type StepError = solve.Error

// Fault is something wrong at a place of a Dockerfile, Faults are several.
type (
	Fault  = dockerfile.Error
	Faults = dockerfile.Errors
)

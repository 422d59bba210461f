package dockerfile

import (
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"devstack/engine/image"
)

// State is what instructions change without touching files: the image's
// configuration and history so far, and the variables of the stage.
type State struct {
	Image image.File

	env        *env
	args       []instructions.KeyValuePairOptional
	workdirSet bool
}

// StateOf is the state in which a stage begins that is FROM an image.
func StateOf(f image.File) State { return State{Image: cloneFile(f)} }

// Plan is what building a stage on a given base takes.
type Plan struct {
	Steps []Step
	State State // when all steps are done
}

// Step is one instruction that makes files: exactly one of Run, Copy and
// Workdir is set.
type Step struct {
	Name    string // as progress shows it: `RUN make`, variables replaced
	Lines   Lines
	History int // index of its entry in State.Image.History
	OnBuild bool

	Run     *Run
	Copy    *Copy
	Workdir *Workdir
}

// Run is a command to execute.
type Run struct {
	Args     []string
	Env      []string // of the image and ARGs
	Proxy    []string // predefined proxy arguments: not part of what the step is
	Dir      string
	User     string
	Mounts   []Mount
	Network  string // default, none, host
	Security string // sandbox, insecure
	Devices  []string
	Script   *Content // heredoc with an interpreter of its own, placed at ScriptDir
	Hostname string
}

// ScriptDir is where Run.Script is placed.
const ScriptDir = "/dev/pipes"

// Mount is one --mount, with its source found. Target is absolute except for
// secrets that are variables only.
type Mount struct {
	*instructions.Mount
	From Source // of bind and cache
}

// Copy is COPY, or ADD.
type Copy struct {
	Add      bool
	From     Source
	Sources  []string
	Contents []Content // heredocs
	Dest     string    // absolute; ends in "/" where it was written as a directory
	Chown    string
	Chmod    string
	Link     bool
	Parents  bool
	Exclude  []string
	KeepGit  *bool
	Checksum string
	Unpack   *bool
}

// Content is a file whose content is in the Dockerfile.
type Content struct{ Name, Data string }

// Workdir is a directory to make sure of.
type Workdir struct {
	Path string
	User string // who owns it if it is made
}

// stageEval is one stage being evaluated.
type stageEval struct {
	*State
	f     *File
	stage *Stage
	steps []Step
	cmds  []command

	cmd, entrypoint, health tracker
}

// tracker remembers where an instruction that counts once was seen.
type tracker struct {
	at  []parser.Range
	set bool
}

func cloneFile(f image.File) image.File {
	c := &f.Config
	c.Env = append([]string(nil), c.Env...)
	c.OnBuild = append([]string(nil), c.OnBuild...)
	c.Labels = cloneMap(c.Labels)
	c.Volumes = cloneMap(c.Volumes)
	c.ExposedPorts = cloneMap(c.ExposedPorts)
	f.History = append(f.History[:0:0], f.History...)
	f.RootFS.DiffIDs = append(f.RootFS.DiffIDs[:0:0], f.RootFS.DiffIDs...)
	return f
}

func cloneMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return nil
	}
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

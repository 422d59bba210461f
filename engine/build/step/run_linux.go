package step

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/spec"
)

// Executor runs commands of builds in containers.
type Executor struct {
	Runtime *container.Runtime // required
	Network Network            // required
	// Cgroup is the cgroup beneath which the containers have theirs.
	Cgroup string // required: "/devstack-<tag>/build"
}

// Command is one RUN.
type Command struct {
	Root     Root
	Args     []string
	Env      []string // KEY=VALUE, the whole of it
	Dir      string
	User     string
	Hostname string

	Network    string // "" and "default", "none", "host", or a network's name
	ExtraHosts map[string][]string
	Insecure   bool // all capabilities and devices, no seccomp
	Mounts     []Mount
	Files      []container.File // secrets, scripts: never in the layer
	ShmSize    int64
	Memory     int64 // bytes, 0: no limit
	Ulimits    map[string]compose.Ulimit

	// Output gets what the command prints, by lines without their end; called
	// by one goroutine at a time. It must not keep line.
	Output func(line []byte)
}

// Mount is a tree that a command sees at Target. One of Held, Source and Tmpfs
// is set.
type Mount struct {
	Target   string
	Held     *os.File // open directory or file
	Source   string   // path on this machine
	Tmpfs    bool
	Size     int64 // of a tmpfs
	ReadOnly bool
}

// ExitError says that a command ended with another code than 0.
type ExitError struct {
	Code      int
	Signal    int
	OOMKilled bool
}

func (e *ExitError) Error() string {
	switch {
	case e.OOMKilled:
		return "the command was killed: it needed more memory than it may have"
	case e.Signal != 0:
		return "the command was ended by signal " + strconv.Itoa(e.Signal)
	}
	return "the command ended with exit code " + strconv.Itoa(e.Code)
}

func itoa(n int) string { return strconv.Itoa(n) }

// Run runs a command to its end. Whatever happens, nothing of it is left but
// what it wrote to Root.Upper.
func (x *Executor) Run(ctx context.Context, c Command) (err error) {
	root, err := c.Root.Mount()
	if err != nil {
		return err
	}
	defer func() { root.Close() }()
	id := newID()
	place, err := x.Network.join(ctx, id, &c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.leave(context.WithoutCancel(ctx))) }()
	cfg, err := x.config(id, root, &c, place)
	if err != nil {
		return err
	}
	made := findStubs(root, targets(cfg))
	err = x.execute(ctx, cfg, c.Output)
	made.remove(root, c.Root)
	root.Close() // the last user: only now is upper what was written
	made.prune(c.Root)
	return err
}

func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// targets are all places that something is mounted on.
func targets(cfg container.Config) []string {
	var out []string
	for _, m := range cfg.Spec.Mounts {
		out = append(out, m.Destination)
	}
	for _, f := range cfg.Files {
		if path.Dir(f.Path) != "/dev" && !strings.HasPrefix(f.Path, "/dev/") {
			out = append(out, f.Path)
		}
	}
	out = append(out, cfg.Spec.Process.Cwd)
	// The deepest first, so that what is above it can be empty.
	slices.SortStableFunc(out, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	return out
}

// execute gives the container its life.
func (x *Executor) execute(ctx context.Context, cfg container.Config, output func([]byte)) (err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cfg.Stdout, cfg.Stderr = w, w
	k, err := x.Runtime.Create(ctx, cfg)
	w.Close()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Delete(context.WithoutCancel(ctx))) }()
	if err := k.Start(ctx); err != nil {
		return err
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		eachLine(r, output)
	}()
	exit, err := k.Wait(ctx)
	if err != nil {
		// Cancelled: everything in the container ends, and with it the pipe.
		err = errors.Join(err, k.Kill(context.WithoutCancel(ctx)))
		<-drained
		return err
	}
	<-drained // all that could write has ended with the first process
	if exit.Code != 0 {
		return &ExitError{Code: exit.Code, Signal: exit.Signal, OOMKilled: exit.OOMKilled}
	}
	return nil
}

// maxLine is where a line without an end is cut, in bytes.
const maxLine = 64 << 10

func eachLine(r io.Reader, output func([]byte)) {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 && output != nil {
			output(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// config is the container of a command: what a service's would be that asks
// for the same.
func (x *Executor) config(id string, root *os.File, c *Command, place *netPlace) (container.Config, error) {
	who, err := ResolveUser(root, c.User)
	if err != nil {
		return container.Config{}, err
	}
	svc := &compose.Service{
		Privileged: c.Insecure, ShmSize: compose.Bytes(c.ShmSize), MemLimit: compose.Bytes(c.Memory),
		Ulimits: c.Ulimits, Hostname: c.Hostname,
	}
	var img image.Image
	img.Config.Cmd, img.Config.Env, img.Config.WorkingDir = c.Args, c.Env, c.Dir
	sp, err := spec.Build(spec.Input{
		Service: svc, Image: img, Hostname: c.Hostname, User: who, CgroupPath: path.Join(x.Cgroup, id),
		NetNS: place.path, Mounts: ociMounts(c.Mounts),
	})
	if err != nil {
		return container.Config{}, err
	}
	sp.Process.Env = withoutHostname(sp.Process.Env, c.Env)
	return container.Config{
		ID: id, Spec: sp, RootMount: root,
		Root:  container.RootFS{Lower: c.Root.Lower},
		Files: append(place.files(c), c.Files...),
	}, nil
}

// withoutHostname drops the variable that services have and builds do not,
// unless the build set it itself.
func withoutHostname(env, given []string) []string {
	const key = "HOSTNAME="
	isIt := func(s string) bool { return strings.HasPrefix(s, key) }
	env = slices.DeleteFunc(env, isIt)
	if i := slices.IndexFunc(given, isIt); i >= 0 {
		env = append(env, given[i])
	}
	return env
}

func ociMounts(ms []Mount) []specs.Mount {
	var out []specs.Mount
	for _, m := range ms {
		switch {
		case m.Tmpfs:
			o := specs.Mount{Destination: m.Target, Source: "tmpfs", Type: "tmpfs", Options: []string{"nosuid", "nodev"}}
			if m.Size > 0 {
				o.Options = append(o.Options, fmt.Sprintf("size=%d", m.Size))
			}
			if m.ReadOnly {
				o.Options = append(o.Options, "ro")
			}
			out = append(out, o)
		case m.Held != nil:
			src := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.Held.Fd())
			out = append(out, spec.BindMount(spec.Bound{Source: src, Target: m.Target, ReadOnly: m.ReadOnly}))
		default:
			out = append(out, spec.BindMount(spec.Bound{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}))
		}
	}
	return out
}

// Merge applies KEY=VALUE lines over others.
func Merge(lines, over []string) []string { return spec.Merge(lines, over) }

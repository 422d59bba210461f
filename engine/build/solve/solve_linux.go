package solve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"devstack/compose"
	"devstack/engine/build/dockerfile"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// Config is what a Solver works with; all of it is required.
type Config struct {
	Images *store.Store
	Exec   *step.Executor
	// Dir is the solver's own directory, on the filesystem of the layers.
	Dir string
}

// Solver carries out builds. It may do several at once.
type Solver struct {
	Config
	Cache   *Cache
	Digests *source.Cache
	Mounts  *step.CacheMounts

	flights sharing
	running *semaphore.Weighted // commands at once
}

// commandsAtOnce bounds RUNs of all builds: each may use every processor.
const commandsAtOnce = 8

// Open opens the solver's directory and clears away what a process before
// this one left half done:
//
//	DIR/records   what steps came to
//	DIR/cache     cache mounts
//	DIR/digests   of files of contexts, by their stat
//	DIR/sources   downloads and clones
//	DIR/work      steps under way
//	DIR/empty     the lowest layer of FROM scratch
func Open(cfg Config) (*Solver, error) {
	s := &Solver{Config: cfg, running: semaphore.NewWeighted(commandsAtOnce)}
	if err := step.Remove(s.work()); err != nil {
		return nil, fmt.Errorf("open build directory: %w", err)
	}
	for _, dir := range []string{s.work(), s.sources(), s.empty()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open build directory: %w", err)
		}
	}
	if err := os.Chmod(s.empty(), 0o755); err != nil {
		return nil, err
	}
	if err := source.Sweep(s.sources()); err != nil {
		return nil, err
	}
	var err error
	if s.Digests, err = source.OpenCache(filepath.Join(cfg.Dir, "digests")); err != nil {
		return nil, err
	}
	if s.Mounts, err = step.OpenCacheMounts(filepath.Join(cfg.Dir, "cache")); err != nil {
		return nil, err
	}
	s.Cache, err = OpenCache(filepath.Join(cfg.Dir, "records"), cfg.Images)
	return s, err
}

func (s *Solver) work() string    { return filepath.Join(s.Dir, "work") }
func (s *Solver) sources() string { return filepath.Join(s.Dir, "sources") }
func (s *Solver) empty() string   { return filepath.Join(s.Dir, "empty") }

// Sources is where contexts that are not directories are kept.
func (s *Solver) Sources() string { return s.sources() }

// Close waits for what goes on in the background.
func (s *Solver) Close() error {
	s.flights.going.Wait()
	s.Cache.Close()
	s.Exec.Network.Close()
	return s.Digests.Save()
}

// Request is one build, its Dockerfile parsed.
type Request struct {
	File     *dockerfile.File
	Target   *dockerfile.Stage
	Platform ocispec.Platform
	Project  string // that asks for it, noted in records; may be ""

	// Context is the build's own; nil if there is none. The caller closes it
	// by Done, which is called when nothing reads it any more.
	Context *source.Tree
	Done    func()
	// CommitTime is when what Context holds was committed; zero: unknown.
	CommitTime time.Time
	Contexts   map[string]source.Spec // additional_contexts
	Epoch      *time.Time             // SOURCE_DATE_EPOCH

	Secrets map[string]Secret
	SSH     map[string]string // id -> path of an agent's socket

	Network      string // of RUNs that do not say: "", default, none, host or a name
	AllowHost    bool   // RUN --network=host
	AllowAll     bool   // RUN --security=insecure
	ExtraHosts   map[string][]string
	ShmSize      int64
	Memory       int64
	Ulimits      map[string]compose.Ulimit
	NoCache      bool
	NoCacheIn    []string // stages
	Pull         bool
	KeepModes    bool // of files in additional contexts
	Compression  commit.Compression
	ResolveImage func(ref string) (string, error) // a lock's digest for it; may be nil
	// Import finds what a step came to elsewhere, its layer in the store; nil:
	// nowhere.
	Import      func(ctx context.Context, key string) (Record, bool)
	Environ     []string                       // of git and downloads; nil: the process's
	Credentials func(id string) ([]byte, bool) // secrets for git and HTTP; may be nil
	Registry    *registry.Client               // for images; nil: one for each
	MaxBytes    int64                          // that an archive may unpack to; 0: the default
}

// Secret is a build secret: what is in File, else Value.
type Secret struct {
	File  string
	Value []byte
}

// Result is a stage that was built.
type Result struct {
	// Base is the image beneath Layers; zero for scratch.
	Base   image.Image
	Layers []image.Layer
	// File is its configuration, with the history of Layers and of the
	// instructions without.
	File dockerfile.State
	// NewHistory is where the history after Base's begins.
	NewHistory int
	Epoch      time.Time
	// Cached says that no step had to be carried out.
	Cached bool
	// Own are the steps of the target and of the stages beneath it, Others
	// those of the other stages.
	Own, Others []Done

	chain string
}

// build is one build under way.
type build struct {
	s    *Solver
	req  Request
	emit func(Event)

	g      *errgroup.Group
	ctx    context.Context
	mu     sync.Mutex // guards the maps and counters
	stages map[*dockerfile.Stage]*stage
	inputs map[string]*input
	steps  int
	ran    bool

	emitting sync.Mutex
	held     holdings
}

// Solve builds the target. emit is called by one goroutine at a time.
func (s *Solver) Solve(ctx context.Context, req Request, emit func(Event)) (*Result, error) {
	b := &build{s: s, req: req, emit: emit, stages: map[*dockerfile.Stage]*stage{}, inputs: map[string]*input{}}
	b.held.take()
	defer b.held.release()
	if req.Done != nil {
		b.held.onEnd(req.Done)
	}
	end, err := s.Images.Begin(ctx) // no layer is collected before an image names it
	if err != nil {
		return nil, err
	}
	b.held.onEnd(end)
	b.held.onEnd(s.Exec.Network.Hold())
	b.g, b.ctx = errgroup.WithContext(ctx)
	for _, st := range req.File.Needs(req.Target) {
		b.start(st)
	}
	target := b.start(req.Target)
	if err := b.g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	target.result.Cached = !b.ran
	target.result.Own, target.result.Others = b.did(req.Target)
	return target.result, nil
}

// Done is a step, by its keys, and what it came to.
type Done struct {
	Keys   []string
	Record Record
}

// did lists steps, for Result.
func (b *build) did(target *dockerfile.Stage) (own, others []Done) {
	beneath := map[*dockerfile.Stage]bool{}
	for st := target; st != nil; st = st.Base.Stage {
		beneath[st] = true
	}
	for _, st := range b.req.File.Stages {
		switch r := b.stages[st]; {
		case r == nil:
		case beneath[st]:
			own = append(own, r.did...)
		default:
			others = append(others, r.did...)
		}
	}
	return own, others
}

// start begins a stage unless it has begun.
func (b *build) start(st *dockerfile.Stage) *stage {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.stages[st]; r != nil {
		return r
	}
	r := &stage{build: b, stage: st, done: make(chan struct{})}
	b.stages[st] = r
	b.g.Go(func() error {
		res, err := r.run(b.ctx)
		if err != nil {
			return err
		}
		r.result = res
		close(r.done)
		return nil
	})
	return r
}

// await is a stage's result; it is begun if ONBUILD alone needs it.
func (b *build) await(ctx context.Context, st *dockerfile.Stage) (*Result, error) {
	r := b.start(st)
	select {
	case <-r.done:
		return r.result, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// holdings are what a build holds: closed when the build and the last step
// that it shares with others have ended.
type holdings struct {
	mu   sync.Mutex
	n    int
	ends []func()
}

func (h *holdings) take() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
}

func (h *holdings) onEnd(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = append(h.ends, f)
}

func (h *holdings) release() {
	h.mu.Lock()
	h.n--
	var ends []func()
	if h.n == 0 {
		ends, h.ends = h.ends, nil
	}
	h.mu.Unlock()
	for i := len(ends) - 1; i >= 0; i-- {
		ends[i]()
	}
}

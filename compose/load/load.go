package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"devstack/compose"
)

// Options say which project to load. The zero value loads the one that the
// current directory is part of, with an empty environment.
type Options struct {
	Files            []string  // -f; "-" is standard input; empty: COMPOSE_FILE, else discover
	WorkingDir       string    // where discovery starts; empty: the current directory
	ProjectDirectory string    // --project-directory; empty: the first file's directory
	ProjectName      string    // -p; empty: COMPOSE_PROJECT_NAME, name:, the directory's name
	EnvFiles         []string  // --env-file; empty: COMPOSE_ENV_FILES, else .env
	Profiles         []string  // --profile; empty: COMPOSE_PROFILES
	Services         []string  // services named on the command line: their profiles become active
	Environ          []string  // as os.Environ gives it
	Stdin            io.Reader // what "-" reads
	// Rename has the last word on a name that comes from files, and neither from
	// -p nor from the environment; file is the first project file.
	Rename func(name, file string) string
	Remote Remote // gets files that lie elsewhere; nil: there are none
	// Lenient makes warnings of faults outside the project files (a missing
	// env_file), for verbs that start nothing: down, ps, logs.
	Lenient bool
	// Render makes warnings of those among them that hinder only a start: a
	// missing secret, a port wanted twice. `config` prints such a project.
	Render bool

	// KeepLinks leaves symlinks in the paths of watch rules as they are, where
	// Compose follows the first: they are watched as well then.
	KeepLinks bool

	// Parts of the work that `config` can leave out. A project without them is
	// for the eye and not for the engine.
	NoNormalize      bool // no defaults: default network, real names, implied dependencies
	NoPathResolution bool // paths stay as they are written
	NoConsistency    bool // references and values are not checked
	NoEnvResolution  bool // what env_file says stays out of environment

	// Variables, if set, is told of every variable that the files use.
	Variables func(Variable)

	// Consulted, if set, is told the absolute path of every file that has a say,
	// also of those that would have if they were there.
	Consulted func(path string)

	// raw leaves variables as they are written, see Model.
	raw bool
}

// ErrNoFile says that no project file was found.
var ErrNoFile = errors.New("no configuration file provided: not found")

// Load reads the project. The diagnostics are warnings; the error is an *Error
// when the project files are at fault.
func Load(ctx context.Context, o Options) (*compose.Project, []Diagnostic, error) {
	ld := newLoader(ctx, o)
	p, err := ld.load(ctx)
	if err != nil && ctx.Err() != nil { // whatever was half read, then, is no fault of the files
		err = fmt.Errorf("read project: %w", context.Cause(ctx))
	}
	return p, tidy(ld.warnings), err
}

func (ld *loader) load(ctx context.Context) (*compose.Project, error) {
	m, paths, err := ld.model(ctx)
	if err != nil {
		return nil, err
	}
	return ld.project(m, paths)
}

func newLoader(ctx context.Context, o Options) *loader {
	return &loader{ctx: ctx, opts: o, sources: map[string]*source{}, byName: map[string]*source{}, unsetSeen: map[string]bool{}}
}

// loader carries what the phases of one Load share.
type loader struct {
	report
	ctx     context.Context // of the one Load
	opts    Options
	cwd     string
	dir     string // the project directory
	env     map[string]string
	name    string
	sources map[string]*source // by absolute path
	byName  map[string]*source // by the name shown
	extends map[string]*extendsFile
	cyclic  map[link]bool // services in circles of extends that were reported

	remote map[string]remoteFile // files that came from elsewhere, by path

	unsetSeen map[string]bool
	expanded  int    // bytes of texts with variables put in
	ports     int    // how many the ranges of ports have become
	values    int    // how many were read, to size what holds their places
	trace     *trace // of Explain; nil otherwise
}

func (ld *loader) lookup(name string) (string, bool) {
	v, ok := ld.env[name]
	return v, ok
}

func (ld *loader) home() string { return ld.env["HOME"] }

// unset warns of a variable that is taken as nothing, once.
func (ld *loader) unset(name string, at place) {
	if ld.unsetSeen[name] {
		return
	}
	ld.unsetSeen[name] = true
	ld.add(at.diagnose(SeverityWarning, "$"+name, fmt.Sprintf("the variable %q is not set and taken as empty", name), "set it in the environment or in .env, or write ${"+name+":-default}"))
}

// model reads and merges the files.
func (ld *loader) model(ctx context.Context) (*node, []string, error) {
	paths, err := ld.find()
	if err != nil {
		return nil, nil, err
	}
	files, err := ld.readAll(paths)
	if err != nil {
		return nil, nil, err
	}
	docs := make([]parsed, len(files))
	for i, src := range files {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		docs[i] = ld.parseYAML(src)
	}
	if err := ld.err(); err != nil {
		return nil, nil, err
	}
	if ld.name, err = ld.projectName(docs, paths); err != nil {
		return nil, nil, err
	}
	ld.env["COMPOSE_PROJECT_NAME"] = ld.name

	m := model{ld: ld, base: ld.dir, env: ld.env}
	for _, d := range docs {
		m.addFile(d)
	}
	m.finish()
	if err := ld.err(); err != nil {
		return nil, nil, err
	}
	if ld.require(m.dict); ld.err() != nil {
		return nil, nil, ld.err()
	}
	inherit(m.dict)
	if len(m.dict.keys) == 0 {
		return nil, nil, fmt.Errorf("%s: the project file is empty", files[0].name)
	}
	return m.dict, paths, nil
}

// project makes a project of the merged files and checks it.
func (ld *loader) project(dict *node, paths []string) (*compose.Project, error) {
	p := ld.decode(dict)
	p.Files = paths
	if !ld.opts.NoNormalize {
		ld.normalize(p)
	}
	ld.selectProfiles(p)
	if !ld.opts.NoEnvResolution {
		ld.resolve(p)
	}
	if !ld.opts.NoConsistency {
		ld.verify(p)
	}
	if err := ld.err(); err != nil {
		return nil, err
	}
	ld.remarkAll(p)
	return p, nil
}

// readAll reads the project files in order.
func (ld *loader) readAll(paths []string) ([]*source, error) {
	var files []*source
	for _, p := range paths {
		src, err := ld.read(p)
		if err != nil {
			return nil, err
		}
		files = append(files, src)
	}
	return files, nil
}

// read reads a file once.
func (ld *loader) read(path string) (*source, error) {
	if path == "-" {
		if ld.opts.Stdin == nil {
			return nil, errors.New("read standard input: there is none")
		}
		data, err := readStream(ld.ctx, ld.opts.Stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		src := &source{name: "-", data: data}
		ld.byName["-"] = src
		return src, nil
	}
	if src, ok := ld.sources[path]; ok {
		return src, nil
	}
	ld.consult(path)
	data, err := readFile(ld.ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ld.show(path), err)
	}
	src := &source{name: ld.show(path), path: path, data: data}
	ld.sources[path], ld.byName[src.name] = src, src
	return src, nil
}

func (ld *loader) consult(path string) {
	if ld.opts.Consulted != nil {
		ld.opts.Consulted(ld.in(ld.cwd, path))
	}
}

// in makes a path given on the command line absolute.
func (ld *loader) in(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

package watch

import (
	"cmp"
	"path/filepath"
	"slices"

	"devstack/compose"
	"devstack/engine/build/ignore"
)

// Kinds of ModelFile.
const (
	ComposeFile  = "compose file"
	EnvFile      = "env file"
	Dockerfile   = "Dockerfile"
	DockerIgnore = ".dockerignore"
	ConfigFile   = "config"
	SecretFile   = "secret"
)

// ModelFile is a file that says what the project is: a change of it means to
// load the project again and apply the difference.
type ModelFile struct {
	Path     string
	Kind     string
	Services []string // that use it, sorted; empty: the project as a whole
}

// Model are the files that a project was loaded from, with the Dockerfiles of
// its builds and the files of its configs and secrets, sorted by path. What
// is in no Position (a project that came over the wire has none) is left out:
// whoever loaded it gives those in Options.Model.
func Model(p *compose.Project) []ModelFile {
	var m modelSet
	for _, f := range p.Files {
		m.add(f, ComposeFile, "")
	}
	for _, pos := range p.Positions {
		m.add(pos.File, ComposeFile, "")
	}
	if p.WorkingDir != "" {
		m.add(filepath.Join(p.WorkingDir, ".env"), EnvFile, "")
	}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		for _, e := range s.EnvFile {
			m.add(e.Path, EnvFile, name)
		}
		for _, l := range s.LabelFile {
			m.add(l, EnvFile, name)
		}
		for _, c := range s.Configs {
			m.add(p.Configs[c.Source].File, ConfigFile, name)
		}
		for _, c := range s.Secrets {
			m.add(p.Secrets[c.Source].File, SecretFile, name)
		}
		if b := s.Build; b != nil && filepath.IsAbs(b.Context) {
			if b.DockerfileInline == "" {
				m.add(b.DockerfilePath(), Dockerfile, name)
			}
			for _, file := range ignoreFiles(b) {
				m.add(file, DockerIgnore, name)
			}
		}
	}
	return m.files
}

// modelSet keeps the files sorted by path.
type modelSet struct{ files []ModelFile }

func (m *modelSet) add(path, kind, service string) {
	if !filepath.IsAbs(path) {
		return // "-", or nothing
	}
	path = filepath.Clean(path)
	i, found := findModel(m.files, path)
	if !found {
		m.files = slices.Insert(m.files, i, ModelFile{Path: path, Kind: kind})
	}
	f := &m.files[i]
	if at, found := slices.BinarySearch(f.Services, service); service != "" && !found {
		f.Services = slices.Insert(f.Services, at, service)
	}
}

// findModel finds a path in files that are sorted by it.
func findModel(files []ModelFile, path string) (int, bool) {
	return slices.BinarySearchFunc(files, path, func(f ModelFile, p string) int { return cmp.Compare(f.Path, p) })
}

// ignoreFiles are where a build's ignore file may be; the first that is there
// counts.
func ignoreFiles(b *compose.Build) []string {
	files := ignore.Candidates(b.DockerfilePath())
	for i, f := range files {
		if !filepath.IsAbs(f) {
			files[i] = filepath.Join(b.Context, f)
		}
	}
	return files
}

// ChangedModel are the files of the model that a batch changed.
func (r *Rules) ChangedModel(b Batch) []ModelFile {
	var out []ModelFile
	for _, c := range b.Changes {
		if i, found := findModel(r.model, c.Path); found {
			out = append(out, r.model[i])
		}
	}
	return out
}

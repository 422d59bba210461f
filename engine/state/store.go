package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Store reads and writes the records below one run root.
type Store struct {
	dir string // Run/projects
}

// Open prepares the record directory of roots.
func Open(roots Roots) (*Store, error) {
	dir := filepath.Join(roots.Run, "projects")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make record directory: %w", err)
	}
	return &Store{dir: dir}, nil
}

// ContainerDir is where a container's FIFOs live; it is made if missing.
func (s *Store) ContainerDir(project, id string) (string, error) {
	dir := filepath.Join(s.dir, project, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make container directory: %w", err)
	}
	return dir, nil
}

// PutProject records what a project declared.
func (s *Store) PutProject(p Project) error {
	p.Version = RecordVersion
	dir := filepath.Join(s.dir, p.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make project directory: %w", err)
	}
	return writeJSON(filepath.Join(dir, "project.json"), p)
}

// PutContainer records a container.
func (s *Store) PutContainer(c *Container) error {
	c.Version = RecordVersion
	return writeJSON(filepath.Join(s.dir, c.Project, c.ID+".json"), c)
}

// RemoveContainer forgets a container and its FIFOs.
func (s *Store) RemoveContainer(project, id string) error {
	base := filepath.Join(s.dir, project, id)
	err := os.Remove(base + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(base))
}

// RemoveProject forgets a project and all that is left of it.
func (s *Store) RemoveProject(name string) error {
	return os.RemoveAll(filepath.Join(s.dir, name))
}

// Loaded is one project with its containers, as read back.
type Loaded struct {
	Project    Project
	Containers []Container
	Later      []string // ids of containers with records for a later engine
}

// ErrIncomplete says that there are records which Load could not list: what
// they stand for must not be swept.
var ErrIncomplete = errors.New("records are incomplete")

// Load reads every record. Those of a later version, and those that the disk
// does not give, are reported in the error and left alone, for a later engine.
// One that makes no sense describes nothing any more: it is reported and
// removed, so that what it stood for is swept.
func (s *Store) Load() ([]Loaded, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	var all []Loaded
	var errs []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		l, err := s.loadProject(e.Name())
		errs = append(errs, err)
		if l != nil {
			all = append(all, *l)
		}
	}
	return all, errors.Join(errs...)
}

func (s *Store) loadProject(name string) (*Loaded, error) {
	dir := filepath.Join(s.dir, name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: of project %s: %w", ErrIncomplete, name, err)
	}
	l := &Loaded{Project: Project{Name: name}}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Name() == "project.json":
			var p Project
			err := readJSON(path, &p)
			switch {
			case errors.Is(err, errLater):
			case err == nil && p.Name != name:
				err = errors.Join(fmt.Errorf("read record %s: it is of project %q", path, p.Name), os.Remove(path))
			case err == nil:
				l.Project = p
			default:
				err = errors.Join(err, os.Remove(path))
			}
			errs = append(errs, err)
		case e.Type().IsRegular() && strings.HasPrefix(e.Name(), tempPrefix):
			os.Remove(path) // a write that a death cut short
		case e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json"):
			var c Container
			id := strings.TrimSuffix(e.Name(), ".json")
			err := readJSON(path, &c)
			switch {
			case errors.Is(err, errLater):
				l.Later = append(l.Later, id)
			case err == nil && (c.ID != id || c.Project != name):
				err = errors.Join(fmt.Errorf("read record %s: it is of container %.12s of project %q", path, c.ID, c.Project), s.RemoveContainer(name, id))
			case err == nil:
				l.Containers = append(l.Containers, c)
			default:
				err = errors.Join(err, s.RemoveContainer(name, id))
			}
			errs = append(errs, err)
		}
	}
	return l, errors.Join(errs...)
}

const tempPrefix = ".tmp-"

// errLater: it is for a later engine, which wrote it or may be able to read it.
var errLater = errors.New("left to a later engine")

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write record %s: %w", filepath.Base(path), err)
	}
	return nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read record: %w: %w", err, errLater)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("read record %s: %w", path, err)
	}
	if got := head.Version; got > RecordVersion {
		return fmt.Errorf("read record %s: version %d, this engine knows %d: %w", path, got, RecordVersion, errLater)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read record %s: %w", path, err)
	}
	return nil
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/build/ignore"
)

// Open opens a source. Contexts get the patterns of their ignore file.
func Open(ctx context.Context, s Spec, o Options) (*Tree, error) {
	if o.Name == "" {
		o.Name = "build context"
	}
	switch s.Kind {
	case KindDir:
		return openDir(s.Path, o)
	case KindTar:
		return openTar(ctx, s.Path, o)
	case KindStdin:
		return openStdin(ctx, s.Path, o)
	case KindGit:
		return openGit(ctx, s, o)
	case KindURL:
		return openURLContext(ctx, s, o)
	}
	return nil, fmt.Errorf("open %s: the builder has to open a source of kind %s", s, s.Kind)
}

// OpenRemote opens what ADD fetches: the content of a git reference or the one
// file of a URL. No ignore file counts in it.
func OpenRemote(ctx context.Context, s Spec, o Options) (*Tree, error) {
	o.NoIgnore = true
	switch s.Kind {
	case KindGit:
		o.Name = s.String()
		return openGit(ctx, s, o)
	case KindURL:
		return openURL(ctx, s, o)
	}
	return nil, fmt.Errorf("open %s: it is neither a git reference nor a URL", s)
}

func openDir(path string, o Options) (*Tree, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Name, &fs.PathError{Op: "open", Path: path, Err: err})
	}
	t, err := FromRoot(os.NewFile(uintptr(fd), path), o)
	if err != nil {
		return nil, err
	}
	return t.withIgnore(path)
}

// withIgnore reads the ignore file, unless the options brought patterns.
// base is the path of the context on the host, "" if it has none of its own.
func (t *Tree) withIgnore(base string) (*Tree, error) {
	if t.o.NoIgnore || t.ignore != nil {
		return t, nil
	}
	for _, name := range ignore.Candidates(t.o.Dockerfile) {
		text, err := t.readIgnore(name, base)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			t.ignore, err = ignore.Parse(filepath.Base(name), text)
		}
		if err != nil {
			t.Close()
			return nil, err
		}
		break
	}
	return t, nil
}

// readIgnore reads an ignore file inside the Tree, or beside a Dockerfile that
// lies elsewhere on the host.
func (t *Tree) readIgnore(name, base string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		return t.ReadFile(name, ignore.MaxSize)
	}
	if base != "" {
		if rel, err := filepath.Rel(base, name); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return t.ReadFile(rel, ignore.MaxSize)
		}
	}
	return HostFile(name, ignore.MaxSize)
}

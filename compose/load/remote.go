package load

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Remote gets project files that lie elsewhere: in a registry, in a git
// repository. It stands behind -f, COMPOSE_FILE, include and extends.
type Remote interface {
	// Takes tells such a reference from a path.
	Takes(ref string) bool
	// Fetch makes a local copy. With stale, one that is there already will do.
	Fetch(ctx context.Context, ref string, stale bool) (Fetched, error)
}

// Fetched is a local copy of what a reference names.
type Fetched struct {
	Path string // of the project file, absolute; what it refers to is beside it
	Name string // for a project that has none
}

func (ld *loader) takes(ref string) bool {
	return ld.opts.Remote != nil && ld.opts.Remote.Takes(ref)
}

// locate gives the path of a project file that is named by its path or by
// where it lies elsewhere.
func (ld *loader) locate(dir, ref string) (string, error) {
	if ref == "-" {
		return ref, nil
	}
	if !ld.takes(ref) {
		if strings.Contains(ref, "://") {
			return "", fmt.Errorf("read %s: projects come from oci:// and from git repositories, whose addresses end in .git", Redacted(ref))
		}
		return ld.in(dir, ref), nil
	}
	got, err := ld.opts.Remote.Fetch(ld.ctx, ref, ld.opts.Lenient)
	ref = Redacted(ref)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	if ld.remote == nil {
		ld.remote = map[string]remoteFile{}
	}
	ld.remote[got.Path] = remoteFile{ref: ref, name: got.Name}
	return got.Path, nil
}

// located gives the paths of project files.
func (ld *loader) located(refs []string) (paths []string, err error) {
	for _, ref := range refs {
		path, err := ld.locate(ld.cwd, ref)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Redacted takes passwords out of a URL; with http a user alone may be a token.
func Redacted(ref string) string {
	u, err := url.Parse(ref)
	if err != nil || u.User == nil {
		return ref
	}
	if _, has := u.User.Password(); !has && strings.HasPrefix(u.Scheme, "http") {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}

// remoteFile is what is known of a file that came from elsewhere.
type remoteFile struct{ ref, name string }

// show is the name of a project file in messages.
func (ld *loader) show(path string) string {
	if r, ok := ld.remote[path]; ok {
		return r.ref
	}
	return showName(ld.cwd, path)
}

// dirName is what a project without a name is called: as its directory, or as
// the repository that it comes from.
func (ld *loader) dirName(paths []string) string {
	if ld.opts.ProjectDirectory == "" {
		for _, p := range paths {
			if r, ok := ld.remote[p]; ok && r.name != "" {
				return r.name
			}
			if p != "-" {
				break
			}
		}
	}
	return filepath.Base(ld.dir)
}

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"devstack/compose/load"
	"devstack/engine/build/source"
)

// isGit tells git references from paths: ssh:// and git:// always are, http://
// and file:// where the path ends in ".git", user@host:path, and Compose's
// github.com/OWNER/REPO.
func isGit(ref string) bool {
	url, _, _ := strings.Cut(ref, "#")
	if !strings.Contains(url, ":") && !strings.HasPrefix(url, "github.com/") {
		return false // a path, as most are
	}
	spec, err := gitSpec(url)
	return err == nil && spec.Kind == source.KindGit
}

// gitSpec reads a reference as build contexts are read, and file://, which
// those leave to plain paths.
func gitSpec(ref string) (source.Spec, error) {
	url, fragment, given := strings.Cut(ref, "#")
	if file, ok := strings.CutPrefix(url, "file://"); ok {
		if !strings.HasSuffix(file, ".git") || !path.IsAbs(file) {
			return source.Spec{}, errors.New("a git repository's path is absolute and ends in .git")
		}
		name, sub, _ := strings.Cut(fragment, ":")
		return source.Spec{Kind: source.KindGit, URL: url, Ref: name, Subdir: strings.TrimPrefix(path.Join("/", sub), "/")}, nil
	}
	if strings.HasPrefix(url, "github.com/") {
		url = "https://" + strings.TrimSuffix(url, ".git") + ".git"
	}
	if given {
		url += "#" + fragment
	}
	return source.Parse(url, "/")
}

// repository is a project in a git repository.
type repository struct {
	spec    source.Spec
	git     string
	environ []string
	ref     string // what resolve found the commit by; "" for a commit itself
	commit  string
}

func newRepository(ref string, environ []string) (*repository, error) {
	spec, err := gitSpec(ref)
	if err != nil {
		return nil, err
	}
	if err := source.CheckRef(spec.Ref); err != nil { // source.Parse does so itself, but file:// is ours
		return nil, err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, source.ErrNoGit
	}
	r := &repository{spec: spec, git: git, environ: environ}
	if source.IsCommit(spec.Ref) {
		return r, r.verify(spec.Ref)
	}
	return r, nil
}

// verify holds a commit against ?checksum= of the reference.
func (r *repository) verify(commit string) error {
	if !strings.HasPrefix(commit, r.spec.Checksum) {
		return fmt.Errorf("its commit is %s, not %s as its checksum says", commit, r.spec.Checksum)
	}
	return nil
}

func (r *repository) folder(commit string) string {
	r.commit = commit
	return filepath.Join("git", short(r.spec.URL), commit)
}

func (r *repository) fixed() string {
	if source.IsCommit(r.spec.Ref) {
		return r.folder(r.spec.Ref)
	}
	return ""
}

// resolve asks the server what the reference means now. Branches come before
// tags, as with git checkout.
func (r *repository) resolve(ctx context.Context) (string, error) {
	wanted := []string{"HEAD"}
	if r.spec.Ref != "" && r.spec.Ref != "HEAD" {
		bare := strings.TrimPrefix(r.spec.Ref, "refs/")
		wanted = []string{"refs/heads/" + bare, "refs/tags/" + bare + "^{}", "refs/tags/" + bare, "refs/" + bare}
	}
	out, err := r.run(ctx, "", append([]string{"ls-remote", "--", r.spec.URL}, wanted...)...)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && source.IsCommit(commit) {
			found[name] = commit
		}
	}
	for _, name := range wanted {
		if commit, ok := found[name]; ok {
			r.ref = strings.TrimSuffix(name, "^{}")
			return r.folder(commit), r.verify(commit)
		}
	}
	if r.spec.Ref == "" {
		return "", errors.New("the repository is empty")
	}
	return "", fmt.Errorf("the repository has no branch or tag %q (a commit is written in full)", r.spec.Ref)
}

// download checks the commit out. Where a server does not hand out commits,
// what they were found by is fetched.
func (r *repository) download(ctx context.Context, dir string) error {
	if _, err := r.run(ctx, dir, "init", "-q"); err != nil {
		return err
	}
	_, err := r.run(ctx, dir, "fetch", "-q", "--depth=1", "--", r.spec.URL, r.commit)
	if err != nil && r.ref != "" {
		_, err = r.run(ctx, dir, "fetch", "-q", "--depth=1", "--", r.spec.URL, r.ref)
	}
	if err != nil {
		return err
	}
	_, err = r.run(ctx, dir, "-c", "advice.detachedHead=false", "checkout", "-q", "--detach", r.commit, "--")
	return err
}

func (r *repository) file(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	at, err := inside(real, r.spec.Subdir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the repository has no %q", r.spec.Subdir)
	} else if err != nil {
		return "", err
	}
	if info, err := os.Stat(at); err == nil && !info.IsDir() {
		return at, nil
	}
	for _, name := range load.FileNames() {
		p := filepath.Join(at, name)
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			_, err := inside(real, path.Join(r.spec.Subdir, name))
			return p, err
		}
	}
	return "", fmt.Errorf("there is no %s in its folder %q", strings.Join(load.FileNames(), ", "), "/"+r.spec.Subdir)
}

// inside follows links to what a path in a repository means, which has to be in
// it, too.
func inside(top, name string) (string, error) {
	at, err := filepath.EvalSymlinks(filepath.Join(top, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(top, at); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%q leads out of the repository", name)
	}
	return at, nil
}

// name is that of the folder that is meant, or of the repository.
func (r *repository) name() string {
	sub := r.spec.Subdir
	if ext := path.Ext(sub); ext == ".yaml" || ext == ".yml" {
		sub = strings.TrimPrefix(path.Dir("/"+sub), "/")
	}
	if sub != "" {
		return path.Base(sub)
	}
	url := strings.TrimSuffix(strings.TrimRight(r.spec.URL, "/"), ".git")
	return url[strings.LastIndexAny(url, "/:")+1:]
}

// patience is how long an ssh that git has started may outlive git.
const patience = time.Second

// run runs git, which asks nobody anything, and runs nothing but its transports.
func (r *repository) run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.git, append([]string{"-c", "core.hooksPath=" + os.DevNull}, args...)...)
	cmd.Dir = dir
	cmd.Env = r.environment()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	cmd.WaitDelay = patience
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err == nil {
		return out.String(), nil
	}
	return "", explainGit(strings.TrimSpace(stderr.String()), err)
}

func (r *repository) environment() []string {
	set := func(key string) bool {
		return slices.ContainsFunc(r.environ, func(kv string) bool { return strings.HasPrefix(kv, key+"=") && kv != key+"=" })
	}
	// Whoever calls may be git itself, in a hook: its repository is not ours.
	env := slices.DeleteFunc(slices.Clone(r.environ), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX"}, key)
	})
	env = append(env, "LC_ALL=C", "GIT_ALLOW_PROTOCOL=http:https:ssh:git:file")
	if !set("GIT_TERMINAL_PROMPT") {
		env = append(env, "GIT_TERMINAL_PROMPT=0")
	}
	if !set("GIT_SSH") && !set("GIT_SSH_COMMAND") {
		env = append(env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	}
	return env
}

// explainGit makes an error of what git has said, without who asks: with http
// that may be a token.
func explainGit(said string, err error) error {
	said = regexp.MustCompile(`(https?://)[^/@\s]*@`).ReplaceAllString(said, "${1}xxxxx@")
	says := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(said, p) })
	}
	lines := strings.Split(said, "\n")
	text := strings.TrimPrefix(strings.TrimPrefix(lines[0], "fatal: "), "error: ")
	switch {
	case says("could not read Username", "Authentication failed", "Permission denied", "returned error: 401", "returned error: 403", "Host key verification failed"):
		return fmt.Errorf("git: %s\nhint: give git access to it, for example with a credential helper or an ssh key", text)
	case says("Could not resolve host", "Failed to connect", "Couldn't connect", "Connection refused", "timed out", "unreachable", "Connection reset"):
		return fmt.Errorf("%w (git: %s)", errUnreachable, text)
	case said == "":
		return fmt.Errorf("git: %w", err)
	}
	return fmt.Errorf("git: %s", text)
}

package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/flock"
	"devstack/engine/image/layer"
)

// A repository is cloned, as shallow as its server allows, to
// Dir/git/<sha256 of URL>, and a commit checked out once, to <that>/<commit>:
// a rebuild asks the server what its branch is now and nothing else.

type repository struct {
	spec Spec
	o    Options
	git  string
	dir  string
}

func openGit(ctx context.Context, s Spec, o Options) (*Tree, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, ErrNoGit)
	}
	if o.Dir == "" {
		return nil, errors.New("no directory to clone to")
	}
	sum := sha256.Sum256([]byte(s.URL))
	r := &repository{spec: s, o: o, git: git, dir: filepath.Join(o.Dir, "git", hex.EncodeToString(sum[:16]))}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	release, err := use(r.dir, s.URL)
	if err != nil {
		return nil, err
	}
	t, err := r.open(ctx)
	if err != nil {
		release()
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	t.cleanup = release
	return t, nil
}

func (r *repository) open(ctx context.Context) (*Tree, error) {
	ref, commit, err := r.resolve(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, r.checkoutName(commit))
	if _, err := os.Stat(dir); err != nil {
		if err := r.checkout(ctx, ref, commit, dir); err != nil {
			return nil, err
		}
	}
	o := r.o
	o.PlainModes = true
	t, err := r.openSubdir(dir, o)
	if err != nil {
		return nil, err
	}
	t.revision = commit
	if out, err := os.ReadFile(dir + ".time"); err == nil {
		n, _ := strconv.ParseInt(string(out), 10, 64)
		t.when = time.Unix(n, 0)
	}
	return t.withIgnore("")
}

func (r *repository) checkoutName(commit string) string {
	if r.spec.KeepGitDir {
		commit += "-git"
	}
	if r.spec.SkipSubmodules {
		commit += "-bare"
	}
	return commit
}

// openSubdir opens the context in a checkout, inside which links may lead.
func (r *repository) openSubdir(dir string, o Options) (*Tree, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	sub := r.spec.Subdir
	if sub == "" {
		sub = "."
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := openat2(int(root.Fd()), sub, &how)
	if err != nil {
		return nil, fmt.Errorf("the repository has no directory %q: %w", r.spec.Subdir, err)
	}
	return FromRoot(os.NewFile(uintptr(fd), dir), o)
}

// resolve asks the server what the reference means now. Branches come before
// tags, as with git checkout.
func (r *repository) resolve(ctx context.Context) (ref, commit string, err error) {
	if sum := r.spec.Checksum; sum != "" && (len(sum) > 64 || strings.Trim(sum, "0123456789abcdef") != "") {
		return "", "", fmt.Errorf("checksum %q is no commit or beginning of one", sum)
	}
	if err := CheckRef(r.spec.Ref); err != nil {
		return "", "", err
	}
	if IsCommit(r.spec.Ref) {
		return "", r.spec.Ref, r.verify(r.spec.Ref)
	}
	wanted := []string{"HEAD"}
	if r.spec.Ref != "" && r.spec.Ref != "HEAD" {
		bare := strings.TrimPrefix(r.spec.Ref, "refs/")
		wanted = []string{"refs/heads/" + bare, "refs/tags/" + bare + "^{}", "refs/tags/" + bare, "refs/" + bare + "^{}", "refs/" + bare}
	}
	out, err := r.run(ctx, "", append([]string{"ls-remote", "--", r.spec.URL}, wanted...)...)
	if err != nil {
		return "", "", err
	}
	found := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if sha, name, ok := strings.Cut(line, "\t"); ok && IsCommit(sha) {
			found[name] = sha
		}
	}
	for _, name := range wanted {
		if sha, ok := found[name]; ok {
			ref := strings.TrimSuffix(name, "^{}")
			if r.spec.Checksum != "" && strings.HasPrefix(found[ref], r.spec.Checksum) {
				return ref, sha, nil // the checksum is of the annotated tag
			}
			return ref, sha, r.verify(sha)
		}
	}
	if r.spec.Ref == "" {
		return "", "", errors.New("the repository is empty")
	}
	return "", "", fmt.Errorf("the repository has no branch or tag %q (a commit is written in full)", r.spec.Ref)
}

func (r *repository) verify(commit string) error {
	if !strings.HasPrefix(commit, r.spec.Checksum) {
		return fmt.Errorf("it is at commit %s, not %s as the checksum says", commit, r.spec.Checksum)
	}
	return nil
}

// checkout makes dir, complete or not at all.
func (r *repository) checkout(ctx context.Context, ref, commit, dir string) error {
	unlock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil // somebody else did
	}
	tmp, err := r.o.tempDir()
	if err != nil {
		return err
	}
	defer layer.RemoveAll(tmp)
	tree := filepath.Join(tmp, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	if err := r.clone(ctx, ref, commit, tree); err != nil {
		return err
	}
	when, err := r.run(ctx, tree, "show", "--no-patch", "--format=%ct", commit)
	if err != nil {
		return err
	}
	if err := r.tidy(ctx, tree); err != nil {
		return err
	}
	if err := writeFile(dir+".time", []byte(strings.TrimSpace(when))); err != nil {
		return err
	}
	return os.Rename(tree, dir)
}

func (r *repository) lock(ctx context.Context) (func(), error) {
	f, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock.Wait(ctx, f, true); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func (r *repository) clone(ctx context.Context, ref, commit, tree string) error {
	format := "sha1"
	if len(commit) == 64 {
		format = "sha256"
	}
	if _, err := r.run(ctx, tree, "init", "--quiet", "--template=", "--initial-branch=main", "--object-format="+format); err != nil {
		return err
	}
	if _, err := r.run(ctx, tree, "remote", "add", "origin", "--", r.spec.URL); err != nil {
		return err
	}
	if err := r.fetch(ctx, ref, commit, tree); err != nil {
		return err
	}
	if _, err := r.run(ctx, tree, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return err
	}
	if r.spec.SkipSubmodules {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(tree, ".gitmodules")); err != nil {
		return nil
	}
	_, err := r.run(ctx, tree, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1")
	return err
}

// fetch asks for the commit alone; servers that do not give commits out are
// asked for the reference, and those that know no shallow clones for all.
func (r *repository) fetch(ctx context.Context, ref, commit, tree string) error {
	quiet := []string{"fetch", "--quiet", "--no-tags", "--force"}
	tries := [][]string{{"--depth=1", "origin", commit}}
	if ref != "" {
		tries = append(tries, []string{"--depth=1", "origin", ref}, []string{"origin", ref})
	}
	tries = append(tries, []string{"origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"})
	var err error
	for _, args := range tries {
		if _, ferr := r.run(ctx, tree, append(quiet, args...)...); ferr != nil {
			err = ferr
		} else if _, cerr := r.run(ctx, tree, "cat-file", "-e", commit+"^{commit}"); cerr != nil {
			err = fmt.Errorf("commit %s is not in the repository", commit)
		} else {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// tidy removes what git leaves: all of it, or, if the directory is to be
// kept, what differs from clone to clone.
func (r *repository) tidy(ctx context.Context, tree string) error {
	if !r.spec.KeepGitDir {
		return removeGitDirs(tree)
	}
	if _, err := r.run(ctx, tree, "read-tree", "HEAD"); err != nil { // an index without times
		return err
	}
	for _, name := range []string{"logs", "FETCH_HEAD", "ORIG_HEAD", "hooks", "branches", "description"} {
		if err := layer.RemoveAll(filepath.Join(tree, ".git", name)); err != nil {
			return err
		}
	}
	return nil
}

// removeGitDirs removes .git of the repository and of its submodules. Git
// itself allows no such name among a repository's files.
func removeGitDirs(tree string) error {
	var all []string
	err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" {
			all = append(all, p)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return err
	})
	for _, p := range all {
		err = errors.Join(err, layer.RemoveAll(p))
	}
	return err
}

// run runs git. The transports are those that references may name, so that
// neither a submodule nor a redirect can run a program or read a local file;
// hooks do not run, and nothing asks for a password.
func (r *repository) run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.git, append([]string{"-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c", "gc.auto=0"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{"GIT_SSH_COMMAND=ssh -o BatchMode=yes"}, r.o.environ()...)
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=http:https:ssh:git", "GIT_LFS_SKIP_SMUDGE=1", "LC_ALL=C")
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"} {
		cmd.Env = append(cmd.Env, name+"=") // replaced below
	}
	cmd.Env = withoutEmpty(append(cmd.Env, r.credentials()...))
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("git %s: %s", args[0], r.explain(said.String(), err))
	}
	return out.String(), nil
}

func (o *Options) environ() []string {
	if o.Environ == nil {
		return os.Environ()
	}
	return o.Environ
}

// withoutEmpty drops variables whose last value is empty.
func withoutEmpty(env []string) []string {
	last := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		last[k] = v
	}
	out := make([]string, 0, len(last))
	for k, v := range last {
		if v != "" {
			out = append(out, k+"="+v)
		}
	}
	return out
}

// credentials hands the secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER, of all
// hosts or with ".<host>", to git; never on its command line.
func (r *repository) credentials() []string {
	u, err := url.Parse(r.spec.URL)
	if err != nil || r.o.Secret == nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil
	}
	secret := func(name string) (string, bool) {
		for _, id := range []string{name + "." + u.Hostname(), name} {
			if v, ok := r.o.Secret(id); ok {
				return strings.TrimSpace(string(v)), true
			}
		}
		return "", false
	}
	value, ok := secret("GIT_AUTH_HEADER")
	if !ok {
		token, ok := secret("GIT_AUTH_TOKEN")
		if !ok {
			return nil
		}
		value = "basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+token))
	}
	return []string{
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=http." + u.Scheme + "://" + u.Host + "/.extraheader",
		"GIT_CONFIG_VALUE_0=Authorization: " + value,
	}
}

// explain is the end of what git said, without passwords.
func (r *repository) explain(said string, err error) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	text := strings.Join(lines[max(0, len(lines)-4):], "; ")
	if text == "" {
		return err.Error()
	}
	return regexp.MustCompile(`://[^/@\s]*@`).ReplaceAllString(text, "://***@")
}

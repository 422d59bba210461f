package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"devstack/compose/load"
	"devstack/engine/api/client"
)

// Several checkouts of one repository may run at the same time. One whose
// project has the name of another's that is there gets a name of its own,
// after its directory, and keeps it: the note of that lies in the data root.

// checkout is what was settled about the name of the project at hand.
type checkout struct {
	file, name string // of the project; name: its own
	declared   string // what the files say
	owner      string // the project file of whoever has that name
}

// tellApart gives the project of a file the name it goes by. A name on the
// command line or in the environment does not come here.
func (e *env) tellApart(ctx context.Context) func(name, file string) string {
	return func(name, file string) string {
		root := checkoutOf(file)
		if root == "" {
			return name
		}
		if own, err := os.ReadFile(e.checkoutNote(name, file)); err == nil && load.NormalizeName(string(own)) == string(own) && len(own) > 0 {
			return string(own)
		}
		taken := e.projectFiles(ctx)
		owner := taken[name]
		if !sameBeside(owner, file, root) {
			return name
		}
		own := ownName(name, root, checkoutOf(owner), taken)
		e.checkout = &checkout{file: file, declared: name, name: own, owner: owner}
		return own
	}
}

// keepName notes the name of a checkout that is about to start, and says it.
func (e *env) keepName(project string) error {
	c := e.checkout
	if c == nil || c.name != project {
		return nil
	}
	e.checkout = nil
	path := e.checkoutNote(c.declared, c.file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note the name of this checkout: %w", err)
	}
	if err := os.WriteFile(path, []byte(c.name), 0o600); err != nil {
		return fmt.Errorf("note the name of this checkout: %w", err)
	}
	if e.flags.progress != "quiet" && !e.machineReads() {
		fmt.Fprintf(e.stderr, "note: project %q is that of %s; this checkout is project %q\n", c.declared, checkoutOf(c.owner), c.name)
	}
	return nil
}

// patienceForNames bounds the question who is there: verbs that need no engine
// do not wait for one that is stuck.
const patienceForNames = 2 * time.Second

func (e *env) checkoutNote(name, file string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + resolved(file)))
	return filepath.Join(e.roots().Data, "checkouts", hex.EncodeToString(sum[:12]))
}

// projectFiles are the first files of the projects that have containers. An
// engine that does not run is not started for it.
func (e *env) projectFiles(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, patienceForNames)
	defer cancel()
	c, err := client.Dial(ctx, e.clientOptions(false))
	if err != nil {
		return nil // whatever it is, who needs the engine will say it
	}
	defer c.Close()
	projects, err := c.Ls(ctx)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, p := range projects {
		if len(p.ConfigFiles) > 0 {
			out[p.Name] = p.ConfigFiles[0]
		} else {
			out[p.Name] = ""
		}
	}
	return out
}

// checkoutOf is the top of the git checkout that a file is in, "" for none.
func checkoutOf(file string) string {
	if !filepath.IsAbs(file) {
		return ""
	}
	for dir := filepath.Dir(resolved(file)); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// sameBeside says that other is the same file as file in another checkout than
// root, and still there.
func sameBeside(other, file, root string) bool {
	if other == "" {
		return false
	}
	theirs := checkoutOf(other)
	if theirs == "" || theirs == root {
		return false
	}
	if _, err := os.Stat(other); err != nil {
		return false
	}
	mine, err := filepath.Rel(root, filepath.Dir(resolved(file)))
	if err != nil {
		return false
	}
	their, err := filepath.Rel(theirs, filepath.Dir(resolved(other)))
	return err == nil && mine == their
}

// ownName makes a name out of the declared one and the checkout's directory;
// where that is no help, out of its path.
func ownName(name, root, other string, taken map[string]string) string {
	base := load.NormalizeName(filepath.Base(root))
	own := name + "-" + base
	if strings.HasPrefix(base, name+"-") {
		own = base
	}
	if _, used := taken[own]; !used && base != "" && base != name && filepath.Base(root) != filepath.Base(other) {
		return own
	}
	sum := sha256.Sum256([]byte(root))
	return name + "-" + hex.EncodeToString(sum[:3])
}

// resolved is a path without links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

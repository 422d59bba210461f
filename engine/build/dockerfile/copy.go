package dockerfile

import (
	"errors"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

func (e *stageEval) copy(cmd command, what instructions.SourcesAndDest, c Copy, lint *linter.Linter) error {
	c.Sources = what.SourcePaths
	for _, x := range what.SourceContents {
		c.Contents = append(c.Contents, Content{Name: x.Path, Data: x.Data})
	}
	c.Dest = destination(e.dir(), what.DestPath)
	if err := checkCopy(&c); err != nil {
		return err
	}
	if c.From.Kind == Context && c.From.Name == "" {
		e.lintIgnored(cmd, &c, lint)
	}
	n := e.history(true, "%s", copyHistory(&c, what.DestPath))
	e.step(cmd, Step{Name: e.title(cmd.Command, false), History: n, Copy: &c})
	return nil
}

// destination makes a path absolute and keeps the slash that says that it is a
// directory.
func destination(dir, p string) string {
	isDir := p == "" || p == "." || strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.")
	if !path.IsAbs(p) {
		p = path.Join(dir, p)
	}
	p = path.Clean(p)
	if isDir && p != "/" {
		p += "/"
	}
	return p
}

func checkCopy(c *Copy) error {
	if c.Link && c.Chown != "" && chownByName(c.Chown) {
		return errors.New("--chown=" + c.Chown + ": user and group names can't be resolved when used with --link, use numeric uid[:gid] instead")
	}
	if err := checkMode(c.Chmod); err != nil {
		return err
	}
	remote := 0
	for _, src := range c.Sources {
		if !IsURL(src) && !IsGit(src) {
			continue
		}
		remote++
		if !c.Add {
			return errors.New("source can't be a URL or a git reference for COPY: use ADD")
		}
	}
	if c.Checksum != "" {
		if len(c.Sources) != 1 {
			return errors.New("checksum can't be specified for multiple sources")
		}
		if remote != 1 {
			return errors.New("checksum requires HTTP(S) or Git sources")
		}
	}
	return nil
}

func chownByName(chown string) bool {
	user, group, _ := strings.Cut(chown, ":")
	for _, s := range []string{user, group} {
		if s == "" {
			continue
		}
		if _, err := strconv.ParseUint(s, 10, 32); err != nil {
			return true
		}
	}
	return false
}

// checkMode takes octal modes and those of chmod(1).
func checkMode(mode string) error {
	if mode == "" {
		return nil
	}
	bad := errors.New("invalid chmod parameter: '" + mode + "'. it should be octal string and between 0 and 07777, or symbolic as for chmod(1)")
	if n, err := strconv.ParseUint(mode, 8, 32); err == nil {
		if n > 0o7777 {
			return bad
		}
		return nil
	}
	for _, clause := range strings.Split(mode, ",") {
		if !symbolicMode(clause) {
			return bad
		}
	}
	return nil
}

func symbolicMode(clause string) bool {
	ops := strings.TrimLeft(clause, "ugoa")
	if ops == "" || !strings.ContainsRune("+-=", rune(ops[0])) {
		return false
	}
	return strings.Trim(ops, "+-=rwxXstugo") == ""
}

func copyHistory(c *Copy, dest string) string {
	words := []string{"COPY"}
	if c.Add {
		words[0] = "ADD"
	}
	if c.Parents {
		words = append(words, "--parents")
	}
	if c.Chown != "" {
		words = append(words, "--chown="+c.Chown)
	}
	if c.Chmod != "" {
		words = append(words, "--chmod="+c.Chmod)
	}
	words = append(words, c.Sources...)
	for _, x := range c.Contents {
		words = append(words, "<<"+x.Name)
	}
	return strings.Join(append(words, dest), " ")
}

// IsURL says whether a source of ADD is a file of the web.
func IsURL(src string) bool {
	return (strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://")) && !IsGit(src)
}

// IsGit says whether a source of ADD is a git repository, as BuildKit tells
// them from files.
func IsGit(src string) bool {
	switch {
	case strings.HasPrefix(src, "git@"), strings.HasPrefix(src, "git://"), strings.HasPrefix(src, "ssh://"):
		return true
	case strings.HasPrefix(src, "http://"), strings.HasPrefix(src, "https://"):
		base, _, _ := strings.Cut(src, "#")
		base, _, _ = strings.Cut(base, "?")
		return strings.HasSuffix(base, ".git")
	}
	// user@host:path, as git's scp-like addresses.
	return regexp.MustCompile(`^[a-zA-Z0-9._-]+@[a-zA-Z0-9.-]+:[^/].*$`).MatchString(src)
}

package source

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// ErrNoGit says that a git repository cannot be read here.
var ErrNoGit = errors.New("the program git, which reads it, is not installed")

// scpStyle is ssh's short form, user@host:path.
func scpStyle() *regexp.Regexp {
	return regexp.MustCompile(`^([a-zA-Z0-9_][a-zA-Z0-9_.-]*)@([a-zA-Z0-9][a-zA-Z0-9.-]*|\[[0-9a-fA-F:.]+\]):([^#?]+)((?:\?[^#]*)?)((?:#.*)?)$`)
}

// isGit tells git references from other URLs and paths: ssh:// and git://
// always are, http(s):// where the path ends in ".git", and user@host:path.
func isGit(s string) bool {
	switch {
	case strings.HasPrefix(s, "./"), strings.HasPrefix(s, "../"), strings.HasPrefix(s, "/"):
		return false
	case hasScheme(s, "ssh", "git"):
		return true
	case hasScheme(s, "http", "https"):
		u, err := url.Parse(s)
		return err == nil && strings.HasSuffix(u.Path, ".git")
	}
	return strings.Contains(s, "@") && scpStyle().MatchString(s)
}

// parseGitURL reads REMOTE[?query][#ref[:subdir]] as BuildKit does.
func parseGitURL(s string) (Spec, error) {
	spec := Spec{Kind: KindGit}
	var query, fragment string
	if m := scpStyle().FindStringSubmatch(s); m != nil && !strings.Contains(s, "://") {
		spec.URL = m[1] + "@" + m[2] + ":" + m[3]
		query, fragment = strings.TrimPrefix(m[4], "?"), strings.TrimPrefix(m[5], "#")
		if strings.HasPrefix(m[3], "-") {
			return Spec{}, fmt.Errorf("git reference %q: the path begins with \"-\"", s)
		}
	} else {
		u, err := url.Parse(s)
		if err != nil {
			return Spec{}, fmt.Errorf("parse git reference: %w", err)
		}
		if u.Host == "" || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.String(), "-") {
			return Spec{}, fmt.Errorf("git reference %q has no usable host", redact(s))
		}
		query, fragment = u.RawQuery, u.Fragment
		u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
		spec.URL = u.String()
	}
	if fragment != "" {
		ref, sub, _ := strings.Cut(fragment, ":")
		spec.Ref, spec.Subdir = ref, strings.TrimPrefix(path.Join("/", sub), "/")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Spec{}, fmt.Errorf("git reference %q: %w", redact(s), err)
	}
	if err := spec.gitQuery(values); err != nil {
		return Spec{}, fmt.Errorf("git reference %q: %w", redact(s), err)
	}
	return spec, CheckRef(spec.Ref)
}

// IsCommit tells a commit, written in full, from names of branches and tags.
func IsCommit(ref string) bool {
	return (len(ref) == 40 || len(ref) == 64) && strings.Trim(ref, "0123456789abcdef") == ""
}

// CheckRef keeps what git would take for an option or a refspec out of its
// arguments.
func CheckRef(ref string) error {
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, " \t\n:^~?*[\\\x00") || strings.Contains(ref, "..") {
		return fmt.Errorf("%q is no name of a branch, tag or commit", ref)
	}
	return nil
}

func (s *Spec) gitQuery(q url.Values) error {
	set := func(field *string, what, v string) error {
		if *field != "" && *field != v {
			return fmt.Errorf("%s is given twice: %q and %q", what, *field, v)
		}
		*field = v
		return nil
	}
	for key, vs := range q {
		if len(vs) != 1 {
			return fmt.Errorf("%q is given %d times", key, len(vs))
		}
		v, err := vs[0], error(nil)
		switch key {
		case "ref", "tag", "branch", "subdir", "checksum", "commit":
			if v == "" {
				return fmt.Errorf("%q has no value", key)
			}
		}
		switch key {
		case "ref":
			err = set(&s.Ref, "ref", v)
		case "tag":
			err = set(&s.Ref, "ref", "refs/tags/"+strings.TrimPrefix(v, "refs/tags/"))
		case "branch":
			err = set(&s.Ref, "ref", "refs/heads/"+strings.TrimPrefix(v, "refs/heads/"))
		case "subdir":
			err = set(&s.Subdir, "subdir", strings.TrimPrefix(path.Join("/", v), "/"))
		case "checksum", "commit":
			err = set(&s.Checksum, "checksum", v)
		case "keep-git-dir":
			s.KeepGitDir, err = flag(v)
		case "submodules":
			var with bool
			with, err = flag(v)
			s.SkipSubmodules = !with
		case "mtime", "fetch-by-commit": // times are set by the build; commits are fetched directly anyway
		default:
			err = fmt.Errorf("%q is not known (ref, tag, branch, subdir, checksum, keep-git-dir, submodules)", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func flag(v string) (bool, error) {
	if v == "" {
		return true, nil
	}
	return strconv.ParseBool(v)
}

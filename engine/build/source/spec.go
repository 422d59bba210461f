package source

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Kind says where a source comes from.
type Kind string

// The kinds of sources. Open serves the first five; images, stages and
// services are for the builder, which has their roots: see FromRoot.
const (
	KindDir     Kind = "dir"
	KindTar     Kind = "tar"
	KindStdin   Kind = "stdin"
	KindGit     Kind = "git"
	KindURL     Kind = "url"
	KindImage   Kind = "image"   // docker-image://REF, oci-layout://...
	KindStage   Kind = "stage"   // of the same Dockerfile, or target:NAME
	KindService Kind = "service" // service:NAME of the project
)

// Spec names a source.
type Spec struct {
	Kind Kind
	Path string // dir, tar: absolute; stdin: a file with what was read from it
	URL  string // git: the remote; url
	Ref  string // git: branch, tag or commit, "" the default branch; image, stage, service: its name

	Built bool // image: it was built here, and is not looked for in a registry

	Subdir         string // git: the directory in it that is the context
	Checksum       string // git: commit or its beginning; url: "sha256:..."
	KeepGitDir     bool   // git
	SkipSubmodules bool   // git
}

func (s Spec) String() string {
	switch s.Kind {
	case KindDir, KindTar:
		return s.Path
	case KindStdin:
		return "standard input"
	case KindGit:
		out := redact(s.URL)
		if s.Ref != "" || s.Subdir != "" {
			out += "#" + s.Ref
		}
		if s.Subdir != "" {
			out += ":" + s.Subdir
		}
		return out
	case KindURL:
		return redact(s.URL)
	case KindImage:
		return "image " + s.Ref
	}
	return string(s.Kind) + " " + s.Ref
}

// redact takes passwords out of a URL; with http a user alone may be a token.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	if _, has := u.User.Password(); !has && strings.HasPrefix(u.Scheme, "http") {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}

// Parse reads a context as `build.context`, `additional_contexts` and the
// command line write it: "-", a git reference, a URL, docker-image://REF,
// service:NAME, target:NAME, or a path relative to base, which may be a
// directory or a tarball.
func Parse(s, base string) (Spec, error) {
	switch {
	case s == "":
		return Spec{}, fmt.Errorf("build context is empty")
	case s == "-":
		return Spec{Kind: KindStdin}, nil
	}
	for prefix, kind := range map[string]Kind{"docker-image://": KindImage, "service:": KindService, "target:": KindStage} {
		if ref, ok := strings.CutPrefix(s, prefix); ok {
			if ref == "" {
				return Spec{}, fmt.Errorf("context %q names nothing", s)
			}
			return Spec{Kind: kind, Ref: ref}, nil
		}
	}
	if strings.HasPrefix(s, "oci-layout://") {
		return Spec{Kind: KindImage, Ref: s}, nil
	}
	if spec, ok, err := ParseRemote(s); ok || err != nil {
		return spec, err
	}
	if strings.HasPrefix(s, "github.com/") { // an old form, of contexts only
		if _, err := os.Stat(resolvePath(s, base)); err != nil {
			return parseGitURL("https://" + s)
		}
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok && !strings.ContainsAny(scheme, "/.") {
		return Spec{}, fmt.Errorf("context %q: the scheme %q is not known (http, https, ssh, git, docker-image, oci-layout)", redact(s), scheme)
	}
	p := resolvePath(s, base)
	st, err := os.Stat(p)
	switch {
	case err != nil:
		return Spec{}, fmt.Errorf("build context: %w", err)
	case st.IsDir():
		return Spec{Kind: KindDir, Path: p}, nil
	case st.Mode().IsRegular():
		return Spec{Kind: KindTar, Path: p}, nil
	}
	return Spec{}, fmt.Errorf("build context %s is neither a directory nor a tarball", p)
}

func resolvePath(p, base string) string {
	if !filepath.IsAbs(p) {
		p = filepath.Join(base, p)
	}
	return filepath.Clean(p)
}

// ParseRemote reads a source of ADD: ok says that it is a git reference or a
// URL and not a path of the context.
func ParseRemote(s string) (spec Spec, ok bool, err error) {
	if isGit(s) {
		spec, err := parseGitURL(s)
		return spec, true, err
	}
	if !hasScheme(s, "http", "https") {
		return Spec{}, false, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return Spec{}, true, fmt.Errorf("parse URL: %w", err)
	}
	if u.Host == "" {
		return Spec{}, true, fmt.Errorf("URL %q has no host", s)
	}
	return Spec{Kind: KindURL, URL: s}, true, nil
}

// FileName is the name that a URL's content has as a file: the last part of
// its path, "" if it has none.
func (s Spec) FileName() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	switch base := path.Base(u.Path); base {
	case ".", "/", "..":
		return ""
	default:
		return strings.ReplaceAll(base, "\x00", "")
	}
}

func hasScheme(s string, schemes ...string) bool {
	for _, scheme := range schemes {
		if len(s) > len(scheme)+3 && strings.EqualFold(s[:len(scheme)], scheme) && s[len(scheme):len(scheme)+3] == "://" {
			return true
		}
	}
	return false
}

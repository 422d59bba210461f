package image

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Transport says where an image comes from; see containers-transports(5).
type Transport string

// The transports; Docker (a registry) is the default.
const (
	Docker        Transport = "docker"
	OCI           Transport = "oci"
	OCIArchive    Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
	RootFS        Transport = "rootfs"
)

// Reference names an image. For Docker it is Domain, Path and Tag or Digest
// or both; for the others File and, where the file can hold several images,
// Inner.
type Reference struct {
	Transport Transport

	Domain string // "docker.io"
	Path   string // "library/nginx"
	Tag    string
	Digest digest.Digest

	File  string // directory or archive
	Inner string // "" means the only image, or the first
}

const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io"
	officialPath  = "library/"
	defaultTag    = "latest"
)

// ParseReference reads a reference as users write it: "nginx",
// "ghcr.io/org/app:1", "app@sha256:...", "docker://nginx", "oci:DIR[:REF]",
// "oci-archive:FILE[:REF]", "docker-archive:FILE[:REF]", "rootfs:DIR".
func ParseReference(s string) (Reference, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return parseNamed(s)
	}
	switch t := Transport(scheme); t {
	case Docker:
		if name, ok := strings.CutPrefix(rest, "//"); ok {
			return parseNamed(name)
		}
	case OCI, OCIArchive, DockerArchive:
		file, inner, _ := strings.Cut(rest, ":")
		if file == "" {
			return Reference{}, fmt.Errorf("image reference %q has no path after its transport", s)
		}
		return Reference{Transport: t, File: file, Inner: inner}, nil
	case RootFS:
		if rest == "" {
			return Reference{}, fmt.Errorf("image reference %q has no directory after its transport", s)
		}
		return Reference{Transport: t, File: rest}, nil
	}
	return parseNamed(s)
}

// parseNamed follows the grammar of github.com/distribution/reference, which
// itself compiles regular expressions at every process start.
func parseNamed(s string) (Reference, error) {
	if s == "" {
		return Reference{}, fmt.Errorf("image reference is empty")
	}
	if isHex64(s) {
		return Reference{}, fmt.Errorf("image reference %q is an image ID, not a name", s)
	}
	ref := Reference{Transport: Docker}
	name, dig, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		d, err := digest.Parse(dig)
		if err != nil {
			return Reference{}, fmt.Errorf("image reference %q: digest %q is not valid (want sha256:<64 hex digits>)", s, dig)
		}
		ref.Digest = d
	}
	ref.Domain, name = splitDomain(name)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		ref.Tag, name = name[i+1:], name[:i]
		if !validTag(ref.Tag) {
			return Reference{}, fmt.Errorf("image reference %q: tag %q is not valid (want letters, digits, '_', '.', '-'; at most 128)", s, ref.Tag)
		}
	}
	if !validDomain(ref.Domain) {
		return Reference{}, fmt.Errorf("image reference %q: registry %q is not a valid host name", s, ref.Domain)
	}
	if err := checkPath(name); err != nil {
		return Reference{}, fmt.Errorf("image reference %q: %w", s, err)
	}
	if ref.Domain == defaultDomain && !strings.Contains(name, "/") {
		name = officialPath + name
	}
	if len(name) > 255 {
		return Reference{}, fmt.Errorf("image reference %q: repository name is longer than 255 characters", s)
	}
	ref.Path = name
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = defaultTag
	}
	return ref, nil
}

// splitDomain tells a registry host from the first component of a path: a
// host has a dot, a port or a capital letter, or is "localhost".
func splitDomain(name string) (domain, rest string) {
	first, rest, ok := strings.Cut(name, "/")
	if !ok || (!strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first) {
		return defaultDomain, name
	}
	if first == legacyDomain {
		first = defaultDomain
	}
	return first, rest
}

// Short says whether a reference names no registry. It is Docker Hub's by its
// name; registries.conf may say that it lies elsewhere.
func Short(s string) bool {
	ref, err := ParseReference(s)
	if err != nil || ref.Transport != Docker {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(s, string(Docker)+"://"), "@")
	_, rest := splitDomain(name)
	return rest == name
}

// String is the canonical form, the name the store files the image under: fully qualified, and
// with the transport unless that is a registry.
func (r Reference) String() string {
	switch r.Transport {
	case Docker:
		return r.Repository() + r.suffix()
	case RootFS:
		return string(r.Transport) + ":" + r.File
	}
	s := string(r.Transport) + ":" + r.File
	if r.Inner != "" {
		s += ":" + r.Inner
	}
	return s
}

// Repository is the registry and path of a Docker reference.
func (r Reference) Repository() string { return r.Domain + "/" + r.Path }

func (r Reference) suffix() string {
	var s string
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + string(r.Digest)
	}
	return s
}

// Familiar is the short form people know: "nginx:latest" for
// "docker.io/library/nginx:latest".
func (r Reference) Familiar() string {
	if r.Transport != Docker {
		return r.String()
	}
	return FamiliarRepository(r.Repository()) + r.suffix()
}

// FamiliarRepository shortens "docker.io/library/nginx" to "nginx" and
// "docker.io/org/app" to "org/app".
func FamiliarRepository(repo string) string {
	path, ok := strings.CutPrefix(repo, defaultDomain+"/")
	if !ok {
		return repo
	}
	if short, ok := strings.CutPrefix(path, officialPath); ok && !strings.Contains(short, "/") {
		return short
	}
	return path
}

// FamiliarString is the familiar form of a reference in any form; what is not
// a reference comes back as it is.
func FamiliarString(s string) string {
	ref, err := ParseReference(s)
	if err != nil {
		return s
	}
	return ref.Familiar()
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/compose"
)

// entrypointLabel is buildx's name for the path of the Dockerfile in its
// repository.
const entrypointLabel = "com.docker.image.source.entrypoint"

// labelRevisions says in labels of images which commit their build contexts
// are of, if BUILDX_GIT_LABELS asks for it as it asks buildx: 1, or "full" for
// the address of the repository, too. It is not done unasked: an image would
// be another one after each commit, whatever that changed.
func (e *env) labelRevisions(ctx context.Context, p *compose.Project) {
	mode := e.getenv("BUILDX_GIT_LABELS")
	if mode == "" || mode == "0" || mode == "false" {
		return
	}
	for name, s := range p.Services {
		if s.Build == nil || !filepath.IsAbs(s.Build.Context) {
			continue
		}
		labels, err := revisionLabels(ctx, s.Build, mode == "full")
		if err != nil {
			fmt.Fprintf(e.stderr, "warning: service %s: its image does not say which commit it is of: %v\n", name, err)
			continue
		}
		d := *s.Build
		maps.Copy(labels, d.Labels)
		d.Labels, s.Build = labels, &d
		p.Services[name] = s
	}
}

func revisionLabels(ctx context.Context, d *compose.Build, full bool) (map[string]string, error) {
	labels := map[string]string{}
	top, err := git(ctx, d.Context, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	if labels[ocispec.AnnotationRevision], err = git(ctx, d.Context, "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	changed, err := git(ctx, d.Context, "status", "--porcelain", "--", ".")
	if err != nil {
		return nil, err
	}
	if changed != "" {
		labels[ocispec.AnnotationRevision] += "-dirty"
	}
	if d.DockerfileInline == "" {
		if rel, err := filepath.Rel(top, d.DockerfilePath()); err == nil && filepath.IsLocal(rel) {
			labels[entrypointLabel] = filepath.ToSlash(rel)
		}
	}
	if full {
		if remote, err := git(ctx, d.Context, "remote", "get-url", "origin"); err == nil {
			labels[ocispec.AnnotationSource] = withoutUser(remote)
		}
	}
	return labels, nil
}

// withoutUser takes name and password out of a repository's address.
func withoutUser(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.User == nil {
		return remote
	}
	u.User = nil
	return u.String()
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

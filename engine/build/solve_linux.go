package build

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/solve"
	"devstack/engine/image/commit"
)

// request is a Request as package solve takes it.
func (o *opened) request(req *Request, target *dockerfile.Stage, platform ocispec.Platform) (solve.Request, error) {
	epoch, err := epochOf(req)
	if err != nil {
		return solve.Request{}, err
	}
	compression, err := compressionOf(req.Compression)
	if err != nil {
		return solve.Request{}, err
	}
	sr := solve.Request{
		File: o.file, Target: target, Platform: platform, Project: req.Project, Context: o.tree, Contexts: req.Contexts, Epoch: epoch,
		Secrets: map[string]solve.Secret{}, Network: req.Network,
		AllowHost:  req.Privileged || req.Network == "host" || slices.Contains(req.Entitlements, "network.host"),
		AllowAll:   req.Privileged || slices.Contains(req.Entitlements, "security.insecure"),
		ExtraHosts: req.ExtraHosts, ShmSize: req.ShmSize, Memory: req.Memory, Ulimits: req.Ulimits,
		NoCache: req.NoCache, NoCacheIn: req.NoCacheFilter, Pull: req.Pull, KeepModes: req.KeepModes,
		Compression: compression, ResolveImage: req.Resolve, Credentials: secrets(req.Secrets).value,
		Registry: req.Registry, Environ: req.Environ, MaxBytes: o.limits.Bytes,
	}
	if o.tree != nil {
		_, sr.CommitTime = o.tree.Revision()
	}
	for _, s := range req.Secrets {
		sr.Secrets[s.ID] = solve.Secret{File: s.File, Value: s.Value}
	}
	return sr, nil
}

func compressionOf(text string) (commit.Compression, error) {
	switch c := commit.Compression(text); c {
	case "":
		return commit.Gzip, nil
	case commit.Gzip, commit.Zstd, commit.None:
		return c, nil
	}
	return "", fmt.Errorf("compression %q is not one of gzip, zstd, none", text)
}

// epochOf is SOURCE_DATE_EPOCH, given as such or as a build argument.
func epochOf(req *Request) (*time.Time, error) {
	text := req.Args["SOURCE_DATE_EPOCH"]
	if req.Epoch != nil {
		return req.Epoch, checkEpoch(*req.Epoch)
	}
	if text == nil || *text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(*text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", *text)
	}
	t := time.Unix(n, 0)
	return &t, checkEpoch(t)
}

// checkEpoch refuses times that an image's configuration cannot hold.
func checkEpoch(t time.Time) error {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return fmt.Errorf("SOURCE_DATE_EPOCH %d is beyond the year 9999 (want seconds since 1970)", t.Unix())
	}
	return nil
}

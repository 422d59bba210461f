package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
)

// bakeFile is what `build --print` writes: what buildx bake would take to
// build the same.
type bakeFile struct {
	Group  map[string]bakeGroup  `json:"group"`
	Target map[string]bakeTarget `json:"target"`
}

type bakeGroup struct {
	Targets []string `json:"targets"`
}

type bakeTarget struct {
	Context          string            `json:"context,omitempty"`
	Contexts         map[string]string `json:"contexts,omitempty"`
	Dockerfile       string            `json:"dockerfile,omitempty"`
	DockerfileInline string            `json:"dockerfile-inline,omitempty"`
	Args             map[string]string `json:"args,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Tags             []string          `json:"tags,omitempty"`
	CacheFrom        []string          `json:"cache-from,omitempty"`
	CacheTo          []string          `json:"cache-to,omitempty"`
	Target           string            `json:"target,omitempty"`
	Secrets          []string          `json:"secret,omitempty"`
	SSH              []string          `json:"ssh,omitempty"`
	Platforms        []string          `json:"platforms,omitempty"`
	Pull             bool              `json:"pull,omitempty"`
	NoCache          bool              `json:"no-cache,omitempty"`
	Network          string            `json:"network,omitempty"`
	NoCacheFilter    []string          `json:"no-cache-filter,omitempty"`
	ShmSize          compose.Bytes     `json:"shm-size,omitempty"`
	Ulimits          []string          `json:"ulimits,omitempty"`
	Call             string            `json:"call,omitempty"`
	Entitlements     []string          `json:"entitlements,omitempty"`
	ExtraHosts       map[string]string `json:"extra-hosts,omitempty"`
	Outputs          []string          `json:"output,omitempty"`
}

// printBake writes the request as a bake file.
func printBake(e *env, req *api.BuildRequest) error {
	p, names := req.Project, req.Services
	switch {
	case len(names) == 0:
		names = p.ServiceNames()
	case req.WithDeps:
		names = p.Closure(names)
	}
	out := bakeFile{Group: map[string]bakeGroup{}, Target: map[string]bakeTarget{}}
	group := bakeGroup{Targets: []string{}}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if s := p.Services[name]; s.Build != nil {
			group.Targets = append(group.Targets, bakeName(name))
			out.Target[bakeName(name)] = bakeTargetOf(req, name, &s)
		}
	}
	out.Group["default"] = group
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// bakeName is a service's name as bake allows it.
func bakeName(service string) string { return strings.ReplaceAll(service, ".", "_") }

func bakeTargetOf(req *api.BuildRequest, name string, s *compose.Service) bakeTarget {
	p, b := req.Project, s.Build
	t := bakeTarget{
		Context: b.Context, Contexts: map[string]string{}, Dockerfile: b.Dockerfile, DockerfileInline: b.DockerfileInline,
		Args: map[string]string{}, Labels: b.Labels, Tags: append([]string{compose.ImageName(p.Name, name, s)}, b.Tags...),
		CacheFrom: b.CacheFrom, CacheTo: b.CacheTo, Target: b.Target, Platforms: b.Platforms, Pull: b.Pull || req.Pull,
		NoCache: b.NoCache || req.NoCache, Network: b.Network, NoCacheFilter: b.NoCacheFilter, ShmSize: b.ShmSize,
		Entitlements: b.Entitlements, ExtraHosts: map[string]string{}, Outputs: []string{"type=docker"},
	}
	if t.Dockerfile == "" && t.DockerfileInline == "" {
		t.Dockerfile = "Dockerfile"
	}
	if len(t.Platforms) == 0 && s.Platform != "" {
		t.Platforms = []string{s.Platform}
	}
	if b.Privileged {
		t.Entitlements = append(slices.Clone(t.Entitlements), "security.insecure")
	}
	for key, c := range b.AdditionalContexts {
		if other, ok := strings.CutPrefix(c, "service:"); ok {
			c = "target:" + bakeName(other)
		}
		t.Contexts[key] = c
	}
	for _, args := range []compose.Mapping{b.Args, req.Args} {
		for key, value := range args {
			if value != nil {
				t.Args[key] = *value
			}
		}
	}
	for host, addresses := range b.ExtraHosts {
		t.ExtraHosts[host] = strings.Join(addresses, ",")
	}
	for _, key := range slices.Sorted(maps.Keys(b.Ulimits)) {
		t.Ulimits = append(t.Ulimits, fmt.Sprintf("%s=%d:%d", key, b.Ulimits[key].Soft, b.Ulimits[key].Hard))
	}
	for _, key := range slices.Concat(b.SSH, req.SSH) {
		t.SSH = append(t.SSH, strings.TrimSuffix(key.ID+"="+key.Path, "="))
	}
	for _, ref := range b.Secrets {
		t.Secrets = append(t.Secrets, bakeSecret(p, ref))
	}
	switch {
	case req.Check:
		t.Call, t.Outputs = "lint", nil
	case req.Push && s.Image != "":
		t.Outputs = append(t.Outputs, "type=registry")
	}
	return t
}

func bakeSecret(p *compose.Project, ref compose.FileReference) string {
	o, id := p.Secrets[ref.Source], cmp.Or(ref.Target, ref.Source)
	if o.Environment != "" {
		return "id=" + id + ",type=env,env=" + o.Environment
	}
	return "id=" + id + ",type=file,src=" + filepath.ToSlash(o.File)
}
